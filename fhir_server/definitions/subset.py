"""Parts of resources: `_summary` and `_elements`.

https://hl7.org/fhir/R4/search.html#summary, https://hl7.org/fhir/R4/search.html#elements

A part has the tag SUBSETTED, so that nobody takes it for the whole. Mandatory elements stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.definitions.elements import Structures
from fhir_server.fhir.errors import Value
from fhir_server.fhir.types import Json, Resource

SUMMARY: Final = "_summary"
ELEMENTS: Final = "_elements"

SUBSETTED: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}

_KINDS: Final = ("true", "text", "data", "count", "false")
# Without them, what remains could be misread.
_ALWAYS: Final = frozenset({"resourceType", "id", "meta", "implicitRules", "modifierExtension"})


@dataclass(frozen=True, slots=True)
class Subset:
    """Which part of a resource is shown.

    Attributes:
        summary: `true`, `text` or `data`; empty when elements are named.
        elements: names at the top level, without `_` and `[x]`.
    """

    summary: str = ""
    elements: frozenset[str] = frozenset()


def parse_summary(value: str) -> str:
    """The legal value of `_summary`.

    Raises:
        Value: it is another.
    """
    if value not in _KINDS:
        raise Value(f"{SUMMARY}: '{value[:32]}' is not supported; expected {', '.join(_KINDS)}")
    return value


def parse_elements(value: str, structures: Structures, type_name: str) -> Subset:
    """The part that `_elements` names.

    Args:
        value: names with commas between.
        structures: the shapes of R4's types.
        type_name: the type that has them; empty when there are several.

    Raises:
        Value: the type has no such element, or nothing is named.
    """
    names = [
        part.strip().removesuffix("[x]").removeprefix(f"{type_name}.") for part in value.split(",")
    ]
    structure = structures[type_name] if type_name else None
    for name in names:
        if not name or (structure and name not in {*structure.elements, *structure.groups}):
            raise Value(f"{ELEMENTS}: {type_name} has no element '{name[:64]}' at its top level")
    return Subset(elements=frozenset(names))


def of_pairs(
    pairs: Sequence[tuple[str, str]], structures: Structures, type_name: str
) -> Subset | None:
    """The part that the parameters of a read ask for; None for the whole.

    Raises:
        Value: a value is not legal.
    """
    found: Subset | None = None
    for name, value in pairs:
        if name == ELEMENTS:
            found = parse_elements(value, structures, type_name)
        elif name == SUMMARY:
            kind = parse_summary(value)
            if kind == "count":
                raise Value(f"{SUMMARY}: there is nothing to count in one resource")
            found = Subset(kind) if kind != "false" else found
    return found


def shown(structures: Structures, resource: Resource, subset: Subset) -> Resource:
    """The part of a resource, tagged; the resource itself is left as it is."""
    structure = structures[resource["resourceType"]]
    mandatory = {name for _, names in structure.required for name in names}
    match subset.summary:
        case "data":
            kept = {name: value for name, value in resource.items() if name != "text"}
        case "text":
            kept = _only(resource, _ALWAYS | mandatory | {"text"})
        case "true":
            kept = _summary(structures, resource, resource["resourceType"])
            kept |= _only(resource, _ALWAYS)
        case _:
            groups = (structure.groups.get(name, (name,)) for name in subset.elements)
            named = {name for names in groups for name in names}
            kept = _only(resource, _ALWAYS | mandatory | named)
    meta = dict(resource.get("meta", {}))
    meta["tag"] = [*meta.get("tag", ()), SUBSETTED]
    return {**kept, "meta": meta}


def _only(resource: Resource, names: frozenset[str] | set[str]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name.removeprefix("_") in names}


def _summary(structures: Structures, node: Json, key: str) -> dict[str, Any]:
    """The elements in the summary, and those that must be there, of a type or nested element."""
    structure = structures[key]
    mandatory = {name for _, names in structure.required for name in names}
    kept: dict[str, Any] = {}
    for name, value in node.items():
        element = structure.elements.get(name.removeprefix("_"))
        if element is None or not (element.in_summary or element.name in mandatory):
            continue
        # A nested element has a summary of its own; datatypes are shown whole.
        if "." in element.datatype and isinstance(value, list):
            kept[name] = [_summary(structures, one, element.datatype) for one in value]
        elif "." in element.datatype:
            kept[name] = _summary(structures, value, element.datatype)
        else:
            kept[name] = value
    return kept
