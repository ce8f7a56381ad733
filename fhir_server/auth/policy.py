"""What a token allows: one decision per interaction, one restriction on what it may touch.

Only `system/` scopes grant anything in this release; the authorization server never grants
others, and were one presented it would be ignored here. What cannot be understood grants
nothing: an unknown interaction, a malformed scope, a constraint that is no legal search.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import product
from types import MappingProxyType
from typing import Final

from fhir_server.auth.scopes import (
    EVERY_TYPE,
    Constraint,
    Scope,
    parse_scopes,
    query_of,
)
from fhir_server.context import Principal
from fhir_server.fhir.errors import Forbidden, Login

GRANTING_CONTEXT: Final = "system"

RIGHTS_OF: Final[Mapping[str, str]] = MappingProxyType(
    {
        "read": "r",
        "vread": "r",
        "history-instance": "r",
        "search-type": "s",
        "create": "c",
        "update": "u",
        "update-create": "cu",
        "patch": "u",
        "delete": "d",
    }
)
"""FHIR interaction -> the rights it needs. `update-create` is an update that creates."""

ADDRESSED: Final = ""

RIGHTS_OF_OPERATION: Final[Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        "book": (("Appointment", "create"), ("Appointment", "update")),
        # What its criteria lead through is searched as well, each type by its own right.
        "find": (("Slot", "search-type"), ("Schedule", "search-type")),
        "hold": (("Appointment", "create"), ("Appointment", "update")),
        "confirm": (("Appointment", "update"),),
        "cancel": (("Appointment", "update"),),
        "reschedule": (("Appointment", "update"),),
        # Its answer tells what a booking would, so it takes the same rights.
        "validate-booking": (("Appointment", "create"), ("Appointment", "update")),
        # Every other type is told as far as the token may search it.
        "everything": (("Patient", "read"),),
        "meta": ((ADDRESSED, "read"),),
        "meta-add": ((ADDRESSED, "update"),),
        "meta-delete": ((ADDRESSED, "update"),),
        # Of what is stored it tells nothing but by a mode, whose right the operation demands.
        "validate": (),
    }
)
"""Operation code -> the (type, interaction) pairs whose rights it needs, all of them.

`ADDRESSED` stands for the type that the operation is called on.
"""

_LOGIN: Final = "an access token is required: Authorization: Bearer …"

MAX_ALTERNATIVES: Final = 64
"""Most constraints that are tried for one interaction; a token with more is refused."""


SEARCH_SYSTEM: Final = "search-system"
"""Judged type by type, as `search-type`, by whoever runs it."""


def authorize(principal: Principal | None, resource_type: str, interaction: str) -> None:
    """Decide whether a token allows an interaction on a type at all.

    A granular scope allows the interaction here; `restriction` says on what.

    Raises:
        Login: nobody is logged in.
        Forbidden: no scope of the token grants it.
    """
    if principal is None:
        raise Login(_LOGIN)
    if interaction == SEARCH_SYSTEM:
        return
    if _alternatives(principal.scope, resource_type, interaction) == ():
        rights = RIGHTS_OF.get(interaction, "")
        needed = f"; it needs the scope system/{resource_type}.{rights}" if rights else ""
        raise Forbidden(f"this token does not allow {interaction} on {resource_type}{needed}")


def authorize_operation(principal: Principal | None, code: str, addressed: str = "") -> None:
    """Decide whether a token allows an operation.

    Args:
        principal: who asks.
        code: the operation, without `$`.
        addressed: the type that it is called on; empty for the whole system, which takes a right
            on every type.

    Raises:
        Login: nobody is logged in.
        Forbidden: a right that the operation needs is missing, or the operation is unknown.
    """
    if principal is None:
        raise Login(_LOGIN)
    if code not in RIGHTS_OF_OPERATION:
        raise Forbidden(f"no token allows ${code}")
    for resource_type, interaction in RIGHTS_OF_OPERATION[code]:
        name = addressed or EVERY_TYPE if resource_type == ADDRESSED else resource_type
        authorize(principal, name, interaction)


def restriction(
    principal: Principal | None, resource_type: str, interaction: str
) -> tuple[str, ...] | None:
    """The constraints of which a resource must match at least one; None when there are none.

    Each constraint is a search query string, percent-encoded, as in
    `status=booked&service-type=dental`, whose parameters must all match.
    `restrictions.Restrictions` compiles them.

    Raises:
        Login: nobody is logged in.
        Forbidden: no scope of the token grants the interaction.
    """
    authorize(principal, resource_type, interaction)
    assert principal is not None  # noqa: S101 - authorize has refused it
    alternatives = _alternatives(principal.scope, resource_type, interaction)
    if () in alternatives:
        return None
    return tuple(query_of(constraint) for constraint in alternatives)


@lru_cache(maxsize=4096)
def _alternatives(scope: str, resource_type: str, interaction: str) -> tuple[Constraint, ...]:
    """The constraints under which a scope string grants an interaction; () grants nothing.

    The empty constraint among them means: without limit. An interaction that needs two rights
    needs one constraint of each, so they are combined.
    """
    scopes = parse_scopes(scope)
    per_right: list[tuple[Constraint, ...]] = []
    for right in RIGHTS_OF.get(interaction, ""):
        found = _constraints(scopes, resource_type, right)
        if not found:
            return ()
        per_right.append(found)
    if not per_right:
        return ()
    combined = dict.fromkeys(
        tuple(sorted({pair for constraint in choice for pair in constraint}))
        for choice in product(*per_right)
    )
    return tuple(combined) if len(combined) <= MAX_ALTERNATIVES else ()


def _constraints(
    scopes: tuple[Scope, ...], resource_type: str, right: str
) -> tuple[Constraint, ...]:
    found = dict.fromkeys(
        scope.constraint
        for scope in scopes
        if scope.context == GRANTING_CONTEXT
        and scope.type in {EVERY_TYPE, resource_type}
        and right in scope.rights
    )
    if () in found:
        return ((),)
    return tuple(found)[: MAX_ALTERNATIVES + 1]
