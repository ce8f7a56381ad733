"""What a rule is, and the few shapes that most of R4's invariants have."""

from collections.abc import Callable

from fhir_server.fhir.errors import BusinessRule, FhirError, Invariant
from fhir_server.fhir.types import Json

Rule = Callable[[Json, str], list[FhirError]]
"""Gives what is wrong with an element at a path, nothing when all is well."""

Holds = Callable[[Json], bool]
"""Whether an element keeps a rule."""


def invariant(key: str, element: str, words: str, holds: Holds) -> Rule:
    """A constraint of R4.

    Args:
        key: R4's key of it.
        element: the child that the issue points to; empty for the element itself.
        words: what should be, to complete a sentence that starts with the path.
        holds: whether it does.
    """

    def check(node: Json, path: str) -> list[FhirError]:
        if holds(node):
            return []
        where = f"{path}.{element}" if element else path
        return [Invariant(f"{where}: {words} ({key})", expression=[where])]

    return check


def business_rule(details: str, element: str, words: str, holds: Holds) -> Rule:
    """A rule of this server.

    Args:
        details: its code in the code system `refusal-reason`.
        element: the child that the issue points to.
        words: what should be, to complete a sentence that starts with the path.
        holds: whether it does.
    """

    def check(node: Json, path: str) -> list[FhirError]:
        if holds(node):
            return []
        where = f"{path}.{element}"
        return [BusinessRule(f"{where}: {words}", expression=[where], details=details)]

    return check


def has(node: Json, *names: str) -> bool:
    """Whether any of the elements is there, with a value or only with extensions."""
    return any(name in node or f"_{name}" in node for name in names)


def has_choice(node: Json, group: str) -> bool:
    """Whether a choice element is there, of whatever type."""
    return any(key.startswith((group, f"_{group}")) for key in node)


def any_of(*names: str) -> Holds:
    """At least one of the elements is there."""
    return lambda node: has(node, *names)


def one_of(first: str, second: str) -> Holds:
    """Exactly one of the two elements is there."""
    return lambda node: has(node, first) != has(node, second)


def not_both(first: str, second: str) -> Holds:
    """At most one of the two elements is there."""
    return lambda node: not (has(node, first) and has(node, second))


def needs(element: str, other: str) -> Holds:
    """The element is only there beside the other."""
    return lambda node: not has(node, element) or has(node, other)
