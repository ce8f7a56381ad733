"""The base of every canonical URL this project defines, and the systems of R4 it refers to."""

CANONICAL = "https://fhir-server.example/fhir"
"""Base of our own artefacts: `<CANONICAL>/<ResourceType>/<id>`."""

HL7 = "http://hl7.org/fhir"
"""Base of R4's own definitions."""


def canonical(resource_type: str, logical_id: str) -> str:
    """The canonical URL of one of our own artefacts, without a version."""
    return f"{CANONICAL}/{resource_type}/{logical_id}"


def structure_definition(type_name: str) -> str:
    """The canonical URL of R4's StructureDefinition of a type."""
    return f"{HL7}/StructureDefinition/{type_name}"
