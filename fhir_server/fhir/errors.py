"""Everything that can be refused, named after FHIR's issue types.

Errors know the issue type, never the HTTP status: `fhir.outcome` holds the one table that maps
them (https://hl7.org/fhir/R4/http.html#rejecting-updates, https://hl7.org/fhir/R4/valueset-issue-type.html).

    FhirError
      Structure, Required, Value, CodeInvalid, TooLong      the content breaks base R4
      Invalid                                               the request itself is malformed
      Invariant, BusinessRule                               it breaks a constraint or our rules
      NotFound, Deleted                                     nothing (any more) at that address
      NotSupported, MethodNotAllowed                        not offered here
      NotAcceptable, UnsupportedMediaType, TooLarge         the wire format or its size
      TooCostly                                             more work than is done for one request
      Conflict                                              the state forbids it (a taken slot)
      VersionConflict, MultipleMatches                      a precondition failed
      Login, Forbidden                                      who asks
      Throttled, Transient                                  try again later
    Issues                                                  several of the above at once
"""

from collections.abc import Sequence
from typing import ClassVar

from fhir_server.fhir.types import Json


class FhirError(Exception):
    """A refusal with what is wrong, where, and what to do.

    Args:
        diagnostics: one or two sentences for a developer; never patient data of other patients.
        expression: FHIRPath of the offending elements, for example `Appointment.start`.
        details: a coded reason, for example `slot-taken`, of our own code system `conflict-reason`.
        extension: FHIR extensions for the issue, for example alternatives on a conflict.
        severity: FHIR issue severity.
    """

    issue_type: ClassVar[str] = "processing"

    def __init__(
        self,
        diagnostics: str,
        *,
        expression: Sequence[str] = (),
        details: str | None = None,
        extension: Sequence[Json] = (),
        severity: str = "error",
    ) -> None:
        super().__init__(diagnostics)
        self.diagnostics = diagnostics
        self.expression = tuple(expression)
        self.details = details
        self.extension = tuple(extension)
        self.severity = severity


class Structure(FhirError):
    """The JSON or the resource does not have the shape that R4 defines."""

    issue_type = "structure"


class Required(FhirError):
    """A mandatory element or parameter is missing."""

    issue_type = "required"


class Value(FhirError):
    """An element's or parameter's value is not legal for its datatype."""

    issue_type = "value"


class CodeInvalid(FhirError):
    """A code is not in the value set that a required binding names."""

    issue_type = "code-invalid"


class TooLong(FhirError):
    """Content is nested deeper, or holds more, than the settings allow."""

    issue_type = "too-long"


class Invalid(FhirError):
    """The request is malformed: a header, a search value, an id that differs from the URL's."""

    issue_type = "invalid"


class Invariant(FhirError):
    """A constraint of R4 or of one of our profiles does not hold."""

    issue_type = "invariant"


class BusinessRule(FhirError):
    """A rule of this server forbids it."""

    issue_type = "business-rule"


class NotFound(FhirError):
    """Nothing the caller may know of is at that address."""

    issue_type = "not-found"


class Deleted(FhirError):
    """It was there and has been deleted.

    Args:
        version: the version id of the deletion.
    """

    issue_type = "deleted"

    def __init__(self, diagnostics: str, *, version: int) -> None:
        super().__init__(diagnostics)
        self.version = version


class NotSupported(FhirError):
    """A parameter, modifier, operation or option that this server does not offer."""

    issue_type = "not-supported"


class UnknownAddress(NotFound):
    """A path, resource type or operation that this server does not have."""

    issue_type = "not-supported"


class MethodNotAllowed(FhirError):
    """The address exists; the HTTP method is not offered there.

    Args:
        allow: the methods that are.
    """

    issue_type = "not-supported"

    def __init__(self, diagnostics: str, *, allow: Sequence[str]) -> None:
        super().__init__(diagnostics)
        self.allow = tuple(allow)


class NotAcceptable(FhirError):
    """No representation the client accepts can be produced."""

    issue_type = "not-supported"


class UnsupportedMediaType(FhirError):
    """The body's Content-Type cannot be read here."""

    issue_type = "not-supported"


class TooLarge(FhirError):
    """The body is larger than the settings allow."""

    issue_type = "too-long"


class TooCostly(FhirError):
    """It would take more work than this server does for one request."""

    issue_type = "too-costly"


class Conflict(FhirError):
    """The present state forbids it: a taken slot, a resource that others depend on."""

    issue_type = "conflict"


class VersionConflict(FhirError):
    """If-Match names a version that is not the current one."""

    issue_type = "conflict"


class MultipleMatches(FhirError):
    """A conditional interaction's criteria match more than one resource."""

    issue_type = "multiple-matches"


class Login(FhirError):
    """No valid access token came with the request.

    Args:
        challenge: the value of WWW-Authenticate (RFC 6750 section 3).
    """

    issue_type = "login"

    def __init__(self, diagnostics: str, *, challenge: str = "Bearer") -> None:
        super().__init__(diagnostics)
        self.challenge = challenge


class Forbidden(FhirError):
    """The token is valid and does not allow this."""

    issue_type = "forbidden"


class Throttled(FhirError):
    """Too many requests.

    Args:
        retry_after: seconds.
    """

    issue_type = "throttled"

    def __init__(self, diagnostics: str, *, retry_after: int) -> None:
        super().__init__(diagnostics)
        self.retry_after = retry_after


class Transient(FhirError):
    """Nothing was written; the same request may succeed soon.

    Args:
        retry_after: seconds.
    """

    issue_type = "transient"

    def __init__(self, diagnostics: str, *, retry_after: int = 1) -> None:
        super().__init__(diagnostics)
        self.retry_after = retry_after


class Issues(FhirError):
    """Several refusals at once; the answer's status is the first one's."""

    def __init__(self, issues: Sequence[FhirError]) -> None:
        super().__init__("; ".join(issue.diagnostics for issue in issues))
        self.issues = tuple(issues)
