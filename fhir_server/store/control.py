"""The control database's own needs: its indexes, and failures in the server's own words."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC
from typing import Any, Final

from bson.codec_options import CodecOptions
from pymongo import IndexModel, ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from fhir_server.fhir.errors import Transient
from fhir_server.settings import Settings
from fhir_server.store.database import Connection
from fhir_server.store.errors import DatabaseUnusable, translate

Document = dict[str, Any]
ControlDatabase = AsyncDatabase[Document]
ControlCollection = AsyncCollection[Document]

# MongoDB deletes such documents itself once the instant in `expires` has passed.
EXPIRY_INDEX: Final = IndexModel("expires", expireAfterSeconds=0)


def durable(control: ControlDatabase, name: str) -> ControlCollection:
    """A collection whose writes outlive the loss of a minority of the replica set.

    Whatever the connection string says: a revoked token must not be found on a secondary.
    """
    return control.get_collection(
        name,
        codec_options=CodecOptions(tz_aware=True, tzinfo=UTC),
        read_preference=ReadPreference.PRIMARY,
        write_concern=WriteConcern("majority", wtimeout=10_000),
    )


@contextmanager
def driver_errors_translated() -> Iterator[None]:
    """Turn what the driver raises into refusals.

    Raises:
        Transient: the database cannot be reached or is electing a primary.
    """
    try:
        yield
    except PyMongoError as error:
        raise translate(error) from error


@asynccontextmanager
async def control_database(settings: Settings) -> AsyncIterator[ControlDatabase]:
    """The control database for one piece of work of an operator command.

    Args:
        settings: with the URL of MongoDB filled in.

    Raises:
        DatabaseUnusable: MongoDB cannot be used, or was lost meanwhile.
    """
    connection = await Connection.open(settings)
    try:
        yield connection.control
    except Transient as error:
        raise DatabaseUnusable(f"{error}; the database was lost meanwhile, try again") from error
    finally:
        await connection.close()
