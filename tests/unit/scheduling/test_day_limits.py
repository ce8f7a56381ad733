"""Times of the day and days of the week by the clock on the wall."""

import pytest

from fhir_server.scheduling.day_limits import TZ_CODE, DayLimits, is_zone, zone_of
from fhir_server.scheduling.occupancy import instant_of

BERLIN = "Europe/Berlin"
NINE_TO_TEN = DayLimits(((540, 600),))
NIGHT = DayLimits(((22 * 60, 6 * 60),), frozenset({4}))


def admitted(limits: DayLimits, start: str, end: str, zone: str = BERLIN) -> bool:
    """Whether a time lies within the limits."""
    return limits.admit(instant_of(start), instant_of(end), zone)


@pytest.mark.parametrize(
    ("limits", "start", "end", "expected"),
    [
        # 2026-03-29 and 2026-10-25 are the days on which Berlin's clocks change.
        (NINE_TO_TEN, "2026-03-28T08:00:00Z", "2026-03-28T09:00:00Z", True),
        (NINE_TO_TEN, "2026-03-29T08:00:00Z", "2026-03-29T09:00:00Z", False),
        (NINE_TO_TEN, "2026-03-29T07:00:00Z", "2026-03-29T08:00:00Z", True),
        (NINE_TO_TEN, "2026-10-25T08:00:00Z", "2026-10-25T09:00:00Z", True),
        (NINE_TO_TEN, "2026-03-28T08:00:00Z", "2026-03-28T09:00:01Z", False),
        (NINE_TO_TEN, "2026-03-28T07:59:59Z", "2026-03-28T08:30:00Z", False),
        # Both of the hours that are 02:00 to 03:00 on the clock.
        (DayLimits(((120, 180),)), "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", True),
        (DayLimits(((120, 180),)), "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", True),
        # Friday night ends on Saturday.
        (NIGHT, "2026-03-06T21:00:00Z", "2026-03-07T05:00:00Z", True),
        (NIGHT, "2026-03-07T01:00:00Z", "2026-03-07T02:00:00Z", True),
        (NIGHT, "2026-03-07T21:00:00Z", "2026-03-07T22:00:00Z", False),
        (NIGHT, "2026-03-06T01:00:00Z", "2026-03-06T02:00:00Z", False),
        (DayLimits(((540, 1440),)), "2026-03-06T22:00:00Z", "2026-03-06T23:00:00Z", True),
        # Without times of the day, the day on which it begins counts.
        (DayLimits((), frozenset({4})), "2026-03-06T22:30:00Z", "2026-03-07T01:00:00Z", True),
        (DayLimits((), frozenset({4})), "2026-03-06T23:30:00Z", "2026-03-07T01:00:00Z", False),
    ],
)
def test_limits_are_of_the_wall_clock(
    limits: DayLimits, start: str, end: str, expected: bool
) -> None:
    """Whatever the offset of the day."""
    assert admitted(limits, start, end) is expected


def test_no_limits_are_false() -> None:
    """So that nobody computes local times for nothing."""
    assert not DayLimits()
    assert NINE_TO_TEN
    assert DayLimits((), frozenset({0}))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Europe/Berlin", True), ("UTC", True), ("Europe", False), ("Mars/Base", False),
     ("../etc/passwd", False), ("", False), ("/etc/localtime", False), ("a\x00b", False)],
)  # fmt: skip
def test_zones(name: str, expected: bool) -> None:
    """Only names of the zone database."""
    assert is_zone(name) is expected


def test_zone_of_a_resource() -> None:
    """The extension tz-code, when it names a known zone."""
    assert zone_of({"extension": [{"url": TZ_CODE, "valueCode": "Asia/Kolkata"}]}) == "Asia/Kolkata"
    assert zone_of({"extension": [{"url": TZ_CODE, "valueCode": "Mars/Base"}]}) is None
    assert zone_of({"extension": [{"url": "urn:x", "valueCode": "UTC"}]}) is None
    assert zone_of({}) is None
