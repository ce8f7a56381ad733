"""Registered OAuth clients, in the control database."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pymongo.errors import DuplicateKeyError

from fhir_server.store.control import (
    ControlDatabase,
    Document,
    driver_errors_translated,
    durable,
)

COLLECTION: Final = "clients"


class ClientExistsError(Exception):
    """A client with this id is registered already, perhaps revoked; ids are never reused."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client of SMART Backend Services.

    Attributes:
        id: the OAuth client id.
        name: for people and the audit trail.
        scope: what it may be granted at most, space separated.
        created: when it was registered, aware.
        jwks: its public keys as a JWK Set in JSON, or None.
        jwks_url: where it publishes its keys, or None. Exactly one of the two is given.
        revoked: since when it is refused, aware; None while it may be used.
    """

    id: str
    name: str
    scope: str
    created: datetime
    jwks: str | None = None
    jwks_url: str | None = None
    revoked: datetime | None = None


class Clients:
    """The registered clients.

    Args:
        control: the control database.
    """

    def __init__(self, control: ControlDatabase) -> None:
        self._collection = durable(control, COLLECTION)

    async def add(self, client: Client) -> None:
        """Register a client.

        Raises:
            ClientExistsError: the id is taken.
            Transient: the database cannot be reached.
        """
        document: Document = {
            "_id": client.id,
            "name": client.name,
            "scope": client.scope,
            "created": client.created,
            "jwks": client.jwks,
            "jwks_url": client.jwks_url,
            "revoked": client.revoked,
        }
        with driver_errors_translated():
            try:
                await self._collection.insert_one(document)
            except DuplicateKeyError as error:
                raise ClientExistsError(client.id) from error

    async def find(self, client_id: str) -> Client | None:
        """The client with this id, revoked or not.

        Raises:
            Transient: the database cannot be reached.
        """
        with driver_errors_translated():
            document = await self._collection.find_one({"_id": {"$eq": client_id}})
        return _client(document) if document else None

    async def all(self) -> list[Client]:
        """Every client, revoked ones included, in the order of their ids.

        Raises:
            Transient: the database cannot be reached.
        """
        with driver_errors_translated():
            return [_client(one) async for one in self._collection.find().sort("_id", 1)]

    async def revoke(self, client_id: str, now: datetime) -> bool:
        """Refuse the client from now on. Its access tokens are `Tokens.revoke_client`'s matter.

        Returns:
            Whether there is such a client.

        Raises:
            Transient: the database cannot be reached.
        """
        with driver_errors_translated():
            done = await self._collection.update_one(
                {"_id": {"$eq": client_id}},
                [{"$set": {"revoked": {"$ifNull": ["$revoked", now]}}}],
            )
        return done.matched_count == 1


def _client(document: Document) -> Client:
    return Client(
        id=document["_id"],
        name=document["name"],
        scope=document["scope"],
        created=document["created"],
        jwks=document["jwks"],
        jwks_url=document["jwks_url"],
        revoked=document["revoked"],
    )
