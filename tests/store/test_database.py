"""What the store demands of MongoDB, and how it says so."""

import asyncio
import dataclasses
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fhir_server.commands.reindex import command
from fhir_server.embedded import binaries
from fhir_server.settings import Settings
from fhir_server.store.database import Connection
from fhir_server.store.errors import DatabaseUnusable, IndexOutdated
from fhir_server.store.reindex import count_resources, is_reindex_needed, reindex
from fhir_server.store.store import Store
from tests.fixtures_store import basic, changing, context, creating, loaded, opened, texting


def _changed(settings: Settings, url: str | None) -> Settings:
    return settings.model_copy(update={"mongodb_url": url})


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port at which nobody answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


async def test_an_unreachable_mongodb_is_told_within_seconds(
    settings: Settings, free_port: int
) -> None:
    """One plain line that says what to do, soon."""
    async with asyncio.timeout(6):
        with pytest.raises(DatabaseUnusable) as told:
            await Connection.open(_changed(settings, f"mongodb://127.0.0.1:{free_port}"))
    message = str(told.value)
    assert message.startswith("no MongoDB primary answers at FHIR_SERVER_MONGODB_URL")
    assert "\n" not in message


@pytest.mark.parametrize("url", ["nonsense", "mongodb://", "mongodb://host:70000", "http://x"])
async def test_a_malformed_url_is_told(settings: Settings, url: str) -> None:
    """It names the setting."""
    with pytest.raises(DatabaseUnusable, match="FHIR_SERVER_MONGODB_URL is not usable"):
        await Connection.open(_changed(settings, url))


async def test_a_missing_url_is_told(settings: Settings) -> None:
    """It names the setting and the alternative."""
    with pytest.raises(DatabaseUnusable, match="no MongoDB is configured"):
        await Connection.open(_changed(settings, None))


async def test_secrets_are_shared_and_lasting(settings: Settings) -> None:
    """Processes that ask at once get the same 32 bytes, and again later; names differ."""
    async with opened(settings) as one, opened(settings) as other:
        found = await asyncio.gather(
            *(store.secret("x") for store in (one, other) for _ in range(5))
        )
        assert len(set(found)) == 1
        assert len(found[0]) == 32
        assert await one.secret("y") != found[0]
    async with opened(settings) as again:
        assert await again.secret("x") == found[0]


async def test_processes_make_collections_at_once_without_trouble(settings: Settings) -> None:
    """The first write to a type from several processes makes its indexes once."""
    async with opened(settings) as one, opened(settings) as two, opened(settings) as three:
        await asyncio.gather(
            *(
                store.run(context(), creating(basic(), f"{name}{n}"), interaction="create")
                for name, store in (("a", one), ("b", two), ("c", three))
                for n in range(5)
            )
        )
        indexes = await one.database("default")["Basic"].index_information()
        assert set(indexes) == {"_id_", "terms", "dates", "numbers", "updated", "main_date"}


async def test_changed_artefacts_demand_a_reindex(settings: Settings) -> None:
    """The store refuses to open until searches see what the artefacts say now."""
    registry = loaded()
    changed = dataclasses.replace(registry, artefact_hash="another")
    async with opened(settings) as store:
        await store.run(context(), creating(basic(), "a"), interaction="create")
    with pytest.raises(IndexOutdated, match="fhir-server reindex"):
        await Store.open(settings, changed)
    assert await is_reindex_needed(settings, changed)
    await reindex(settings, changed)
    assert not await is_reindex_needed(settings, changed)
    store = await Store.open(settings, changed)
    await store.close()


async def test_an_empty_database_takes_the_present_artefacts(settings: Settings) -> None:
    """Without resources nothing needs to be indexed again."""
    async with opened(settings):
        pass
    changed = dataclasses.replace(loaded(), artefact_hash="another")
    store = await Store.open(settings, changed)
    await store.close()


async def test_reindex_repairs_what_searches_use_and_nothing_else(settings: Settings) -> None:
    """Wrong index documents are rebuilt; versions, bytes and deletions stay."""
    async with opened(settings) as store:
        for number in range(450):
            await store.run(context(), creating(basic(), f"b{number}"), interaction="create")
        documents = store.database("default")["Basic"]
        before = {one["_id"]: one async for one in documents.find()}
        await documents.update_many({"_id": {"$lt": "b2"}}, {"$set": {"ix": {}, "acl": ["x"]}})
        done: list[int] = []
        assert await count_resources(settings, loaded()) == 450
        changed = await reindex(settings, loaded(), advance=done.append)
        assert changed == len([one for one in before if one < "b2"])
        assert sum(done) == 450
        assert {one["_id"]: one async for one in documents.find()} == before
        assert await reindex(settings, loaded()) == 0


async def test_reindex_and_writers_do_not_disturb_each_other(settings: Settings) -> None:
    """Resources written meanwhile end up with the index of their last version."""
    async with opened(settings) as store:
        for number in range(40):
            await store.run(context(), creating(basic("0"), f"b{number}"), interaction="create")
        documents = store.database("default")["Basic"]
        await documents.update_many({}, {"$set": {"ix": {}}})

        async def write(number: int) -> None:
            for text in "abc":
                change = changing("Basic", f"b{number}", texting(text))
                await store.run(context(), change, interaction="update")

        await asyncio.gather(reindex(settings, loaded()), *(write(n) for n in range(40)))
        assert await documents.count_documents({"ix": {}}) == 0
        assert await reindex(settings, loaded()) == 0


async def test_a_mongodb_without_replica_set_is_told(
    settings: Settings, free_port: int, tmp_path: Path
) -> None:
    """Transactions need one; the message says how to get it."""
    folder = tmp_path / "standalone"
    folder.mkdir()
    child = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs here
        [
            *(binaries.find("mongod"), "--dbpath", folder, "--port", str(free_port + 1)),
            *("--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        with pytest.raises(DatabaseUnusable, match=r"not a replica set.*--replSet"):
            await _open_when_it_answers(_changed(settings, f"mongodb://127.0.0.1:{free_port + 1}"))
    finally:
        child.kill()
        child.wait()


async def _open_when_it_answers(settings: Settings) -> None:
    for _ in range(5):
        try:
            await Connection.open(settings)
        except DatabaseUnusable as told:
            if "no MongoDB primary answers" not in str(told):
                raise


async def test_the_command_reindexes_only_if_needed(settings: Settings) -> None:
    """`--if-needed` does nothing while searches are up to date; without it, it says what it did."""
    async with opened(settings) as store:
        await store.run(context(), creating(basic(), "a"), interaction="create")
        await store.database("default")["Basic"].update_many({}, {"$set": {"ix": {}}})
    environment = {
        "FHIR_SERVER_MONGODB_URL": settings.mongodb_url,
        "FHIR_SERVER_DATABASE_PREFIX": settings.database_prefix,
        "FHIR_SERVER_DATA_DIR": str(settings.data_dir),
    }
    runner = CliRunner(env=environment)
    unneeded = await asyncio.to_thread(runner.invoke, command, ["--if-needed"])
    assert (unneeded.exit_code, unneeded.output) == (0, "")
    done = await asyncio.to_thread(runner.invoke, command, [])
    assert done.exit_code == 0
    assert done.output.endswith("1 of about 1 resources were indexed anew\n")
