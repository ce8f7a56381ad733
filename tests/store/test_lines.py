"""Plain connections beside the driver's: when they answer, and when they leave it to the driver."""

import asyncio
from collections.abc import AsyncIterator

import bson
import pytest
from pymongo.errors import ExecutionTimeout

from fhir_server.settings import Settings
from fhir_server.store import lines
from fhir_server.store.find import CODEC, ask, find
from fhir_server.store.lines import Client, Document, Lines

PING: Document = {"ping": 1}


def echo(text: str) -> Document:
    """A command whose reply repeats a text."""
    return {"aggregate": 1, "pipeline": [{"$documents": [{"text": text}]}], "cursor": {}}


def echoed(reply: Document | None) -> str:
    """The text."""
    assert reply is not None
    return str(reply["cursor"]["firstBatch"][0]["text"])


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    """A client that knows its primary."""
    assert settings.mongodb_url
    client = Client(settings.mongodb_url)
    await client.admin.command("ping")
    yield client
    await client.drop_database(settings.database_prefix)
    await client.close()


def lines_of(client: Client) -> Lines:
    """The client's lines, which a plain address has."""
    assert client.lines is not None
    return client.lines


async def test_many_commands_at_once_get_their_own_replies(client: Client) -> None:
    """Also when the replies are larger than a packet, and more wait than there are lines."""
    database = client["admin"]
    sizes = [1, 70_000, 300, 2_000_000, 5] * 30
    replies = await asyncio.gather(*(ask(database, echo("x" * size)) for size in sizes))
    assert [len(echoed(one)) for one in replies] == sizes


async def test_an_error_is_left_to_the_driver(client: Client) -> None:
    """It knows which errors to retry, and how to tell of the others."""
    assert await lines_of(client).ask("admin", {"nonsense": 1}, CODEC) is None
    assert await lines_of(client).ask("admin", PING, CODEC) is not None


async def test_a_spent_time_limit_is_told_at_once(client: Client, settings: Settings) -> None:
    """The driver would only spend it again."""
    name = settings.database_prefix
    await client[name]["things"].insert_one({})
    slow: Document = {"find": "things", "filter": {"$where": "sleep(2000) || true"}}
    with pytest.raises(ExecutionTimeout):
        await lines_of(client).ask(name, {**slow, "maxTimeMS": 50}, CODEC)


async def test_a_reply_that_nobody_waited_for_is_not_taken_for_the_next(client: Client) -> None:
    """A cancelled command takes its line along."""
    await lines_of(client).ask("admin", PING, CODEC)
    task = asyncio.create_task(lines_of(client).ask("admin", echo("theirs"), CODEC))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert echoed(await lines_of(client).ask("admin", echo("mine"), CODEC)) == "mine"


async def test_more_than_a_message_holds_is_found_whole(client: Client, settings: Settings) -> None:
    """The driver takes over with a cursor of its own."""
    database = client[settings.database_prefix]
    large = b"x" * 6_000_000
    for number in range(4):
        await database["things"].insert_one({"_id": number, "json": large})
    found = await find(database, "things", {}, limit=10)
    assert sorted(one["_id"] for one in found) == [0, 1, 2, 3]


async def test_a_primary_that_is_gone_is_left_to_the_driver() -> None:
    """Who has just failed to connect does not try again at once."""
    asked = 0

    def gone() -> tuple[str, int]:
        nonlocal asked
        asked += 1
        return "127.0.0.1", 1

    lines = Lines(gone)
    for _ in range(5):
        assert await lines.ask("admin", PING, CODEC) is None
    assert asked == 1


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"\x10\x00\x00\x00", id="torn"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="another protocol"),
        pytest.param(
            lines._HEADER.pack(21 + len(bson.encode({})), 1, 7, 2013, 0, 0) + bson.encode({}),
            id="an answer to something else",
        ),
    ],
)
async def test_a_strange_reply_is_left_to_the_driver(reply: bytes) -> None:
    """Nothing is read into it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        address = server.sockets[0].getsockname()
        assert await Lines(lambda: address).ask("admin", PING, CODEC) is None


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("mongodb://localhost/?replicaSet=rs", True),
        ("mongodb://a,b:27018/?replicaSet=rs&connectTimeoutMS=5", True),
        ("mongodb://user:secret@localhost/?replicaSet=rs", False),
        ("mongodb://localhost/?replicaSet=rs&tls=true", False),
        ("mongodb://localhost/?replicaSet=rs&compressors=zlib", False),
    ],
)
async def test_only_plain_addresses_have_lines(url: str, *, plain: bool) -> None:
    """Logins, TLS and all else that connections may need are the driver's business."""
    client = Client(url, connect=False)
    assert (client.lines is not None) == plain
    await client.close()
