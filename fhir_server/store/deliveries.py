"""What every Subscription still has to be told, and how far its deliverer has come.

`deliveries` holds one row per Subscription and number, written by the sequencer. `drains` holds,
per Subscription, the lease of the one deliverer that works on it, the next number to deliver and
the present trouble, if any; the sequencer never touches it, so the two do not collide.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.write_concern import WriteConcern

from fhir_server.store.control import driver_errors_translated
from fhir_server.store.events import MAJORITY, POSITION, SEQUENCES, Document, Event
from fhir_server.store.leases import expiry, taking


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event as one Subscription has to hear of it.

    Attributes:
        number: the event's number in this Subscription.
    """

    subscription: str
    number: int
    event: Event


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the next number is not delivered yet.

    Attributes:
        version: the Subscription's version at that time; a newer one is a fresh start.
        since: the first failure.
        tries: failures so far.
        due_at: the next attempt.
        text: the last failure.
    """

    version: int
    since: datetime
    tries: int
    due_at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Drain:
    """The right to deliver to one Subscription, and where to go on.

    Attributes:
        epoch: grows with every holder; each write compares it.
        next: the first number that is not delivered.
    """

    subscription: str
    holder: str
    epoch: int
    next: int
    trouble: Trouble | None


@dataclass(frozen=True, slots=True)
class Subscribed:
    """What the sequencer knows of a Subscription, with the rights of who wrote it last.

    Attributes:
        last: the highest number given.
        start: numbers below belong to an earlier, deleted Subscription of the same id.
    """

    subscription: str
    last: int
    start: int
    status: str
    criteria: str
    client: str
    scope: str


@dataclass(frozen=True, slots=True)
class Current:
    """The current version of a Subscription."""

    version: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """How one Subscription stands.

    Attributes:
        last: the highest number given.
        delivered: the highest number that its endpoint has accepted or that was withheld.
        trouble: the present failure, if any.
    """

    subscription: str
    status: str
    last: int
    delivered: int
    trouble: Trouble | None

    @property
    def lag(self) -> int:
        """How many events wait."""
        return self.last - self.delivered


class DeliveryLog:
    """The deliveries of one tenant."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._database: AsyncDatabase[Document] = database.with_options(
            codec_options=CodecOptions(tz_aware=True), write_concern=MAJORITY
        )
        # Losing this write in a crash repeats a delivery, which receivers must bear anyway.
        self._quick = self._database.get_collection("drains", write_concern=WriteConcern(1))

    async def waiting(self, only: Iterable[str] | None = None) -> dict[str, int]:
        """The Subscriptions with undelivered numbers, and how many.

        Args:
            only: look at these alone.

        Raises:
            Transient: MongoDB is not available.
        """
        wanted = {} if only is None else {"_id": {"$in": list(only)}}
        with driver_errors_translated():
            rows = (
                await self._database[SEQUENCES]
                .find({"last": {"$gt": 0}, "status": "active", **wanted}, {"last": 1, "start": 1})
                .to_list()
            )
            nexts = {
                row["_id"]: row["next"]
                async for row in self._database["drains"].find(wanted, {"next": 1})
            }
        counts = {
            row["_id"]: row["last"] + 1 - max(nexts.get(row["_id"], 1), row.get("start", 1))
            for row in rows
        }
        return {subscription: count for subscription, count in counts.items() if count > 0}

    async def claim(self, subscription: str, holder: str, seconds: float) -> Drain | None:
        """Take the right to deliver to a Subscription if it is free, expired or already ours.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            row = await self._database["drains"].find_one_and_update(
                {"_id": subscription},
                [{"$set": {"next": {"$ifNull": ["$next", 1]}}}, *taking(holder, seconds)],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        if row is None or row["holder"] != holder:
            return None
        return Drain(subscription, holder, row["epoch"], row["next"], _trouble(row))

    async def subscribed(self, subscription: str) -> Subscribed | None:
        """What the sequencer knows of the Subscription.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            row = await self._database[SEQUENCES].find_one({"_id": subscription})
        if row is None:
            return None
        return Subscribed(
            subscription,
            row.get("last", 0),
            row.get("start", 1),
            row.get("status", ""),
            row.get("criteria", ""),
            row.get("client", ""),
            row.get("scope", ""),
        )

    async def current(self, subscription: str) -> Current | None:
        """The Subscription itself; None when there is none any more.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            row = await self._database["Subscription"].find_one(
                {"_id": subscription}, {"v": 1, "json": 1, "deleted": 1}
            )
        if row is None or row["deleted"]:
            return None
        return Current(row["v"], bytes(row["json"]))

    async def pending(self, subscription: str, first: int, limit: int) -> list[Delivery]:
        """The next deliveries, in order, without gaps.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            rows = (
                await self._database["deliveries"]
                .find({"sub": subscription, "n": {"$gte": first}})
                .sort("n", 1)
                .limit(limit)
                .to_list()
            )
        return [
            Delivery(subscription, row["n"], _event(row))
            for place, row in enumerate(rows)
            if row["n"] == rows[0]["n"] + place
        ]

    async def advance(self, drain: Drain, following: int, seconds: float) -> bool:
        """Say that everything below a number is delivered, and hold the lease longer.

        Returns:
            Whether the drain is still ours; if not, stop.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            done = await self._quick.update_one(
                _held(drain),
                [
                    {"$set": {"next": {"$max": ["$next", following]}, "expires": expiry(seconds)}},
                    {"$unset": "trouble"},
                ],
            )
        return done.matched_count == 1

    async def stall(self, drain: Drain, trouble: Trouble) -> bool:
        """Remember a failed attempt and when to try again.

        Returns:
            Whether the drain is still ours.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            done = await self._database["drains"].update_one(
                _held(drain),
                {
                    "$set": {
                        "trouble": {
                            "version": trouble.version,
                            "since": trouble.since,
                            "tries": trouble.tries,
                            "due_at": trouble.due_at,
                            "text": trouble.text,
                        }
                    }
                },
            )
        return done.matched_count == 1

    async def withhold(self, delivery: Delivery, reason: str) -> None:
        """Record that a number is passed over because the subscriber may not see its content.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            await self._database["deliveries"].update_one(
                {"_id": f"{delivery.subscription}|{delivery.number}"},
                {"$set": {"withheld": reason}},
            )

    async def release(self, drain: Drain) -> None:
        """Let another deliverer have the Subscription at once.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            await self._database["drains"].update_one(
                _held(drain), [{"$set": {"holder": "", "expires": "$$NOW"}}]
            )

    async def progress(self) -> list[Progress]:
        """How every Subscription stands, by id.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            drains = {row["_id"]: row async for row in self._database["drains"].find({})}
            rows = (
                await self._database[SEQUENCES]
                .find({"_id": {"$ne": POSITION}})
                .sort("_id", 1)
                .to_list()
            )
        found = []
        for row in rows:
            drain = drains.get(row["_id"], {})
            following = max(drain.get("next", 1), row.get("start", 1))
            found.append(
                Progress(
                    row["_id"],
                    row.get("status", ""),
                    row.get("last", 0),
                    following - 1,
                    _trouble(drain),
                )
            )
        return found

    async def ended(self, now: datetime) -> list[str]:
        """The Subscriptions that still count although their `end` has passed.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            rows = (
                await self._database[SEQUENCES]
                .find({"counting": True, "end": {"$lte": now}}, {"_id": 1})
                .to_list()
            )
        return [row["_id"] for row in rows]

    async def purge(self, before: datetime) -> int:
        """Forget delivered numbers, and those of deleted Subscriptions, older than an instant.

        Returns:
            How many rows went.

        Raises:
            Transient: MongoDB is not available.
        """
        removed = 0
        for one in await self.progress():
            with driver_errors_translated():
                done = await self._database["deliveries"].delete_many(
                    {"sub": one.subscription, "n": {"$lte": one.delivered}, "t": {"$lt": before}}
                )
            removed += done.deleted_count
        return removed


def _held(drain: Drain) -> Document:
    return {"_id": drain.subscription, "holder": drain.holder, "epoch": drain.epoch}


def _event(row: Document) -> Event:
    key = f"{row['type']}/{row['id']}/{row['v']}"
    return Event(key, row["type"], row["id"], row["v"], row["op"], row["t"])


def _trouble(row: Document) -> Trouble | None:
    known: dict[str, Any] | None = row.get("trouble")
    return Trouble(**known) if known else None
