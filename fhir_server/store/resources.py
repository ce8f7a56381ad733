"""Reads of single resources: those that arrive together are one find.

A request only ever joins a find that has not been sent yet, so it sees every write that was
acknowledged before it came.
"""

import asyncio

from fhir_server.fhir.errors import Transient
from fhir_server.store.database import Connection
from fhir_server.store.find import BARE_TIMES, find_by_ids
from fhir_server.store.stored import WITHOUT_INDEX, StoredVersion, from_current

FINDS_IN_FLIGHT = 2
"""Finds at a time per process; while both are under way, requests gather for the next one."""

_LARGEST_FIND = 256
_MOST_WAITING = 20_000

_Waiters = list[asyncio.Future[StoredVersion | None]]


class CoalescedReads:
    """Gathers reads and answers them from common finds."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: dict[tuple[str, str], dict[str, _Waiters]] = {}
        self._count = 0
        self._in_flight = 0
        self._scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, tenant: str, resource_type: str, logical_id: str) -> StoredVersion | None:
        """The current version, deletions included; None if there never was one.

        Raises:
            Transient: the database cannot be reached, or too many reads wait.
        """
        if self._count >= _MOST_WAITING:
            raise Transient("The server is busy; try again.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[StoredVersion | None] = loop.create_future()
        batch = self._waiting.setdefault((tenant, resource_type), {})
        batch.setdefault(logical_id, []).append(future)
        self._count += 1
        if not self._scheduled and self._in_flight < FINDS_IN_FLIGHT:
            self._scheduled = True
            loop.call_soon(self._start)
        return await future

    def _start(self) -> None:
        self._scheduled = False
        while self._waiting and self._in_flight < FINDS_IN_FLIGHT:
            key, batch = next(iter(self._waiting.items()))
            del self._waiting[key]
            if len(batch) > _LARGEST_FIND:
                ids = list(batch)[:_LARGEST_FIND]
                some = {one: batch.pop(one) for one in ids}
                self._waiting[key] = batch
                batch = some
            self._in_flight += 1
            task = asyncio.create_task(self._find(*key, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _find(self, tenant: str, resource_type: str, batch: dict[str, _Waiters]) -> None:
        try:
            documents = await find_by_ids(
                self._connection.tenant(tenant),
                resource_type,
                list(batch),
                projection=WITHOUT_INDEX,
                codec=BARE_TIMES,
            )
            found = {one["_id"]: from_current(resource_type, one) for one in documents}
        except Exception as error:  # noqa: BLE001 - whatever it is, it must reach the callers
            _refuse(batch, error)
        else:
            for logical_id, waiters in batch.items():
                version = found.get(logical_id)
                for future in waiters:
                    if not future.done():
                        future.set_result(version)
        finally:
            self._count -= sum(map(len, batch.values()))
            self._in_flight -= 1
            self._start()


def _refuse(batch: dict[str, _Waiters], error: Exception) -> None:
    for waiters in batch.values():
        for future in waiters:
            if not future.done():
                future.set_exception(error)
