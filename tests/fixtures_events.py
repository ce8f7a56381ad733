"""A subscriber with a real HTTP endpoint, and the event processes, in this loop or as real ones."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from aiohttp import web

from fhir_server.context import Principal, RequestContext, system_clock
from fhir_server.definitions.loader import load
from fhir_server.fhir.ids import time_ordered_id
from fhir_server.scheduling.plan import Plan, View, Write
from fhir_server.settings import PREFIX, Settings
from fhir_server.store.deliveries import DeliveryLog, Progress
from fhir_server.store.store import Store
from fhir_server.subscriptions.cancellation import end
from fhir_server.subscriptions.process import TENANT, run_deliverer, run_sequencer

Answer = Callable[["Received"], Awaitable[int] | int]

CLIENT = Principal("subscriber", "system/*.cruds", "token-1")


@dataclass(frozen=True, slots=True)
class Received:
    """One request that reached the subscriber."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def number(self) -> int:
        return int(self.headers["x-subscription-event-number"])

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(slots=True)
class Receiver:
    """A subscriber's endpoint; `answer` decides the status of each answer."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    accepted: list[Received] = field(default_factory=list)
    answer: Answer = lambda _: 200
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        one = Received(request.method, request.path, headers, body, time.monotonic())
        self.received.append(one)
        answer = self.answer(one)
        status = answer if isinstance(answer, int) else await answer
        if 200 <= status < 300:
            self.accepted.append(one)
        async with self.arrived:
            self.arrived.notify_all()
        return web.Response(status=status)

    async def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        """Wait for requests until the condition holds; fail when it does not in time."""
        async with self.arrived:
            await asyncio.wait_for(self.arrived.wait_for(condition), seconds)

    def numbers(self, path: str = "") -> list[int]:
        """The numbers of accepted requests below a path, in the order of their arrival."""
        return [one.number for one in self.accepted if one.path.startswith(path)]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A subscriber that accepts everything until told otherwise."""
    found = Receiver()
    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{rest:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@dataclass(slots=True)
class Clinic:
    """Writes as a client does, on the one write path."""

    store: Store
    settings: Settings
    versions: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def context(self, principal: Principal = CLIENT) -> RequestContext:
        now = system_clock()
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        return RequestContext(TENANT, self.settings.fhir_base, principal, now, time_ordered_id())

    async def put(self, resource: dict[str, Any], principal: Principal = CLIENT) -> int:
        """Create or update; gives the version."""
        kind, logical_id = resource["resourceType"], resource["id"]

        def decide(view: View) -> Plan:
            current = view.get(kind, logical_id)
            known = current.version if current else 0
            action = "update" if current and not current.deleted else "create"
            return Plan((Write(kind, logical_id, action, resource, "PUT", known),))  # type: ignore[arg-type]

        committed = await self.store.run(self.context(principal), decide, interaction="update")
        return committed.versions[0].version

    async def delete(self, kind: str, logical_id: str, principal: Principal = CLIENT) -> int:
        def decide(view: View) -> Plan:
            current = view.get(kind, logical_id)
            assert current is not None
            return Plan((Write(kind, logical_id, "delete", None, "DELETE", current.version),))

        committed = await self.store.run(self.context(principal), decide, interaction="delete")
        return committed.versions[0].version

    async def read(self, kind: str, logical_id: str) -> dict[str, Any]:
        found = await self.store.read(self.context(), kind, logical_id)
        content: dict[str, Any] = orjson.loads(found.json)
        return content

    async def progress(self, subscription: str) -> Progress | None:
        log = DeliveryLog(self.store.database(TENANT))
        found = {one.subscription: one for one in await log.progress()}
        return found.get(subscription)

    async def status(self, subscription: str, wanted: str, seconds: float = 15) -> dict[str, Any]:
        """Wait until the Subscription has a status and the sequencer knows."""
        deadline = time.monotonic() + seconds
        while True:
            resource = await self.read("Subscription", subscription)
            progress = await self.progress(subscription)
            if resource["status"] == wanted and progress and progress.status == wanted:
                return resource
            seen = f"still {resource['status']}, not {wanted}; the sequencer knows {progress}"
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(0.02)


@pytest.fixture
async def clinic(settings: Settings) -> AsyncIterator[Clinic]:
    """Writes to an empty database."""
    opened = await Store.open(settings, load())
    yield Clinic(opened, settings)
    await opened.close()


async def at_least(collection: Any, count: int, seconds: float = 20) -> None:
    """Wait until a collection has so many documents."""
    await _eventually(collection, lambda found: found >= count, seconds)


async def emptied(collection: Any, seconds: float = 20) -> None:
    """Wait until a collection has no documents."""
    await _eventually(collection, lambda found: found == 0, seconds)


async def _eventually(collection: Any, enough: Callable[[int], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not enough(found := await collection.count_documents({})):
        assert time.monotonic() < deadline, f"{found} documents in {collection.name}"
        await asyncio.sleep(0.02)


def subscription(logical_id: str, endpoint: str, **overrides: Any) -> dict[str, Any]:
    """A Subscription on every Basic resource."""
    channel = {
        "type": "rest-hook",
        "endpoint": f"{endpoint}/{logical_id}",
        "payload": "application/fhir+json",
        **overrides.pop("channel", {}),
    }
    return {
        "resourceType": "Subscription",
        "id": logical_id,
        "status": "requested",
        "reason": "Keep the billing system in step",
        "criteria": "Basic?code=billing",
        "channel": channel,
        **overrides,
    }


def basic(logical_id: str, code: str = "billing", **more: Any) -> dict[str, Any]:
    """A small resource that no rule of scheduling touches."""
    coding = [{"system": "https://clinic.example/codes", "code": code}]
    return {"resourceType": "Basic", "id": logical_id, "code": {"coding": coding}, **more}


@asynccontextmanager
async def running(*works: Awaitable[None]) -> AsyncIterator[None]:
    """The works as tasks of this loop, cancelled at the end."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        _, late = await asyncio.wait({asyncio.ensure_future(end(tasks))}, timeout=10)
        for task in asyncio.all_tasks() if late else ():
            task.print_stack()
        assert not late, "a process does not stop when it is told to"
        for task in tasks:
            with suppress(asyncio.CancelledError):
                task.result()


@pytest.fixture
async def event_services(settings: Settings, clinic: Clinic) -> AsyncIterator[None]:
    """A sequencer and a deliverer, in this loop."""
    del clinic  # the store is to be closed after them
    async with running(run_sequencer(settings), run_deliverer(settings)):
        yield


class Process:
    """`fhir-server COMMAND` as a real process, restarted as often as a test kills it."""

    def __init__(self, command: str, settings: Settings) -> None:
        self.command = command
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def start(self) -> None:
        """Start it; its log goes to the data folder."""
        settings = self._settings
        given = settings.model_dump(mode="json", exclude_defaults=True)
        environment = {PREFIX + name.upper(): str(value) for name, value in given.items()}
        with (settings.data_dir / f"{self.command}.log").open("ab") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "fhir_server", self.command],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._signal(signal.SIGKILL)

    def stop(self) -> float:
        """SIGTERM; gives the seconds until it was gone."""
        start = time.monotonic()
        self._signal(signal.SIGTERM)
        return time.monotonic() - start

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._child.poll() if self._child else None

    def log(self) -> str:
        return (self._settings.data_dir / f"{self.command}.log").read_text()

    def _signal(self, number: int) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()


@pytest.fixture
def processes(settings: Settings, clinic: Clinic) -> Iterator[Callable[..., Process]]:
    """Starts real processes and ends those that a test leaves running."""
    del clinic
    started: list[Process] = []

    def start(command: str, **overrides: Any) -> Process:
        process = Process(command, settings.model_copy(update=overrides))
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


def today() -> datetime:
    """Now, for `end` and the like."""
    return datetime.now(UTC)
