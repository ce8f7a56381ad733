"""Leases: who may do a job that only one process may do, decided by MongoDB's clock.

A lease is an optimisation, never the proof: whoever works under one carries its `epoch`, which
grows with every change of holder, and every write that must come from one holder only compares it.
"""

from dataclasses import dataclass
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lease:
    """A job that this holder may do until `seconds` after the last renewal.

    Attributes:
        name: the job.
        holder: the process, unique.
        epoch: grows by one whenever the lease changes hands.
    """

    name: str
    holder: str
    epoch: int


def expiry(seconds: float) -> Document:
    """A pipeline expression: so many seconds from now by the server's clock."""
    return {"$add": ["$$NOW", round(seconds * 1000)]}


class Leases:
    """The leases of one tenant."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._leases = database.get_collection("leases", write_concern=WriteConcern("majority"))

    async def acquire(self, name: str, holder: str, seconds: float) -> Lease | None:
        """Take the lease if it is free, expired or already ours.

        Returns:
            The lease, or None while somebody else holds it.
        """
        free = {
            "$or": [
                {"$lt": ["$expires", "$$NOW"]},
                {"$eq": ["$holder", holder]},
            ]
        }
        epoch = {"$add": [{"$ifNull": ["$epoch", 0]}, {"$cond": [_ours(holder), 0, 1]}]}
        try:
            found = await self._leases.find_one_and_update(
                {"_id": name, "$expr": free},
                [{"$set": {"epoch": epoch}}, {"$set": _held(holder, seconds)}],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            return None
        return None if found is None else Lease(name, holder, int(found["epoch"]))

    async def renew(self, lease: Lease, seconds: float) -> bool:
        """Hold on to a lease; false when it has gone to somebody else."""
        done = await self._leases.update_one(
            {"_id": lease.name, "holder": lease.holder, "epoch": lease.epoch},
            [{"$set": _held(lease.holder, seconds)}],
        )
        return done.matched_count == 1

    async def release(self, lease: Lease) -> None:
        """Let the next one have it at once."""
        await self._leases.update_one(
            {"_id": lease.name, "holder": lease.holder, "epoch": lease.epoch},
            [{"$set": {"holder": "", "expires": "$$NOW"}}],
        )


def _ours(holder: str) -> Document:
    return {"$eq": [{"$ifNull": ["$holder", ""]}, holder]}


def _held(holder: str, seconds: float) -> Document:
    return {"holder": holder, "expires": expiry(seconds)}
