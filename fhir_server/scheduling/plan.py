"""What a decision may see and what it may ask to be written.

A decision is a pure function `View -> Plan`. The store runs it again from the start whenever it
asks for something that is not loaded yet or that changed meanwhile, so it must have no effects.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from fhir_server.fhir.errors import FhirError
from fhir_server.fhir.types import Resource

Action = Literal["create", "update", "delete"]
OccupancyKind = Literal["busy", "tentative", "blocked"]


class Stored(Protocol):
    """The current version of a resource, or the marker of its deletion."""

    @property
    def type(self) -> str:
        """The resource type."""

    @property
    def id(self) -> str:
        """The logical id."""

    @property
    def version(self) -> int:
        """The version id; 1 is the first."""

    @property
    def last_updated(self) -> datetime:
        """When this version was written; aware, UTC."""

    @property
    def deleted(self) -> bool:
        """Whether this version is a deletion."""

    @property
    def json(self) -> bytes:
        """The resource as served; empty when deleted."""

    @property
    def resource(self) -> Resource:
        """The parsed resource, shared: copy it before you change it."""


@dataclass(frozen=True, slots=True)
class Write:
    """One new version of one resource.

    Attributes:
        resource: the content; None on delete. The store stamps `id`, `meta.versionId` and
            `meta.lastUpdated` on a copy.
        method: how history shows it.
        expected_version: the version that the decision saw; 0 when there was none. The write is
            refused by the database when it is no longer the current one.
    """

    type: str
    id: str
    action: Action
    resource: Resource | None
    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    expected_version: int


@dataclass(frozen=True, slots=True)
class Occupancy:
    """A span of a Schedule's time that somebody holds.

    Attributes:
        start: microseconds since the epoch, inclusive.
        end: microseconds since the epoch, exclusive.
        holder: `Appointment/<id>`, or `Slot/<id>` when the Slot itself says that it is busy.
        slot: the Slot through which an Appointment holds it.
        kind: `blocked` may lie over other holders and refuses new ones.
        expires: microseconds since the epoch from which on it holds nothing; None for no end.
        owner: the client that alone may use what expires.
    """

    start: int
    end: int
    holder: str
    slot: str | None
    kind: OccupancyKind
    expires: int | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """Who holds which part of half an hour of one Schedule.

    Attributes:
        id: `Schedule/<id>|<n>`, n = minutes since the epoch // 30.
        version: counts the rewrites; 0 when nothing is stored.
    """

    id: str
    version: int
    entries: tuple[Occupancy, ...]


@dataclass(frozen=True, slots=True)
class CellWrite:
    """The new content of a cell; no entries removes it."""

    id: str
    expected_version: int
    entries: tuple[Occupancy, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """An Appointment of the plan keeps its slots only for a while.

    Attributes:
        appointment: `Appointment/<id>`.
        expires: microseconds since the epoch at which it ends.
        owner: the client that asks.
        per_patient: most holds that one patient may have at a time; 0 for any number.
        per_client: the same for the client.
    """

    appointment: str
    expires: int
    owner: str
    per_patient: int = 0
    per_client: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that one decision writes, all or nothing.

    Attributes:
        result: handed back to the caller of the store, untouched.
        holds: which of the written Appointments are holds; the guard sees to it.
        receipt: id and digest of the idempotency key that it is written for.
        locks: names, told by the criteria that the decision has searched by; of all plans that
            share one and were decided on the same present only one is written.
    """

    writes: tuple[Write, ...] = ()
    cells: tuple[CellWrite, ...] = ()
    result: object = None
    holds: tuple[Hold, ...] = ()
    receipt: tuple[str, str] | None = None
    locks: tuple[str, ...] = ()


class Criteria(Protocol):
    """What a resource is looked for by, instead of its id."""

    @property
    def type(self) -> str:
        """The resource type."""

    @property
    def locks(self) -> tuple[str, ...]:
        """What a plan must lock that relies on nothing having been found."""

    def admits(self, resource: Resource) -> bool:
        """Whether a resource, with its id and meta, matches."""

    def several(self) -> FhirError:
        """The refusal when more than one matches."""


class View(Protocol):
    """The present as a decision sees it, one consistent read per attempt."""

    @property
    def now(self) -> datetime:
        """The instant of the request; aware, UTC."""

    @property
    def base_url(self) -> str:
        """The tenant's FHIR base URL."""

    @property
    def client(self) -> str:
        """The OAuth client that asks; empty for the server itself."""

    def get(self, resource_type: str, logical_id: str) -> Stored | None:
        """The current version, deletions included; None if there never was one."""

    def cell(self, cell_id: str) -> Cell:
        """The cell, empty with version 0 when nothing is stored."""

    def find(self, criteria: Criteria) -> Sequence[Stored]:
        """The current versions of live resources that match, as many as are worth knowing."""

    def exists(self, resource_type: str, term: str) -> bool:
        """Whether a live resource of the type has the index term, e.g. `schedule=Schedule/1`."""

    def prefetch(
        self,
        *,
        resources: Iterable[tuple[str, str]] = (),
        cells: Iterable[str] = (),
        criteria: Iterable[Criteria] = (),
    ) -> None:
        """Say what will be asked for next, so that it is loaded in one go.

        A hint: it returns when everything named is at hand, and else ends this attempt as a
        `get` or `cell` of something that is not loaded yet does, but for all of it together.

        Args:
            resources: types and logical ids.
            cells: cell ids.
            criteria: what will be looked for.
        """


Decide = Callable[[View], Plan]
