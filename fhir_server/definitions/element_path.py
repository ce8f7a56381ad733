"""Paths of FHIRPath Patch: to places in a resource, where search expressions yield values.

https://hl7.org/fhir/R4/fhirpatch.html asks of a path that it says where to change something:
element names, `[n]`, `where()`, `first()`, `last()`, `ofType()`, `as()` and `extension()`.
"""

import re
from dataclasses import dataclass
from typing import Final

from fhir_server.definitions.elements import Structure, Structures
from fhir_server.definitions.fhirpath import ExpressionError, compile_expression
from fhir_server.fhir.errors import Invalid
from fhir_server.fhir.patch import PatchFailed
from fhir_server.fhir.types import Json, Resource

_LONGEST: Final = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INDEX = re.compile(r"\[\s*([0-9]{1,6})\s*\]")
_URL = re.compile(r"\s*'([^']*)'\s*")
_FUNCTIONS: Final = frozenset({"where", "first", "last", "ofType", "as", "extension"})


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A place in a resource.

    Attributes:
        value: what is there.
        datatype: its FHIR type or the key of its structure.
        parent: the place that holds it; None for the resource itself.
        key: the JSON name in the parent.
        index: in the parent's list; None when it is no item of one.
    """

    value: Json
    datatype: str
    parent: "Node | None" = None
    key: str = ""
    index: int | None = None

    @property
    def holder(self) -> dict[str, Json] | None:
        """The JSON object that holds it."""
        return None if self.parent is None else self.parent.value

    def structure(self, structures: Structures) -> Structure | None:
        """The elements it may have; None for a primitive."""
        name = self.datatype
        if name == "Resource" and isinstance(self.value, dict):
            name = str(self.value.get("resourceType"))
            if not structures.is_resource(name):
                name = "Resource"
        try:
            return structures[name]
        except KeyError:
            return None


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of a path: a child (no function), an index, or a function with its argument."""

    name: str = ""
    function: str = ""
    argument: str = ""
    index: int | None = None


@dataclass(frozen=True, slots=True)
class ElementPath:
    """A path that is understood.

    Attributes:
        text: as written.
        root: the name it begins with.
    """

    text: str
    root: str
    steps: tuple[_Step, ...]

    def nodes(self, structures: Structures, resource: Resource) -> list[Node]:
        """The places it selects.

        Raises:
            PatchFailed: it does not fit the resource's type.
        """
        return self._walk(structures, resource, self.steps)

    def parents(self, structures: Structures, resource: Resource) -> tuple[list[Node], str]:
        """The places that hold the collection it names, and the collection's name.

        Raises:
            PatchFailed: it does not end with an element's name.
        """
        if not self.steps or not self.steps[-1].name:
            raise PatchFailed("the path must end with the name of a repeating element")
        return self._walk(structures, resource, self.steps[:-1]), self.steps[-1].name

    def _walk(
        self, structures: Structures, resource: Resource, steps: tuple[_Step, ...]
    ) -> list[Node]:
        own = str(resource.get("resourceType"))
        if self.root not in (own, "Resource", "DomainResource"):
            raise PatchFailed(f"the path begins with {self.root[:40]}, the resource is a {own}")
        nodes = [Node(resource, own)]
        for step in steps:
            nodes = _take(structures, nodes, step)
        return nodes


def parse_path(text: str) -> ElementPath:
    """Understand a path.

    Raises:
        Invalid: it is malformed or uses what is not understood here.
    """
    if len(text) > _LONGEST:
        raise Invalid(f"A path may have {_LONGEST} characters")
    text = text.strip()
    root = _NAME.match(text)
    if root is None:
        raise Invalid(f"The path {text[:60]} does not begin with the resource's type")
    steps = []
    position = root.end()
    while position < len(text):
        step, position = _step(text, position)
        steps.append(step)
    return ElementPath(text, root[0], tuple(steps))


def _step(text: str, position: int) -> tuple[_Step, int]:
    index = _INDEX.match(text, position)
    if index is not None:
        return _Step(index=int(index[1])), index.end()
    name = _NAME.match(text, position + 1) if text[position] == "." else None
    if name is None:
        raise Invalid(f"The path cannot be read at {text[position : position + 30]}")
    if text[name.end() : name.end() + 1] != "(":
        return _Step(name=name[0]), name.end()
    if name[0] not in _FUNCTIONS:
        raise Invalid(f"{name[0][:40]}() is not understood in a path; use JSON Patch instead")
    end = _closing(text, name.end())
    return _Step(function=name[0], argument=text[name.end() + 1 : end].strip()), end + 1


def _closing(text: str, start: int) -> int:
    depth, quoted = 0, False
    for position in range(start, len(text)):
        mark = text[position]
        if mark == "'":
            quoted = not quoted
        elif not quoted:
            depth += {"(": 1, ")": -1}.get(mark, 0)
            if depth == 0:
                return position
    raise Invalid("A bracket in the path is not closed")


def _take(structures: Structures, nodes: list[Node], step: _Step) -> list[Node]:
    if step.name:
        return [child for node in nodes for child in _children(structures, node, step.name)]
    if step.index is not None:
        return nodes[step.index : step.index + 1]
    match step.function:
        case "first":
            return nodes[:1]
        case "last":
            return nodes[-1:]
        case "ofType" | "as":
            wanted = step.argument.removeprefix("FHIR.")
            return [node for node in nodes if _is_of(node, wanted)]
        case "extension":
            url = _URL.fullmatch(step.argument)
            if url is None:
                raise PatchFailed("extension() needs a URL in quotes")
            found = [one for node in nodes for one in _children(structures, node, "extension")]
            return [
                one
                for one in found
                if isinstance(one.value, dict) and one.value.get("url") == url[1]
            ]
        case _:
            return [node for node in nodes if _meets(structures, node, step.argument)]


def _children(structures: Structures, node: Node, name: str) -> list[Node]:
    structure = node.structure(structures)
    if structure is None or not isinstance(node.value, dict):
        raise PatchFailed(f"the path asks for {name[:40]} of a primitive; use JSON Patch for that")
    names = structure.groups.get(name)
    if names is None:
        if name not in structure.elements:
            raise PatchFailed(f"{structure.key} has no element {name[:40]}")
        names = (name,)
    found = []
    for json_name in names:
        value = node.value.get(json_name)
        datatype = structure.elements[json_name].datatype
        if isinstance(value, list):
            found += [
                Node(item, datatype, node, json_name, index) for index, item in enumerate(value)
            ]
        elif value is not None:
            found.append(Node(value, datatype, node, json_name))
    return found


def _is_of(node: Node, wanted: str) -> bool:
    if node.datatype == "Resource" and isinstance(node.value, dict):
        return bool(node.value.get("resourceType") == wanted)
    return node.datatype == wanted


def _meets(structures: Structures, node: Node, condition: str) -> bool:
    datatype = node.datatype
    if datatype == "Resource" and isinstance(node.value, dict):
        datatype = str(node.value.get("resourceType"))
    try:
        found = compile_expression(structures, condition, datatype)(node.value)
    except (ExpressionError, RecursionError) as error:
        raise PatchFailed(f"where({condition[:60]}) is not understood: {error}") from None
    except (TypeError, AttributeError, KeyError, ValueError):
        return False
    return [one.value for one in found] == [True]
