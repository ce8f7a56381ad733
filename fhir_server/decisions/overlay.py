"""The present with a transaction's own changes laid over it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import Cell, Criteria, Stored, View, Write


@dataclass(frozen=True, slots=True)
class Planned:
    """A version that the transaction is about to write, as its own searches find it."""

    type: str
    id: str
    version: int
    last_updated: datetime
    resource: Resource
    json: bytes = b""
    deleted: bool = False


class Overlay:
    """A view whose searches see what has been planned; everything else shows the present."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._writes: dict[tuple[str, str], Write] = {}

    @property
    def now(self) -> datetime:
        """See `View.now`."""
        return self._view.now

    @property
    def base_url(self) -> str:
        """See `View.base_url`."""
        return self._view.base_url

    @property
    def client(self) -> str:
        """See `View.client`."""
        return self._view.client

    def note(self, writes: Iterable[Write]) -> None:
        """Let searches see these writes from now on."""
        self._writes.update({(one.type, one.id): one for one in writes})

    def get(self, resource_type: str, logical_id: str) -> Stored | None:
        """See `View.get`."""
        return self._view.get(resource_type, logical_id)

    def cell(self, cell_id: str) -> Cell:
        """See `View.cell`."""
        return self._view.cell(cell_id)

    def exists(self, resource_type: str, term: str) -> bool:
        """See `View.exists`."""
        return self._view.exists(resource_type, term)

    def find(self, criteria: Criteria) -> Sequence[Stored]:
        """See `View.find`; what is planned counts instead of what is stored."""
        kept = [one for one in self._view.find(criteria) if (one.type, one.id) not in self._writes]
        return [*kept, *self.planned(criteria)]

    def planned(self, criteria: Criteria) -> list[Stored]:
        """What the transaction writes and the criteria match."""
        found: list[Stored] = []
        for write in self._writes.values():
            if write.type != criteria.type or write.resource is None:
                continue
            resource = {**write.resource, "id": write.id}
            if criteria.admits(resource):
                version = write.expected_version + 1
                found.append(Planned(write.type, write.id, version, self.now, resource))
        return found

    def prefetch(
        self,
        *,
        resources: Iterable[tuple[str, str]] = (),
        cells: Iterable[str] = (),
        criteria: Iterable[Criteria] = (),
    ) -> None:
        """See `View.prefetch`."""
        self._view.prefetch(resources=resources, cells=cells, criteria=criteria)
