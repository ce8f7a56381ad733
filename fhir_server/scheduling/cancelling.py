"""`Appointment/$cancel`: an Appointment that is stored, cancelled with a reason."""

from fhir_server.fhir.dates import format_instant
from fhir_server.fhir.types import Json
from fhir_server.scheduling import lifecycle
from fhir_server.scheduling.booking import Purpose, commented, source, written
from fhir_server.scheduling.cancellation import cancelled
from fhir_server.scheduling.occupancy import target
from fhir_server.scheduling.plan import Plan, View

CANCELLING = Purpose(
    "cancelled",
    tuple(before for before, after in lifecycle.APPOINTMENT_MOVES.items() if "cancelled" in after),
)


def plan_cancel(
    reference: str, view: View, *, reason: Json = None, by: Json = None, comment: str | None = None
) -> Plan:
    """Cancel an Appointment; the guard frees its slots.

    A participant who cancels has declined; the others stay as they are.

    Args:
        reference: the stored Appointment's.
        view: the present.
        reason: a coded CodeableConcept.
        by: a Reference to whoever cancels.
        comment: added to `Appointment.comment`.

    Returns:
        One write; `result` is `Appointment/<id>`.

    Raises:
        BusinessRule: the reference leads nowhere, or the status does not allow it.
    """
    logical_id, version, resource = source(reference, view, "", CANCELLING)
    after = cancelled(resource, format_instant(view.now), reason=reason, by=by)
    who = target(by, view.base_url)
    if who is not None:
        after["participant"] = [
            {**one, "status": "declined"} if target(one.get("actor"), view.base_url) == who else one
            for one in resource["participant"]
        ]
    if comment:
        after["comment"] = commented(resource, comment)
    return Plan((written(logical_id, version, after),), result=f"Appointment/{logical_id}")
