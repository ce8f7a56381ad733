"""Which type a profile is one of, among those that the artefacts define."""

from fhir_server.definitions.registry import Registry

_BASE = "http://hl7.org/fhir/StructureDefinition/"
_VERSIONS = frozenset({"", "4.0", "4.0.1"})


def base_type_of(registry: Registry, canonical: str) -> str | None:
    """The resource type whose rules a canonical URL stands for; None when it is not known here.

    Only R4's own StructureDefinitions are resource profiles here, so whoever conforms to the type
    conforms to the profile.
    """
    url, _, version = canonical.partition("|")
    name = url.removeprefix(_BASE)
    if name == url or version not in _VERSIONS:
        return None
    known = name in ("Resource", "DomainResource") or registry.structures.is_resource(name)
    return name if known else None
