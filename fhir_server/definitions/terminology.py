"""ValueSets and CodeSystems among the artefacts: the codes that required bindings allow.

Only listed codes are understood (https://hl7.org/fhir/R4/valueset.html), and whole code systems
that are artefacts themselves; no filters.
"""

from collections.abc import Iterable, Mapping

from fhir_server.definitions.artefact import METADATA, Artefact, Defects
from fhir_server.fhir.types import Json

_CONCEPT = dict.fromkeys(("code", "display", "definition", "designation"))
_VALUE_SET = {
    **METADATA,
    "immutable": None,
    "compose": {"include": {"system": None, "version": None, "concept": _CONCEPT}},
}
_CODE_SYSTEM = {
    **METADATA,
    "caseSensitive": None,
    "valueSet": None,
    "content": None,
    "count": None,
    "concept": {**_CONCEPT, "concept": None},
}


def compile_value_sets(
    value_sets: Iterable[Artefact], code_systems: Iterable[Artefact], defects: Defects
) -> Mapping[str, Mapping[str, str]]:
    """The code system of each code, by the value set's URL."""
    systems: dict[str, list[str]] = {}
    for artefact in code_systems:
        defects.refuse_unknown(artefact, _CODE_SYSTEM)
        if defects.require(artefact, "url", "content", "concept"):
            systems[artefact.url] = list(_codes(artefact.content["concept"]))
    compiled: dict[str, Mapping[str, str]] = {}
    for artefact in value_sets:
        defects.refuse_unknown(artefact, _VALUE_SET)
        if defects.require(artefact, "url", "compose"):
            compiled[artefact.url] = _value_set(artefact, systems, defects)
    return compiled


def _value_set(
    artefact: Artefact, systems: Mapping[str, list[str]], defects: Defects
) -> Mapping[str, str]:
    codes: dict[str, str] = {}
    for include in artefact.content["compose"].get("include", ()):
        system = include.get("system", "")
        listed = [concept["code"] for concept in include.get("concept", ())]
        if not listed and system not in systems:
            defects.add(artefact, f"the codes of {system or 'an include'} are not listed")
        for code in listed or systems.get(system, []):
            codes.setdefault(code, system)
    return codes


def _codes(concepts: Json) -> Iterable[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _codes(concept.get("concept", ()))
