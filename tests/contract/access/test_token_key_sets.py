"""Clients that publish their keys: fetched when needed, kept no longer than they allow."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from joserfc.jwk import ECKey, RSAKey

from fhir_server.authorization_server import key_sets
from fhir_server.authorization_server.key_sets import KeySets, KeySetUnavailableError, freshness
from fhir_server.settings import Settings
from tests.contract.access.conftest import Backend, Running


@dataclass
class Publisher:
    """A web server with a key set.

    Attributes:
        url: where the key set is.
        body: what it answers.
        cache_control: the header of that name, unless empty.
        status: the HTTP status.
        requests: the requests so far, by their Accept header.
        gate: answers wait until it is set.
    """

    url: str = ""
    body: str = ""
    cache_control: str = ""
    status: int = 200
    requests: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        """The key set, or a redirect to it."""
        self.requests.append(request.headers["Accept"])
        await self.gate.wait()
        if request.path == "/moved":
            raise web.HTTPFound("/keys")
        headers = {"Cache-Control": self.cache_control} if self.cache_control else {}
        return web.Response(text=self.body, status=self.status, headers=headers)


class Timer:
    """A monotonic timer that tests move."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    """A publisher on a free port."""
    one = Publisher()
    one.gate.set()
    application = web.Application()
    application.router.add_get("/{path:.*}", one.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    yield one
    await runner.cleanup()


@pytest.fixture
def holder(key_pair: dict[str, RSAKey | ECKey]) -> Backend:
    """A backend service that only publishes its keys."""
    return Backend("holder", "", dict(key_pair))


@pytest.fixture
def timer() -> Timer:
    """A timer that stands still."""
    return Timer()


@pytest.fixture
async def sets(settings: Settings, timer: Timer) -> AsyncIterator[KeySets]:
    """The key sets of a process whose timer tests move."""
    one = KeySets(settings, monotonic=timer)
    yield one
    await one.close()


async def test_published_keys_verify(
    server: Running, backend: Backend, publisher: Publisher
) -> None:
    """A client registered with a URL authenticates with the keys found there, with its jku too."""
    publisher.body = backend.public_keys()
    await server.register(backend, jwks_url=publisher.url)
    for header in ({}, {"jku": publisher.url}):
        answer = await server.post(backend.form(backend.assertion(header=header)))
        assert answer.status == 200
    assert publisher.requests == ["application/json"]


async def test_jku_is_compared_never_followed(
    server: Running, backend: Backend, publisher: Publisher
) -> None:
    """A jku that is not the registered URL is refused, and nobody visits it."""
    publisher.body = backend.public_keys()
    await server.register(backend, jwks_url=publisher.url)
    for jku in (f"{publisher.url}?other", publisher.url.upper(), ""):
        answer = await server.post(backend.form(backend.assertion(header={"jku": jku})))
        assert (answer.status, answer.body["error"]) == (400, "invalid_client")
    assert publisher.requests == []


async def test_rotated_key_is_found(
    server: Running, backend: Backend, sets: KeySets, publisher: Publisher, timer: Timer
) -> None:
    """A key that the remembered set lacks is looked for anew, once per cool-down."""
    publisher.body = backend.public_keys()
    publisher.cache_control = "max-age=600"
    assert len(await sets.find(publisher.url, "rsa", "RS384")) == 1
    backend.keys["new"] = RSAKey.generate_key(2048, {"kid": "new"})
    publisher.body = backend.public_keys()
    assert await sets.find(publisher.url, "new", "RS384") == []
    assert len(publisher.requests) == 1
    timer.seconds += key_sets.COOLDOWN_SECONDS
    assert len(await sets.find(publisher.url, "new", "RS384")) == 1
    assert len(publisher.requests) == 2


async def test_flood_of_unknown_keys_is_one_fetch(
    holder: Backend, sets: KeySets, publisher: Publisher
) -> None:
    """Assertions with invented keys that arrive together or soon after cost one request."""
    publisher.body = holder.public_keys()
    publisher.gate.clear()
    finds = [asyncio.create_task(sets.find(publisher.url, f"key-{n}", "RS384")) for n in range(50)]
    await asyncio.sleep(0.05)
    publisher.gate.set()
    assert await asyncio.gather(*finds) == [[]] * 50
    for n in range(50):
        assert await sets.find(publisher.url, f"later-{n}", "RS384") == []
    assert len(publisher.requests) == 1


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [("max-age=60", 60), ("public, max-age=2", 2), ("max-age=86400", 600), ("", 300)],
)
async def test_key_set_is_kept_as_long_as_allowed(
    holder: Backend,
    sets: KeySets,
    publisher: Publisher,
    timer: Timer,
    cache_control: str,
    seconds: int,
) -> None:
    """Cache-Control bounds how long keys are remembered; ten minutes is the most."""
    publisher.body, publisher.cache_control = holder.public_keys(), cache_control
    await sets.find(publisher.url, "rsa", "RS384")
    timer.seconds += seconds - 0.1
    await sets.find(publisher.url, "rsa", "RS384")
    assert len(publisher.requests) == 1
    timer.seconds += 0.2
    await sets.find(publisher.url, "rsa", "RS384")
    assert len(publisher.requests) == 2


@pytest.mark.parametrize(
    "cache_control", ["no-store", "no-cache", "max-age=0", "max-age=60, no-store"]
)
async def test_key_set_is_not_kept_when_forbidden(
    holder: Backend, sets: KeySets, publisher: Publisher, cache_control: str
) -> None:
    """A publisher that forbids keeping its keys is asked each time."""
    publisher.body, publisher.cache_control = holder.public_keys(), cache_control
    for _ in range(3):
        assert len(await sets.find(publisher.url, "rsa", "RS384")) == 1
    assert len(publisher.requests) == 3


async def test_withdrawn_key_is_gone(
    holder: Backend, sets: KeySets, publisher: Publisher, timer: Timer
) -> None:
    """When the publisher fails after the keys have become stale, they are not used further."""
    publisher.body, publisher.cache_control = holder.public_keys(), "max-age=5"
    await sets.find(publisher.url, "rsa", "RS384")
    publisher.status = 500
    timer.seconds += 6
    for _ in range(3):
        with pytest.raises(KeySetUnavailableError):
            await sets.find(publisher.url, "rsa", "RS384")
    assert len(publisher.requests) == 2
    publisher.status = 200
    timer.seconds += key_sets.COOLDOWN_SECONDS
    assert len(await sets.find(publisher.url, "rsa", "RS384")) == 1


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"keys": {}}', "x" * 70_000, '{"keys": [' * 5_000]
)
async def test_answers_that_are_no_key_set(
    server: Running, backend: Backend, publisher: Publisher, body: str
) -> None:
    """Whatever the publisher answers, the client is told invalid_client."""
    publisher.body = body
    await server.register(backend, jwks_url=publisher.url)
    answer = await server.post(backend.form())
    assert (answer.status, answer.body["error"]) == (400, "invalid_client")
    assert await server.count_tokens() == 0


async def test_redirect_is_not_followed(
    server: Running, backend: Backend, publisher: Publisher
) -> None:
    """A key set that has moved is not looked for elsewhere."""
    publisher.body = backend.public_keys()
    await server.register(backend, jwks_url=publisher.url.replace("keys", "moved"))
    assert (await server.post(backend.form())).status == 400
    assert len(publisher.requests) == 1


async def test_hanging_publisher(
    sets: KeySets, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher that does not answer in time has no keys."""
    monkeypatch.setattr(key_sets, "TIMEOUT_SECONDS", 0.1)
    publisher.gate.clear()
    with pytest.raises(KeySetUnavailableError):
        await sets.find(publisher.url, "rsa", "RS384")
    publisher.gate.set()


async def test_private_address_is_not_visited(settings: Settings, publisher: Publisher) -> None:
    """Without the setting, loopback is not asked for keys, however it is named."""
    strict = settings.model_copy(update={"allow_loopback_endpoints": False})
    sets = KeySets(strict)
    port = publisher.url.rpartition(":")[2]
    for url in (publisher.url, f"https://127.1:{port}", f"https://localhost:{port}"):
        with pytest.raises(KeySetUnavailableError):
            await sets.find(url, "rsa", "RS384")
    await sets.close()
    assert publisher.requests == []


@pytest.mark.parametrize(
    ("cache_control", "age", "seconds"),
    [
        ("max-age=100", "40", 60),
        ("max-age=100", "200", 0),
        ("max-age=100", "٣", 100),
        ("max-age=100", "-5", 100),
        ("Max-Age = 7", "0", 7),
        ("no-store-x, max-age=9", "0", 9),
        ("max-age=99999999999999", "0", 600),
    ],
)
def test_freshness(cache_control: str, age: str, seconds: int) -> None:
    """The time an answer has spent in caches counts."""
    assert freshness(cache_control, age) == seconds
