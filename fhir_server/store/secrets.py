"""Secrets that every process of the instance shares, made by whoever needs one first."""

import secrets
from contextlib import suppress

from pymongo.errors import DuplicateKeyError, PyMongoError

from fhir_server.store.errors import translate
from fhir_server.store.find import Database

COLLECTION = "secrets"
_BYTES = 32


class Secrets:
    """Named random keys in the control database."""

    def __init__(self, control: Database) -> None:
        self._control = control
        self._known: dict[str, bytes] = {}

    async def get(self, name: str) -> bytes:
        """32 random bytes, the same in every process and after every start.

        Raises:
            Transient: the database cannot be reached.
        """
        if name not in self._known:
            try:
                self._known[name] = await self._load_or_create(name)
            except PyMongoError as error:
                raise translate(error) from error
        return self._known[name]

    async def _load_or_create(self, name: str) -> bytes:
        stored = self._control[COLLECTION]
        found = await stored.find_one({"_id": name})
        if found is None:
            with suppress(DuplicateKeyError):  # another process was first: its key counts
                await stored.insert_one({"_id": name, "key": secrets.token_bytes(_BYTES)})
            found = await stored.find_one({"_id": name})
        if found is None:
            raise LookupError(f"the secret {name!r} was removed while it was made")
        return bytes(found["key"])
