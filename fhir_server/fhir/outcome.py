"""Errors as OperationOutcome, and the one table of HTTP statuses.

https://hl7.org/fhir/R4/operationoutcome.html, https://hl7.org/fhir/R4/http.html#Status-Codes
"""

from fhir_server.fhir import errors
from fhir_server.fhir.types import Json, Resource

REASON_SYSTEM = "https://fhir-server.example/fhir/CodeSystem/refusal-reason"

STATUS: dict[type[errors.FhirError], int] = {
    errors.Structure: 400,
    errors.Required: 400,
    errors.Value: 400,
    errors.CodeInvalid: 400,
    errors.TooLong: 400,
    errors.Invalid: 400,
    errors.NotSupported: 400,
    errors.TooCostly: 400,
    errors.Login: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.UnknownAddress: 404,
    errors.MethodNotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.Conflict: 409,
    errors.Deleted: 410,
    errors.VersionConflict: 412,
    errors.MultipleMatches: 412,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.Invariant: 422,
    errors.BusinessRule: 422,
    errors.Throttled: 429,
    errors.Transient: 503,
}


def status_of(error: errors.FhirError) -> int:
    """The HTTP status of a refusal; of several, the first one's."""
    if isinstance(error, errors.Issues):
        return status_of(error.issues[0])
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def issue(error: errors.FhirError) -> Json:
    """One OperationOutcome.issue."""
    built: dict[str, Json] = {"severity": error.severity, "code": error.issue_type}
    if error.extension:
        built["extension"] = list(error.extension)
    if error.details:
        built["details"] = {"coding": [{"system": REASON_SYSTEM, "code": error.details}]}
    built["diagnostics"] = error.diagnostics
    if error.expression:
        built["expression"] = list(error.expression)
    return built


def operation_outcome(error: errors.FhirError) -> Resource:
    """The OperationOutcome that tells a client what was refused, where, and what to do."""
    found = error.issues if isinstance(error, errors.Issues) else (error,)
    return {"resourceType": "OperationOutcome", "issue": [issue(one) for one in found]}
