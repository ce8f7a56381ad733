"""The connection to MongoDB: opened once per process, checked before it is used."""

from typing import Self

from pymongo.errors import ConfigurationError, ConnectionFailure, OperationFailure

from fhir_server.settings import Settings
from fhir_server.store.errors import DatabaseUnusable
from fhir_server.store.find import Database
from fhir_server.store.lines import Client

REACH_MILLISECONDS = 3_000
"""How long a request waits for a primary before it is answered 503."""

_CONTROL = "control"
_SOCKET_MILLISECONDS = 30_000
_LOGIN_REFUSED = frozenset({13, 18, 8000})


class Connection:
    """A replica set and the databases of ours in it.

    Attributes:
        client: the driver's client; bound to the running event loop.
        prefix: the start of every database name.
    """

    def __init__(self, client: Client, prefix: str) -> None:
        """See `open`, which also checks."""
        self.client = client
        self.prefix = prefix
        self._tenants: dict[str, Database] = {}

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Connect and make sure that transactions will work.

        Raises:
            DatabaseUnusable: no MongoDB there, no replica set, login refused or a malformed URL.
        """
        url = settings.mongodb_url
        if not url:
            raise DatabaseUnusable(
                "no MongoDB is configured; set FHIR_SERVER_MONGODB_URL or use `fhir-server serve`"
            )
        try:
            client = _client(url)
        except (ConfigurationError, ValueError) as error:
            raise DatabaseUnusable(
                f"FHIR_SERVER_MONGODB_URL is not usable ({_line(error)}); "
                "expected mongodb://HOST:PORT/?replicaSet=NAME"
            ) from None
        try:
            await _check(client)
        except BaseException:
            await client.close()
            raise
        return cls(client, settings.database_prefix)

    def tenant(self, name: str) -> Database:
        """The database of a tenant."""
        known = self._tenants.get(name)
        if known is None:
            known = self._tenants[name] = self.client[f"{self.prefix}_{name}"]
        return known

    @property
    def control(self) -> Database:
        """What belongs to no tenant: clients, tokens, secrets, the state of the instance."""
        return self.client[f"{self.prefix}_{_CONTROL}"]

    async def tenants(self) -> list[str]:
        """The tenants that have a database; their names hold no underscore."""
        names = await self.client.list_database_names()
        parts = (name.rpartition("_") for name in names)
        return sorted(
            tenant for start, _, tenant in parts if start == self.prefix and tenant != _CONTROL
        )

    async def close(self) -> None:
        """Let go of every socket."""
        await self.client.close()


def _client(url: str) -> Client:
    if not url.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("it does not start with mongodb://")
    return Client(
        url,
        appname="fhir-server",
        tz_aware=True,
        w="majority",
        serverSelectionTimeoutMS=REACH_MILLISECONDS,
        connectTimeoutMS=REACH_MILLISECONDS,
        socketTimeoutMS=_SOCKET_MILLISECONDS,
    )


async def _check(client: Client) -> None:
    try:
        hello = await client.admin.command("hello")
    except OperationFailure as error:
        raise _refused(error) from None
    except ConnectionFailure as error:
        raise DatabaseUnusable(
            f"no MongoDB primary answers at FHIR_SERVER_MONGODB_URL ({_line(error)}); "
            "start it or correct the URL"
        ) from None
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise DatabaseUnusable(
            "the MongoDB at FHIR_SERVER_MONGODB_URL is not a replica set, which transactions need; "
            "start it with --replSet and run rs.initiate()"
        )
    if not hello.get("isWritablePrimary"):
        raise DatabaseUnusable(
            "the MongoDB at FHIR_SERVER_MONGODB_URL is not the primary of its replica set; "
            "name the set in the URL (?replicaSet=NAME) and leave out directConnection"
        )


def _refused(error: OperationFailure) -> DatabaseUnusable:
    if error.code in _LOGIN_REFUSED:
        return DatabaseUnusable(
            "MongoDB refuses the login in FHIR_SERVER_MONGODB_URL; correct user, password or "
            "authSource"
        )
    return DatabaseUnusable(f"MongoDB refuses to work: {_line(error)}")


def _line(error: Exception) -> str:
    """The gist of a driver's message; topology descriptions fill screens."""
    return " ".join(str(error).split(", Timeout:")[0].split())[:200]
