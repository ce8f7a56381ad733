"""What an Appointment looks like once it is cancelled.

R4 has the reason (`cancelationReason`, one l) but not the date; that is carried as R5's element in
R4 (https://hl7.org/fhir/R5/appointment-definitions.html#Appointment.cancellationDate).
"""

from collections.abc import Iterable
from typing import Final

from fhir_server.fhir.canonicals import canonical
from fhir_server.fhir.types import Json, Resource

CANCELLATION_DATE: Final = (
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-Appointment.cancellationDate"
)
CANCELLED_BY: Final = canonical("StructureDefinition", "cancelled-by")
REASONS: Final = canonical("CodeSystem", "cancellation-reason")
HOLD_LAPSED: Final = "hold-lapsed"


def cancelled(
    appointment: Resource, date: str, *, reason: Json = None, by: Json = None
) -> Resource:
    """The Appointment, cancelled.

    Args:
        appointment: before; it is not changed.
        date: when, an instant.
        reason: a CodeableConcept.
        by: a Reference to whoever cancels it.
    """
    told = [{"url": CANCELLATION_DATE, "valueDateTime": date}]
    if by is not None:
        told.append({"url": CANCELLED_BY, "valueReference": by})
    after = {
        **appointment,
        "status": "cancelled",
        "extension": [*without(appointment.get("extension", ()), told), *told],
    }
    if reason is not None:
        after["cancelationReason"] = reason
    return after


def without(extensions: Iterable[Json], told: Iterable[Json]) -> list[Json]:
    """The extensions that have none of the same URLs."""
    urls = {one["url"] for one in told}
    return [one for one in extensions if one.get("url") not in urls]


def lapsed_reason() -> Json:
    """The reason of a hold that nobody has used in time."""
    coding = {"system": REASONS, "code": HOLD_LAPSED, "display": "Hold lapsed"}
    return {"coding": [coding], "text": "The hold was not used in time"}
