"""FHIRPath Patch: a Parameters resource of operations (https://hl7.org/fhir/R4/fhirpatch.html)."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.definitions.element_path import ElementPath, Node, parse_path
from fhir_server.definitions.elements import ElementDefinition, Structure, Structures
from fhir_server.fhir import codec
from fhir_server.fhir.errors import FhirError, Invalid, Issues, Required, TooLarge
from fhir_server.fhir.patch import MOST_OPERATIONS, PatchFailed
from fhir_server.fhir.types import Json, Resource

_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "add": ("path", "name", "value"),
    "insert": ("path", "index", "value"),
    "delete": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "source", "destination"),
}
_NUMBERS: Final = frozenset({"index", "source", "destination"})


@dataclass(frozen=True, slots=True)
class Given:
    """The value of an operation.

    Attributes:
        datatype: as in the name of its element, for example `CodeableConcept`; empty when it is
            made of parts or is a resource.
        value: its JSON; for one made of parts, the parts.
        is_parts: whether it is made of parts.
    """

    datatype: str
    value: Json
    is_parts: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        type: add, insert, delete, replace or move.
        path: where.
        name: of add, the element to add.
        value: of add, insert and replace.
        numbers: of insert and move, by part name.
        place: where it stands in the Parameters resource.
    """

    type: str
    path: ElementPath
    name: str
    value: Given
    numbers: Mapping[str, int]
    place: str


@dataclass(frozen=True, slots=True)
class FhirPathPatch:
    """A patch that is understood; see `fhir.patch.Patch`."""

    structures: Structures
    operations: tuple[Operation, ...]
    max_bytes: int
    max_depth: int

    def apply(self, resource: Resource) -> Resource:
        """See `Patch.apply`."""
        document = copy.deepcopy(resource)
        for operation in self.operations:
            _Run(self.structures, operation, document).apply()
        codec.check_depth(document, self.max_depth)
        if len(codec.encode_json(document)) > self.max_bytes:
            raise TooLarge(f"The patched resource is larger than {self.max_bytes} bytes")
        return document


def parse_fhirpath_patch(
    structures: Structures, parameters: Resource, *, max_bytes: int, max_depth: int
) -> FhirPathPatch:
    """Understand a patch.

    Args:
        structures: the shapes of R4's types.
        parameters: the Parameters resource.
        max_bytes: the largest result.
        max_depth: how deep the result may be nested.

    Raises:
        Invalid, Required: it is no FHIRPath Patch; all problems at once.
    """
    if parameters.get("resourceType") != "Parameters":
        raise Invalid("A FHIRPath Patch is a Parameters resource", expression=["resourceType"])
    listed = parameters.get("parameter", [])
    if not isinstance(listed, list):
        raise Invalid("Parameters.parameter must be an array", expression=["Parameters.parameter"])
    if len(listed) > MOST_OPERATIONS:
        raise Invalid(f"A patch may have {MOST_OPERATIONS} operations, not {len(listed)}")
    problems: list[FhirError] = []
    operations = []
    for number, one in enumerate(listed):
        place = f"Parameters.parameter[{number}]"
        try:
            operations.append(_operation(one, place))
        except FhirError as problem:
            problems.append(type(problem)(problem.diagnostics, expression=[place]))
    if problems:
        raise problems[0] if len(problems) == 1 else Issues(problems)
    return FhirPathPatch(structures, tuple(operations), max_bytes, max_depth)


def _operation(one: Json, place: str) -> Operation:
    if not isinstance(one, dict) or one.get("name") != "operation":
        raise Invalid("Every parameter of a FHIRPath Patch is named operation")
    parts = _parts(one.get("part"))
    kind = _text(parts, "type")
    if kind not in _PARTS:
        raise Invalid(f"type must be one of {', '.join(_PARTS)}")
    for name in _PARTS[kind]:
        if name not in parts:
            raise Required(f"The part {name} is missing, which {kind} needs")
    unknown = sorted(set(parts) - {"type", *_PARTS[kind]})
    if unknown:
        raise Invalid(f"{kind} has no part {', '.join(unknown)[:100]}")
    return Operation(
        kind,
        parse_path(_text(parts, "path")),
        _text(parts, "name") if "name" in parts else "",
        _given(parts["value"]) if "value" in parts else Given("", None),
        {name: _number(parts, name) for name in _NUMBERS & parts.keys()},
        place,
    )


def _parts(listed: Json) -> dict[str, dict[str, Any]]:
    if not isinstance(listed, list):
        raise Required("An operation has parts: type, path and more")
    found: dict[str, dict[str, Any]] = {}
    for part in listed:
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str):
            raise Invalid("Every part is an object with a name")
        if name in found:
            raise Invalid(f"The part {name[:40]} is there twice")
        found[name] = part
    return found


def _text(parts: Mapping[str, dict[str, Any]], name: str) -> str:
    if name not in parts:
        raise Required(f"The part {name} is missing")
    value = parts[name].get("valueString", parts[name].get("valueCode"))
    if not isinstance(value, str) or not value:
        raise Invalid(f"The part {name} needs valueString")
    return value


def _number(parts: Mapping[str, dict[str, Any]], name: str) -> int:
    part = parts[name]
    for key in ("valueInteger", "valueUnsignedInt", "valuePositiveInt"):
        value = part.get(key)
        if type(value) is int and value >= 0:
            return value
    raise Invalid(f"The part {name} needs valueInteger, 0 or more")


def _given(part: Mapping[str, Any]) -> Given:
    keys = [key for key in part if key not in ("name", "id", "extension")]
    if len(keys) != 1:
        raise Invalid("The part value has one value[x], one resource, or parts")
    key = keys[0]
    if key == "part":
        if not isinstance(part["part"], list) or not part["part"]:
            raise Invalid("The parts of a value are an array")
        return Given("", part["part"], is_parts=True)
    if key == "resource":
        return Given("", part[key])
    if not key.startswith("value") or len(key) == len("value"):
        raise Invalid("The part value has one value[x], one resource, or parts")
    return Given(key.removeprefix("value"), part[key])


class _Run:
    """One operation on one document, which it changes."""

    def __init__(self, structures: Structures, operation: Operation, document: Resource) -> None:
        self._structures = structures
        self._operation = operation
        self._document = document
        self._acts: Mapping[str, Callable[[], None]] = {
            "add": self._add,
            "insert": self._insert,
            "delete": self._delete,
            "replace": self._replace,
            "move": self._move,
        }

    def apply(self) -> None:
        try:
            self._acts[self._operation.type]()
        except FhirError as problem:
            raise type(problem)(
                f"{self._operation.type}: {problem.diagnostics}; nothing was changed",
                expression=[self._operation.place],
            ) from None

    def _nodes(self) -> list[Node]:
        return self._operation.path.nodes(self._structures, self._document)

    def _single(self) -> Node:
        found = self._nodes()
        if len(found) != 1:
            raise PatchFailed(f"the path selects {len(found)} elements, not one")
        return found[0]

    def _add(self) -> None:
        node = self._single()
        if not isinstance(node.value, dict):
            raise PatchFailed("the path selects no element that has elements")
        structure = self._structure(node)
        given = self._operation.value
        element = _element(structure, self._operation.name, given)
        if not element.is_list:
            taken = [name for name in structure.groups[element.group] if name in node.value]
            if taken:
                raise PatchFailed(f"{taken[0]} is there already; use replace")
        self._put(node.value, element, given)

    def _put(self, holder: dict[str, Json], element: ElementDefinition, given: Given) -> None:
        value = self._json(element, given)
        if not element.is_list:
            holder[element.name] = value
            return
        items = holder.setdefault(element.name, [])
        if not isinstance(items, list):
            raise PatchFailed(f"{element.name} is no array")
        beside = holder.get(f"_{element.name}")
        items.append(value)
        if isinstance(beside, list):
            beside.append(None)

    def _insert(self) -> None:
        holder, element = self._collection()
        items = holder.setdefault(element.name, [])
        index = self._operation.numbers["index"]
        if not isinstance(items, list) or index > len(items):
            count = len(items) if isinstance(items, list) else 1
            raise PatchFailed(f"index {index} is beyond the {count} items")
        beside = holder.get(f"_{element.name}")
        items.insert(index, self._json(element, self._operation.value))
        if isinstance(beside, list):
            beside.insert(index, None)

    def _delete(self) -> None:
        found = self._nodes()
        if len(found) > 1:
            raise PatchFailed(f"the path selects {len(found)} elements; only one can be deleted")
        if not found:
            return
        node = found[0]
        if node.holder is None:
            raise PatchFailed("the whole resource cannot be removed; use DELETE")
        if node.index is None:
            del node.holder[node.key]
            node.holder.pop(f"_{node.key}", None)
            return
        for key in (node.key, f"_{node.key}"):
            items = node.holder.get(key)
            if isinstance(items, list):
                del items[node.index]
                if all(item is None for item in items):
                    del node.holder[key]

    def _replace(self) -> None:
        node = self._single()
        if node.holder is None or node.parent is None:
            raise PatchFailed("the whole resource cannot be replaced; use PUT")
        structure = self._structure(node.parent)
        group = structure.elements[node.key].group
        element = _element(structure, group, self._operation.value)
        value = self._json(element, self._operation.value)
        if node.index is not None:
            node.holder[node.key][node.index] = value
            return
        if element.name != node.key:
            del node.holder[node.key]
            node.holder.pop(f"_{node.key}", None)
        node.holder[element.name] = value

    def _move(self) -> None:
        holder, element = self._collection()
        items = holder.get(element.name, [])
        source, destination = (self._operation.numbers[one] for one in ("source", "destination"))
        if not isinstance(items, list) or max(source, destination) >= len(items):
            raise PatchFailed("source or destination is beyond the items")
        for one in (items, holder.get(f"_{element.name}")):
            if isinstance(one, list):
                one.insert(destination, one.pop(source))

    def _collection(self) -> tuple[dict[str, Json], ElementDefinition]:
        """The object that holds the list at the path, and the list's definition."""
        parents, name = self._operation.path.parents(self._structures, self._document)
        if len(parents) != 1 or not isinstance(parents[0].value, dict):
            raise PatchFailed("the path does not lead to one collection")
        structure = self._structure(parents[0])
        names = structure.groups.get(name, ())
        if len(names) != 1 or not structure.elements[names[0]].is_list:
            raise PatchFailed(f"{name[:40]} is no repeating element of {structure.key}")
        return parents[0].value, structure.elements[names[0]]

    def _structure(self, node: Node) -> Structure:
        found = node.structure(self._structures)
        if found is None:
            raise PatchFailed("the path leads to an element without elements")
        return found

    def _json(self, element: ElementDefinition, given: Given) -> Json:
        if not given.is_parts:
            return copy.deepcopy(given.value)
        if element.primitive is not None:
            raise PatchFailed(f"{element.name} is a {element.datatype} and has no parts")
        built: dict[str, Json] = {}
        structure = self._structures[element.datatype]
        for part in given.value:
            name = part.get("name") if isinstance(part, dict) else None
            if not isinstance(name, str):
                raise Invalid("every part is an object with a name")
            inner = _given(part)
            child = _element(structure, name, inner)
            if not child.is_list and child.name in built:
                raise PatchFailed(f"{name} may be given once")
            self._put(built, child, inner)
        return built


def _element(structure: Structure, name: str, given: Given) -> ElementDefinition:
    """The element of that FHIRPath or JSON name; of a choice, the one of the value's type."""
    names = structure.groups.get(name, (name,) if name in structure.elements else ())
    if len(names) > 1:
        wanted = f"{name}{given.datatype}"
        names = (wanted,) if wanted in names else ()
    if not names or names[0] == "resourceType":
        raise PatchFailed(f"{structure.key} has no element {name[:40]} of that type")
    return structure.elements[names[0]]
