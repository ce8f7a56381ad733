"""JSON Patch (RFC 6902) over JSON Pointer (RFC 6901), digits kept.

Small and exact, because a FHIR server needs what common libraries get wrong: numbers that keep
their text, `true` that does not equal `1`, no index with leading zeros, and a bound on growth.
"""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from fhir_server.fhir import codec
from fhir_server.fhir.errors import FhirError, Invalid, Issues, Required, TooLarge
from fhir_server.fhir.patch import MOST_OPERATIONS, PatchFailed
from fhir_server.fhir.types import Json, Resource

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_BAD_ESCAPE = re.compile(r"~(?![01])")
_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "add": ("value",),
    "remove": (),
    "replace": ("value",),
    "move": ("from",),
    "copy": ("from",),
    "test": ("value",),
}
_ABSENT: Final = object()

Pointer = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        name: add, remove, replace, move, copy or test.
        path: where.
        source: `from` of move and copy.
        value: of add, replace and test.
        number: its place in the patch, for messages.
    """

    name: str
    path: Pointer
    source: Pointer
    value: Json
    number: int


def parse_json_patch(document: list[Json], *, max_bytes: int, max_depth: int) -> "JsonPatch":
    """Understand a patch document.

    Args:
        document: the parsed body.
        max_bytes: how much `copy` operations may add, and the largest result.
        max_depth: how deep the result may be nested.

    Raises:
        Invalid, Required: it is no JSON Patch; all problems at once.
    """
    if len(document) > MOST_OPERATIONS:
        raise Invalid(f"A patch may have {MOST_OPERATIONS} operations, not {len(document)}")
    problems: list[FhirError] = []
    operations = []
    for number, one in enumerate(document):
        try:
            operations.append(_operation(one, number))
        except FhirError as problem:
            problems.append(problem)
    if problems:
        raise problems[0] if len(problems) == 1 else Issues(problems)
    return JsonPatch(tuple(operations), max_bytes, max_depth)


def _operation(one: Json, number: int) -> Operation:
    if not isinstance(one, dict):
        raise Invalid(f"[{number}] is no JSON object; an operation has op and path")
    name = one.get("op")
    if not isinstance(name, str) or name not in _MEMBERS:
        raise Invalid(f"[{number}].op must be one of {', '.join(_MEMBERS)}")
    for member in ("path", *_MEMBERS[name]):
        if member not in one:
            raise Required(f"[{number}] has no {member}, which {name} needs")
    source = _pointer(one["from"], f"[{number}].from") if name in ("move", "copy") else ()
    path = _pointer(one["path"], f"[{number}].path")
    return Operation(name, path, source, one.get("value"), number)


def _pointer(text: Json, where: str) -> Pointer:
    if not isinstance(text, str):
        raise Invalid(f"{where} must be text, a JSON Pointer")
    if text and text[0] != "/":
        raise Invalid(f"{where} must be a JSON Pointer: empty, or a path that begins with /")
    if _BAD_ESCAPE.search(text):
        raise Invalid(f"{where}: ~ is written ~0, and / within a name ~1")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


@dataclass(frozen=True, slots=True)
class JsonPatch:
    """A patch that is understood; see `fhir.patch.Patch`."""

    operations: tuple[Operation, ...]
    max_bytes: int
    max_depth: int

    def apply(self, resource: Resource) -> Resource:
        """See `Patch.apply`."""
        run = _Run(copy.deepcopy(resource), self.max_bytes, self.max_depth)
        for operation in self.operations:
            run.apply(operation)
        if not isinstance(run.document, dict):
            raise PatchFailed("The patch replaces the resource by something that is no object")
        codec.check_depth(run.document, self.max_depth)
        if len(codec.encode_json(run.document)) > self.max_bytes:
            raise TooLarge(f"The patched resource is larger than {self.max_bytes} bytes")
        return run.document


class _Run:
    def __init__(self, document: Json, max_bytes: int, max_depth: int) -> None:
        self.document = document
        self._room = max_bytes
        self._max_depth = max_depth
        self._acts: Mapping[str, Callable[[Operation], None]] = {
            "add": lambda one: self._add(one, one.path, _own(one.value)),
            "remove": lambda one: self._remove(one, one.path) and None,
            "replace": self._replace,
            "move": self._move,
            "copy": self._copy,
            "test": self._test,
        }

    def apply(self, operation: Operation) -> None:
        self._acts[operation.name](operation)

    def _get(self, operation: Operation, path: Pointer) -> Json:
        node = self.document
        for depth, part in enumerate(path):
            node = _child(node, part)
            if node is _ABSENT:
                raise _failed(operation, f"there is nothing at {_written(path[: depth + 1])}")
        return node

    def _add(self, operation: Operation, path: Pointer, value: Json) -> None:
        if not path:
            self.document = value
            return
        holder, last = self._get(operation, path[:-1]), path[-1]
        if isinstance(holder, dict):
            holder[last] = value
        elif isinstance(holder, list):
            holder.insert(_position(operation, holder, last), value)
        else:
            raise _failed(operation, f"{_written(path[:-1])} is neither an object nor an array")

    def _remove(self, operation: Operation, path: Pointer) -> Json:
        if not path:
            raise _failed(operation, "the whole resource cannot be removed; use DELETE")
        value = self._get(operation, path)
        holder, last = self._get(operation, path[:-1]), path[-1]
        if isinstance(holder, dict):
            del holder[last]
        else:
            del holder[int(last)]
        return value

    def _replace(self, operation: Operation) -> None:
        self._get(operation, operation.path)
        if not operation.path:
            self.document = _own(operation.value)
            return
        holder, last = self._get(operation, operation.path[:-1]), operation.path[-1]
        holder[last if isinstance(holder, dict) else int(last)] = _own(operation.value)

    def _move(self, operation: Operation) -> None:
        source, path = operation.source, operation.path
        if source == path:
            self._get(operation, path)
            return
        if path[: len(source)] == source:
            raise _failed(operation, "a value cannot be moved into itself")
        self._add(operation, path, self._remove(operation, source))

    def _copy(self, operation: Operation) -> None:
        value = self._get(operation, operation.source)
        codec.check_depth([value], self._max_depth)
        self._room -= len(codec.encode_json(value))
        if self._room < 0:
            raise TooLarge("The patch copies more than a resource may hold")
        self._add(operation, operation.path, _own(value))

    def _test(self, operation: Operation) -> None:
        if not equal(self._get(operation, operation.path), operation.value):
            raise _failed(operation, f"{_written(operation.path)} has another value")


def equal(one: Json, other: Json) -> bool:
    """Whether two JSON values are equal: numbers by value, and none of them equals a boolean."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | Decimal) and isinstance(other, int | Decimal):
        return one == other
    return type(one) is type(other) and bool(one == other)


def _own(value: Json) -> Json:
    """A copy, so that later operations do not change what others share."""
    return copy.deepcopy(value)


def _child(node: Json, part: str) -> Json:
    if isinstance(node, dict):
        return node.get(part, _ABSENT)
    if isinstance(node, list) and _INDEX.fullmatch(part) and int(part) < len(node):
        return node[int(part)]
    return _ABSENT


def _position(operation: Operation, holder: list[Json], part: str) -> int:
    if part == "-":
        return len(holder)
    if _INDEX.fullmatch(part) is None or int(part) > len(holder):
        raise _failed(operation, f"{part[:20]} is no index of an array of {len(holder)}")
    return int(part)


def _written(path: Pointer) -> str:
    parts = (part.replace("~", "~0").replace("/", "~1") for part in path)
    return "".join(f"/{part}" for part in parts)[:200] or "the whole resource"


def _failed(operation: Operation, reason: str) -> PatchFailed:
    return PatchFailed(f"[{operation.number}] {operation.name}: {reason}; nothing was changed")
