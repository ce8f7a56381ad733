"""What the statuses of Appointment and Slot mean for time, and which may follow which.

R4 gives no transition table; these are the moves of its workflow
(https://hl7.org/fhir/R4/appointment.html#notes) and the corrections that a front desk needs.
`docs/explanation/lifecycle.md` shows the same tables.

https://hl7.org/fhir/R4/valueset-appointmentstatus.html, https://hl7.org/fhir/R4/valueset-slotstatus.html
"""

from collections.abc import Mapping
from typing import Final

from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import OccupancyKind

APPOINTMENT_KIND: Final[Mapping[str, OccupancyKind]] = {
    "pending": "tentative",
    "booked": "busy",
    "arrived": "busy",
    "checked-in": "busy",
    "fulfilled": "busy",
    "noshow": "busy",
}
"""How an Appointment occupies its slots; a status that is absent here occupies nothing."""

SLOT_KIND: Final[Mapping[str, OccupancyKind]] = {
    "busy": "busy",
    "busy-tentative": "tentative",
    "busy-unavailable": "blocked",
}
"""How a Slot's own status occupies its time; a status that is absent here occupies nothing."""

HELD_SLOT_STATUS: Final[Mapping[OccupancyKind, str]] = {
    "busy": "busy",
    "tentative": "busy-tentative",
}
"""The status of a Slot that an Appointment holds."""

BOOKABLE_STATUSES: Final = ("proposed", "pending")
"""Appointment statuses that can become `booked` by an operation or by everybody's consent."""

ANSWERABLE_STATUSES: Final = ("proposed", "pending", "booked", "waitlist")
"""Appointment statuses in which participants may still answer."""

ERROR: Final = "entered-in-error"

APPOINTMENT_MOVES: Final[Mapping[str, tuple[str, ...]]] = {
    "proposed": ("pending", "booked", "waitlist", "cancelled", ERROR),
    "waitlist": ("proposed", "pending", "booked", "cancelled", ERROR),
    "pending": ("proposed", "booked", "waitlist", "cancelled", ERROR),
    "booked": (
        "pending",
        "waitlist",
        "arrived",
        "checked-in",
        "fulfilled",
        "noshow",
        "cancelled",
        ERROR,
    ),
    "arrived": ("booked", "checked-in", "fulfilled", "noshow", "cancelled", ERROR),
    "checked-in": ("arrived", "fulfilled", "cancelled", ERROR),
    "fulfilled": (ERROR,),
    "noshow": (ERROR,),
    "cancelled": (ERROR,),
    ERROR: (),
}
"""Which statuses may follow each one, besides itself. A new Appointment may enter any of them."""

SLOT_MOVES: Final[Mapping[str, tuple[str, ...]]] = {
    "free": ("busy", "busy-tentative", "busy-unavailable", ERROR),
    "busy": ("free", "busy-tentative", "busy-unavailable", ERROR),
    "busy-tentative": ("free", "busy", "busy-unavailable", ERROR),
    "busy-unavailable": ("free", "busy", "busy-tentative", ERROR),
    ERROR: (),
}
"""The same for Slots that no Appointment holds; the status of a held one follows its holder."""

MOVES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "Appointment": APPOINTMENT_MOVES,
    "Slot": SLOT_MOVES,
}

ENDED_STATUSES: Final = frozenset(
    status for status, after in APPOINTMENT_MOVES.items() if set(after) <= {ERROR}
)
"""Appointment statuses that stay, except for the correction `entered-in-error`."""

AGREED_STATUSES: Final = frozenset({"booked", "arrived", "checked-in"})
"""Appointment statuses in which everybody relies on what was agreed."""


def may_follow(resource_type: str, before: str, after: str) -> bool:
    """Whether a resource of that type may go from one status to the other."""
    return before == after or after in MOVES[resource_type].get(before, ())


def appointment_kind(appointment: Resource | None) -> OccupancyKind | None:
    """How the Appointment occupies its slots; None when it does not (absent ones neither)."""
    return APPOINTMENT_KIND.get(appointment.get("status", "")) if appointment else None


def slot_kind(slot: Resource | None) -> OccupancyKind | None:
    """How the Slot's status occupies its time; None when it does not (absent ones neither)."""
    return SLOT_KIND.get(slot.get("status", "")) if slot else None
