"""Scopes survive being written and read; what is common to two is within both."""

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.auth.scopes import (
    RIGHTS,
    Scope,
    covers,
    format_scopes,
    grant,
    intersect,
    parse_scope,
    parse_scopes,
)

TYPES = st.sampled_from(["*", "Appointment", "Slot", "Schedule", "Patient"])
VALUES = st.text(
    st.characters(categories=("L", "N", "P", "S"), include_characters=" "), min_size=1, max_size=12
).filter(lambda text: text.strip() != "" and text.isprintable())
NAMES = st.sampled_from(["status", "_tag", "service-type", "patient", "_id"])
CONSTRAINTS = st.lists(st.tuples(NAMES, VALUES), max_size=3).map(
    lambda pairs: tuple(sorted(set(pairs)))
)
LETTERS = st.sets(st.sampled_from(RIGHTS), min_size=1).map(
    lambda letters: "".join(right for right in RIGHTS if right in letters)
)
SCOPES = st.builds(
    Scope,
    context=st.sampled_from(["system", "user", "patient"]),
    type=TYPES,
    rights=LETTERS,
    constraint=CONSTRAINTS,
)
ALPHABET = st.text("systempatientuser/*.cruds?=&%ABSlot readwrite\n", max_size=40)


def _bare(scope: Scope) -> Scope:
    return Scope(scope.context, scope.type, scope.rights, scope.constraint)


@given(SCOPES)
def test_scope_round_trips(scope: Scope) -> None:
    """A scope reads back as it was written, whatever its values contain."""
    text = str(scope)
    parsed = parse_scope(text)
    assert parsed is not None
    assert _bare(parsed) == scope
    assert str(parsed) == text
    assert all("\x21" <= character <= "\x7e" and character not in '"\\' for character in text)


@given(ALPHABET | st.text())
def test_any_text_is_a_scope_or_nothing(text: str) -> None:
    """No text makes the parser fail, and what it accepts means the same when written anew."""
    scope = parse_scope(text)
    if scope is not None:
        again = parse_scope(str(_bare(scope)))
        assert again is not None
        assert _bare(again) == _bare(scope)


@given(st.text())
def test_any_text_is_a_list_of_scopes(text: str) -> None:
    """No text makes the list parser fail."""
    assert isinstance(parse_scopes(text), tuple)


@given(SCOPES, SCOPES)
def test_intersection_is_within_both(one: Scope, other: Scope) -> None:
    """What two scopes share is covered by each, and covering means sharing everything."""
    common = intersect(one, other)
    if common is not None:
        assert covers(one, common)
        assert covers(other, common)
    if covers(one, other):
        assert common == other


@given(st.lists(SCOPES, max_size=5), st.lists(SCOPES, max_size=5))
def test_grant_exceeds_neither_request_nor_registration(
    requested: list[Scope], allowed: list[Scope]
) -> None:
    """Every granted scope is covered by a requested and by an allowed one."""
    for scope in parse_scopes(format_scopes(grant(requested, allowed))):
        assert any(covers(wide, scope) for wide in requested)
        assert any(covers(wide, scope) for wide in allowed)


@given(st.lists(SCOPES, max_size=5))
def test_grant_of_the_registration_itself_is_complete(allowed: list[Scope]) -> None:
    """Who asks for exactly what is allowed gets it all."""
    assert grant(allowed, allowed) == tuple(dict.fromkeys(allowed))
