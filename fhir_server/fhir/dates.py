"""FHIR's dates as ranges of time (https://hl7.org/fhir/R4/datatypes.html#dateTime).

Every date is an inclusive range of whole microseconds since 1970-01-01T00:00:00Z. A date says as
much as it writes: `2026` is a year wide, `2026-01-05T09:00` a minute, `…:00` a second, `…:00.5`
a tenth of a second. An `instant` is a point: its range has no width. Dates and times without a
time zone are read as UTC, on both sides of every comparison; the documentation tells clients so.
"""

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from fhir_server.fhir.errors import Value

EARLIEST: Final = -(2**63)
"""Stands for an open start: before every date."""
LATEST: Final = 2**63 - 1
"""Stands for an open end: after every date."""

_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()

_DATE: Final = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,20}))?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)


class DateRange(NamedTuple):
    """An inclusive range in microseconds since the epoch, UTC."""

    low: int
    high: int


def parse(text: str, *, instant: bool = False) -> DateRange:
    """The range of time that a date, dateTime or instant stands for.

    Args:
        text: a date of any precision, minutes without seconds included, as searches allow them.
        instant: whether the value is of datatype `instant`, a point in time.

    Raises:
        Value: it is no date.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        raise _no_date(text)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        if hour is None:
            return _days(int(year), month, day)
        midnight = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
        low = midnight * _DAY + _time(int(hour), int(minute), int(second or 0)) - _offset(zone)
    except ValueError as error:
        raise _no_date(text) from error
    width = _MINUTE if second is None else _SECOND
    if fraction is not None:
        low += int(fraction[:6].ljust(6, "0"))
        width = 10 ** max(0, 6 - len(fraction))
    return DateRange(low, low if instant else low + width - 1)


def parse_instant(text: str) -> datetime:
    """The moment an `instant` or a complete dateTime names, aware, in UTC.

    Raises:
        Value: it is no date, or one that R4's calendar but not Python's can hold.
    """
    try:
        return moment_of(parse(text, instant=True).low)
    except OverflowError as error:
        raise _no_date(text) from error


def format_instant(moment: datetime) -> str:
    """An aware moment as FHIR instant in UTC with milliseconds: `2026-01-01T10:00:00.000Z`."""
    naive = moment.astimezone(UTC).replace(tzinfo=None)
    return naive.isoformat(timespec="milliseconds") + "Z"


def microseconds(moment: datetime) -> int:
    """An aware moment in microseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(at: int) -> datetime:
    """The aware moment, in UTC, that lies so many microseconds after the epoch.

    Raises:
        OverflowError: Python's calendar does not reach so far.
    """
    return _EPOCH + timedelta(microseconds=at)


def _days(year: int, month: str | None, day: str | None) -> DateRange:
    if month is None:
        first, last = date(year, 1, 1), date(year, 12, 31)
    elif day is None:
        first = date(year, int(month), 1)
        last = date(year, int(month), monthrange(year, int(month))[1])
    else:
        first = last = date(year, int(month), int(day))
    return DateRange(
        (first.toordinal() - _EPOCH_DAY) * _DAY, (last.toordinal() - _EPOCH_DAY + 1) * _DAY - 1
    )


def _time(hour: int, minute: int, second: int) -> int:
    # R4 allows the leap second 60 and refuses 24:00.
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError
    return hour * _HOUR + minute * _MINUTE + second * _SECOND


def _offset(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if minutes > 59 or hours * 60 + minutes > 14 * 60:
        raise ValueError
    offset = hours * _HOUR + minutes * _MINUTE
    return -offset if zone[0] == "-" else offset


def _no_date(text: str) -> Value:
    return Value(
        f"'{text[:64]}' is not a date; expected YYYY, YYYY-MM, YYYY-MM-DD or "
        "YYYY-MM-DDThh:mm[:ss[.sss]] with a time zone (Z or +hh:mm)"
    )
