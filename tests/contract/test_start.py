"""What happens when the application cannot start, and how it ends."""

import asyncio
import dataclasses
import gc
import socket
from collections.abc import MutableMapping
from typing import Any

import pytest

from fhir_server import app
from fhir_server.definitions import loader
from fhir_server.fhir.canonicals import canonical
from fhir_server.operations import HandlersDifferError, check_handlers
from fhir_server.settings import Settings

Message = MutableMapping[str, Any]


async def lifespan(settings: Settings) -> list[Message]:
    """What the application answers to start-up and shutdown."""
    events: asyncio.Queue[Message] = asyncio.Queue()
    events.put_nowait({"type": "lifespan.startup"})
    events.put_nowait({"type": "lifespan.shutdown"})
    answers: list[Message] = []

    async def send(message: Message) -> None:
        answers.append(message)

    await app.create(settings)({"type": "lifespan"}, events.get, send)
    return answers


async def test_it_starts_and_ends(settings: Settings) -> None:
    """With everything closed in order."""
    answers = await lifespan(settings)
    assert [one["type"] for one in answers] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


# The driver leaves a socket that could not connect to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_unusable_database_is_one_plain_line(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong and what to do, and no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"mongodb://127.0.0.1:{taken.getsockname()[1]}/?directConnection=true"
        answers = await lifespan(settings.model_copy(update={"mongodb_url": url}))
    gc.collect()
    assert [one["type"] for one in answers] == ["lifespan.startup.failed"]
    assert "MongoDB" in answers[0]["message"]
    assert "Traceback" not in capsys.readouterr().err


def test_operations_and_their_definitions_must_match() -> None:
    """A handler without definition, or the other way round, is a start-up error."""
    registry = loader.load()
    check_handlers(registry)
    definition = next(iter(registry.operations.values()))
    unknown = canonical("OperationDefinition", "unknown")
    changed = dataclasses.replace(registry, operations={unknown: definition})
    with pytest.raises(HandlersDifferError) as differ:
        check_handlers(changed)
    assert f"no handler for {unknown}" in str(differ.value)
    assert f"no OperationDefinition {definition.canonical}" in str(differ.value)
