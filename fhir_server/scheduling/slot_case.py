"""What one Slot goes through in a plan: before it, and as the client (not the guard) wants it."""

from dataclasses import dataclass
from functools import cached_property

from fhir_server.fhir.types import Resource
from fhir_server.scheduling import cells, lifecycle
from fhir_server.scheduling.cells import Change
from fhir_server.scheduling.claims import Claim
from fhir_server.scheduling.draft import Draft
from fhir_server.scheduling.occupancy import SlotTime, slot_time
from fhir_server.scheduling.plan import Occupancy, OccupancyKind


@dataclass(frozen=True)
class SlotCase:
    """One Slot before and after the client's writes.

    Attributes:
        id: its logical id.
        written: whether the client writes it.
        before: the live resource as stored; None when there is none.
        after: the live resource as the client wants it; None when it is deleted.
        base_url: our FHIR base.
    """

    id: str
    written: bool
    before: Resource | None
    after: Resource | None
    base_url: str

    @property
    def reference(self) -> str:
        """`Slot/<id>`."""
        return f"Slot/{self.id}"

    @property
    def status_before(self) -> str | None:
        """The stored status."""
        return self.before["status"] if self.before else None

    @property
    def status_after(self) -> str | None:
        """The status that the client wants."""
        return self.after["status"] if self.after else None

    @cached_property
    def time_before(self) -> SlotTime | None:
        """The stored Schedule and time."""
        return slot_time(self.before, self.base_url) if self.before else None

    @cached_property
    def time_after(self) -> SlotTime | None:
        """The Schedule and time that the client wants; None when the Schedule is not here."""
        if self.after is None:
            return None
        return self.time_before if self._same_text else slot_time(self.after, self.base_url)

    @property
    def occupies(self) -> bool:
        """Whether its status occupies time before or after the plan."""
        return bool(lifecycle.slot_kind(self.before) or lifecycle.slot_kind(self.after))

    @property
    def status_set(self) -> bool:
        """Whether the client gives it another status."""
        return self.written and self.status_before != self.status_after

    @property
    def schedule_set(self) -> bool:
        """Whether the client gives it another Schedule, or its first."""
        if self.before is None or self.time_before is None or self.time_after is None:
            return not self._same_text
        return self.time_before.schedule != self.time_after.schedule

    @property
    def changed_element(self) -> str | None:
        """The first element whose change matters to whoever holds the Slot."""
        if self.before is None or self.after is None:
            return "Slot"
        if self.status_before != self.status_after:
            return "Slot.status"
        if self._same_text or self.time_before == self.time_after:
            return None
        if self.time_before is None or self.time_after is None or self.schedule_set:
            return "Slot.schedule"
        return "Slot.start" if self.time_before.start != self.time_after.start else "Slot.end"

    @property
    def _same_text(self) -> bool:
        if self.before is None or self.after is None:
            return False
        before, after = self.before, self.after
        return all(before.get(name) == after.get(name) for name in ("schedule", "start", "end"))


def slot_case(draft: Draft, logical_id: str) -> SlotCase:
    """The Slot as the draft has it so far."""
    return SlotCase(
        logical_id,
        written=draft.written("Slot", logical_id) is not None,
        before=draft.before("Slot", logical_id),
        after=draft.after("Slot", logical_id),
        base_url=draft.view.base_url,
    )


def holding(draft: Draft, case: SlotCase) -> Occupancy | None:
    """How an Appointment holds the Slot before the plan."""
    if case.time_before is None or lifecycle.slot_kind(case.before) in {None, "blocked"}:
        return None
    return cells.slot_entry(draft.view, case.reference, case.time_before)


def occupied(case: SlotCase, held: Occupancy | None) -> list[Change]:
    """How the Slot's time is occupied before the plan: by at most one."""
    kind = lifecycle.slot_kind(case.before)
    if case.time_before is None:
        return []
    if held is not None:
        return [Change(case.time_before.schedule, held, "Slot.status", case.reference)]
    return [_closing(case, case.time_before, kind)] if kind else []


def occupations(draft: Draft, case: SlotCase, wanted: list[Claim]) -> list[Change]:
    """How the Slot's time is to be occupied after the plan, the guard's own flips included."""
    slot = draft.after("Slot", case.id)
    if slot is None or case.time_after is None:
        return []
    if wanted:
        return [_claimed(case, case.time_after, claim) for claim in wanted]
    kind = lifecycle.slot_kind(slot)
    return [_closing(case, case.time_after, kind)] if kind else []


def _claimed(case: SlotCase, time: SlotTime, claim: Claim) -> Change:
    occupancy = Occupancy(
        time.start,
        time.end,
        claim.appointment,
        case.reference,
        claim.kind,
        claim.expires,
        claim.owner,
    )
    return Change(time.schedule, occupancy, claim.expression, case.reference)


def _closing(case: SlotCase, time: SlotTime, kind: OccupancyKind) -> Change:
    """The Slot itself says that it is not free."""
    occupancy = Occupancy(time.start, time.end, case.reference, None, kind)
    return Change(time.schedule, occupancy, "Slot.status", case.reference)
