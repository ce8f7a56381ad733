"""Access tokens and used client assertions, in the control database.

A token is 256 random bits, and only its SHA-256 hash is stored: who reads the database, or a
backup of it, holds no token. Expired documents are deleted by MongoDB itself.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from fhir_server.fhir.ids import time_ordered_id
from fhir_server.store.control import (
    EXPIRY_INDEX,
    ControlDatabase,
    driver_errors_translated,
    durable,
)

TOKENS: Final = "access_tokens"
ASSERTIONS: Final = "client_assertions"
TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Grant:
    """What an access token stands for.

    Attributes:
        token_id: its public id, for the audit trail; tells nothing about the token.
        client_id: the client it was issued to.
        scope: the granted scopes, space separated.
        expires: from when on it is refused, aware.
        display: the client's name.
    """

    token_id: str
    client_id: str
    scope: str
    expires: datetime
    display: str


class Tokens:
    """Issues, finds and revokes access tokens.

    Args:
        control: the control database.
        new_id: gives the tokens' public ids.
    """

    def __init__(
        self, control: ControlDatabase, *, new_id: Callable[[], str] = time_ordered_id
    ) -> None:
        self._tokens = durable(control, TOKENS)
        self._assertions = durable(control, ASSERTIONS)
        self._new_id = new_id

    async def prepare(self) -> None:
        """Create the indexes; does nothing when they are there.

        Raises:
            Transient: the database cannot be reached.
        """
        with driver_errors_translated():
            await self._tokens.create_indexes([EXPIRY_INDEX, IndexModel("client_id")])
            await self._assertions.create_indexes([EXPIRY_INDEX])

    async def issue(
        self, client_id: str, scope: str, *, now: datetime, seconds: int, display: str = ""
    ) -> tuple[str, Grant]:
        """Make a new token.

        Returns:
            The token, which cannot be had again, and what it stands for.

        Raises:
            Transient: the database cannot be reached; no token exists.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        grant = Grant(self._new_id(), client_id, scope, now + timedelta(seconds=seconds), display)
        document = {
            "_id": _digest(token),
            "token_id": grant.token_id,
            "client_id": client_id,
            "scope": scope,
            "expires": grant.expires,
            "display": display,
        }
        with driver_errors_translated():
            await self._tokens.insert_one(document)
        return token, grant

    async def find(self, token: str, *, now: datetime) -> Grant | None:
        """What a token stands for; None when it is unknown, revoked or expired.

        Raises:
            Transient: the database cannot be reached.
        """
        with driver_errors_translated():
            document = await self._tokens.find_one({"_id": _digest(token), "expires": {"$gt": now}})
        if document is None:
            return None
        return Grant(
            token_id=document["token_id"],
            client_id=document["client_id"],
            scope=document["scope"],
            expires=document["expires"],
            display=document["display"],
        )

    async def revoke(self, token: str) -> None:
        """Forget one token.

        Raises:
            Transient: the database cannot be reached.
        """
        with driver_errors_translated():
            await self._tokens.delete_one({"_id": _digest(token)})

    async def revoke_client(self, client_id: str) -> int:
        """Forget every token of a client; the number of them.

        Raises:
            Transient: the database cannot be reached.
        """
        with driver_errors_translated():
            done = await self._tokens.delete_many({"client_id": {"$eq": client_id}})
        return done.deleted_count

    async def use_assertion(self, client_id: str, jti: str, *, expires: datetime) -> bool:
        """Use a client assertion; only the first use of a `jti` by a client succeeds.

        Args:
            client_id: the assertion's issuer.
            jti: the assertion's id.
            expires: until when it must be remembered, at least the assertion's own expiry.

        Returns:
            False when it has been used before.

        Raises:
            Transient: the database cannot be reached.
        """
        key = hashlib.sha256(f"{len(client_id)}:{client_id}{jti}".encode()).digest()
        with driver_errors_translated():
            try:
                await self._assertions.insert_one({"_id": key, "expires": expires})
            except DuplicateKeyError:
                return False
        return True


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
