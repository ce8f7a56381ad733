"""Resources beside the matches (https://hl7.org/fhir/R4/search.html#include).

_include=Slot:schedule                 what the matches refer to
_include=Slot:schedule:Schedule        the same, of one type
_include=Slot:*, _include=*            by every reference parameter
_revinclude=Appointment:slot           what refers to the matches
_include:iterate=Schedule:actor        also from what was included
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from fhir_server.definitions.registry import Registry, TypeDefinition
from fhir_server.definitions.search_parameter import SearchParameter
from fhir_server.fhir.errors import NotSupported
from fhir_server.search.query import Query

ANY: Final = "*"
INCLUDE: Final = "_include"
REVINCLUDE: Final = "_revinclude"
ITERATE: Final = "iterate"


@dataclass(frozen=True, slots=True)
class Include:
    """One `_include` or `_revinclude`.

    Attributes:
        reverse: whether the resources that refer to the others are wanted.
        iterate: whether it applies to included resources as well.
        source: the type that refers; `*` for any.
        code: the search parameter by which it refers; `*` for any.
        target: the type referred to; `*` for any.
    """

    reverse: bool
    iterate: bool
    source: str
    code: str
    target: str


def references_of(definition: TypeDefinition) -> Iterator[SearchParameter]:
    """The search parameters of a type that refer to resources."""
    for parameter in definition.search_parameters.values():
        if parameter.type == "reference" and "Reference" in parameter.datatypes:
            yield parameter


def includes_of(registry: Registry, resource_type: str) -> list[str]:
    """What `_include` takes in a search of the type."""
    codes = sorted(one.code for one in references_of(registry.types[resource_type]))
    return [f"{resource_type}:{code}" for code in (ANY, *codes)] if codes else []


def revincludes_of(registry: Registry, resource_type: str) -> list[str]:
    """What `_revinclude` takes in a search of the type, without wildcards."""
    return [
        f"{name}:{parameter.code}"
        for name, definition in sorted(registry.types.items())
        for parameter in sorted(references_of(definition), key=lambda one: one.code)
        if resource_type in parameter.targets
    ]


def parse_include(name: str, value: str, query: Query) -> Include:
    """What `_include` or `_revinclude`, with or without `:iterate`, asks for.

    Raises:
        NotSupported: another modifier, or a type or parameter that there is not.
    """
    kind, colon, modifier = name.partition(":")
    if colon and modifier != ITERATE:
        raise NotSupported(
            f"the modifier ':{modifier[:64]}' of '{kind}' is not supported; supported: :{ITERATE}"
        )
    if query.registry is None:
        raise NotSupported(f"'{kind}' is not supported here: it selects nothing")
    parts = value.split(":")
    if value == ANY:
        parts = [ANY, ANY]
    if len(parts) not in {2, 3} or not all(parts):
        raise NotSupported(
            f"{kind}: '{value[:64]}' is not supported; expected Type:parameter, "
            "Type:parameter:TargetType, Type:* or *"
        )
    source, code, target = parts if len(parts) == 3 else (*parts, ANY)
    found = Include(kind == REVINCLUDE, bool(colon), source, code, target)
    problem = _problem(found, query.registry, "" if query.several else query.definition.name)
    if problem:
        raise NotSupported(f"{kind}: '{value[:64]}' is not supported; {problem}")
    return found


def _problem(include: Include, registry: Registry, searched: str) -> str:
    if include.target != ANY and include.target not in registry.types:
        return f"{include.target} is not served"
    if include.source == ANY:
        return "" if include.code == ANY else "a parameter needs its type"
    definition = registry.types.get(include.source)
    if definition is None:
        return f"{include.source} is not served"
    parameters = [one for one in references_of(definition) if include.code in {ANY, one.code}]
    if not parameters:
        codes = ", ".join(sorted(one.code for one in references_of(definition)))
        return f"references of {include.source} are {codes or 'none'}"
    targets = {target for one in parameters for target in one.targets}
    if include.target not in {ANY, *targets}:
        return f"it refers to {', '.join(sorted(targets))}"
    return _reach_problem(include, targets, searched)


def _reach_problem(include: Include, targets: Collection[str], searched: str) -> str:
    if include.iterate or not searched:
        return ""
    if include.reverse and searched not in targets:
        return f"it does not refer to {searched}; from included resources, add :{ITERATE}"
    if not include.reverse and include.source != searched:
        return f"matches are of type {searched}; from included resources, add :{ITERATE}"
    return ""
