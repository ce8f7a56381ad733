"""`Appointment/$hold`: an Appointment that keeps its slots for its client until it is booked."""

from dataclasses import dataclass

from fhir_server.fhir.dates import format_instant, microseconds
from fhir_server.fhir.types import Resource
from fhir_server.scheduling import holds, moves
from fhir_server.scheduling.booking import HOLDING, source, timed, written
from fhir_server.scheduling.plan import Hold, Plan, View

_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class HoldRules:
    """What the settings say of holds.

    Attributes:
        seconds: how long a hold lasts.
        per_patient: most holds of one patient at a time; 0 for any number.
        per_client: most holds of one client at a time; 0 for any number.
    """

    seconds: int
    per_patient: int
    per_client: int


def plan_hold(appointment: Resource | str, view: View, new_id: str, rules: HoldRules) -> Plan:
    """Hold an Appointment's slots, or prolong the hold that this client has on them.

    Args:
        appointment: a valid Appointment, `proposed` or `pending`; with the id of one that is
            stored it replaces that one. Or the reference of a stored one.
        view: the present.
        new_id: the id of a new Appointment; the same on every attempt.
        rules: how long, and how many.

    Returns:
        One write, a pending Appointment; `result` is `Appointment/<id>`. The guard takes the
        slots, tells the end in `held-until`, and refuses what another client holds.

    Raises:
        VersionConflict: the Appointment as sent is not the stored one's current version.
        BusinessRule: wrong status, no or unknown slots, a time in the past.
    """
    logical_id, version, resource = source(appointment, view, new_id, HOLDING)
    stored = view.get("Appointment", logical_id) if version else None
    if stored is not None and stored.resource["status"] == "pending":
        _refuse_permanent(stored.resource)
    held = {**resource, "status": "pending", **timed(resource, view)}
    held.setdefault("created", format_instant(view.now))
    hold = Hold(
        f"Appointment/{logical_id}",
        microseconds(view.now) + rules.seconds * _SECOND,
        view.client,
        rules.per_patient,
        rules.per_client,
    )
    write = written(logical_id, version, held)
    return Plan((write,), result=hold.appointment, holds=(hold,))


def _refuse_permanent(appointment: Resource) -> None:
    """A request that waits for consent keeps its slots without an end; it must not get one."""
    if holds.held_until(appointment) is None:
        raise moves.wrong_status("Appointment", "pending", ("booked", "cancelled"))
