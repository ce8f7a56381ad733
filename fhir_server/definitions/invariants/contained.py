"""Rules about contained resources (https://hl7.org/fhir/R4/references.html#contained)."""

from fhir_server.definitions.invariants.rule import has
from fhir_server.fhir.errors import FhirError, Invariant
from fhir_server.fhir.types import Json, Resource


def check_contained(resource: Resource, path: str) -> list[FhirError]:
    """Gives what breaks dom-2 to dom-5, whatever shape the contained resources have."""
    found: list[FhirError] = []
    referred = _local_references({**resource, "text": None})
    for index, inner in enumerate(resource["contained"]):
        if not isinstance(inner, dict):
            continue
        where = f"{path}.contained[{index}]"
        found += [
            Invariant(f"{where}: a contained resource {words}", expression=[where])
            for words in _broken(inner, referred)
        ]
    return found


def _broken(inner: Resource, referred: set[str]) -> list[str]:
    given = inner.get("meta")
    meta = given if isinstance(given, dict) else {}
    is_used = f"#{inner.get('id')}" in referred or "#" in _local_references(inner)
    facts = (
        (has(inner, "contained"), "must not contain another one (dom-2)"),
        (not is_used, "must be referred to from the resource around it (dom-3)"),
        (has(meta, "versionId", "lastUpdated"), "has no versionId and lastUpdated (dom-4)"),
        (has(meta, "security"), "has no security label (dom-5)"),
    )
    return [words for is_broken, words in facts if is_broken]


def _local_references(node: Json) -> set[str]:
    found: set[str] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, str) and one.startswith("#"):
            found.add(one)
    return found
