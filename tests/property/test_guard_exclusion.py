"""Random interleavings of every kind of write never leave the agenda inconsistent."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fhir_server.fhir.errors import FhirError, Transient
from fhir_server.fhir.outcome import status_of
from fhir_server.scheduling import refusals
from fhir_server.scheduling.booking import plan_book, plan_confirm
from fhir_server.scheduling.cancelling import plan_cancel
from fhir_server.scheduling.holding import HoldRules, plan_hold
from fhir_server.scheduling.holds import plan_lapse
from fhir_server.scheduling.plan import Plan, View, Write
from fhir_server.scheduling.rescheduling import NewTime, plan_reschedule
from fhir_server.scheduling.validation import Validated, plan_validation
from tests.agenda import (
    Agenda,
    Stale,
    appointment,
    assert_consistent,
    schedule,
    slot,
)

HOLDS = HoldRules(seconds=300, per_patient=2, per_client=3)
SLOT_STATUSES = ["free", "busy", "busy-tentative", "busy-unavailable", "entered-in-error"]
APPOINTMENT_STATUSES = [
    "proposed",
    "pending",
    "booked",
    "arrived",
    "fulfilled",
    "cancelled",
    "noshow",
    "entered-in-error",
    "checked-in",
    "waitlist",
]

ids = st.sampled_from(["1", "2", "3", "4"])
times = st.sampled_from(
    [(30, 60), (60, 90), (90, 120), (50, 70), (60, 75), (75, 105), (30, 120), (-60, -30), (0, 30)]
)
schedules = st.sampled_from(["Schedule/1", "Schedule/2"])
slots = st.tuples(times, st.sampled_from([*SLOT_STATUSES, "free", "free", "free"]), schedules).map(
    lambda drawn: slot(*drawn[0], status=drawn[1], schedule=drawn[2])
)
slot_references = st.lists(ids.map(lambda logical_id: f"Slot/{logical_id}"), min_size=1, max_size=2)
statuses = st.sampled_from([*APPOINTMENT_STATUSES, "booked", "booked", "pending"])

Step = Callable[[Agenda], Write | None]


def _write_slot(logical_id: str, content: dict[str, Any]) -> Step:
    return lambda agenda: agenda.put(f"Slot/{logical_id}", content)


def _change_slot(logical_id: str, changes: dict[str, Any]) -> Step:
    def step(agenda: Agenda) -> Write | None:
        reference = f"Slot/{logical_id}"
        return agenda.put(reference, **changes) if reference in agenda.live("Slot") else None

    return step


def _write_appointment(logical_id: str, named: list[str], status: str, fitting: bool) -> Step:
    """An Appointment whose time is that of its slots, or an hour in the middle of the day."""

    def step(agenda: Agenda) -> Write:
        content = appointment(*named, status=status)
        live = agenda.live("Slot")
        found = [live[reference] for reference in named if reference in live]
        if fitting and found:
            content["start"] = min(one["start"] for one in found)
            content["end"] = max(one["end"] for one in found)
        return agenda.put(f"Appointment/{logical_id}", content)

    return step


def _set_status(logical_id: str, status: str) -> Step:
    def step(agenda: Agenda) -> Write | None:
        reference = f"Appointment/{logical_id}"
        if reference not in agenda.live("Appointment"):
            return None
        return agenda.put(reference, status=status)

    return step


def _delete(reference: str) -> Step:
    def step(agenda: Agenda) -> Write | None:
        resource_type = reference.split("/", maxsplit=1)[0]
        return agenda.delete(reference) if reference in agenda.live(resource_type) else None

    return step


def _answer(logical_id: str, status: str, actor: str, response_id: str) -> Step:
    content = {
        "resourceType": "AppointmentResponse",
        "appointment": {"reference": f"Appointment/{logical_id}"},
        "actor": {"reference": actor},
        "participantStatus": status,
    }
    return lambda agenda: agenda.put(f"AppointmentResponse/{response_id}", content)


steps = st.one_of(
    st.builds(_write_slot, ids, slots),
    st.builds(_change_slot, ids, st.fixed_dictionaries({"comment": st.just("changed")})),
    st.builds(_change_slot, ids, st.fixed_dictionaries({"status": st.sampled_from(SLOT_STATUSES)})),
    st.builds(_write_appointment, ids, slot_references, statuses, st.just(True)),
    st.builds(_write_appointment, ids, slot_references, statuses, st.just(True)),
    st.builds(_write_appointment, ids, slot_references, st.just("booked"), st.just(True)),
    st.builds(_write_appointment, ids, slot_references, statuses, st.just(False)),
    st.builds(_set_status, ids, statuses),
    st.builds(_delete, st.tuples(st.sampled_from(["Slot", "Appointment"]), ids).map("/".join)),
    st.builds(
        _answer,
        ids,
        st.sampled_from(["accepted", "declined", "tentative", "needs-action"]),
        st.sampled_from(["Patient/1", "Practitioner/1"]),
        ids,
    ),
)


class GuardMachine(RuleBasedStateMachine):
    """Clients decide on what they see, then try to write it, in any order."""

    @initialize()
    def open_schedules(self) -> None:
        """Two Schedules with a few free Slots each."""
        self.agenda = Agenda()
        self.decided: list[tuple[Plan, Plan]] = []
        self.agenda.write(self.agenda.post(schedule(), "1"))
        self.agenda.write(self.agenda.post(schedule(), "2"))
        for number, start in enumerate((30, 60, 75, 60), start=1):
            owner = "Schedule/2" if number == 4 else "Schedule/1"
            free = slot(start, start + 30, schedule=owner)
            self.agenda.write(self.agenda.post(free, str(number)))
        self.client_set = dict.fromkeys(self.agenda.live("Slot"), "free")

    @rule(chosen=st.lists(steps, min_size=1, max_size=4))
    def write(self, chosen: list[Step]) -> None:
        """One request with one or several writes, decided and written at once."""
        self._commit(self._decide(chosen))

    @rule(chosen=st.lists(steps, min_size=1, max_size=3))
    def decide(self, chosen: list[Step]) -> None:
        """A request that is decided now and written after others."""
        plans = self._decide(chosen)
        if plans is not None:
            self.decided.append(plans)

    @rule(number=st.integers(0, 5))
    def commit(self, number: int) -> None:
        """One of the decided requests reaches the database."""
        if self.decided:
            self._commit(self.decided.pop(number % len(self.decided)))

    @rule(one=st.lists(steps, min_size=1, max_size=2), two=st.lists(steps, min_size=1, max_size=2))
    def race(self, one: list[Step], two: list[Step]) -> None:
        """Two requests that see the same state and are written one after the other."""
        for plans in [self._decide(one), self._decide(two)]:
            self._commit(plans)

    @rule(logical_id=ids, named=slot_references, later=st.booleans())
    def book(self, logical_id: str, named: list[str], later: bool) -> None:
        """A $book, written at once or after others."""
        asked = appointment(*named, status="proposed", start=None)
        taken = self.agenda.version("Appointment", logical_id) > 0
        source = f"Appointment/{logical_id}" if taken else asked
        self._act(lambda view: plan_book(source, view, logical_id), later=later)

    @rule(logical_id=ids, named=slot_references, later=st.booleans())
    def hold(self, logical_id: str, named: list[str], later: bool) -> None:
        """A $hold of a new Appointment, or of one that is there, which prolongs a hold."""
        asked = appointment(*named, status="proposed", start=None)
        taken = self.agenda.version("Appointment", logical_id) > 0
        source = f"Appointment/{logical_id}" if taken else asked
        self._act(lambda view: plan_hold(source, view, logical_id, HOLDS), later=later)

    @rule(logical_id=ids, named=slot_references, later=st.booleans())
    def reschedule(self, logical_id: str, named: list[str], later: bool) -> None:
        """A $reschedule of whatever is there."""
        time = NewTime(tuple({"reference": one} for one in named))
        reference = f"Appointment/{logical_id}"
        self._act(lambda view: plan_reschedule(reference, view, time=time), later=later)

    @rule(logical_id=ids, confirm=st.booleans(), later=st.booleans())
    def settle(self, logical_id: str, confirm: bool, later: bool) -> None:
        """A $confirm or a $cancel of whatever is there."""
        chosen = plan_confirm if confirm else plan_cancel
        self._act(lambda view: chosen(f"Appointment/{logical_id}", view), later=later)

    @rule(logical_id=ids, named=slot_references)
    def validate(self, logical_id: str, named: list[str]) -> None:
        """$validate-booking writes nothing and finds fault exactly when $book does."""
        asked = appointment(*named, status="proposed", start=None)
        taken = self.agenda.version("Appointment", logical_id) > 0
        source = f"Appointment/{logical_id}" if taken else asked
        before = self.agenda.copy()
        plan = self.agenda.run(lambda view: plan_validation(source, view, logical_id))
        assert (before.resources, before.cells) == (self.agenda.resources, self.agenda.cells)
        assert isinstance(plan.result, Validated)
        try:
            self.agenda.decide(lambda view: plan_book(source, view, logical_id))
        except FhirError as refused:
            told = {(one.details, one.expression) for one in plan.result.refused}
            for one in getattr(refused, "issues", (refused,)):
                assert (one.details, one.expression) in told
        else:
            assert not plan.result.refused

    @rule(logical_id=ids, later=st.booleans())
    def sweep(self, logical_id: str, later: bool) -> None:
        """The sweep looks at an Appointment."""
        self._act(plan_lapse(logical_id), later=later)

    @rule(client=st.sampled_from(["one", "two"]))
    def change_client(self, client: str) -> None:
        """Somebody else goes on."""
        self.agenda.client = client

    @rule()
    def wait(self) -> None:
        """Time goes on."""
        self.agenda.now += timedelta(minutes=3)

    @invariant()
    def consistent(self) -> None:
        """Appointments, Slots and cells agree; freed slots are free."""
        assert_consistent(self.agenda)
        held = {
            named["reference"]
            for one in self.agenda.live("Appointment").values()
            for named in one.get("slot", ())
        }
        for reference, one in self.agenda.live("Slot").items():
            if reference not in held and one["status"] != "free":
                assert self.client_set[reference] == one["status"]

    def _act(self, decide: Callable[[View], Plan], *, later: bool) -> None:
        """Write what an operation decides, at once or after others."""
        plans = self._complete(decide)
        if later and plans is not None:
            self.decided.append(plans)
        else:
            self._commit(plans)

    def _decide(self, chosen: list[Step]) -> tuple[Plan, Plan] | None:
        writes = {}
        for step in chosen:
            write = step(self.agenda)
            if write is not None:
                writes[write.type, write.id] = write
        plan = Plan(tuple(writes.values()))
        return self._complete(lambda _: plan) if writes else None

    def _complete(self, decide: Callable[[View], Plan]) -> tuple[Plan, Plan] | None:
        """The client's plan and the complete one."""
        own = Plan()

        def remember(view: View) -> Plan:
            nonlocal own
            own = decide(view)
            return own

        try:
            plan = self.agenda.decide(remember)
        except FhirError as refused:
            _assert_explained(refused)
            return None
        answers = [write for write in plan.writes if write.type == "AppointmentResponse"]
        if len(answers) < 2:
            again = self.agenda.decide(lambda _: plan)
            assert again == plan, "completing a plan twice changes it"
        return own, plan

    def _commit(self, plans: tuple[Plan, Plan] | None) -> None:
        if plans is None:
            return
        own, plan = plans
        before = self.agenda.copy()
        try:
            self.agenda.apply(plan)
        except Stale:
            assert (before.resources, before.cells) == (self.agenda.resources, self.agenda.cells)
            return
        for write in own.writes:
            if write.type == "Slot" and write.resource is not None:
                self.client_set[f"Slot/{write.id}"] = write.resource["status"]


def _assert_explained(refused: FhirError) -> None:
    assert not isinstance(refused, Transient)
    for one in getattr(refused, "issues", (refused,)):
        assert one.details in refusals.REASONS
        assert one.expression
        assert status_of(one) in {409, 422}


TestGuard = GuardMachine.TestCase
TestGuard.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
