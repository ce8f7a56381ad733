"""Signed positions of pages."""

import base64

import pytest

from fhir_server.fhir.errors import Invalid
from fhir_server.search import paging
from fhir_server.search.paging import Cursor
from fhir_server.search.sorting import Sort
from tests.searches import search

SECRET = b"k" * 32
POSITION = (1_796_115_600_000_000, "a1")
REQUEST = search("Slot", "status=free&start=ge2026&_count=5")
TOKEN = paging.encode(SECRET, paging.fingerprint(REQUEST), POSITION, "next")


def with_page(token: str, query: str = "status=free&start=ge2026&_count=5") -> Cursor | None:
    """The position that a query with this token asks for."""
    return paging.cursor(SECRET, search("Slot", f"{query}&_page={token}"))


def test_token_names_its_position() -> None:
    """What was put in comes out."""
    assert with_page(TOKEN) == Cursor(POSITION, "next")
    assert paging.cursor(SECRET, REQUEST) is None


def test_links_keep_the_query_and_replace_the_page() -> None:
    """The page is one more parameter, once."""
    first = paging.link_pairs(SECRET, REQUEST, POSITION, "next")
    assert first == (*REQUEST.pairs_used, ("_page", TOKEN))
    again = search("Slot", "&".join(f"{name}={value}" for name, value in first))
    assert len(paging.link_pairs(SECRET, again, POSITION, "previous")) == len(first)


def test_token_is_safe_in_a_url() -> None:
    """No character needs an escape."""
    assert all(c.isalnum() or c in "-_" for c in TOKEN)


@pytest.mark.parametrize("position", range(len(TOKEN)))
def test_altered_token_is_refused(position: int) -> None:
    """Any character counts, the last one too."""
    letter = "A" if TOKEN[position] != "A" else "B"
    with pytest.raises(Invalid, match="_page is not a page of this search"):
        with_page(TOKEN[:position] + letter + TOKEN[position + 1 :])


@pytest.mark.parametrize(
    "query",
    [
        "status=busy&start=ge2026&_count=5",
        "start=ge2026&status=free&_count=5",
        "status=free&start=ge2026&_count=6",
        "status=free&start=ge2026",
        "status=free&start=ge2026&_count=5&_sort=-start",
    ],
)
def test_token_of_another_query_is_refused(query: str) -> None:
    """A position means something only in the search it was made for."""
    with pytest.raises(Invalid):
        with_page(TOKEN, query)


def test_token_of_another_type_or_secret_is_refused() -> None:
    """The same parameters on another type are another search."""
    appointment = search("Appointment", f"status=free&_page={TOKEN}")
    with pytest.raises(Invalid):
        paging.cursor(SECRET, appointment)
    with pytest.raises(Invalid):
        paging.decode(b"o" * 32, paging.fingerprint(REQUEST), TOKEN)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "====",
        "é",
        TOKEN + "A",
        TOKEN + "=",
        TOKEN[:-1],
        "A" * 10_000,
        "%00",
        " ",
        base64.urlsafe_b64encode(b"\0" * 40).decode(),
    ],
)
def test_garbage_is_refused(token: str) -> None:
    """Nothing but a token of ours is one."""
    with pytest.raises(Invalid):
        with_page(token)


def test_order_and_position_of_each_sort() -> None:
    """Ties are ordered by id, in the same direction."""
    document = {"_id": "a1", "ix": {"s": 7, "u": 9}}
    assert paging.sort_spec(Sort("_id")) == {"_id": 1}
    assert paging.sort_spec(Sort("_id"), "previous") == {"_id": -1}
    assert paging.sort_spec(Sort("ix.s")) == {"ix.s": 1, "_id": 1}
    assert paging.sort_spec(Sort("ix.u", descending=True)) == {"ix.u": -1, "_id": -1}
    assert paging.sort_spec(Sort("ix.u", descending=True), "previous") == {"ix.u": 1, "_id": 1}
    assert paging.position_of(Sort("_id"), document) == ("a1",)
    assert paging.position_of(Sort("ix.s"), document) == (7, "a1")
    assert paging.position_of(Sort("ix.u"), document) == (9, "a1")
