"""Spans and the cells that they touch."""

import pytest

from fhir_server.scheduling.cells import CELL_MICROSECONDS, MAX_CELLS, cell_ids, too_long
from fhir_server.scheduling.lifecycle import appointment_kind, slot_kind
from fhir_server.scheduling.occupancy import SlotTime, covers, target

CELL = CELL_MICROSECONDS


@pytest.mark.parametrize(
    ("start", "end", "numbers"),
    [
        (0, CELL, [0]),
        (0, CELL + 1, [0, 1]),
        (CELL - 1, CELL, [0]),
        (CELL - 1, CELL + 1, [0, 1]),
        (CELL, 3 * CELL, [1, 2]),
        (-1, 1, [-1, 0]),
    ],
)
def test_cells_of_a_span(start: int, end: int, numbers: list[int]) -> None:
    """Half-open, exact to the microsecond, also before 1970."""
    expected = [f"Schedule/1|{number}" for number in numbers]
    assert cell_ids(SlotTime("Schedule/1", start, end)) == expected


def test_first_cells_only() -> None:
    """A limit cuts the end."""
    assert len(cell_ids(SlotTime("Schedule/1", 0, 10 * CELL), 3)) == 3


@pytest.mark.parametrize(("touched", "legal"), [(MAX_CELLS, True), (MAX_CELLS + 1, False)])
def test_longest_span(touched: int, legal: bool) -> None:
    """The bound counts cells, not time."""
    time = SlotTime("Schedule/1", CELL - 1, CELL - 1 + (touched - 1) * CELL)
    assert len(cell_ids(time)) == touched
    assert (too_long(time, "Slot.end") is None) is legal


@pytest.mark.parametrize(
    ("spans", "start", "end", "expected"),
    [
        ([(0, 10)], 0, 10, True),
        ([(0, 10)], 3, 3, True),
        ([(0, 10)], 10, 10, True),
        ([(0, 10)], 11, 11, False),
        ([(0, 10), (10, 20)], 5, 20, True),
        ([(10, 20), (0, 10)], 5, 20, True),
        ([(0, 10), (11, 20)], 5, 20, False),
        ([(0, 100), (10, 20)], 5, 90, True),
        ([(0, 10)], -1, 10, False),
        ([(0, 10)], 0, 11, False),
        ([], 0, 1, False),
        ([(20, 30)], 0, 10, False),
    ],
)
def test_union_of_spans(spans: list[tuple[int, int]], start: int, end: int, expected: bool) -> None:
    """Covered means without a gap."""
    times = [SlotTime("Schedule/1", *span) for span in spans]
    assert covers(times, start, end) is expected


def test_kinds_of_what_is_not_there() -> None:
    """Absent and unknown statuses occupy nothing."""
    assert appointment_kind(None) is None
    assert slot_kind(None) is None
    assert slot_kind({"status": "entered-in-error"}) is None


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"reference": "Patient/1"}, "Patient/1"),
        ({"reference": "https://a.org/fhir/Patient/1/_history/2"}, "Patient/1"),
        ({"reference": "https://b.org/fhir/Patient/1"}, "https://b.org/fhir/Patient/1"),
        ({"reference": "#p"}, "#p"),
        ({"display": "somebody"}, None),
        (None, None),
    ],
)
def test_what_a_reference_points_to(reference: object, expected: str | None) -> None:
    """Comparable, whatever the spelling."""
    assert target(reference, "https://a.org/fhir") == expected
