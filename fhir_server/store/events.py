"""The outbox: what was committed and is not numbered yet, and the step that numbers it.

`store.transaction` inserts one row of `events` with every version it writes. The sequencer reads
them in commit order (`store.event_stream`) and numbers them per Subscription. One MongoDB
transaction per batch moves the resume token, raises the last numbers, inserts the `deliveries`
and deletes the rows it has dealt with. The number of rows deleted proves that none of them was
numbered before; the epoch proves that no other sequencer has taken over.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from bson.codec_options import CodecOptions
from bson.timestamp import Timestamp
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, OperationFailure
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from fhir_server.store.collections import EVENTS, history_of
from fhir_server.store.control import driver_errors_translated
from fhir_server.store.find import find_by_ids

Document = dict[str, Any]
Token = Mapping[str, Any]

MAJORITY = WriteConcern("majority")
SEQUENCES = "sequences"
POSITION = "|position"
"""The id of the sequencer's own document among those of the Subscriptions; no legal FHIR id."""
INSERTS = 10_000
"""Most rows in one insert command."""
NAMESPACE_EXISTS = 48


class LeadershipLost(Exception):
    """Another sequencer has taken over; nothing of the batch was written."""


class AlreadySequenced(Exception):
    """Some of the batch's events have been numbered before; nothing of the batch was written."""


@dataclass(frozen=True, slots=True)
class Event:
    """A committed version of a resource.

    Attributes:
        key: `Type/id/version`.
        op: create, update or delete.
        at: meta.lastUpdated of the version.
        client: the OAuth client that wrote it.
        scope: the scopes it was written with.
    """

    key: str
    type: str
    id: str
    version: int
    op: str
    at: datetime
    client: str = ""
    scope: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The event of an `events` row."""
        return cls(
            key=row["_id"],
            type=row["type"],
            id=row["id"],
            version=row["v"],
            op=row["op"],
            at=row["t"],
            client=row.get("client") or "",
            scope=row.get("scope") or "",
        )


@dataclass(frozen=True, slots=True)
class Numbered:
    """An event as one Subscription will hear of it.

    Attributes:
        number: 1, 2, 3, … per Subscription, without gaps.
    """

    subscription: str
    number: int
    event: Event


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction of the sequencer writes.

    Attributes:
        token: where the change stream goes on after this batch.
        events: the keys to take out of the outbox.
        numbered: the new deliveries.
        sequences: changed fields of `sequences` documents, by Subscription id.
    """

    token: Token
    events: Sequence[str]
    numbered: Sequence[Numbered] = ()
    sequences: Mapping[str, Document] = field(default_factory=dict)


class EventLog:
    """The outbox and the sequencer's state of one tenant."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._database: AsyncDatabase[Document] = database.with_options(
            codec_options=CodecOptions(tz_aware=True),
            write_concern=MAJORITY,
            read_concern=ReadConcern("majority"),
        )

    @property
    def database(self) -> AsyncDatabase[Document]:
        """The tenant's database, majority reads and writes, aware datetimes."""
        return self._database

    async def prepare(self) -> None:
        """Create the collections that transactions write to and their indexes, once.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            for name in (EVENTS, "deliveries", SEQUENCES):
                try:
                    await self._database.command({"create": name})
                except OperationFailure as error:
                    if error.code != NAMESPACE_EXISTS:
                        raise
            await self._database["deliveries"].create_index([("sub", 1), ("n", 1)], unique=True)

    async def lead(self, epoch: int) -> Token | None:
        """Make every batch of an earlier epoch fail from now on.

        Returns:
            The resume token of the last committed batch; None before the first.

        Raises:
            LeadershipLost: a later epoch already leads.
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            try:
                await self._database[SEQUENCES].update_one(
                    {"_id": POSITION, "epoch": {"$lte": epoch}},
                    {"$set": {"epoch": epoch}},
                    upsert=True,
                )
            except DuplicateKeyError as error:
                raise LeadershipLost from error
            state = await self._database[SEQUENCES].find_one({"_id": POSITION})
        return (state or {}).get("token")

    async def sequences(self) -> list[Document]:
        """What was last known of every Subscription, at the position of the token.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            return await self._database[SEQUENCES].find({"_id": {"$ne": POSITION}}).to_list()

    async def backlog(self, started: Timestamp | None) -> list[Event]:
        """Everything that waits in the outbox, oldest first.

        The clocks of several writers may differ a little, so rows are ordered by time and then,
        wherever that contradicts the version order of one resource, by version.

        Args:
            started: everything committed before this operation time is included for certain. A
                majority read without it may miss what is committed and not yet replicated.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            async with self._database.client.start_session(causal_consistency=True) as session:
                if started is not None:
                    session.advance_operation_time(started)
                rows = (
                    await self._database[EVENTS]
                    .find({}, batch_size=5_000, session=session)
                    .sort([("t", 1), ("id", 1), ("v", 1)])
                    .allow_disk_use(True)
                    .to_list()
                )
        return in_version_order([Event.of(row) for row in rows])

    async def waiting(self, keys: Iterable[str]) -> frozenset[str]:
        """Which of the events are still in the outbox.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            found = self._database[EVENTS].find({"_id": {"$in": list(keys)}}, {"_id": 1})
            return frozenset([row["_id"] async for row in found])

    async def oldest(self) -> datetime | None:
        """When the oldest event that still waits was written; None when none waits.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            rows = await self._database[EVENTS].find({}).sort("$natural", 1).limit(1).to_list()
        return rows[0]["t"] if rows else None

    async def contents(self, events: Iterable[Event]) -> dict[str, bytes]:
        """The stored bytes of the versions, by event key; deletions are left out.

        Raises:
            Transient: MongoDB is not available.
        """
        wanted: dict[str, list[str]] = defaultdict(list)
        for event in events:
            if event.op != "delete":
                wanted[event.type].append(f"{event.id}/{event.version}")
        found: dict[str, bytes] = {}
        for resource_type, ids in wanted.items():
            rows = await find_by_ids(
                self._database, history_of(resource_type), ids, projection={"json": 1}
            )
            found |= {f"{resource_type}/{row['_id']}": bytes(row["json"]) for row in rows}
        return found

    async def commit(self, batch: Batch, epoch: int) -> None:
        """Write one batch, all or nothing, majority-acknowledged.

        Raises:
            LeadershipLost: the epoch is not the current one.
            AlreadySequenced: an event of the batch is no longer in the outbox.
            Transient: MongoDB is not available; whether the batch was written shows when the
                outbox is read again.
        """
        with driver_errors_translated():
            async with self._database.client.start_session() as session:

                async def write(active: AsyncClientSession) -> None:
                    await self._write(active, batch, epoch)

                await session.with_transaction(
                    write, read_concern=ReadConcern("snapshot"), write_concern=MAJORITY
                )

    async def _write(self, session: AsyncClientSession, batch: Batch, epoch: int) -> None:
        """Plain commands: this runs for every batch, and the driver's conveniences cost more."""
        updates = [_position_update(batch.token, epoch), *_sequence_updates(batch)]
        if await self._run(session, {"update": SEQUENCES, "updates": updates}) != len(updates):
            # Everything else is inserted where it is missing, so it was the position.
            raise LeadershipLost
        if batch.events:
            gone = {"q": {"_id": {"$in": list(batch.events)}}, "limit": 0}
            if await self._run(session, {"delete": EVENTS, "deletes": [gone]}) != len(batch.events):
                raise AlreadySequenced
        for start in range(0, len(batch.numbered), INSERTS):
            rows = [_delivery(one) for one in batch.numbered[start : start + INSERTS]]
            await self._run(session, {"insert": "deliveries", "documents": rows})

    async def _run(self, session: AsyncClientSession, command: Document) -> int:
        reply = await self._database.command(command, session=session)
        if reply.get("writeErrors"):
            raise RuntimeError(f"a batch of the sequencer was refused: {reply['writeErrors'][0]}")
        affected: int = reply["n"]
        return affected


def in_version_order(events: list[Event]) -> list[Event]:
    """The same events; those of one resource take their own places in version order."""
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, event in enumerate(events):
        places[event.type, event.id].append(place)
    ordered = list(events)
    for own in places.values():
        versions = sorted((events[place] for place in own), key=lambda event: event.version)
        for place, event in zip(own, versions, strict=True):
            ordered[place] = event
    return ordered


def _position_update(token: Token, epoch: int) -> Document:
    return {"q": {"_id": POSITION, "epoch": epoch}, "u": {"$set": {"token": token}}}


def _sequence_updates(batch: Batch) -> list[Document]:
    fields: dict[str, Document] = {sub: dict(change) for sub, change in batch.sequences.items()}
    for one in batch.numbered:
        known = fields.setdefault(one.subscription, {})
        known["last"] = max(one.number, known.get("last", 0))
    return [
        {"q": {"_id": subscription}, "u": {"$set": change}, "upsert": True}
        for subscription, change in fields.items()
    ]


def _delivery(one: Numbered) -> Document:
    event = one.event
    return {
        "_id": f"{one.subscription}|{one.number}",
        "sub": one.subscription,
        "n": one.number,
        "type": event.type,
        "id": event.id,
        "v": event.version,
        "op": event.op,
        "t": event.at,
    }
