"""CompartmentDefinition artefacts (https://hl7.org/fhir/R4/compartmentdefinition.html)."""

from collections.abc import Iterable, Mapping

from fhir_server.definitions.artefact import METADATA, Artefact, Defects

ITSELF = "{def}"
"""In place of a search parameter: the resource that the compartment is named after."""

_FIELDS = {
    **METADATA,
    "code": None,
    "search": None,
    "resource": {"code": None, "param": None, "documentation": None},
}


def compile_compartments(
    artefacts: Iterable[Artefact], defects: Defects
) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Search codes by compartment and resource type; a compartment's own type is always there."""
    compiled: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for artefact in artefacts:
        defects.refuse_unknown(artefact, _FIELDS)
        if not defects.require(artefact, "url", "code", "resource"):
            continue
        if artefact.content.get("search") is not True:
            defects.add(artefact, "search in compartments is always offered")
        own_type = artefact.content["code"]
        members: dict[str, tuple[str, ...]] = {own_type: ()}
        for entry in artefact.content["resource"]:
            codes = entry.get("param", ())
            if codes:
                members[entry["code"]] = tuple(code for code in codes if code != ITSELF)
        compiled[own_type] = members
    return compiled


def check_compartments(
    artefacts: Iterable[Artefact], codes: Mapping[str, Iterable[str]], defects: Defects
) -> None:
    """Notes compartments that name an unserved type or an undeclared search parameter.

    Args:
        artefacts: the CompartmentDefinitions.
        codes: the search codes of every served type.
        defects: takes what is wrong.
    """
    for artefact in artefacts:
        for entry in artefact.content.get("resource", ()):
            served = codes.get(entry["code"])
            if served is None:
                defects.add(artefact, f"{entry['code']} is not served")
                continue
            for code in entry.get("param", ()):
                if code != ITSELF and code not in served:
                    defects.add(artefact, f"{entry['code']} has no search parameter {code}")
