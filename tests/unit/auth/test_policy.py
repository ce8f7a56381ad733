"""Decisions: which scope allows which interaction, and on what."""

import pytest

from fhir_server.auth.policy import (
    MAX_ALTERNATIVES,
    RIGHTS_OF,
    RIGHTS_OF_OPERATION,
    authorize,
    authorize_operation,
    restriction,
)
from fhir_server.context import Principal
from fhir_server.fhir.errors import Forbidden, Login


def principal(scope: str) -> Principal:
    """A principal with these scopes."""
    return Principal("client", scope, "token-1")


def _allowed(scope: str, resource_type: str = "Slot") -> set[str]:
    allowed = set()
    for interaction in RIGHTS_OF:
        try:
            authorize(principal(scope), resource_type, interaction)
        except Forbidden:
            continue
        allowed.add(interaction)
    return allowed


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("system/Slot.r", {"read", "vread", "history-instance"}),
        ("system/Slot.s", {"search-type"}),
        ("system/Slot.c", {"create"}),
        ("system/Slot.u", {"update", "patch"}),
        ("system/Slot.d", {"delete"}),
        ("system/Slot.cu", {"create", "update", "patch", "update-create"}),
        ("system/Slot.c system/*.u", {"create", "update", "patch", "update-create"}),
        ("system/*.cruds", set(RIGHTS_OF)),
        ("system/*.read", {"read", "vread", "history-instance", "search-type"}),
        ("system/*.write", {"create", "update", "patch", "update-create", "delete"}),
        ("system/Slot.*", set(RIGHTS_OF)),
        ("system/Schedule.cruds", set()),
        ("user/*.cruds", set()),
        ("patient/*.cruds", set()),
        ("system/Slot.sr", set()),
        ("openid", set()),
        ("", set()),
    ],
)
def test_authorize(scope: str, expected: set[str]) -> None:
    """Each letter allows its interactions, on its type, in the context `system` only."""
    assert _allowed(scope) == expected


def test_authorize_asks_for_login() -> None:
    """Nobody is told to log in, not that it is forbidden."""
    with pytest.raises(Login):
        authorize(None, "Slot", "read")
    with pytest.raises(Login):
        restriction(None, "Slot", "read")
    with pytest.raises(Login):
        authorize_operation(None, "book")


def test_authorize_names_what_is_missing() -> None:
    """A refusal tells which scope would do."""
    with pytest.raises(Forbidden, match=r"system/Slot\.cu"):
        authorize(principal("system/Slot.u"), "Slot", "update-create")


@pytest.mark.parametrize("interaction", ["", "history-system", "nonsense"])
def test_unknown_interaction_is_forbidden(interaction: str) -> None:
    """What the table does not name, nobody may do."""
    with pytest.raises(Forbidden):
        authorize(principal("system/*.cruds"), "Slot", interaction)


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("system/Appointment.cu", True),
        ("system/Appointment.c system/*.u", True),
        ("system/Appointment.c", False),
        ("system/Appointment.u", False),
        ("system/Slot.cruds", False),
    ],
)
def test_book_needs_create_and_update(scope: str, allowed: bool) -> None:
    """$book needs both rights on Appointment, and none on Slot."""
    if allowed:
        authorize_operation(principal(scope), "book")
    else:
        with pytest.raises(Forbidden):
            authorize_operation(principal(scope), "book")


def test_unknown_operation_is_forbidden() -> None:
    """An operation without an entry in the table is allowed to nobody."""
    with pytest.raises(Forbidden):
        authorize_operation(principal("system/*.cruds"), "nonsense")


def test_operations_name_known_interactions() -> None:
    """The tables fit together."""
    named = {one for needs in RIGHTS_OF_OPERATION.values() for _, one in needs}
    assert named <= set(RIGHTS_OF)


@pytest.mark.parametrize(
    ("scope", "interaction", "expected"),
    [
        ("system/Slot.rs", "read", None),
        ("system/Slot.rs?status=free", "read", ("status=free",)),
        ("system/Slot.rs?status=free system/*.r", "read", None),
        ("system/Slot.rs?status=free system/*.r", "search-type", ("status=free",)),
        ("system/Slot.r?b=2&a=1 system/Slot.r?a=1&b=2 system/*.r?c=3", "read", ("a=1&b=2", "c=3")),
        ("system/Slot.c?a=1 system/Slot.u?b=2", "update-create", ("a=1&b=2",)),
        ("system/Slot.c?a=1 system/Slot.u", "update-create", ("a=1",)),
        ("system/Slot.r?code=a%20b%26c", "read", ("code=a+b%26c",)),
    ],
)
def test_restriction(scope: str, interaction: str, expected: tuple[str, ...] | None) -> None:
    """Constraints are alternatives; an unlimited scope lifts them; two rights are combined."""
    assert restriction(principal(scope), "Slot", interaction) == expected


def test_too_many_alternatives_are_forbidden() -> None:
    """A token with more constraints than are tried is refused, never let through."""
    scopes = [f"system/Slot.cr?a={n}" for n in range(MAX_ALTERNATIVES)]
    found = restriction(principal(" ".join(scopes)), "Slot", "read")
    assert found is not None
    assert len(found) == MAX_ALTERNATIVES
    with pytest.raises(Forbidden):
        restriction(principal(" ".join([*scopes, "system/Slot.r?a=x"])), "Slot", "read")
    crossed = [f"system/Slot.{right}?a={right}{n}" for right in "cu" for n in range(20)]
    with pytest.raises(Forbidden):
        restriction(principal(" ".join(crossed)), "Slot", "update-create")
