"""Builds the index document of a resource, compiled once for each type.

    t   sorted terms `code=value` of tokens, references, URIs and strings
    d   {code: [{l, h}]}: dates as inclusive ranges of microseconds
    n   {code: [{l, h, u}]}: ranges of numbers and quantities, with unit terms
    c   {code: [index document]}: the groups of composites
    g   [longitude, latitude]
    i   the logical id
    s   the main date (`search.main_date`), of types that have one; `NO_DATE` when absent
    u   the last update
    x   sorted strings `code=normalised<tab>original`, in no index: for `:exact` and `_sort`

A selected element that has content and leaves no trace in `t`, `d` and `n`, for example a
CodeableConcept that only says that its user chose it, has the term `code:present`.

`i`, `s` and `u` hold one value each. Parts without content are left out, except `t`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.definitions.registry import TypeDefinition
from fhir_server.definitions.search_parameter import Element, Extract, SearchParameter
from fhir_server.fhir.types import Resource
from fhir_server.search.entry import Entry
from fhir_server.search.main_date import NO_DATE, MainDate, is_period, main_date
from fhir_server.search.values import (
    composite,
    date,
    number,
    quantity,
    reference,
    special,
    string,
    token,
    uri,
)

Write = Callable[[str, Sequence[Element], Entry], None]

_WRITE: Final[dict[str, Write]] = {
    "reference": reference.index,
    "string": string.index,
    "uri": uri.index,
    "date": date.index,
    "number": number.index,
    "quantity": quantity.index,
    "special": special.index,
}
# An element that has nothing but these counts as missing.
_NO_CONTENT: Final = frozenset({"id", "extension"})


@dataclass(frozen=True, slots=True)
class Index:
    """What is stored beside a resource to find it and to decide who may.

    Attributes:
        ix: the index document.
        acl: the compartments it belongs to, `Type/id`, sorted.
    """

    ix: dict[str, Any]
    acl: list[str]


def build_index(definition: TypeDefinition, resource: Resource, base_url: str) -> Index:
    """The index document and the compartments of a resource of the type.

    Args:
        definition: the resource's type.
        resource: its content; `id` and `meta.lastUpdated` are indexed when they are there.
        base_url: the FHIR base by which absolute references are recognised as our own.
    """
    known = _compiled.get(id(definition))
    if known is None or known.definition is not definition:
        known = _compiled[id(definition)] = _Compiled(definition)
    return known.build(resource, base_url)


class _Compiled:
    def __init__(self, definition: TypeDefinition) -> None:
        self.definition = definition
        self._main = main_date(definition.name)
        parameters = definition.search_parameters.values()
        self._steps = [
            _step(parameter, self._main)
            for parameter in parameters
            if not is_period(definition.name, parameter.code)
        ]
        self._compartments = tuple(definition.compartments.items())
        self._codes = frozenset(code for _, codes in self._compartments for code in codes)

    def build(self, resource: Resource, base_url: str) -> Index:
        entry = Entry(base_url, self._codes)
        if self._main is not None:
            entry.single["s"] = NO_DATE
        terms = entry.terms
        for code, extract, write, leaves_trace in self._steps:
            elements = extract(resource)
            if elements:
                before = len(terms)
                write(code, elements, entry)
                if leaves_trace and len(terms) == before:
                    _note_presence(code, elements, entry)
        return Index(entry.document(), self._members(resource, entry))

    def _members(self, resource: Resource, entry: Entry) -> list[str]:
        found: set[str] = set()
        for name, codes in self._compartments:
            for code in codes:
                for target_type, target_id in entry.targets.get(code, ()):
                    if target_type == name:
                        found.add(f"{name}/{target_id}")
        if self.definition.name in self.definition.compartments and "id" in resource:
            found.add(f"{self.definition.name}/{resource['id']}")
        return sorted(found)


# Keyed by identity: a definition holds mappings and cannot be hashed. The value keeps it alive.
_compiled: dict[int, _Compiled] = {}

_Step = tuple[str, Extract, Write, bool]


def _step(parameter: SearchParameter, main: MainDate | None) -> _Step:
    code, extract = parameter.code, parameter.extract
    if code == "_id":
        return code, _select_id, _write_id, False
    if code == "_lastUpdated":
        return code, extract, _write_last_update, False
    if parameter.type == "composite":
        return code, extract, _group_writer(parameter), False
    if parameter.type == "token":
        return code, extract, token.writer(parameter), True
    if main is None or main.code != code:
        return code, extract, _WRITE[parameter.type], True
    if main.point:
        return code, extract, _write_main_date, False
    return code, extract, _write_main_range, True


def _note_presence(code: str, elements: Sequence[Element], entry: Entry) -> None:
    if code not in entry.dates and code not in entry.numbers and any(map(_has_content, elements)):
        entry.terms.add(f"{code}:present")


def _has_content(element: Element) -> bool:
    value = element.value
    if isinstance(value, dict):
        return any(name not in _NO_CONTENT for name in value)
    return value is not None


def _select_id(resource: Resource) -> list[Element]:
    value = resource.get("id")
    return [] if value is None else [Element("id", value)]


def _write_id(code: str, elements: Sequence[Element], entry: Entry) -> None:
    del code
    entry.single["i"] = elements[0].value


def _write_last_update(code: str, elements: Sequence[Element], entry: Entry) -> None:
    del code
    found = date.range_of(elements[0])
    if found is not None:
        entry.single["u"] = found.low


def _write_main_date(code: str, elements: Sequence[Element], entry: Entry) -> None:
    del code
    found = date.range_of(elements[0])
    if found is not None:
        entry.single["s"] = found.low


def _write_main_range(code: str, elements: Sequence[Element], entry: Entry) -> None:
    date.index(code, elements, entry)
    _write_main_date(code, elements, entry)


def _group_writer(parameter: SearchParameter) -> Write:
    def write(code: str, elements: Sequence[Element], entry: Entry) -> None:
        del code
        composite.index_groups(parameter, elements, entry)

    return write
