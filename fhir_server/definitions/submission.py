"""What a client submits to an address: of that type, and everything R4 says about it."""

from fhir_server.definitions.registry import Registry
from fhir_server.definitions.structure_definition import validate
from fhir_server.fhir.errors import Invalid, Structure
from fhir_server.fhir.types import Resource


def check_submission(registry: Registry, resource_type: str, resource: Resource) -> None:
    """Refuse a body that is not a valid resource of the address's type.

    Raises:
        FhirError: of another type, or breaking R4; all problems at once.
    """
    found = resource.get("resourceType")
    if found is None:
        raise Structure("The body has no resourceType", expression=[resource_type])
    if found != resource_type:
        raise Invalid(
            f"The body is a {str(found)[:64]} and the address is {resource_type}",
            expression=["resourceType"],
        )
    validate(registry, resource)
