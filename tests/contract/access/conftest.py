"""A running authorization server, and backend services that authenticate to it."""

import asyncio
import socket
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import orjson
import pytest
import uvicorn
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from fhir_server.auth.restrictions import Restrictions
from fhir_server.authorization_server.application import create
from fhir_server.authorization_server.bearer import Authenticator
from fhir_server.authorization_server.registration import registered_client
from fhir_server.context import Principal
from fhir_server.definitions.loader import load
from fhir_server.definitions.registry import Registry
from fhir_server.settings import Settings
from fhir_server.store.clients import Client, Clients
from fhir_server.store.control import ControlDatabase
from fhir_server.store.database import Connection
from fhir_server.store.tokens import Tokens

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def _base64(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


class AdjustableClock:
    """The time, which tests may move ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Answer:
    """What a server answered."""

    status: int
    headers: Any
    body: Any


@dataclass
class Backend:
    """A backend service with its private keys.

    Attributes:
        id: its client_id.
        token_url: where it gets its tokens.
        keys: by `kid`.
    """

    id: str
    token_url: str
    keys: dict[str, RSAKey | ECKey]
    _count: int = field(default=0)

    def public_keys(self) -> str:
        """Its JWK Set as JSON."""
        return orjson.dumps(
            {"keys": [k.as_dict(private=False) for k in self.keys.values()]}
        ).decode()

    def claims(self, **changes: object) -> dict[str, Any]:
        """The claims of a good assertion, changed; a change to None removes a claim."""
        self._count += 1
        claims: dict[str, Any] = {
            "iss": self.id,
            "sub": self.id,
            "aud": self.token_url,
            "exp": int(datetime.now(UTC).timestamp()) + 240,
            "jti": f"{id(self)}-{self._count}",
        }
        claims.update(changes)
        return {name: value for name, value in claims.items() if value is not None}

    def assertion(
        self,
        *,
        alg: str = "RS384",
        kid: str | None = None,
        header: dict[str, Any] | None = None,
        key: Any = None,
        **claims: object,
    ) -> str:
        """A signed assertion; everything about it may be changed, to the nonsensical too."""
        kid = kid or ("rsa" if alg.startswith("RS") else "ec")
        full: dict[str, Any] = {"alg": alg, "kid": kid, "typ": "JWT", **(header or {})}
        head = {name: value for name, value in full.items() if value is not None}
        signed = b".".join(_base64(orjson.dumps(part)) for part in (head, self.claims(**claims)))
        signature = jws.JWSRegistry.algorithms[alg].sign(signed, key or self.keys[kid])
        return f"{signed.decode()}.{_base64(signature).decode()}"

    def form(self, assertion: str | None = None, **changes: str | None) -> dict[str, str]:
        """The fields of a good request, changed; a change to None removes a field."""
        form: dict[str, str | None] = {
            "grant_type": "client_credentials",
            "scope": "system/*.cruds",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion or self.assertion(),
        }
        form.update(changes)
        return {name: value for name, value in form.items() if value is not None}


@dataclass
class Running:
    """A running authorization server.

    Attributes:
        settings: its settings.
        control: its control database.
        clock: its clock.
        http: a client that connects to it.
    """

    settings: Settings
    registry: Registry
    control: ControlDatabase
    clock: AdjustableClock
    http: aiohttp.ClientSession

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.settings.root_url}/auth/token"

    async def post(self, form: Any, **options: Any) -> Answer:
        """Send a token request."""
        async with self.http.post(self.token_url, data=form, **options) as response:
            raw = await response.read()
            return Answer(response.status, response.headers, orjson.loads(raw))

    async def count_tokens(self) -> int:
        """How many access tokens there are."""
        return await self.control["access_tokens"].count_documents({})

    async def principal(self, token: str) -> Principal:
        """Who a token stands for, without anything remembered."""
        authenticator = Authenticator(Tokens(self.control), clock=self.clock)
        return await authenticator.authenticate(f"Bearer {token}")

    async def register(
        self, backend: Backend, scope: str = "system/*.cruds", *, jwks_url: str | None = None
    ) -> Client:
        """Register a client with its keys, or with the URL where they are."""
        client = registered_client(
            backend.id,
            "Backend of a test",
            scope,
            jwks=backend.public_keys() if jwks_url is None else None,
            jwks_url=jwks_url,
            now=self.clock(),
            restrictions=Restrictions(self.registry, self.settings),
            settings=self.settings,
        )
        await Clients(self.control).add(client)
        return client


@pytest.fixture(scope="session")
def registry() -> Registry:
    """What the server offers."""
    return load()


@pytest.fixture(scope="session")
def key_pair() -> dict[str, RSAKey | ECKey]:
    """An RSA and an EC key, made once because that is slow."""
    return {
        "rsa": RSAKey.generate_key(2048, {"kid": "rsa"}),
        "ec": ECKey.generate_key("P-384", {"kid": "ec"}),
    }


@pytest.fixture
async def control(settings: Settings) -> AsyncIterator[ControlDatabase]:
    """An empty control database."""
    connection = await Connection.open(settings)
    yield connection.control
    await connection.close()


@pytest.fixture
async def server(
    settings: Settings, registry: Registry, control: ControlDatabase
) -> AsyncIterator[Running]:
    """An authorization server on a free port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    here = settings.model_copy(update={"base_url": f"http://127.0.0.1:{port}/fhir"})
    clock = AdjustableClock()
    application = create(here, registry, control, clock=clock)
    config = uvicorn.Config(application, log_config=None, lifespan="on", http="httptools")
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve(sockets=[listener]))
    while not running.started:
        await asyncio.sleep(0.01)
    async with aiohttp.ClientSession() as http:
        yield Running(here, registry, control, clock, http)
    running.should_exit = True
    await task
    listener.close()


@pytest.fixture
def backend(server: Running, key_pair: dict[str, RSAKey | ECKey]) -> Backend:
    """A backend service that is not registered yet."""
    return Backend("ehr-1", server.token_url, dict(key_pair))


@pytest.fixture
async def known(server: Running, backend: Backend) -> Backend:
    """A backend service that is registered with its keys for everything."""
    await server.register(backend)
    return backend


MakeBackend = Callable[[str], Backend]


@pytest.fixture
def make_backend(server: Running, key_pair: dict[str, RSAKey | ECKey]) -> MakeBackend:
    """Makes further backend services with the same keys."""
    return lambda client_id: Backend(client_id, server.token_url, dict(key_pair))
