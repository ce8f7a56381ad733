"""Composites: several values of one and the same group, joined by `$`.

https://hl7.org/fhir/R4/search.html#composite

Every group has a small index document of its own, in which component n has the code `n`. The
terms of the first component stand among the resource's terms as well, for the sake of the index.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from fhir_server.definitions.search_parameter import Element, SearchParameter
from fhir_server.fhir.errors import Value
from fhir_server.fhir.types import Json
from fhir_server.search.condition import Composite, Condition, Every
from fhir_server.search.entry import Entry
from fhir_server.search.escapes import split
from fhir_server.search.query import Query
from fhir_server.search.values import date, number, quantity, reference, string, token, uri

_INDEX: Final[dict[str, Callable[[str, Sequence[Element], Entry], None]]] = {
    "token": token.index,
    "reference": reference.index,
    "string": string.index,
    "uri": uri.index,
    "date": date.index,
    "number": number.index,
    "quantity": quantity.index,
}
_CONDITION: Final[dict[str, Callable[[SearchParameter, str, Query], Condition]]] = {
    "token": token.condition,
    "reference": reference.condition,
    "string": string.condition,
    "uri": uri.condition,
    "date": date.condition,
    "number": number.condition,
    "quantity": quantity.condition,
}
_WITH_TERMS: Final = frozenset({"token", "reference", "string", "uri"})


def index_groups(parameter: SearchParameter, elements: Sequence[Element], entry: Entry) -> None:
    """Add a small index document for each group that has a value for every component."""
    groups: list[Mapping[str, Json]] = []
    for element in elements:
        group = Entry(entry.base_url)
        selected = [component.extract(element.value) for component in parameter.components]
        if not all(selected):
            continue
        for position, (component, values) in enumerate(
            zip(parameter.components, selected, strict=True)
        ):
            _INDEX[component.type](str(position), values, group)
        document = group.document()
        if document == {"t": []}:
            continue
        groups.append(document)
        if parameter.components[0].type in _WITH_TERMS:
            _INDEX[parameter.components[0].type](parameter.code, selected[0], entry)
    if groups:
        entry.groups[parameter.code] = groups


def condition(parameter: SearchParameter, text: str, query: Query) -> Condition:
    """One value per component, joined by `$`.

    Raises:
        NotSupported: an unknown prefix in a component.
        Value: the wrong number of components, or a malformed one.
    """
    parts = split(text, "$")
    components = parameter.components
    if len(parts) != len(components) or not all(parts):
        expected = "$".join(component.code for component in components)
        raise Value(f"'{text[:64]}' is no {parameter.code}; expected {expected}")
    conditions = tuple(
        _CONDITION[component.type](replace(component, code=str(position)), part, query)
        for position, (component, part) in enumerate(zip(components, parts, strict=True))
    )
    together = Composite(parameter.code, conditions)
    first = components[0]
    if first.type not in _WITH_TERMS:
        return together
    found = _CONDITION[first.type](replace(first, code=parameter.code), parts[0], query)
    return Every((found, together))
