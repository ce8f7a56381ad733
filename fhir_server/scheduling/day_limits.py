"""Times of the day and days of the week, as the clock on the wall shows them.

Slots are compared by what a clock in the zone shows at their start and end, so a limit of 09:00
stays 09:00 when the clocks change, and the hour that occurs twice is within it both times.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from fhir_server.fhir.dates import moment_of
from fhir_server.fhir.types import Json, Resource

TZ_CODE: Final = "http://hl7.org/fhir/StructureDefinition/tz-code"
"""R4's extension that says in which IANA zone a resource lives."""

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""FHIR's codes of the days (https://hl7.org/fhir/R4/valueset-days-of-week.html)."""

_DAY: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class DayLimits:
    """When on a day, and on which days, a Slot must lie.

    Attributes:
        times: alternatives, each from and to in minutes after midnight; one that does not end
            after its start goes on past midnight and belongs to the day on which it starts.
            None for the whole day.
        weekdays: 0 is Monday; none for all.
    """

    times: tuple[tuple[int, int], ...] = ()
    weekdays: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return bool(self.times or self.weekdays)

    def admit(self, start: int, end: int, zone: str) -> bool:
        """Whether a time lies within them.

        Args:
            start: microseconds since the epoch.
            end: the same.
            zone: a known IANA zone.
        """
        first, last = _wall(start, zone), _wall(end, zone)
        if not self.times:
            return self._is_day(first.date())
        days = (first.date(), first.date() - timedelta(days=1))
        return any(
            self._is_day(day) and _within(first, last, day, begins, ends)
            for day in days
            for begins, ends in self.times
        )

    def _is_day(self, day: date) -> bool:
        return not self.weekdays or day.weekday() in self.weekdays


def _within(first: datetime, last: datetime, day: date, begins: int, ends: int) -> bool:
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - what the wall clock shows
    if ends <= begins:
        ends += _DAY
    return midnight + timedelta(minutes=begins) <= first and last <= midnight + timedelta(
        minutes=ends
    )


def _wall(moment: int, zone: str) -> datetime:
    return moment_of(moment).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@lru_cache(maxsize=1_024)
def is_zone(name: str) -> bool:
    """Whether it is the name of a known IANA zone."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError, folders are OSErrors
        return False
    except KeyError:
        return False
    return True


def zone_of(resource: Resource) -> str | None:
    """The zone that a Schedule or Location says it lives in; None when it says no known one."""
    for one in resource.get("extension", ()):
        name: Json = one.get("valueCode")
        if one.get("url") == TZ_CODE and isinstance(name, str) and is_zone(name):
            return name
    return None
