"""One parameter of a query: on the resource itself, or on resources that it is related to.

https://hl7.org/fhir/R4/search.html#chaining, https://hl7.org/fhir/R4/search.html#has
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from fhir_server.definitions.registry import Registry, TypeDefinition
from fhir_server.definitions.search_parameter import SearchParameter
from fhir_server.fhir.errors import FhirError, NotSupported, TooCostly, Value
from fhir_server.search.condition import Condition, any_of
from fhir_server.search.escapes import split
from fhir_server.search.modifiers import modified
from fhir_server.search.query import Query
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

HAS: Final = "_has"
MOST_HOPS: Final = 5
"""How far a chain may lead from the resource searched."""
MOST_WAYS: Final = 32
"""How many types one chain may lead through; each costs a query."""

_CONDITION: Final[dict[str, Callable[[SearchParameter, str, Query], Condition]]] = {
    "token": token.condition,
    "reference": reference.condition,
    "string": string.condition,
    "uri": uri.condition,
    "date": date.condition,
    "number": number.condition,
    "quantity": quantity.condition,
    "special": special.condition,
    "composite": composite.condition,
}


class UnknownParameter(NotSupported):
    """A type has no search parameter of that name."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One parameter of the query; its comma-separated values are alternatives.

    Attributes:
        code: the search parameter.
        type: its type.
        condition: what it asks of the index document.
    """

    code: str
    type: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class Hop:
    """One step to resources of another type.

    Attributes:
        type: their type.
        code: the reference parameter that joins them, of the outer type or, reversed, of theirs.
        within: what they must fulfil.
    """

    type: str
    code: str
    within: "Clause | Chain"


@dataclass(frozen=True, slots=True)
class Chain:
    """A parameter that asks something of related resources.

    Attributes:
        name: as it is written, for messages.
        type: the type whose resources are selected.
        reverse: whether the related resources refer to them (`_has`) or they to those.
        hops: at least one must lead to a resource that fulfils what is asked.
    """

    name: str
    type: str
    reverse: bool
    hops: tuple[Hop, ...]

    def types(self) -> Iterator[str]:
        """The types of all resources that it looks at; one may come several times."""
        for hop in self.hops:
            yield hop.type
            if isinstance(hop.within, Chain):
                yield from hop.within.types()


Criterion = Clause | Chain


def parse_criterion(name: str, value: str, query: Query) -> Criterion:
    """What a parameter asks.

    Raises:
        UnknownParameter: the type has no such parameter.
        NotSupported: a modifier, chain or prefix that is not offered.
        Value, Invalid: the value is not legal.
        TooCostly: the chain is too long or leads through too many types.
    """
    found = _criterion(name, value, query, 1)
    if isinstance(found, Chain) and len(list(found.types())) > MOST_WAYS:
        raise TooCostly(
            f"{name[:64]}: this chain leads through more than {MOST_WAYS} types; "
            "name the types, as in subject:Patient.name"
        )
    return found


def _criterion(name: str, value: str, query: Query, hops: int) -> Criterion:
    if name.startswith(f"{HAS}:"):
        return _reverse_chain(name, value, query, hops)
    first, dot, rest = name.partition(".")
    code, colon, modifier = first.partition(":")
    parameter = query.definition.search_parameters.get(code)
    if parameter is None:
        raise UnknownParameter(f"the search parameter '{name[:64]}' is not known")
    if dot:
        return _chain(parameter, modifier, rest, value, query, hops)
    try:
        if colon:
            condition = modified(parameter, modifier, value, query)
        else:
            condition = any_of([_condition(parameter, one, query) for one in split(value, ",")])
    except FhirError as problem:
        raise type(problem)(f"{name[:64]}: {problem.diagnostics}") from problem
    return Clause(code, parameter.type, condition)


def _condition(parameter: SearchParameter, text: str, query: Query) -> Condition:
    if not text.strip():
        raise Value(r"a value is empty (a comma inside a value is written \,)")
    return _CONDITION[parameter.type](parameter, text, query)


def _chain(
    parameter: SearchParameter, target: str, rest: str, value: str, query: Query, hops: int
) -> Chain:
    name = f"{parameter.code}{':' if target else ''}{target}.{rest}"[:64]
    registry = _registry(name, query, hops)
    if "Reference" not in parameter.datatypes:
        raise NotSupported(
            f"the chained parameter '{name}' is not supported: '{parameter.code}' is no reference "
            "to a resource"
        )
    if target and target not in parameter.targets:
        raise NotSupported(
            f"the chained parameter '{name}' is not supported: '{parameter.code}' refers to "
            f"{', '.join(parameter.targets)}"
        )
    found = []
    for resource_type in (target,) if target else parameter.targets:
        definition = registry.types.get(resource_type)
        if definition is None or "search-type" not in definition.interactions:
            continue
        try:
            within = _criterion(rest, value, replace(query, definition=definition), hops + 1)
        except UnknownParameter:
            continue
        found.append(Hop(resource_type, parameter.code, within))
    if not found:
        targets = target or ", ".join(parameter.targets)
        raise NotSupported(
            f"the chained parameter '{name}' is not supported: '{rest[:64]}' is no search "
            f"parameter of {targets}"
        )
    return Chain(name, query.definition.name, reverse=False, hops=tuple(found))


def _reverse_chain(name: str, value: str, query: Query, hops: int) -> Chain:
    shown = name[:64]
    registry = _registry(shown, query, hops)
    _, resource_type, code, rest = (*name.split(":", 3), "", "")[:4]
    definition = registry.types.get(resource_type)
    if definition is None or not code or not rest:
        raise NotSupported(
            f"the parameter '{shown}' is not supported; expected _has:Type:reference:parameter, "
            "with a type that is served"
        )
    parameter = _joining(definition, code, query.definition.name)
    if parameter is None:
        raise NotSupported(
            f"the parameter '{shown}' is not supported: {resource_type} has no search parameter "
            f"'{code[:64]}' that refers to {query.definition.name}"
        )
    try:
        within = _criterion(rest, value, replace(query, definition=definition), hops + 1)
    except UnknownParameter as problem:
        # What is left out inside of a chain would change its meaning.
        raise NotSupported(f"{shown}: {problem.diagnostics}") from problem
    return Chain(
        shown, query.definition.name, reverse=True, hops=(Hop(resource_type, code, within),)
    )


def _joining(definition: TypeDefinition, code: str, target: str) -> SearchParameter | None:
    parameter = definition.search_parameters.get(code)
    if parameter is None or "Reference" not in parameter.datatypes:
        return None
    return parameter if target in parameter.targets else None


def _registry(name: str, query: Query, hops: int) -> Registry:
    if query.registry is None:
        raise NotSupported(
            f"'{name}' is not supported here: what is asked must be told by one resource alone"
        )
    if hops > MOST_HOPS:
        raise TooCostly(f"'{name}': chains lead at most {MOST_HOPS} steps away")
    return query.registry
