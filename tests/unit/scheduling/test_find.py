"""The pure half of $find: who is meant, what is free, what is chosen, what is offered."""

from typing import Any

import pytest

from fhir_server.scheduling.find import (
    Agenda,
    Extras,
    FreeSlot,
    Selection,
    Tier,
    Window,
    free_slots,
    is_occupied,
    proposal,
    rank_in,
    touched_cells,
)
from fhir_server.scheduling.find_reasons import REASONS, Reason, judge, nothing
from fhir_server.scheduling.plan import Cell, Occupancy
from tests.agenda import BASE_URL, at, microseconds, slot

PLACES = Tier(frozenset({"Location"}), {"Location/1": 0, "Location/2": 1})
ROLES = Tier(frozenset({"PractitionerRole"}), {"PractitionerRole/1": 0})
PEOPLE = Tier(frozenset({"Practitioner"}), {"Practitioner/1": 2})


def agenda(name: str = "1", *actors: str, preference: tuple[int, ...] = ()) -> Agenda:
    """A Schedule."""
    named = actors or (f"Practitioner/{name}",)
    content = {"id": name, "actor": [{"reference": one} for one in named]}
    return Agenda(content, named, preference)


def free(
    name: str, start: int, minutes: int = 30, of: Agenda | None = None, **more: Any
) -> FreeSlot:
    """A free Slot."""
    owner = of or agenda()
    content = slot(start, start + minutes, schedule=owner.reference) | {"id": name} | more
    (found,) = free_slots([content], {owner.reference: owner}, BASE_URL)
    return found


@pytest.mark.parametrize(
    ("actors", "expected"),
    [
        (["Location/2"], 1),
        (["Location/2", "Location/1"], 0),
        (["Location/3"], None),
        (["Location/3", "PractitionerRole/1", "Practitioner/1"], None),
        (["PractitionerRole/1"], 0),
        (["PractitionerRole/2", "Practitioner/1"], None),
        (["Practitioner/1", "Device/1"], 2),
        (["Device/1"], None),
        ([], None),
    ],
)
def test_the_nearest_kind_of_actor_decides(actors: list[str], expected: int | None) -> None:
    """A place that is named counts more than the places of roles and people."""
    assert rank_in((PLACES, ROLES, PEOPLE), actors) == expected


@pytest.mark.parametrize(
    ("actors", "expected"),
    [
        (("Location/1", "Practitioner/1"), "Practitioner/1"),
        (("Device/1", "PractitionerRole/1"), "PractitionerRole/1"),
        (("Patient/1", "Location/1"), "Location/1"),
        (("urn:x", "Patient/1"), "urn:x"),
    ],
)
def test_the_actor_of_a_schedule(actors: tuple[str, ...], expected: str) -> None:
    """A practitioner before places and devices."""
    assert agenda("1", *actors).actor == expected
    assert Agenda({"id": "1"}, ()).actor == "Schedule/1"


def test_slots_of_other_schedules_and_of_other_servers_are_left_out() -> None:
    """And those that are too long to be booked."""
    mine = agenda()
    found = free_slots(
        [
            slot(0, 30) | {"id": "1"},
            slot(0, 30, schedule="Schedule/2") | {"id": "2"},
            slot(0, 30, schedule="https://other.example/fhir/Schedule/1") | {"id": "3"},
            slot(0, 60 * 24 * 32) | {"id": "4"},
        ],
        {mine.reference: mine},
        BASE_URL,
    )
    assert [one.slot["id"] for one in found] == ["1"]


@pytest.mark.parametrize(
    ("span", "expires", "expected"),
    [
        ((0, 30), None, False),
        ((60, 90), None, False),
        ((29, 31), None, True),
        ((0, 120), None, True),
        ((45, 46), None, True),
        ((30, 60), 0, False),
        ((30, 60), 1, True),
    ],
)
def test_anything_over_the_time_occupies_it(
    span: tuple[int, int], expires: int | None, expected: bool
) -> None:
    """Unless it has lapsed."""
    wanted = free("1", 30, 30)
    now = microseconds(at(0))
    start, end = (microseconds(at(one)) for one in span)
    ends = None if expires is None else now + expires
    entry = Occupancy(start, end, "Appointment/1", "Slot/9", "busy", ends, "client")
    names = touched_cells([wanted])
    assert is_occupied(wanted, {names[0]: Cell(names[0], 1, (entry,))}, now) is expected
    assert not is_occupied(wanted, {}, now)


def chosen(selection: Selection, *slots: FreeSlot) -> list[str]:
    """What is chosen of Slots in order of start, as ids."""
    for one in slots:
        if selection.is_complete:
            break
        selection.offer(one)
    return [one.slot["id"] for one in selection.chosen()]


def test_the_earliest_are_chosen_and_ties_by_preference() -> None:
    """One that is preferred displaces another of the same time, at the end as well."""
    second, first = agenda("2", preference=(1,)), agenda("1", preference=(0,))
    slots = [
        free("a", 0, of=second), free("b", 0, of=first), free("c", 30, of=second),
        free("d", 30, of=first), free("e", 60, of=first),
    ]  # fmt: skip
    assert chosen(Selection(3, None, frozenset()), *slots) == ["b", "a", "d"]
    assert chosen(Selection(9, None, frozenset()), *slots) == ["b", "a", "d", "c", "e"]


def test_so_many_of_each_actor() -> None:
    """And it is known when everybody has enough."""
    one, other = agenda("1"), agenda("2")
    selection = Selection(9, 1, frozenset({one.actor, other.actor}))
    slots = [free("a", 0, of=one), free("b", 30, of=one), free("c", 60, of=other)]
    assert chosen(selection, *slots) == ["a", "c"]
    assert selection.is_complete
    selection.offer(free("d", 90, of=other))
    assert len(selection.chosen()) == 2


def test_a_slot_of_seconds_has_no_duration_in_minutes() -> None:
    """MinutesDuration must be positive."""
    short = free("1", 0, end=at(0).replace("00.000Z", "20.000Z"))
    offer = proposal(short, Extras(Window(0, 1)))
    assert "minutesDuration" not in offer
    assert "reasonCode" not in offer


def test_reasons_are_counted_most_frequent_first() -> None:
    """By status, then by what excludes a free Slot."""
    window = Window(microseconds(at(0)), microseconds(at(120)))
    slots = [
        free("1", 0, status="busy"),
        free("2", 30, status="busy"),
        free("3", 60, status="busy-unavailable"),
        free("4", 60, status="entered-in-error"),
        free("5", 0),
        free("6", 100),
        free("7", 60),
        free("8", 60),
        free("9", 60),
    ]
    found = judge(slots, window, microseconds(at(10)), fitting={"8", "9"}, outside={"8"})
    assert [(one.code, one.count) for one in found] == [
        ("booked", 2), ("beyond-window", 1), ("closed", 1), ("day-limits", 1),
        ("other-service", 1), ("overlapped", 1), ("past", 1),
    ]  # fmt: skip
    assert [one.code for one in judge([], window, 0, fitting=(), outside=())] == ["no-slots"]


def test_reasons_are_issues() -> None:
    """A warning first, then each reason with its code and text."""
    outcome = nothing([Reason("no-schedule", detail="near"), Reason("past", 2)], "Try later.")
    assert [one["diagnostics"] for one in outcome["issue"]] == [
        "Nothing is free. Try later.",
        f"{REASONS['no-schedule']}: near",
        f"{REASONS['past']}: 2",
    ]
