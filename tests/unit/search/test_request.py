"""What a query becomes, and what it leaves for the self link."""

import pytest

from fhir_server.fhir.errors import Invalid, Issues, NotSupported
from fhir_server.search.sorting import Sort
from tests.searches import LIMITS, search


def test_defaults() -> None:
    """Without parameters everything is selected, in the order of the main date."""
    request = search("Slot", "")
    assert request.clauses == ()
    assert request.count == LIMITS.page_size
    assert request.total == "none"
    assert request.sort == Sort("ix.s")
    assert request.page_token is None
    assert request.pairs_used == ()
    assert request.warnings == ()


def test_types_without_main_date_are_ordered_by_id() -> None:
    """Nothing else is as stable."""
    assert search("Patient", "").sort == Sort("_id")


@pytest.mark.parametrize(
    ("query", "count", "used"),
    [
        ("_count=5", 5, "5"),
        ("_count=007", 7, "7"),
        ("_count=100", 100, "100"),
        ("_count=101", 100, "100"),
        ("_count=" + "9" * 3000, 100, "100"),
        ("_count=0", 0, "0"),
        ("_count=" + "0" * 50, 0, "0"),
    ],
)
def test_count_is_capped_and_the_self_link_shows_it(query: str, count: int, used: str) -> None:
    """A larger page than allowed is made smaller, openly."""
    request = search("Slot", query)
    assert request.count == count
    assert request.pairs_used == (("_count", used),)


def test_count_zero_asks_for_the_total() -> None:
    """With no entries, the number is all there is to answer."""
    assert search("Slot", "_count=0").total == "accurate"
    assert search("Slot", "_count=0&_total=none").total == "accurate"
    assert search("Slot", "_count=0&_total=estimate").total == "estimate"
    assert search("Slot", "_total=estimate").total == "estimate"


@pytest.mark.parametrize(
    ("resource_type", "value", "expected"),
    [
        ("Slot", "start", Sort("ix.s")),
        ("Slot", "-start", Sort("ix.s", descending=True)),
        ("Slot", "start,_id", Sort("ix.s")),
        ("Slot", "-start,-_id", Sort("ix.s", descending=True)),
        ("Slot", "_id", Sort("_id")),
        ("Slot", "-_id", Sort("_id", descending=True)),
        ("Slot", "_lastUpdated", Sort("ix.u")),
        ("Appointment", "-date", Sort("ix.s", descending=True)),
        ("Patient", "-_lastUpdated", Sort("ix.u", descending=True)),
    ],
)
def test_sort(resource_type: str, value: str, expected: Sort) -> None:
    """By id, last update or the main date, and the other way round."""
    request = search(resource_type, f"_sort={value}")
    assert request.sort == expected
    assert request.pairs_used == (("_sort", value),)


def test_what_no_index_orders_is_sorted_by_computed_keys() -> None:
    """Several keys, each in its own direction; after the id nothing can tie."""
    keys = search("Slot", "_sort=status,-start,_id,schedule").sort.keys
    assert [(key.code, key.path, key.descending) for key in keys[:3]] == [
        ("status", "", False),
        ("start", "ix.s", True),
        ("_id", "_id", False),
    ]
    assert search("Slot", "_sort=start,-_id").sort.keys
    assert not search("Slot", "_sort=_id,-start").sort.keys


@pytest.mark.parametrize("query", ["_sort=near", "_sort=phonetic", "_sort=context-type-value"])
def test_what_has_no_order_cannot_be_sorted_by(query: str) -> None:
    """Places, sounds and composites."""
    for resource_type in ("Location", "Patient", "Measure"):
        with pytest.raises(NotSupported, match="supported for"):
            search(resource_type, query)


def test_lenient_leaves_out_what_is_not_known_and_says_so() -> None:
    """The self link shows only what was used."""
    request = search("Slot", "colour=red&status=free&_include=Slot:colour", lenient=True)
    assert request.pairs_used == (("status", "free"),)
    assert len(request.clauses) == 1
    assert request.warnings == (
        "the search parameter 'colour' is not known and was left out",
        (
            "_include: 'Slot:colour' is not supported; references of Slot are schedule; "
            "it was left out"
        ),
    )


@pytest.mark.parametrize(
    "query",
    [
        "status:colour=free",
        "schedule.colour=Practitioner/1",
        "_has:Appointment:slot:colour=booked",
        "_query=special",
        "_filter=status eq free",
        "start=soon",
        "_count=x",
    ],
)
def test_lenient_still_refuses_what_would_change_the_meaning(query: str) -> None:
    """Modifiers, chains and wrong values are never ignored."""
    with pytest.raises(NotSupported if "=s" not in query and "_count" not in query else Exception):
        search("Slot", query, lenient=True)


def test_all_problems_are_told_at_once() -> None:
    """A client can mend its query in one go."""
    with pytest.raises(Issues) as refusal:
        search("Slot", "colour=red&status=&start=2026-99&_count=x")
    assert [one.issue_type for one in refusal.value.issues] == [
        "not-supported",
        "value",
        "value",
        "value",
    ]


def test_too_many_parameters_are_refused() -> None:
    """The limit is named."""
    most = "&".join(["status=free"] * LIMITS.max_search_parameters)
    assert len(search("Slot", most).clauses) == LIMITS.max_search_parameters
    with pytest.raises(Invalid, match="31 search parameters are more than the 30"):
        search("Slot", most + "&status=busy")


def test_query_is_kept_in_its_order_for_the_self_link() -> None:
    """Repeated parameters stay apart, and values as they were written."""
    query = "start=ge2026&status=free&start=lt2027&_sort=-start&_count=3&_total=accurate"
    request = search("Slot", query)
    assert "&".join(f"{name}={value}" for name, value in request.pairs_used) == query
