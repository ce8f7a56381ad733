"""Why `Appointment/$find` offers nothing.

It tells how many Slots stand in the way of what, and never who holds them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fhir_server.fhir.canonicals import canonical
from fhir_server.fhir.types import Json, Resource
from fhir_server.scheduling.find import FreeSlot, Window

SYSTEM: Final = canonical("CodeSystem", "no-offer-reason")

NO_SCHEDULE: Final = "no-schedule"
WINDOW_PAST: Final = "window-past"
CLOSED: Final = "closed"
NO_SLOTS: Final = "no-slots"
BOOKED: Final = "booked"
HELD: Final = "held"
OVERLAPPED: Final = "overlapped"
PAST: Final = "past"
BEYOND: Final = "beyond-window"
OTHER_SERVICE: Final = "other-service"
DAY_LIMITS: Final = "day-limits"

REASONS: Final = {
    NO_SCHEDULE: "No active Schedule fulfils the criteria",
    WINDOW_PAST: "The time asked for has passed",
    NO_SLOTS: "The Schedules have no Slot in that time",
    CLOSED: "Slots are closed for bookings (busy-unavailable)",
    BOOKED: "Slots are booked (busy)",
    HELD: "Slots are held or asked for (busy-tentative)",
    OVERLAPPED: "Free Slots overlap time that is occupied",
    PAST: "Free Slots have begun already",
    BEYOND: "Free Slots end after the time asked for",
    OTHER_SERVICE: "Free Slots are for another specialty, service or type of visit",
    DAY_LIMITS: "Free Slots are outside the times of the day or days of the week asked for",
}
"""Every code of the code system, with its text."""

_BY_STATUS: Final = {"busy": BOOKED, "busy-tentative": HELD, "busy-unavailable": CLOSED}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason.

    Attributes:
        code: of the code system.
        count: the Slots concerned; None when it is not about Slots.
        detail: what else helps, for example the criteria that nothing fulfils.
    """

    code: str
    count: int | None = None
    detail: str = ""

    def issue(self) -> Json:
        """It as an issue of an OperationOutcome."""
        text = REASONS[self.code]
        if self.count is not None:
            text += f": {self.count}"
        if self.detail:
            text += f": {self.detail}"
        return {
            "severity": "information",
            "code": "informational",
            "details": {"coding": [{"system": SYSTEM, "code": self.code}]},
            "diagnostics": text,
        }


def nothing(reasons: Sequence[Reason], hint: str) -> Resource:
    """The OperationOutcome that stands for offers when there are none.

    Args:
        reasons: may be none, when nobody asked for them.
        hint: what the client may do.
    """
    first = {"severity": "warning", "code": "not-found", "diagnostics": f"Nothing is free. {hint}"}
    return {"resourceType": "OperationOutcome", "issue": [first, *(one.issue() for one in reasons)]}


def judge(
    slots: Iterable[FreeSlot],
    window: Window,
    now: int,
    *,
    fitting: Iterable[str],
    outside: Iterable[str],
) -> list[Reason]:
    """Why none of the Slots that begin in the window is offered, most frequent reason first.

    Args:
        slots: of any status.
        window: as asked for.
        now: microseconds since the epoch.
        fitting: ids of Slots that are for the service asked for, as far as they are ahead.
        outside: ids of those that the limits of the day exclude.
    """
    fits, excluded = frozenset(fitting), frozenset(outside)
    counts: dict[str, int] = {}
    for one in slots:
        code = _reason(one, window, now, fits, excluded)
        if code:
            counts[code] = counts.get(code, 0) + 1
    if not counts:
        return [Reason(NO_SLOTS)]
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [Reason(code, count) for code, count in ordered]


def _reason(
    one: FreeSlot, window: Window, now: int, fits: frozenset[str], excluded: frozenset[str]
) -> str:
    status = one.slot["status"]
    if status != "free":
        return _BY_STATUS.get(status, "")
    if one.time.start < now:
        return PAST
    if one.time.end > window.end:
        return BEYOND
    name = one.slot["id"]
    if name not in fits:
        return OTHER_SERVICE
    return DAY_LIMITS if name in excluded else OVERLAPPED
