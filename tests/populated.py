"""Resources with every element that R4 gives their type, made from the shapes themselves."""

from fhir_server.definitions.elements import ElementDefinition, Structures
from fhir_server.fhir.codec import ExactDecimal
from fhir_server.fhir.types import Json, Resource

SAMPLES: dict[str, Json] = {
    "boolean": True,
    "integer": 7,
    "unsignedInt": 7,
    "positiveInt": 7,
    "decimal": ExactDecimal("1.50"),
    "string": "text",
    "markdown": "text",
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">text</div>',
    "code": "some-code",
    "id": "an-id",
    "uri": "urn:oid:1.2.3",
    "url": "https://ehr.example/x",
    "canonical": "https://ehr.example/Measure/x",
    "oid": "urn:oid:1.2.3",
    "uuid": "urn:uuid:00000000-0000-0000-0000-000000000001",
    "base64Binary": "aGVsbG8=",
    "date": "2026-03-29",
    "dateTime": "2026-03-29T09:30:00+01:00",
    "instant": "2026-03-29T09:30:00.000Z",
    "time": "09:30:00",
}
_DEEPEST = 5


def populated(structures: Structures, type_name: str, turn: int = 0) -> Resource:
    """A resource with one value of every element.

    Args:
        structures: the shapes of R4's types.
        type_name: a resource type.
        turn: which of the types of every choice is taken, and which target of every reference;
            counts around.
    """
    resource = {"resourceType": type_name}
    return resource | _node(structures, type_name, turn, 0)


def _node(structures: Structures, key: str, turn: int, depth: int) -> dict[str, Json]:
    structure = structures[key]
    required = {group for group, _ in structure.required}
    node: dict[str, Json] = {}
    for group, names in structure.groups.items():
        if group in ("resourceType", "contained", "extension", "modifierExtension"):
            continue
        element = structure.elements[names[turn % len(names)]]
        is_deep = depth >= _DEEPEST or element.datatype == key
        if is_deep and element.primitive is None and group not in required:
            continue
        value = _value(structures, element, turn, depth)
        if value is not None:
            node[element.name] = [value] if element.is_list else value
    return node


def _value(structures: Structures, element: ElementDefinition, turn: int, depth: int) -> Json:
    if element.codes is not None and element.primitive is not None:
        return list(element.codes)[turn % len(element.codes)]
    if element.primitive is not None:
        return SAMPLES[element.datatype]
    if element.datatype == "Resource":
        return None
    if element.datatype == "Reference":
        targets = sorted(element.targets) or ["Patient"]
        return {"reference": f"{targets[turn % len(targets)]}/an-id"}
    if element.datatype == "CodeableConcept" and element.codes is not None:
        code, system = next(iter(element.codes.items()))
        return {"coding": [{"system": system, "code": code}]}
    return _node(structures, element.datatype, turn, depth + 1)
