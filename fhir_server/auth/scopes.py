"""SMART scopes for FHIR resources: their grammar, and what two of them have in common.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, urlencode

EVERY_TYPE: Final = "*"
RIGHTS: Final = "cruds"
"""Create, read, update, delete, search: the order in which a scope must name them."""

MAX_SCOPE_LENGTH: Final = 2_000
MAX_SCOPES_LENGTH: Final = 32_000

_VERSION_1: Final = {"read": "rs", "write": "cud", "*": "cruds"}
# Every alternative starts differently and nothing nests, so matching is linear in the length.
_SCOPE: Final = re.compile(
    r"(?P<context>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]{1,63})\."
    r"(?:(?P<rights>(?=[cruds])c?r?u?d?s?)(?:\?(?P<constraint>[!#-\[\]-~]+))?"
    r"|(?P<version1>read|write|\*))"
)
# Modifiers and chains inside scopes are experimental in SMART; they grant nothing here.
_PARAMETER: Final = re.compile(r"_?[a-zA-Z][a-zA-Z0-9-]{0,63}")

Constraint = tuple[tuple[str, str], ...]
"""Search parameters and values that must all match; empty means no constraint."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope for FHIR resources.

    Attributes:
        context: `patient`, `user` or `system`.
        type: a resource type, or `*` for every type.
        rights: letters of `cruds`, in that order, at least one.
        constraint: limits the scope to resources that match; empty for no limit.
        asked: the text as the client wrote it; scopes are answered as asked.
    """

    context: str
    type: str
    rights: str
    constraint: Constraint = ()
    asked: str = ""

    def __str__(self) -> str:
        """The scope in SMART version 2, or as the client wrote it."""
        if self.asked:
            return self.asked
        query = f"?{query_of(self.constraint)}" if self.constraint else ""
        return f"{self.context}/{self.type}.{self.rights}{query}"


def query_of(constraint: Constraint) -> str:
    """A constraint as a query string, percent-encoded: legal inside a scope."""
    return urlencode(constraint, safe="/:|,$*")


def parse_constraint(query: str) -> Constraint:
    """The parameters of a constraint, decoded, sorted and without duplicates.

    Raises:
        ValueError: a parameter lacks a value, is not plain (modifier, chain) or is not UTF-8.
    """
    pairs = parse_qsl(
        query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=20
    )
    for name, value in pairs:
        if _PARAMETER.fullmatch(name) is None:
            raise ValueError(f"'{name}' is not a plain search parameter")
        if not value.strip() or not value.isprintable():
            raise ValueError(f"parameter '{name}' has no readable value")
    return tuple(sorted(set(pairs)))


def parse_scope(text: str) -> Scope | None:
    """One scope; None when it is not a well-formed scope for FHIR resources.

    Version 1 scopes (`read`, `write`, `*`) are understood as `rs`, `cud` and `cruds`.
    """
    found = _SCOPE.fullmatch(text) if len(text) <= MAX_SCOPE_LENGTH else None
    if found is None:
        return None
    query = found["constraint"]
    try:
        constraint = parse_constraint(query) if query is not None else ()
    except ValueError:
        return None
    rights = found["rights"] or _VERSION_1[found["version1"]]
    return Scope(found["context"], found["type"], rights, constraint, text)


@lru_cache(maxsize=1024)
def parse_scopes(text: str) -> tuple[Scope, ...]:
    """The well-formed scopes of a space separated list; anything else in it grants nothing."""
    if len(text) > MAX_SCOPES_LENGTH:
        return ()
    parsed = (parse_scope(part) for part in dict.fromkeys(text.split(" ")))
    return tuple(scope for scope in parsed if scope is not None)


def format_scopes(scopes: Iterable[Scope]) -> str:
    """The scopes as a token response names them."""
    return " ".join(dict.fromkeys(str(scope) for scope in scopes))


def covers(wide: Scope, narrow: Scope) -> bool:
    """Whether everything that `narrow` grants is granted by `wide` too."""
    return (
        wide.context == narrow.context
        and wide.type in {EVERY_TYPE, narrow.type}
        and set(wide.rights) >= set(narrow.rights)
        and set(wide.constraint) <= set(narrow.constraint)
    )


def intersect(one: Scope, other: Scope) -> Scope | None:
    """What both scopes grant; None when that is nothing. Constraints of both must hold."""
    if one.context != other.context:
        return None
    if EVERY_TYPE not in {one.type, other.type} and one.type != other.type:
        return None
    rights = "".join(right for right in one.rights if right in other.rights)
    if not rights:
        return None
    narrower = other.type if one.type == EVERY_TYPE else one.type
    constraint = tuple(sorted({*one.constraint, *other.constraint}))
    return Scope(one.context, narrower, rights, constraint)


def grant(requested: Iterable[Scope], allowed: Iterable[Scope]) -> tuple[Scope, ...]:
    """The part of the requested scopes that the allowed ones cover.

    A scope that is covered whole is answered as asked; of any other, what it has in common with
    each allowed scope is answered in version 2.
    """
    by_type: dict[str, list[Scope]] = {}
    for scope in allowed:
        by_type.setdefault(scope.type, []).append(scope)
    granted: dict[Scope, None] = {}
    for scope in requested:
        granted.update(dict.fromkeys(_grant_one(scope, by_type)))
    return tuple(granted)


def _grant_one(scope: Scope, by_type: dict[str, list[Scope]]) -> list[Scope]:
    if scope.type == EVERY_TYPE:
        candidates = [one for several in by_type.values() for one in several]
    else:
        candidates = by_type.get(EVERY_TYPE, []) + by_type.get(scope.type, [])
    if any(covers(wide, scope) for wide in candidates):
        return [scope]
    common: list[Scope] = []
    for candidate in candidates:
        part = intersect(scope, candidate)
        if part is not None and not any(covers(other, part) for other in common):
            common = [other for other in common if not covers(part, other)]
            common.append(part)
    return common
