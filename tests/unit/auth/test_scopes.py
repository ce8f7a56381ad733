"""The grammar of scopes, and what two of them have in common."""

import time

import pytest

from fhir_server.auth.scopes import (
    MAX_SCOPES_LENGTH,
    Scope,
    covers,
    format_scopes,
    grant,
    intersect,
    parse_scope,
    parse_scopes,
)

MALFORMED = [
    "",
    "system",
    "system/",
    "system/Appointment",
    "system/Appointment.",
    "system/Appointment.x",
    "system/Appointment.sr",
    "system/Appointment.dc",
    "system/Appointment.rr",
    "system/Appointment.rs ",
    "system/Appointment.rs\n",
    "system/Appointment.rsx",
    "system/Appointment.read-only",
    "system/Appointment.readwrite",
    "system/Appointment.Read",
    "system/Appointment.rs?",
    "system/Appointment.rs?status",
    "system/Appointment.rs?status=",
    "system/Appointment.rs?=booked",
    "system/Appointment.rs?status=booked&",
    "system/Appointment.rs?active?status=booked",
    "system/Appointment.rs?status:not=booked",
    "system/Appointment.rs?patient.name=Eve",
    "system/Appointment.rs?_has:Slot:x=y",
    "system/Appointment.rs?status=%ff",
    "system/Appointment.rs?status=%00",
    "system/Appointment.rs?status=%20",
    'system/Appointment.rs?status="booked"',
    "system/Appointment.read?status=booked",
    "system/appointment.rs",
    "System/Appointment.rs",
    "system/*Appointment.rs",
    "system/**.rs",
    "system/Appointment.rs*",
    "clinic/Appointment.rs",
    "xsystem/Appointment.rs",
    "system//Appointment.rs",
    "system/Appointment/1.rs",
    "launch/patient",
    "openid",
    "offline_access",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_parse_scope_refuses(text: str) -> None:
    """What is not exactly a scope for FHIR resources is none."""
    assert parse_scope(text) is None


@pytest.mark.parametrize(
    ("text", "rights"),
    [
        ("system/*.cruds", "cruds"),
        ("system/Slot.r", "r"),
        ("patient/Appointment.rs", "rs"),
        ("user/Slot.cd", "cd"),
        ("system/Slot.read", "rs"),
        ("system/Slot.write", "cud"),
        ("system/*.*", "cruds"),
    ],
)
def test_parse_scope_understands_both_versions(text: str, rights: str) -> None:
    """Version 1 is mapped to version 2 and answered as asked."""
    scope = parse_scope(text)
    assert scope is not None
    assert scope.rights == rights
    assert str(scope) == text


def test_parse_scope_decodes_constraint() -> None:
    """Parameters are decoded, sorted and without duplicates."""
    scope = parse_scope("system/Slot.rs?status=free%2Cbusy&schedule=Schedule/1&status=free,busy")
    assert scope is not None
    assert scope.constraint == (("schedule", "Schedule/1"), ("status", "free,busy"))


def test_parse_scopes_keeps_well_formed_ones() -> None:
    """Malformed scopes in a list grant nothing and do no harm."""
    scopes = parse_scopes("openid  system/Slot.rs system/Slot.sr system/Slot.rs")
    assert [str(scope) for scope in scopes] == ["system/Slot.rs"]


def test_parse_scopes_refuses_excessive_length() -> None:
    """A list beyond the limit grants nothing."""
    assert parse_scopes("system/Slot.rs " * MAX_SCOPES_LENGTH) == ()


@pytest.mark.parametrize("piece", ["cruds", "a=", "&", "?", "%", "system/", "A", "=&"])
def test_parse_scope_is_linear(piece: str) -> None:
    """Hostile texts, alone and in a list as long as allowed, are judged at once."""
    begun = time.perf_counter()
    assert parse_scope(f"system/Slot.rs?{piece * 100_000}!") is None
    one = f"system/Slot.rs?{piece * 200}! "
    assert len(parse_scopes(one * (MAX_SCOPES_LENGTH // len(one)))) < 2
    assert time.perf_counter() - begun < 1


def _scope(text: str) -> Scope:
    scope = parse_scope(text)
    assert scope is not None
    return scope


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("system/*.cruds", "system/Slot.rs", True),
        ("system/*.cruds", "system/Slot.rs?status=free", True),
        ("system/Slot.rs?status=free", "system/Slot.rs", False),
        ("system/Slot.rs?status=free", "system/Slot.rs?status=free&schedule=Schedule/1", True),
        ("system/Slot.r", "system/Slot.rs", False),
        ("system/Slot.rs", "system/*.rs", False),
        ("user/*.cruds", "system/Slot.rs", False),
    ],
)
def test_covers(wide: str, narrow: str, expected: bool) -> None:
    """A scope covers another only if that grants nothing more."""
    assert covers(_scope(wide), _scope(narrow)) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("system/*.rs", "system/Slot.cruds", "system/Slot.rs"),
        ("system/Slot.cu", "system/Slot.rs", None),
        ("system/Slot.rs", "system/Schedule.rs", None),
        ("system/Slot.rs", "user/Slot.rs", None),
        (
            "system/*.rs?_tag=a",
            "system/Slot.s?status=free",
            "system/Slot.s?_tag=a&status=free",
        ),
    ],
)
def test_intersect(one: str, other: str, expected: str | None) -> None:
    """What two scopes share has the rights of both and the constraints of both."""
    for left, right in ((one, other), (other, one)):
        common = intersect(_scope(left), _scope(right))
        assert (None if common is None else str(common)) == expected


@pytest.mark.parametrize(
    ("requested", "allowed", "expected"),
    [
        ("system/*.cruds", "system/*.cruds", "system/*.cruds"),
        ("system/Slot.read", "system/*.cruds", "system/Slot.read"),
        ("system/Slot.*", "system/Slot.rs", "system/Slot.rs"),
        ("system/Slot.rs system/Slot.cu", "system/Slot.crus", "system/Slot.rs system/Slot.cu"),
        ("system/*.rs", "system/Slot.rs system/Task.r", "system/Slot.rs system/Task.r"),
        ("system/*.r", "system/Slot.rs system/Slot.r?status=free", "system/Slot.r"),
        ("system/Slot.rs", "system/Slot.r system/Slot.s", "system/Slot.r system/Slot.s"),
        ("system/Slot.rs", "system/Slot.rs?status=free", "system/Slot.rs?status=free"),
        ("system/Slot.rs", "system/Task.cruds", ""),
        ("patient/Slot.rs", "system/*.cruds", ""),
    ],
)
def test_grant(requested: str, allowed: str, expected: str) -> None:
    """Granted is what was asked for and is allowed, as asked where possible."""
    granted = grant(parse_scopes(requested), parse_scopes(allowed))
    assert format_scopes(granted) == expected
