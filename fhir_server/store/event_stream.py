"""The outbox as MongoDB's change stream tells it: in commit order, in batches, resumable.

The cursor is driven with plain commands because one `getMore` then gives one batch together with
the position behind it, also when the batch is empty. A position kept fresh while nothing happens
is what keeps a quiet stream alive: the oplog forgets, a stale token does not come back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from bson.int64 import Int64
from bson.timestamp import Timestamp
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from fhir_server.fhir.errors import Transient
from fhir_server.store.collections import EVENTS
from fhir_server.store.control import driver_errors_translated
from fhir_server.store.errors import is_transient
from fhir_server.store.events import Document, Event, Token

INSERTS: list[Document] = [
    {"$match": {"operationType": "insert"}},
    {"$project": {"fullDocument": 1}},
]
CURSOR_NOT_FOUND = 43
LOST_HISTORY = frozenset({136, 222, 260, 280, 286})
"""Codes that end an open stream for good: capped position lost, stream closed, resume token not
found, fatal change stream error, history lost."""


class HistoryLost(Exception):
    """The stream cannot go on from the remembered position: the outbox itself must be read."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one look at the stream gave.

    Attributes:
        token: the position behind the events.
    """

    events: Sequence[Event]
    token: Token


class EventStream:
    """An open change stream on the outbox; close it after use.

    Attributes:
        token: the position behind what `next` has given.
        started: the operation time from which it tells everything; None if it was resumed.
    """

    def __init__(
        self,
        database: AsyncDatabase[Document],
        session: AsyncClientSession,
        reply: Document,
        started: Timestamp | None,
    ) -> None:
        self._database = database
        self._session = session
        self._cursor: int = reply["cursor"]["id"]
        self.started = started
        self.token: Token = reply["cursor"]["postBatchResumeToken"]

    @classmethod
    async def open(cls, database: AsyncDatabase[Document], after: Token | None) -> Self:
        """Open the stream behind a position, or at the present.

        Raises:
            HistoryLost: the oplog no longer reaches back to the position.
            Transient: MongoDB is not available.
        """
        session = database.client.start_session()
        started: Timestamp | None = None
        try:
            with driver_errors_translated():
                if after is None:
                    started = (await database.command("ping", session=session))["operationTime"]
                    stage: Document = {"startAtOperationTime": started}
                else:
                    stage = {"resumeAfter": after}
                command = {
                    "aggregate": EVENTS,
                    "pipeline": [{"$changeStream": stage}, *INSERTS],
                    "cursor": {"batchSize": 0},
                    "readConcern": {"level": "majority"},
                }
                reply = await _asked(database, command, session, positioned=after is not None)
        except BaseException:
            await session.end_session()
            raise
        return cls(database, session, reply, started)

    async def next(self, limit: int, seconds: float) -> Page:
        """The events committed since the last look, waiting for the first one if need be.

        Args:
            limit: most events.
            seconds: the longest wait; an empty page carries a fresh position.

        Raises:
            HistoryLost: the stream is closed for good.
            Transient: MongoDB is not available.
        """
        command: Document = {
            "getMore": Int64(self._cursor),
            "collection": EVENTS,
            "batchSize": limit,
            "maxTimeMS": max(1, round(seconds * 1000)),
        }
        with driver_errors_translated():
            reply = await _asked(self._database, command, self._session)
        cursor = reply["cursor"]
        self._cursor = cursor["id"]
        if not self._cursor:
            raise HistoryLost
        self.token = cursor["postBatchResumeToken"]
        return Page(
            [Event.of(change["fullDocument"]) for change in cursor["nextBatch"]], self.token
        )

    async def close(self) -> None:
        """Let the server forget the cursor."""
        try:
            if self._cursor:
                await self._database.command(
                    {"killCursors": EVENTS, "cursors": [Int64(self._cursor)]},
                    session=self._session,
                )
        except PyMongoError:
            pass
        finally:
            await self._session.end_session()


async def _asked(
    database: AsyncDatabase[Document],
    command: Document,
    session: AsyncClientSession,
    *,
    positioned: bool = False,
) -> dict[str, Any]:
    """The reply; with `positioned` whatever is wrong for good is taken to be the position."""
    try:
        return await database.command(
            command, session=session, codec_options=database.codec_options
        )
    except OperationFailure as error:
        if error.code in LOST_HISTORY or (positioned and not is_transient(error)):
            raise HistoryLost from error
        if error.code == CURSOR_NOT_FOUND or error.has_error_label("ResumableChangeStreamError"):
            raise Transient("The change stream was interrupted.") from error
        raise
