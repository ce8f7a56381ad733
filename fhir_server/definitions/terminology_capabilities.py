"""What the server knows of terminology (https://hl7.org/fhir/R4/terminologycapabilities.html)."""

from datetime import datetime
from typing import Final

from fhir_server.definitions.registry import Registry
from fhir_server.fhir.types import Json, Resource

_HL7: Final = "http://hl7.org/fhir/"
_R4: Final = "4.0.1"


def build(registry: Registry, base_url: str, date: datetime, version: str) -> Resource:
    """The document that `GET [base]/metadata?mode=terminology` answers.

    Args:
        registry: what the artefacts define.
        base_url: the FHIR base of the tenant that is asked.
        date: when it last changed, aware.
        version: the version of the server's software.
    """
    statement = registry.statement
    return {
        "resourceType": "TerminologyCapabilities",
        "id": "server",
        "url": f"{base_url}/metadata?mode=terminology",
        "version": version,
        "name": f"{statement['name']}Terminology",
        "status": statement["status"],
        "date": date.isoformat(timespec="seconds"),
        "description": "The code systems whose codes this server checks in the resources that are "
        "sent to it, as far as value sets with a required binding list them.",
        "kind": "instance",
        "software": {**statement.get("software", {}), "version": version},
        "implementation": {"description": "A FHIR R4 server for appointments", "url": base_url},
        "codeSystem": _code_systems(registry),
    }


def _code_systems(registry: Registry) -> list[Json]:
    """R4's own; of others, such as units, value sets list single codes only."""
    systems = {
        system
        for codes in registry.structures.value_sets.values()
        for system in codes.values()
        if system.startswith(_HL7)
    }
    return [{"uri": one, "version": [{"code": _R4}]} for one in sorted(systems)]
