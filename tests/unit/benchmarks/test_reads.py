"""What W1-W3 expect, and that anything else is an error."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from benchmarks.dataset import Manifest, Sizes
from benchmarks.http import Response
from benchmarks.reads import (
    SLOT_PAGE,
    Window,
    appointments_since,
    judge_appointment,
    judge_matches,
    judge_slots,
    windows,
)
from benchmarks.resources import BASE, iso, make_appointment, make_slot, slot_start

DAYS = 3
Json = dict[str, Any]


def manifest() -> Manifest:
    """Two schedules of three days, two patients with three appointments."""
    return {
        "base": "http://127.0.0.1/fhir",
        "practitioners": ["d0", "d1"],
        "locations": ["l0"],
        "patients": ["p0", "p1"],
        "spare_patients": ["p2"],
        "schedules": ["s0", "s1"],
        "slots": [[f"{s}-{k}" for k in range(40 * DAYS)] for s in range(2)],
        "update_slots": [],
        "appointments": [f"a{p}{j}" for p in range(2) for j in range(3)],
        "per_patient": 3,
        "timing": {},
    }


def answer(body: Json, status: int = 200) -> Response:
    return Response(status, {}, orjson.dumps(body), 1)


def page(window: Window, **changes: Any) -> Json:
    """The right answer to a window of the first schedule."""
    ids = sorted(window.expected)[:SLOT_PAGE]
    slots = [make_slot(window.schedule, window.low, id=each) for each in ids]
    relations = ["self", "next"] if len(window.expected) > SLOT_PAGE else ["self"]
    return {
        "resourceType": "Bundle",
        "link": [{"relation": each, "url": "http://127.0.0.1/"} for each in relations],
        "entry": [{"resource": slot} for slot in slots],
        **changes,
    }


# ---- W1


def appointment(**changes: Any) -> Json:
    return {**make_appointment("p0", "d0", "l0", BASE), "id": "a00", **changes}


def test_right_appointment_is_right() -> None:
    """The appointment asked for, with its patient, is right."""
    assert judge_appointment(answer(appointment()), "a00", "p0") is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (appointment(), 404),
        (appointment(id="a01"), 200),
        (appointment(resourceType="Slot"), 200),
        (appointment(participant=appointment()["participant"][:2]), 200),
        (appointment(participant=appointment()["participant"][::-1]), 200),
    ],
)
def test_wrong_appointment_is_wrong(body: Json, status: int) -> None:
    """Another status, resource, type or patient is an error."""
    assert judge_appointment(answer(body, status), "a00", "p0")


# ---- W2


def test_a_day_expects_its_free_slots() -> None:
    """Of forty slots every fourth is busy, and the page holds all that are free."""
    first, *_ = one_day = windows(manifest(), 1)
    assert len(one_day) == 2 * DAYS
    assert first.expected == {f"0-{k}" for k in range(40) if k % 4 != 3}
    assert first.query == (
        "Slot?schedule=Schedule/s0&start=ge2027-01-04T00:00:00Z&start=lt2027-01-05T00:00:00Z"
        "&status=free&_count=50"
    )


def test_two_days_expect_more_than_a_page() -> None:
    """Two days have sixty free slots; the last window ends with the last day."""
    two_days = windows(manifest(), 2)
    assert len(two_days) == 2 * (DAYS - 1)
    assert {len(each.expected) for each in two_days} == {60}
    assert two_days[-1].schedule == "s1"
    assert two_days[-1].expected == {f"1-{k}" for k in range(40, 120) if k % 4 != 3}


def test_expected_slots_start_within_their_window() -> None:
    """What a window expects is what its own search asks for."""
    for window in windows(manifest(), 1):
        starts = [slot_start(int(each.split("-")[1])) for each in window.expected]
        assert all(window.low <= start < window.high for start in starts)


@pytest.mark.parametrize("days", [1, 2])
def test_right_page_is_right(days: int) -> None:
    """A full page and a part of one, with or without a total."""
    window = windows(manifest(), days)[0]
    assert judge_slots(answer(page(window)), window) is None
    assert judge_slots(answer(page(window, total=len(window.expected))), window) is None


def _without_first(body: Json) -> None:
    del body["entry"][0]


def _twice_the_first(body: Json) -> None:
    body["entry"][-1] = body["entry"][0]


def _one_more(body: Json) -> None:
    body["entry"].append({"resource": make_slot("s0", BASE, id="0-41")})


def _a_stranger(body: Json) -> None:
    body["entry"][0]["resource"]["id"] = "1-0"


def _a_busy_one(body: Json) -> None:
    body["entry"][0]["resource"]["status"] = "busy"


def _of_another_schedule(body: Json) -> None:
    body["entry"][0]["resource"]["schedule"]["reference"] = "Schedule/s1"


def _with_another_next_link(body: Json) -> None:
    body["link"] = [{"relation": "self"}] if len(body["link"]) == 2 else [{"relation": "next"}]


def _with_a_wrong_total(body: Json) -> None:
    body["total"] = 7


@pytest.mark.parametrize("days", [1, 2])
@pytest.mark.parametrize(
    "damage",
    [
        _without_first,
        _twice_the_first,
        _one_more,
        _a_stranger,
        _a_busy_one,
        _of_another_schedule,
        _with_another_next_link,
        _with_a_wrong_total,
    ],
)
def test_wrong_page_is_wrong(days: int, damage: Any) -> None:
    """A slot too few, twice, too many, not asked for; a wrong link or total."""
    window = windows(manifest(), days)[0]
    body = page(window)
    damage(body)
    assert judge_slots(answer(body), window)


def test_refused_search_is_wrong() -> None:
    """Whatever is in it."""
    window = windows(manifest(), 1)[0]
    assert judge_slots(answer(page(window), 503), window)


# ---- W3


def test_appointments_from_a_date() -> None:
    """The later the date, the fewer; a start at the very instant belongs to them."""
    data = manifest()
    assert appointments_since(data, 1, BASE) == {"a10", "a11", "a12"}
    assert appointments_since(data, 0, BASE) == {"a00", "a01", "a02"}
    assert appointments_since(data, 0, BASE + timedelta(seconds=1)) == {"a01", "a02"}
    assert appointments_since(data, 0, BASE + timedelta(days=30)) == set()


@pytest.mark.parametrize(
    ("ids", "is_right"),
    [(["a", "b"], True), (["b", "a"], True), (["a"], False), (["a", "b", "b"], False), ([], False)],
)
def test_matches_must_be_exact(ids: list[str], is_right: bool) -> None:
    """In any order, but nothing missing, nothing twice."""
    body = {"entry": [{"resource": {"id": each}} for each in ids]}
    assert (judge_matches(answer(body), frozenset("ab")) is None) == is_right


# ---- sizes


@pytest.mark.parametrize("wrong", [{"slots": 79}, {"per_patient": 21}, {"patients": 0}])
def test_sizes_that_cannot_be_checked_are_refused(wrong: dict[str, int]) -> None:
    """Less than two days of slots, or more appointments than a page holds."""
    with pytest.raises(ValueError, match="at"):
        Sizes(**{"schedules": 1, "slots": 80, **wrong})


def test_instants_are_in_utc() -> None:
    """As FHIR writes them."""
    assert iso(BASE) == "2027-01-04T08:00:00Z"
