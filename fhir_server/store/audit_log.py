"""Audit records of reads and refusals, written in batches; writes carry their own."""

import asyncio
import logging
from collections.abc import Iterable

from pymongo.errors import PyMongoError

from fhir_server.audit.record import Record, bucket
from fhir_server.context import Clock
from fhir_server.fhir.ids import IdSource
from fhir_server.store.collections import AUDIT
from fhir_server.store.database import Connection

FLUSH_SECONDS = 0.1
"""How long a record waits at most while MongoDB is well."""

_LARGEST_BUCKET = 1_000
_LONGEST_QUEUE = 10_000
_LONGEST_PAUSE_SECONDS = 5.0
_CLOSE_SECONDS = 8.0

_log = logging.getLogger(__name__)


class AuditLog:
    """Queues records and writes them soon; when it cannot keep up, callers wait."""

    def __init__(self, connection: Connection, *, clock: Clock, new_id: IdSource) -> None:
        self._connection = connection
        self._clock = clock
        self._new_id = new_id
        self._records: list[Record] = []
        self._room = asyncio.Event()
        self._room.set()
        self._filled = asyncio.Event()
        self._closing = asyncio.Event()
        self._writer = asyncio.create_task(self._write_forever())

    async def record(self, record: Record) -> None:
        """Queue a record; waits while the queue is full."""
        await self._room.wait()
        self._records.append(record)
        self._filled.set()
        if len(self._records) >= _LONGEST_QUEUE:
            self._room.clear()

    async def close(self) -> None:
        """Write what is queued, for a bounded time, and stop."""
        self._closing.set()
        self._filled.set()
        try:
            await asyncio.wait_for(self._writer, _CLOSE_SECONDS)
        except TimeoutError:
            _log.error("audit_records_lost", extra={"count": len(self._records)})

    async def _write_forever(self) -> None:
        pause = FLUSH_SECONDS
        while self._records or not self._closing.is_set():
            await self._filled.wait()
            await self._pause(pause)
            self._filled.clear()
            records, self._records = self._records, []
            rest = await self._write(records)
            if rest:
                self._records = rest + self._records
                self._filled.set()
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            pause = FLUSH_SECONDS
            self._room.set()

    async def _pause(self, seconds: float) -> None:
        """Gather records; when closing, only as long as it takes MongoDB to recover."""
        if self._closing.is_set() and seconds > FLUSH_SECONDS:
            await asyncio.sleep(FLUSH_SECONDS)
        elif not self._closing.is_set():
            try:
                await asyncio.wait_for(self._closing.wait(), seconds)
            except TimeoutError:
                return

    async def _write(self, records: list[Record]) -> list[Record]:
        """Write records.

        Returns:
            Those that could not be written.
        """
        rest: list[Record] = []
        for tenant, some in _buckets(records):
            document = bucket(self._new_id(), self._clock(), some)
            try:
                await self._connection.tenant(tenant)[AUDIT].insert_one(document)
            except PyMongoError as error:
                _log.warning("audit_write_failed", extra={"error": type(error).__name__})
                rest += some
        return rest


def _buckets(records: Iterable[Record]) -> Iterable[tuple[str, list[Record]]]:
    by_tenant: dict[str, list[Record]] = {}
    for record in records:
        by_tenant.setdefault(record["tenant"], []).append(record)
    for tenant, some in by_tenant.items():
        for start in range(0, len(some), _LARGEST_BUCKET):
            yield tenant, some[start : start + _LARGEST_BUCKET]
