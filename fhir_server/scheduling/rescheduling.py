"""`Appointment/$reschedule`: the same Appointment at another time, all or nothing."""

from dataclasses import dataclass

from fhir_server.fhir.types import Json, Resource
from fhir_server.scheduling import refusals
from fhir_server.scheduling.booking import Purpose, commented, source, timed, written
from fhir_server.scheduling.draft import Draft
from fhir_server.scheduling.moves import schedule_actors
from fhir_server.scheduling.occupancy import instant_of, target
from fhir_server.scheduling.plan import Plan, View

RESCHEDULING = Purpose("rescheduled", ("pending", "booked"))
_MINUTE = 60_000_000


@dataclass(frozen=True, slots=True)
class NewTime:
    """Where an Appointment is to go.

    Attributes:
        slots: References to the new Slots.
        start: an instant within them; None for their beginning.
        end: an instant within them; None for their end.
    """

    slots: tuple[Json, ...]
    start: str | None = None
    end: str | None = None


def plan_reschedule(
    reference: str, view: View, *, time: NewTime, comment: str | None = None
) -> Plan:
    """Move an Appointment to other slots. The guard takes them and frees the old ones, or refuses.

    Where the new slots are of another Schedule, its actor takes the place of the old one's, if
    there is exactly one of the same type.

    Args:
        reference: the stored Appointment's.
        view: the present.
        time: the new one.
        comment: added to `Appointment.comment`.

    Returns:
        One write, status and id as before; `result` is `Appointment/<id>`.

    Raises:
        BusinessRule: wrong status, no or unknown slots, a time in the past.
    """
    logical_id, version, resource = source(reference, view, "", RESCHEDULING)
    if not time.slots:
        raise refusals.rule(
            refusals.SLOT_REQUIRED,
            "Rescheduling needs at least one Slot. Find one with "
            "GET Slot?status=free&schedule=Schedule/[id].",
            "Parameters.parameter.where(name='slot')",
        )
    moved = {name: value for name, value in resource.items() if name not in {"start", "end"}}
    moved["slot"] = list(time.slots)
    given = {"start": time.start, "end": time.end}
    moved |= {name: value for name, value in given.items() if value is not None}
    moved |= timed(moved, view)
    if "minutesDuration" in moved:
        length = instant_of(moved["end"]) - instant_of(moved["start"])
        moved["minutesDuration"] = max(1, length // _MINUTE)
    moved["participant"] = _participants(resource, moved, view)
    if comment:
        moved["comment"] = commented(resource, comment)
    return Plan((written(logical_id, version, moved),), result=f"Appointment/{logical_id}")


def _participants(before: Resource, after: Resource, view: View) -> list[Json]:
    draft = Draft(Plan(), view)
    old, new = schedule_actors(draft, before), schedule_actors(draft, after)
    present = {target(one.get("actor"), view.base_url) for one in before["participant"]}
    changed = []
    for one in before["participant"]:
        actor = target(one.get("actor"), view.base_url)
        found = []
        if actor is not None and actor in old - new:
            kind = actor.split("/", maxsplit=1)[0]
            found = [other for other in new - present if other.startswith(f"{kind}/")]
        changed.append({**one, "actor": {"reference": found[0]}} if len(found) == 1 else one)
    return changed
