"""Pages of matches."""

from collections.abc import Iterable

import pytest

from fhir_server.fhir.errors import Invalid
from fhir_server.search.request import SearchRequest, parse_search
from fhir_server.settings import Settings
from fhir_server.store.query import SearchPage
from fhir_server.store.store import Store
from tests.fixtures_store import (
    BASE_URL,
    NOW,
    basic,
    changing,
    context,
    creating,
    deleting,
    loaded,
    opened,
)


def _request(settings: Settings, kind: str, **parameters: str) -> SearchRequest:
    pairs = list(parameters.items())
    return parse_search(loaded().types[kind], pairs, base_url=BASE_URL, limits=settings, now=NOW)


def _ids(page: SearchPage) -> list[str]:
    return [one.id for one in page.matches]


async def _create(store: Store, numbers: Iterable[int]) -> None:
    for number in numbers:
        patient = {"resourceType": "Patient", "gender": "female" if number % 2 else "male"}
        await store.run(
            context(minutes=number // 3), creating(patient, f"p{number:02}"), interaction="create"
        )


@pytest.mark.parametrize("sort", ["_id", "-_id", "_lastUpdated", "-_lastUpdated"])
async def test_pages_hold_every_match_once_in_both_directions(
    store: Store, settings: Settings, sort: str
) -> None:
    """Following next to the end and previous back shows the same pages."""
    await _create(store, range(11))
    forward: list[list[str]] = []
    tokens: list[str | None] = []
    parameters = {"_count": "4", "_sort": sort}
    while True:
        page = await store.search(context(), _request(settings, "Patient", **parameters))
        forward.append(_ids(page))
        tokens.append(page.previous)
        if page.next is None:
            break
        parameters["_page"] = page.next
    assert tokens[0] is None
    assert [len(one) for one in forward] == [4, 4, 3]
    flat = [one for some in forward for one in some]
    assert flat == sorted(flat, reverse=sort.startswith("-"))
    backward = [forward[-1]]
    previous = tokens[-1]
    while previous is not None:
        parameters["_page"] = previous
        page = await store.search(context(), _request(settings, "Patient", **parameters))
        backward.insert(0, _ids(page))
        assert page.next is not None
        previous = page.previous
    assert backward == forward


async def test_pages_are_stable_while_matches_come_and_go(store: Store, settings: Settings) -> None:
    """What is deleted or added before the position neither hides nor repeats others."""
    await _create(store, range(6))
    first = await store.search(context(), _request(settings, "Patient", _count="3"))
    await store.run(context(), deleting("Patient", "p02"), interaction="delete")
    await store.run(context(), creating({"resourceType": "Patient"}, "p00a"), interaction="create")
    assert first.next is not None
    second = await store.search(
        context(), _request(settings, "Patient", _count="3", _page=first.next)
    )
    assert _ids(second) == ["p03", "p04", "p05"]


async def test_matches_are_filtered_counted_and_served_as_stored(
    store: Store, settings: Settings
) -> None:
    """The total counts all pages; the bytes are those of a read."""
    await _create(store, range(9))
    page = await store.search(
        context(), _request(settings, "Patient", gender="female", _count="2", _total="accurate")
    )
    assert (_ids(page), page.total) == (["p01", "p03"], 4)
    assert page.matches[0].json == (await store.read(context(), "Patient", "p01")).json


async def test_without_total_none_is_told(store: Store, settings: Settings) -> None:
    """Counting costs, so it is done only when asked for."""
    await _create(store, range(3))
    page = await store.search(context(), _request(settings, "Patient"))
    assert (len(page.matches), page.total, page.next, page.previous) == (3, None, None, None)


async def test_a_page_of_nothing_only_counts(store: Store, settings: Settings) -> None:
    """`_count=0` answers the total and no matches."""
    await _create(store, range(5))
    page = await store.search(context(), _request(settings, "Patient", _count="0"))
    assert (page.matches, page.total) == ((), 5)


async def test_searches_see_neither_deletions_nor_earlier_versions(
    store: Store, settings: Settings
) -> None:
    """Only what is current matches."""
    await _create(store, [1, 3])
    await store.run(context(), deleting("Patient", "p01"), interaction="delete")
    await store.run(
        context(), changing("Patient", "p03", lambda _: {"gender": "male"}), interaction="update"
    )
    female = await store.search(
        context(), _request(settings, "Patient", gender="female", _total="accurate")
    )
    everyone = await store.search(context(), _request(settings, "Patient", _total="accurate"))
    assert (_ids(female), female.total) == ([], 0)
    assert (_ids(everyone), everyone.total) == (["p03"], 1)


async def test_a_type_without_resources_has_no_matches(store: Store, settings: Settings) -> None:
    """Nothing was ever written; nothing is found, and no error."""
    page = await store.search(context(), _request(settings, "Patient", _total="accurate"))
    assert (page.matches, page.total) == ((), 0)


async def test_an_altered_page_is_refused(store: Store, settings: Settings) -> None:
    """A position that was not signed for this very search is Invalid."""
    await _create(store, range(3))
    first = await store.search(context(), _request(settings, "Patient", _count="1"))
    assert first.next is not None
    with pytest.raises(Invalid):
        await store.search(
            context(), _request(settings, "Patient", _count="1", _page=first.next[:-2] + "AA")
        )
    with pytest.raises(Invalid):
        await store.search(
            context(),
            _request(settings, "Patient", _count="1", gender="male", _page=first.next),
        )


async def test_pages_of_one_process_are_good_in_another(settings: Settings) -> None:
    """The secret that signs them is shared."""
    async with opened(settings) as one, opened(settings) as other:
        await _create(one, range(3))
        first = await one.search(context(), _request(settings, "Patient", _count="2"))
        assert first.next is not None
        second = await other.search(
            context(), _request(settings, "Patient", _count="2", _page=first.next)
        )
        assert _ids(second) == ["p02"]


async def test_a_page_larger_than_one_reply_is_complete(store: Store, settings: Settings) -> None:
    """MongoDB answers at most 16 MB at once; the page still holds everything."""
    for number in range(24):
        await store.run(
            context(), creating(basic("x" * 900_000), f"b{number:02}"), interaction="create"
        )
    page = await store.search(context(), _request(settings, "Basic", _count="100"))
    assert len(page.matches) == 24
    assert page.next is None
