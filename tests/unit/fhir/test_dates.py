"""Dates as ranges of time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from fhir_server.fhir.dates import DateRange, format_instant, microseconds, parse, parse_instant
from fhir_server.fhir.errors import Value

SECOND = 1_000_000
DAY = 86_400 * SECOND


def at(*parts: int) -> int:
    """A moment in UTC, in microseconds."""
    return microseconds(datetime(*parts, tzinfo=UTC))  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026", at(2026, 1, 1), at(2027, 1, 1) - 1),
        ("2026-12", at(2026, 12, 1), at(2027, 1, 1) - 1),
        ("2024-02", at(2024, 2, 1), at(2024, 3, 1) - 1),
        ("2026-11-20", at(2026, 11, 20), at(2026, 11, 21) - 1),
        ("9999-12-31", at(9999, 12, 31), at(9999, 12, 31) + DAY - 1),
        ("1969-12-31", -DAY, -1),
        ("2026-11-20T09:30", at(2026, 11, 20, 9, 30), at(2026, 11, 20, 9, 31) - 1),
        ("2026-11-20T09:30Z", at(2026, 11, 20, 9, 30), at(2026, 11, 20, 9, 31) - 1),
        ("2026-11-20T09:30:15Z", at(2026, 11, 20, 9, 30, 15), at(2026, 11, 20, 9, 30, 16) - 1),
        (
            "2026-11-20T09:30:15+14:00",
            at(2026, 11, 19, 19, 30, 15),
            at(2026, 11, 19, 19, 30, 16) - 1,
        ),
        ("2026-11-20T09:30:15-03:30", at(2026, 11, 20, 13, 0, 15), at(2026, 11, 20, 13, 0, 16) - 1),
        ("1970-01-01T00:00:00.5Z", 500_000, 599_999),
        ("1970-01-01T00:00:00.123Z", 123_000, 123_999),
        ("1970-01-01T00:00:00.1234567Z", 123_456, 123_456),
        ("2016-12-31T23:59:60Z", at(2017, 1, 1), at(2017, 1, 1) + SECOND - 1),
    ],
)
def test_date_is_as_wide_as_it_is_written(text: str, low: int, high: int) -> None:
    """The range is inclusive, and what is not written is open."""
    assert parse(text) == DateRange(low, high)


def test_instant_has_no_width() -> None:
    """An instant is a point, however many digits it has."""
    assert parse("2026-11-20T09:30:15Z", instant=True) == (at(2026, 11, 20, 9, 30, 15),) * 2
    assert parse("1970-01-01T00:00:00.25Z", instant=True) == (250_000, 250_000)


def test_time_zone_is_utc_when_there_is_none() -> None:
    """Both forms name the same second."""
    assert parse("2026-11-20T09:30:15") == parse("2026-11-20T09:30:15Z")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "26",
        "20261120",
        "2026-1-1",
        "2026-00",
        "2026-13",
        "2026-02-30",
        "0000-01-01",
        "2026-11-20T09",
        "2026-11-20T09Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T09:60:00Z",
        "2026-11-20T09:00:61Z",
        "2026-11-20T09:00:00+14:01",
        "2026-11-20T09:00:00+01:60",
        "2026-11-20T09:00:00z",
        "2026-11-20T09:00:00,5Z",
        "2026-11-20 09:00:00Z",
        "2026-11-20T09:00:00Z\n",
        "2026-W01-1",
        "٢٠٢٦",
        "today",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """The refusal shows the forms that are expected."""
    with pytest.raises(Value, match="is not a date; expected YYYY"):
        parse(text)


def test_refusal_does_not_repeat_long_text() -> None:
    """What a client sends is shown in part only."""
    with pytest.raises(Value) as refusal:
        parse("x" * 1000)
    assert len(refusal.value.diagnostics) < 250


def test_instants_are_read_and_written_in_utc_with_milliseconds() -> None:
    """Finer digits are cut off."""
    moment = parse_instant("2026-11-20T09:30:15.123456+01:00")
    assert moment == datetime(2026, 11, 20, 8, 30, 15, 123_456, tzinfo=UTC)
    assert format_instant(moment) == "2026-11-20T08:30:15.123Z"
    abroad = datetime(2026, 1, 1, 10, tzinfo=timezone(timedelta(hours=10)))
    assert format_instant(abroad) == "2026-01-01T00:00:00.000Z"


def test_instant_before_python_calendar_is_refused() -> None:
    """Legal to write, but no moment that the server can hold."""
    with pytest.raises(Value):
        parse_instant("0001-01-01T00:00:00+14:00")
