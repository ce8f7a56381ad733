"""What the store answers when something is not there, in the same words for every cause."""

from fhir_server.fhir.errors import Deleted, NotFound
from fhir_server.store.stored import StoredVersion


def not_found(resource_type: str, logical_id: str) -> NotFound:
    """Nothing there, or nothing that the caller may know of: both read alike."""
    return NotFound(f"There is no {resource_type}/{logical_id}.")


def version_not_found(resource_type: str, logical_id: str, version: int | str) -> NotFound:
    """No such version, or none that the caller may know of."""
    return NotFound(f"There is no version {version} of {resource_type}/{logical_id}.")


def deleted(version: StoredVersion) -> Deleted:
    """It was there."""
    return Deleted(f"{version.type}/{version.id} has been deleted.", version=version.version)
