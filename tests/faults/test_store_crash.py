"""The store when processes die and connections break at the worst moment."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import AsyncMongoClient

from fhir_server.audit.record import access_record
from fhir_server.fhir.errors import FhirError, Transient
from fhir_server.settings import Settings
from fhir_server.store.store import Store
from tests.fixtures_store import (
    assert_consistent,
    basic,
    changing,
    context,
    creating,
    loaded,
    opened,
    texting,
)

_ROOT = Path(__file__).parents[2]
_WRITER = """
import asyncio, sys
from fhir_server.settings import Settings
from tests.fixtures_store import basic, changing, context, creating, opened, texting

async def write(store, name):
    number = 0
    while True:
        logical_id = f"{name}-{number}"
        await store.run(context(), creating(basic(), logical_id), interaction="create")
        await store.run(
            context(), changing("Basic", logical_id, texting("x")), interaction="update"
        )
        print(logical_id, flush=True)
        number += 1

async def main():
    settings = Settings(mongodb_url=sys.argv[1], database_prefix=sys.argv[2])
    async with opened(settings) as store:
        await asyncio.gather(*(write(store, f"w{n}") for n in range(16)))

asyncio.run(main())
"""


async def test_a_writer_killed_under_load_leaves_nothing_half_done(
    settings: Settings, tmp_path: Path
) -> None:
    """After kill -9 all that was acknowledged is there and all collections agree."""
    assert settings.mongodb_url
    acknowledged = tmp_path / "acknowledged"
    with acknowledged.open("wb") as output:
        child = subprocess.Popen(  # noqa: ASYNC220 - killed below
            [sys.executable, "-c", _WRITER, settings.mongodb_url, settings.database_prefix],
            cwd=_ROOT,
            stdout=output,
        )
    try:
        async with asyncio.timeout(60):
            while acknowledged.stat().st_size < 3_000:
                assert child.poll() is None
                await asyncio.sleep(0.01)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    lines = acknowledged.read_text().splitlines(keepends=True)
    told = {line.strip() for line in lines if line.endswith("\n")}
    async with opened(settings) as store:
        versions = await assert_consistent(store, "Basic")
        assert {one for one in told if versions.get(one) != 2} == set()
        # Nothing is left that would hold up the next writer.
        async with asyncio.timeout(10):
            for one in sorted(versions)[:20]:
                await store.run(
                    context(), changing("Basic", one, texting("after")), interaction="update"
                )
        await assert_consistent(store, "Basic")


class _Wire:
    """A real network path to MongoDB that can be cut, before or after a message gets through."""

    def __init__(self, url: str) -> None:
        self.onward_url = url
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.cut_before: Callable[[bytes], bool] = lambda _: False
        self.cut_after: Callable[[bytes], bool] = lambda _: False
        self.down = False

    async def start(self) -> str:
        """Listen; returns the URL that leads through the wire."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"mongodb://127.0.0.1:{port}/?directConnection=true"

    async def stop(self) -> None:
        """Cut everything for good."""
        assert self._server
        self._server.close()
        self._cut()
        await self._server.wait_closed()

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.transport.abort()
            return
        onward_reader, onward = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, onward}
        answers = asyncio.create_task(self._pass(onward_reader, writer))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._pass_messages(reader, onward, answers)
        answers.cancel()
        for one in (writer, onward):
            one.transport.abort()
            self._writers.discard(one)

    async def _pass_messages(
        self,
        reader: asyncio.StreamReader,
        onward: asyncio.StreamWriter,
        answers: asyncio.Task[None],
    ) -> None:
        while True:
            head = await reader.readexactly(16)
            body = await reader.readexactly(int.from_bytes(head[:4], "little") - 16)
            if self.down or self.cut_before(body):
                return
            last = self.cut_after(body)
            if last:
                answers.cancel()
            onward.write(head + body)
            await onward.drain()
            if last:
                # Time for the server to do it; its answer never arrives.
                await asyncio.sleep(0.2)
                return

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if not writer.transport.is_closing():
                    writer.write(data)


def _times(number: int, command: bytes) -> Callable[[bytes], bool]:
    """True for the first messages of a command."""
    left = number

    def judge(body: bytes) -> bool:
        nonlocal left
        if command not in body or left == 0:
            return False
        left -= 1
        return True

    return judge


@pytest.fixture
async def wire(settings: Settings) -> AsyncIterator[_Wire]:
    """A wire to the test's MongoDB."""
    assert settings.mongodb_url
    wire = _Wire(settings.mongodb_url)
    yield wire
    await wire.stop()


@pytest.fixture
async def store(settings: Settings, wire: _Wire) -> AsyncIterator[Store]:
    """A store at the far end of the wire."""
    url = await wire.start()
    store = await Store.open(settings.model_copy(update={"mongodb_url": url}), loaded())
    await store.run(context(), creating(basic("0"), "first"), interaction="create")
    yield store
    wire.down = False
    await store.close()


@pytest.mark.parametrize("command", [b"insert\x00", b"update\x00", b"commitTransaction\x00"])
@pytest.mark.parametrize("side", ["cut_before", "cut_after"])
async def test_a_connection_lost_once_is_survived(
    store: Store, wire: _Wire, command: bytes, side: str
) -> None:
    """Whatever was on the wire, the write happens exactly once and is acknowledged."""
    setattr(wire, side, _times(1, command))
    change = changing("Basic", "first", texting("1"))
    await store.run(context(), change, interaction="update")
    assert await assert_consistent(store, "Basic") == {"first": 2}


@pytest.mark.parametrize("side", ["cut_before", "cut_after"])
async def test_a_read_survives_lost_connections(store: Store, wire: _Wire, side: str) -> None:
    """Reads are asked again, first by the driver and then once more, unseen by the caller."""
    setattr(wire, side, _times(2, b"find\x00"))
    assert (await store.read(context(), "Basic", "first")).version == 1


async def test_a_commit_whose_answers_are_all_lost_is_looked_up(
    settings: Settings, wire: _Wire, store: Store
) -> None:
    """The transaction was committed though no answer came: it is acknowledged, not repeated."""
    wire.cut_after = _times(6, b"commitTransaction\x00")
    committed = await store.run(
        context(), changing("Basic", "first", texting("1")), interaction="update"
    )
    assert committed.versions[0].version == 2
    async with opened(settings) as other:
        assert await assert_consistent(other, "Basic") == {"first": 2}


async def test_a_commit_that_never_arrived_is_repeated_once(
    settings: Settings, wire: _Wire, store: Store
) -> None:
    """No commit got through: the outcome is settled as not written, then written anew."""
    wire.cut_before = _times(6, b"commitTransaction\x00")
    committed = await store.run(
        context(), changing("Basic", "first", texting("1")), interaction="update"
    )
    assert committed.versions[0].version == 2
    async with opened(settings) as other:
        assert await assert_consistent(other, "Basic") == {"first": 2}


async def test_a_database_that_stays_away_is_transient(
    settings: Settings, wire: _Wire, store: Store
) -> None:
    """Reads and writes are refused in bounded time, nothing is written, and it recovers."""
    wire.down = True
    async with asyncio.timeout(30):
        for attempt in (
            store.read(context(), "Basic", "first"),
            store.run(context(), creating(basic(), "second"), interaction="create"),
        ):
            with pytest.raises(Transient) as refused:
                await attempt
            assert refused.value.retry_after >= 1
    async with opened(settings) as other:
        assert await assert_consistent(other, "Basic") == {"first": 1}
    wire.down = False
    assert (await store.read(context(), "Basic", "first")).version == 1
    await store.run(context(), creating(basic(), "second"), interaction="create")


async def test_answers_are_true_while_the_wire_breaks_again_and_again(
    settings: Settings, wire: _Wire, store: Store
) -> None:
    """Acknowledged means written, refused means not, through dozens of cut connections."""
    calls = 0

    def sometimes(_: bytes) -> bool:
        nonlocal calls
        calls += 1
        return calls % 23 == 0

    wire.cut_after = sometimes
    outcomes: dict[str, bool] = {}

    async def write(number: int) -> None:
        logical_id = f"b{number}"
        try:
            await store.run(context(), creating(basic(), logical_id), interaction="create")
            outcomes[logical_id] = True
        except FhirError as error:
            if "not known" not in error.diagnostics:
                outcomes[logical_id] = False

    for start in range(0, 60, 12):
        await asyncio.gather(*(write(number) for number in range(start, start + 12)))
    wire.cut_after = lambda _: False
    async with opened(settings) as other:
        written = await assert_consistent(other, "Basic")
    assert {one for one, told in outcomes.items() if told != (one in written)} == set()
    assert sum(outcomes.values()) > 30


async def test_an_unknown_outcome_is_told_as_such(
    settings: Settings, wire: _Wire, store: Store
) -> None:
    """The database vanishes during the commit and stays away: nobody claims to know."""

    def vanish(body: bytes) -> bool:
        wire.down = wire.down or b"commitTransaction\x00" in body
        return wire.down

    wire.cut_after = vanish
    with pytest.raises(Transient, match="it is not known"):
        await store.run(context(), changing("Basic", "first", texting("1")), interaction="update")
    async with opened(settings) as other:
        assert await assert_consistent(other, "Basic") == {"first": 2}


async def test_audit_records_outlast_an_outage(wire: _Wire, store: Store) -> None:
    """Records made while the database is away are written when it is back, each once."""
    wire.down = True
    wire.cut_before = _times(1, b"insert\x00")
    for number in range(30):
        record = access_record(context(), "read", resource_type="Basic", logical_id=f"b{number}")
        await store.record_access(record)
    await asyncio.sleep(0.5)
    wire.down = False
    await store.close()
    found = await _audited_reads(store, wire)
    assert sorted(found) == sorted(f"b{number}" for number in range(30))


async def _audited_reads(store: Store, wire: _Wire) -> list[str]:
    prefix = store.connection.prefix
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(wire.onward_url)
    async with client:
        documents = client[f"{prefix}_default"]["audit"].find()
        records = [record async for one in documents for record in one["records"]]
    return [one["id"] for one in records if one["interaction"] == "read"]
