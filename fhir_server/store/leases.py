"""Leases: who may do a job that only one process may do, decided by MongoDB's clock.

A lease is an optimisation, never the proof: whoever works under one carries its `epoch`, which
grows with every change of holder, and every write that must come from one holder only compares it.
"""

from dataclasses import dataclass
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.write_concern import WriteConcern

from fhir_server.store.control import driver_errors_translated

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


def taking(holder: str, seconds: float) -> list[Document]:
    """A pipeline that takes a lease if it is free, expired or the holder's already.

    It changes nothing otherwise; `holder` in the result tells which. To be used with upsert, for
    which a condition on the present time is not allowed.
    """
    ours = {"$eq": [{"$ifNull": ["$holder", ""]}, holder]}
    # A missing `expires` is less than any date.
    free = {"$or": [{"$lte": ["$expires", "$$NOW"]}, ours]}
    epoch = {"$ifNull": ["$epoch", 0]}
    return [
        {"$set": {"taken": free, "changed": {"$and": [free, {"$not": [ours]}]}}},
        {
            "$set": {
                "epoch": {"$cond": ["$changed", {"$add": [epoch, 1]}, epoch]},
                "holder": {"$cond": ["$taken", holder, "$holder"]},
                "expires": {"$cond": ["$taken", expiry(seconds), "$expires"]},
            }
        },
        {"$unset": ["taken", "changed"]},
    ]


class Leases:
    """The leases of one tenant."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._leases = database.get_collection("leases", write_concern=WriteConcern("majority"))

    async def acquire(self, name: str, holder: str, seconds: float) -> Lease | None:
        """Take the lease if it is free, expired or already ours.

        Returns:
            The lease, or None while somebody else holds it.

        Raises:
            Transient: MongoDB is not available.
        """
        with driver_errors_translated():
            found = await self._leases.find_one_and_update(
                {"_id": name},
                taking(holder, seconds),
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        if found is None or found["holder"] != holder:
            return None
        return Lease(name, holder, int(found["epoch"]))

    async def renew(self, lease: Lease, seconds: float) -> bool:
        """Hold on to a lease; false when it has gone to somebody else."""
        with driver_errors_translated():
            done = await self._leases.update_one(
                {"_id": lease.name, "holder": lease.holder, "epoch": lease.epoch},
                [{"$set": {"expires": expiry(seconds)}}],
            )
        return done.matched_count == 1

    async def release(self, lease: Lease) -> None:
        """Let the next one have it at once."""
        with driver_errors_translated():
            await self._leases.update_one(
                {"_id": lease.name, "holder": lease.holder, "epoch": lease.epoch},
                [{"$set": {"holder": "", "expires": "$$NOW"}}],
            )
