"""What the statuses of Appointment and Slot mean for time.

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


def appointment_kind(appointment: Resource | None) -> OccupancyKind | None:
    """How the Appointment occupies its slots; None when it does not (absent ones neither)."""
    return APPOINTMENT_KIND.get(appointment.get("status", "")) if appointment else None


def slot_kind(slot: Resource | None) -> OccupancyKind | None:
    """How the Slot's status occupies its time; None when it does not (absent ones neither)."""
    return SLOT_KIND.get(slot.get("status", "")) if slot else None
