"""A store of Schedules, Slots and Appointments in memory, with the promises of the real one.

Decisions see a fixed state and are run again when they ask for what is not loaded; plans are
applied whole or, when anything they saw to write has changed, not at all.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from fhir_server.fhir.dates import format_instant, parse_instant
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.guard import extend
from fhir_server.scheduling.holds import LEDGER, held_until
from fhir_server.scheduling.plan import (
    Cell,
    CellWrite,
    Criteria,
    Occupancy,
    Plan,
    View,
    Write,
)

BASE_URL = "https://example.org/fhir"
NOW = datetime(2030, 1, 7, 8, 0, tzinfo=UTC)
Key = tuple[str, str]


class NotLoaded(BaseException):
    """A decision asked for something that was not loaded."""


class Stale(Exception):
    """Something that the plan writes has changed since it was decided."""


@dataclass(frozen=True)
class Version:
    """A stored version, as decisions see it."""

    type: str
    id: str
    version: int
    last_updated: datetime
    resource: Resource
    deleted: bool = False

    @property
    def json(self) -> bytes:
        """The resource as served."""
        return b"" if self.deleted else orjson.dumps(self.resource)


@dataclass
class Agenda:
    """The whole state."""

    now: datetime = NOW
    resources: dict[Key, Version] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)
    cell_versions: Iterable[int] = field(default_factory=lambda: itertools.count(1))
    rounds: int = 0
    client: str = "portal"

    def copy(self) -> "Agenda":
        """The present state, fixed."""
        return Agenda(
            self.now, dict(self.resources), dict(self.cells), self.cell_versions, client=self.client
        )

    def decide(self, decide: Callable[[View], Plan]) -> Plan:
        """The complete plan, nothing written; `rounds` counts the loads it took."""
        view = LoadingView(self)
        self.rounds = 0
        while True:
            try:
                return extend(decide(view), view)
            except NotLoaded:
                self.rounds += 1
                view.load()

    def run(self, decide: Callable[[View], Plan]) -> Plan:
        """Decide and write."""
        plan = self.decide(decide)
        self.apply(plan)
        return plan

    def write(self, *writes: Write) -> Plan:
        """Write these, as the guard allows."""
        return self.run(lambda _: Plan(writes))

    def apply(self, plan: Plan) -> None:
        """All of the plan, or Stale and nothing."""
        keys = [(write.type, write.id) for write in plan.writes]
        assert len(keys) == len(set(keys)), "a resource is written twice"
        cell_ids = [cell.id for cell in plan.cells]
        assert len(cell_ids) == len(set(cell_ids)), "a cell is written twice"
        if any(
            self.version(*key) != write.expected_version
            for key, write in zip(keys, plan.writes, strict=True)
        ):
            raise Stale
        if any(self.cell_version(cell.id) != cell.expected_version for cell in plan.cells):
            raise Stale
        for write in plan.writes:
            self._apply_write(write)
        for cell in plan.cells:
            self._apply_cell(cell)

    def version(self, resource_type: str, logical_id: str) -> int:
        """The current version, deletions included; 0 when there never was one."""
        stored = self.resources.get((resource_type, logical_id))
        return stored.version if stored else 0

    def cell_version(self, cell_id: str) -> int:
        """The cell's version; 0 when there is none."""
        return self.cells[cell_id].version if cell_id in self.cells else 0

    def read(self, reference: str) -> Resource:
        """A live resource."""
        stored = self.resources[tuple(reference.split("/"))]  # type: ignore[index]
        assert not stored.deleted
        return stored.resource

    def live(self, resource_type: str) -> dict[str, Resource]:
        """Every live resource of a type by reference."""
        return {
            f"{stored.type}/{stored.id}": stored.resource
            for stored in self.resources.values()
            if stored.type == resource_type and not stored.deleted
        }

    def post(self, resource: Resource, logical_id: str) -> Write:
        """A create."""
        return Write(resource["resourceType"], logical_id, "create", resource, "POST", 0)

    def put(self, reference: str, resource: Resource | None = None, **changes: Any) -> Write:
        """An update, or an update as create, of the present version."""
        resource_type, logical_id = reference.split("/")
        content = {**(self.read(reference) if resource is None else resource), **changes}
        version = self.version(resource_type, logical_id)
        action = "update" if version else "create"
        return Write(resource_type, logical_id, action, content, "PUT", version)  # type: ignore[arg-type]

    def delete(self, reference: str) -> Write:
        """A delete of the present version."""
        resource_type, logical_id = reference.split("/")
        version = self.version(resource_type, logical_id)
        return Write(resource_type, logical_id, "delete", None, "DELETE", version)

    def _apply_write(self, write: Write) -> None:
        version = write.expected_version + 1
        meta = {"versionId": str(version), "lastUpdated": format_instant(self.now)}
        resource = {**(write.resource or {}), "id": write.id, "meta": meta}
        self.resources[write.type, write.id] = Version(
            write.type, write.id, version, self.now, resource, write.action == "delete"
        )

    def _apply_cell(self, cell: CellWrite) -> None:
        if cell.entries:
            self.cells[cell.id] = Cell(cell.id, next(iter(self.cell_versions)), cell.entries)
        else:
            del self.cells[cell.id]


class LoadingView:
    """What one decision sees: only what was loaded after it asked."""

    def __init__(self, agenda: Agenda) -> None:
        self.base_url = BASE_URL
        self.client = agenda.client
        self.now = agenda.now
        self._agenda = agenda.copy()
        self._loaded: set[object] = set()
        self._missing: set[object] = set()

    def load(self) -> None:
        """Load what was asked for."""
        assert self._missing, "a decision ended without asking for anything"
        self._loaded |= self._missing
        self._missing.clear()

    def _need(self, *keys: object) -> None:
        self._missing = {key for key in keys if key not in self._loaded}
        if self._missing:
            raise NotLoaded

    def get(self, resource_type: str, logical_id: str) -> Version | None:
        """See `View.get`."""
        self._need((resource_type, logical_id))
        return self._agenda.resources.get((resource_type, logical_id))

    def cell(self, cell_id: str) -> Cell:
        """See `View.cell`."""
        self._need(cell_id)
        return self._agenda.cells.get(cell_id, Cell(cell_id, 0, ()))

    def find(self, criteria: Criteria) -> list[Version]:
        """See `View.find`."""
        self._need((criteria.type, "?"))
        versions = self._agenda.resources.values()
        live = [one for one in versions if one.type == criteria.type and not one.deleted]
        return [one for one in live if criteria.admits(one.resource)]

    def exists(self, resource_type: str, term: str) -> bool:
        """See `View.exists`; knows the one term that scheduling asks for."""
        self._need((resource_type, term))
        assert resource_type == "Slot"
        schedule = term.removeprefix("schedule=")
        return any(
            slot["schedule"]["reference"] == schedule for slot in self._agenda.live("Slot").values()
        )

    def prefetch(
        self,
        *,
        resources: Iterable[Key] = (),
        cells: Iterable[str] = (),
        criteria: Iterable[Criteria] = (),
    ) -> None:
        """See `View.prefetch`."""
        self._need(*resources, *cells, *((one.type, "?") for one in criteria))


def at(minutes: int) -> str:
    """An instant so many minutes after `NOW`."""
    return format_instant(NOW + timedelta(minutes=minutes))


def schedule() -> Resource:
    """A Schedule of one practitioner."""
    return {"resourceType": "Schedule", "actor": [{"reference": "Practitioner/1"}]}


def slot(start: int, end: int, status: str = "free", schedule: str = "Schedule/1") -> Resource:
    """A Slot; times in minutes after `NOW`."""
    return {
        "resourceType": "Slot",
        "schedule": {"reference": schedule},
        "status": status,
        "start": at(start),
        "end": at(end),
    }


def appointment(
    *slots: str, start: int | None = 60, end: int | None = 90, status: str = "booked", **more: Any
) -> Resource:
    """An Appointment of Patient/1 with Practitioner/1; times in minutes after `NOW`."""
    built: Resource = {
        "resourceType": "Appointment",
        "status": status,
        "participant": [
            {"actor": {"reference": "Patient/1"}, "status": "accepted"},
            {"actor": {"reference": "Practitioner/1"}, "status": "needs-action"},
        ],
    }
    if start is not None and end is not None:
        built |= {"start": at(start), "end": at(end)}
    if slots:
        built["slot"] = [{"reference": reference} for reference in slots]
    return built | more


def clinic() -> Agenda:
    """Two Schedules; Slots 1, 2, 3 of 30 minutes in a row from minute 60 on Schedule/1.

    Slot/4 overlaps 1 and 2 on the same Schedule; Slot/5 is beside 1 on Schedule/2.
    """
    agenda = Agenda()
    agenda.write(agenda.post(schedule(), "1"))
    agenda.write(agenda.post(schedule(), "2"))
    agenda.write(agenda.post(slot(60, 90), "1"))
    agenda.write(agenda.post(slot(90, 120), "2"))
    agenda.write(agenda.post(slot(120, 150), "3"))
    agenda.write(agenda.post(slot(75, 105), "4"))
    agenda.write(agenda.post(slot(60, 90, schedule="Schedule/2"), "5"))
    return agenda


def entries(agenda: Agenda) -> dict[tuple[str, Occupancy], set[int]]:
    """Everything the cells hold: by Schedule and span, the numbers of the cells that hold it."""
    found: dict[tuple[str, Occupancy], set[int]] = {}
    for cell in agenda.cells.values():
        schedule_reference, number = cell.id.split("|")
        assert cell.entries, f"{cell.id} is stored empty"
        if number == LEDGER:
            continue
        assert len(set(cell.entries)) == len(cell.entries)
        for entry in cell.entries:
            found.setdefault((schedule_reference, entry), set()).add(int(number))
    return found


def microseconds(text: str) -> int:
    """Of a FHIR instant, since the epoch."""
    return (parse_instant(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def holders(agenda: Agenda) -> dict[str, str]:
    """Who holds each Slot, by its reference."""
    return {entry.slot or entry.holder: entry.holder for _, entry in entries(agenda)}


def assert_consistent(agenda: Agenda) -> None:
    """Appointments, Slots and cells agree, and nothing is held twice."""
    held = entries(agenda)
    _assert_exclusive(held)
    slots = agenda.live("Slot")
    appointments = agenda.live("Appointment")
    expected: dict[str, tuple[int, int, str, str]] = {}
    for reference, one in slots.items():
        kind = {"busy": "busy", "busy-tentative": "tentative", "busy-unavailable": "blocked"}
        if one["status"] in kind:
            schedule_reference = one["schedule"]["reference"].removeprefix(f"{BASE_URL}/")
            span = microseconds(one["start"]), microseconds(one["end"])
            expected[reference] = (*span, schedule_reference, kind[one["status"]])
    seen: dict[str, tuple[int, int, str, str]] = {}
    for (schedule_reference, entry), numbers in held.items():
        reference = entry.slot or entry.holder
        assert reference not in seen, f"{reference} is held twice"
        seen[reference] = (entry.start, entry.end, schedule_reference, entry.kind)
        half_hour = 30 * 60 * 1_000_000
        assert numbers == set(range(entry.start // half_hour, (entry.end - 1) // half_hour + 1))
        if entry.slot:
            assert entry.expires == held_until(appointments[entry.holder])
            assert (entry.owner is None) == (entry.expires is None)
            _assert_holds(appointments[entry.holder], entry)
        else:
            assert entry.holder.startswith("Slot/")
    assert seen == expected
    _assert_held(agenda, appointments)


KINDS = {
    "pending": "tentative",
    "booked": "busy",
    "arrived": "busy",
    "checked-in": "busy",
    "fulfilled": "busy",
    "noshow": "busy",
}


def _assert_exclusive(held: Iterable[tuple[str, Occupancy]]) -> None:
    exclusive = sorted(
        (key for key in held if key[1].kind != "blocked"), key=lambda key: (key[0], key[1].start)
    )
    for (schedule_1, one), (schedule_2, two) in itertools.combinations(exclusive, 2):
        if schedule_1 == schedule_2 and one.holder != two.holder:
            assert one.end <= two.start or two.end <= one.start, f"{one} overlaps {two}"


def _assert_holds(holder: Resource, entry: Occupancy) -> None:
    assert KINDS[holder["status"]] == entry.kind
    assert {"reference": entry.slot} in holder["slot"]


def _assert_held(agenda: Agenda, appointments: dict[str, Resource]) -> None:
    """Whoever is live and still to come holds every Slot that it names."""
    found = holders(agenda)
    for reference, one in appointments.items():
        if one["status"] in KINDS and one.get("slot") and parse_instant(one["end"]) > agenda.now:
            for named in one["slot"]:
                assert found.get(named["reference"]) == reference
