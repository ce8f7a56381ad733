"""A sequencer that starts while clients write: no event falls between the outbox and the stream."""

import asyncio

from fhir_server.store.event_stream import EventStream
from fhir_server.store.events import EventLog
from fhir_server.subscriptions.process import TENANT
from tests.fixtures_events import Clinic, basic


async def test_outbox_and_stream_together_tell_everything(clinic: Clinic) -> None:
    """Whatever is being committed while both are opened is in at least one of them."""
    log = EventLog(clinic.store.database(TENANT))
    await log.prepare()
    await clinic.put(basic("first"))
    stop = asyncio.Event()
    written: list[str] = ["Basic/first/1"]

    async def write(name: str) -> None:
        while not stop.is_set():
            written.append(f"Basic/{name}/{await clinic.put(basic(name))}")

    writers = [asyncio.create_task(write(f"b{number}")) for number in range(8)]
    streams: list[EventStream] = []
    backlogs: list[set[str]] = []
    for _ in range(25):
        stream = await EventStream.open(log.database, None)
        streams.append(stream)
        backlogs.append({event.key for event in await log.backlog(stream.started)})
        await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*writers)
    for stream, backlog in zip(streams, backlogs, strict=True):
        told = set(backlog)
        while page := (await stream.next(500, 0.05)).events:
            told |= {event.key for event in page}
        await stream.close()
        assert set(written) <= told
