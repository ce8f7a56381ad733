"""What every kind of PATCH has in common (https://hl7.org/fhir/R4/http.html#patch)."""

from typing import Protocol

from fhir_server.fhir.errors import BusinessRule
from fhir_server.fhir.types import Resource

MOST_OPERATIONS = 500
"""Operations in one patch."""


class PatchFailed(BusinessRule):
    """An operation does not fit the resource, or a test does not hold; nothing is changed."""

    issue_type = "processing"


class Patch(Protocol):
    """Changes to a resource, understood and not yet applied."""

    def apply(self, resource: Resource) -> Resource:
        """The changed resource; the given one is left as it is.

        Raises:
            PatchFailed: an operation cannot be applied, or a test does not hold.
            TooLong: the result is nested too deep.
        """
        ...
