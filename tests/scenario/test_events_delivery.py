"""From a committed write to the subscriber: activation, order, content, filters, failures."""

import asyncio

import pytest

from fhir_server.context import Principal
from fhir_server.settings import Settings
from fhir_server.store.clients import Client, Clients
from fhir_server.subscriptions.process import run_deliverer, run_sequencer
from tests.fixtures_events import (
    CLIENT,
    Clinic,
    Received,
    Receiver,
    basic,
    emptied,
    running,
    subscription,
    today,
)


@pytest.mark.usefixtures("event_services")
async def test_accepted_version_is_put_byte_for_byte(clinic: Clinic, receiver: Receiver) -> None:
    """With a payload type the endpoint gets PUT Type/id with the stored bytes of that version."""
    header = ["Authorization: Bearer abc", "X-Clinic: north"]
    await clinic.put(subscription("s1", receiver.url, channel={"header": header}))
    await clinic.status("s1", "active")
    await clinic.put(basic("b1"))
    await receiver.until(lambda: len(receiver.accepted) == 1)
    got = receiver.accepted[0]
    stored = await clinic.store.read(clinic.context(), "Basic", "b1")
    assert (got.method, got.path, got.body) == ("PUT", "/s1/Basic/b1", stored.json)
    assert got.headers["content-type"] == "application/fhir+json"
    assert got.headers["authorization"] == "Bearer abc"
    assert got.headers["x-clinic"] == "north"
    assert got.number == 1
    assert "." not in got.headers["webhook-id"]
    assert got.headers["webhook-timestamp"].isdecimal()


@pytest.mark.usefixtures("event_services")
async def test_without_payload_an_empty_post_is_sent(clinic: Clinic, receiver: Receiver) -> None:
    """Without a payload type the endpoint gets an empty POST."""
    wanted = subscription("s1", receiver.url)
    del wanted["channel"]["payload"]
    await clinic.put(wanted)
    await clinic.status("s1", "active")
    await clinic.put(basic("b1"))
    await receiver.until(lambda: len(receiver.accepted) == 1)
    got = receiver.accepted[0]
    assert (got.method, got.path, got.body) == ("POST", "/s1", b"")


@pytest.mark.usefixtures("event_services")
async def test_every_version_is_told_with_its_own_content(
    clinic: Clinic, receiver: Receiver
) -> None:
    """Versions written while the endpoint is slow are all told, each as it was, in order."""
    await clinic.put(subscription("s1", receiver.url))
    await clinic.status("s1", "active")
    receiver.answer = _slowly
    for count in range(10):
        await clinic.put(basic("b1", author={"display": f"author {count}"}))
    await receiver.until(lambda: len(receiver.accepted) == 10)
    assert receiver.numbers() == list(range(1, 11))
    told = [one.json["author"]["display"] for one in receiver.accepted]
    assert told == [f"author {count}" for count in range(10)]


async def _slowly(_: Received) -> int:
    await asyncio.sleep(0.05)
    return 200


@pytest.mark.usefixtures("event_services")
async def test_activation_is_an_exact_position(clinic: Clinic, receiver: Receiver) -> None:
    """What commits before the active version is not told, what commits after it is."""
    await clinic.put(basic("before"))
    stop = asyncio.Event()
    written: list[int] = []

    async def write() -> None:
        while not stop.is_set():
            written.append(await clinic.put(basic("b1")))

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.2)
    await clinic.put(subscription("s1", receiver.url))
    await clinic.status("s1", "active")
    await asyncio.sleep(0.3)
    stop.set()
    await writing
    active = await clinic.store.read(clinic.context(), "Subscription", "s1")
    await receiver.until(lambda: receiver.accepted[-1:] != [] and _version(receiver) == written[-1])
    versions = [int(one.json["meta"]["versionId"]) for one in receiver.accepted]
    assert versions == list(range(versions[0], written[-1] + 1))
    assert receiver.numbers() == list(range(1, len(versions) + 1))
    first = receiver.accepted[0].json["meta"]["lastUpdated"]
    assert first >= active.resource["meta"]["lastUpdated"]
    assert active.version == 2


def _version(receiver: Receiver) -> int:
    return int(receiver.accepted[-1].json["meta"]["versionId"])


@pytest.mark.usefixtures("event_services")
async def test_only_matching_new_content_is_told(clinic: Clinic, receiver: Receiver) -> None:
    """Criteria judge the new version; a deletion and a version that no longer match are silent."""
    await clinic.put(subscription("s1", receiver.url))
    await clinic.put(subscription("all", receiver.url, criteria="Basic?"))
    await clinic.status("s1", "active")
    await clinic.status("all", "active")
    await clinic.put(basic("b1", "billing"))
    await clinic.put(basic("b1", "other"))
    await clinic.put(basic("b2", "other"))
    await clinic.delete("Basic", "b1")
    await clinic.put(basic("b1", "billing"))
    await receiver.until(lambda: len(receiver.numbers("/all")) == 4)
    await receiver.until(lambda: len(receiver.numbers("/s1")) == 2)
    assert receiver.numbers("/all") == [1, 2, 3, 4]
    assert receiver.numbers("/s1") == [1, 2]
    codes = [
        one.json["code"]["coding"][0]["code"]
        for one in receiver.accepted
        if one.path.startswith("/s1")
    ]
    assert codes == ["billing", "billing"]


@pytest.mark.usefixtures("event_services")
async def test_off_stops_and_requested_goes_on_numbering(
    clinic: Clinic, receiver: Receiver
) -> None:
    """Events while off are not numbered; numbers go on where they were."""
    await clinic.put(subscription("s1", receiver.url))
    await clinic.status("s1", "active")
    await clinic.put(basic("b1"))
    await receiver.until(lambda: receiver.numbers() == [1])
    await clinic.put(subscription("s1", receiver.url, status="off"))
    await clinic.status("s1", "off")
    await clinic.put(basic("silent"))
    await clinic.put(subscription("s1", receiver.url))
    await clinic.status("s1", "active")
    await clinic.put(basic("b2"))
    await receiver.until(lambda: receiver.numbers() == [1, 2])
    assert [one.path for one in receiver.accepted] == ["/s1/Basic/b1", "/s1/Basic/b2"]


@pytest.mark.usefixtures("event_services")
async def test_deleted_and_made_again_starts_afresh(clinic: Clinic, receiver: Receiver) -> None:
    """Undelivered events of a deleted Subscription are not sent to its successor."""
    receiver.answer = lambda _: 503
    await clinic.put(subscription("s1", receiver.url))
    await clinic.status("s1", "active")
    await clinic.put(basic("b1"))
    await receiver.until(lambda: len(receiver.received) >= 1)
    await clinic.delete("Subscription", "s1")
    receiver.answer = lambda _: 200
    await clinic.put(subscription("s1", receiver.url))
    await clinic.status("s1", "active")
    await clinic.put(basic("b2"))
    await receiver.until(lambda: len(receiver.accepted) == 1)
    assert receiver.accepted[0].path == "/s1/Basic/b2"
    assert receiver.accepted[0].number == 2


@pytest.mark.usefixtures("event_services")
async def test_failed_delivery_is_repeated_with_the_same_id(
    clinic: Clinic, receiver: Receiver
) -> None:
    """After 503 the same number comes again under the same id, before any later number."""
    await clinic.put(subscription("s1", receiver.url))
    await clinic.status("s1", "active")
    receiver.answer = lambda one: 503 if len(receiver.received) <= 2 else 200
    await clinic.put(basic("b1"))
    await clinic.put(basic("b2"))
    await receiver.until(lambda: len(receiver.accepted) == 2)
    assert [one.number for one in receiver.received] == [1, 1, 1, 2]
    ids = [one.headers["webhook-id"] for one in receiver.received]
    assert len(set(ids[:3])) == 1
    assert ids[3] != ids[0]


@pytest.mark.usefixtures("event_services")
async def test_redirect_is_a_failure(clinic: Clinic, receiver: Receiver) -> None:
    """A redirect is not followed and not taken for success."""
    await clinic.put(subscription("s1", receiver.url))
    await clinic.status("s1", "active")
    receiver.answer = lambda one: 307 if len(receiver.received) == 1 else 200
    await clinic.put(basic("b1"))
    await receiver.until(lambda: len(receiver.accepted) == 1)
    assert [one.number for one in receiver.received] == [1, 1]


async def test_spent_budget_is_error_until_the_client_asks_again(
    clinic: Clinic, receiver: Receiver, settings: Settings
) -> None:
    """In `error` nothing is sent and counting goes on; `requested` delivers everything in order."""
    hasty = settings.model_copy(update={"subscription_retry_seconds": 1})
    receiver.answer = lambda _: 500
    async with running(run_sequencer(hasty), run_deliverer(hasty)):
        await clinic.put(subscription("s1", receiver.url))
        await clinic.status("s1", "active")
        await clinic.put(basic("b1"))
        failed = await clinic.status("s1", "error")
        assert "answered 500" in failed["error"]
        attempts = len(receiver.received)
        receiver.answer = lambda _: 200
        await clinic.put(basic("b2"))
        await clinic.put(basic("b3"))
        await asyncio.sleep(0.5)
        assert len(receiver.received) == attempts
        progress = await clinic.progress("s1")
        assert progress is not None
        assert (progress.last, progress.delivered, progress.lag) == (3, 0, 3)
        await clinic.put(subscription("s1", receiver.url))
        again = await clinic.status("s1", "active")
        assert "error" not in again
        await receiver.until(lambda: len(receiver.accepted) == 3)
        assert receiver.numbers() == [1, 2, 3]


async def test_dead_endpoint_delays_nobody_else(
    clinic: Clinic, receiver: Receiver, settings: Settings
) -> None:
    """While one endpoint never answers, all the others are told at once."""

    async def hang(one: Received) -> int:
        if one.path.startswith("/dead"):
            await asyncio.sleep(30)
        return 200

    receiver.answer = hang
    slow = settings.model_copy(update={"subscription_timeout_seconds": 20})
    names = [f"s{number}" for number in range(10)]
    async with running(run_sequencer(slow), run_deliverer(slow)):
        for name in ("dead", *names):
            await clinic.put(subscription(name, receiver.url))
        for name in ("dead", *names):
            await clinic.status(name, "active")
        for count in range(5):
            await clinic.put(basic(f"b{count}"))
        await receiver.until(lambda: len(receiver.accepted) == 50, 5)
        for name in names:
            assert receiver.numbers(f"/{name}/") == [1, 2, 3, 4, 5]


async def test_private_addresses_are_not_reached_without_the_setting(
    clinic: Clinic, receiver: Receiver, settings: Settings
) -> None:
    """A deliverer that may not use loopback addresses sends nothing there and says why."""
    strict = settings.model_copy(
        update={"allow_loopback_endpoints": False, "subscription_retry_seconds": 1}
    )
    async with running(run_sequencer(settings), run_deliverer(strict)):
        await clinic.put(subscription("s1", receiver.url))
        await clinic.status("s1", "active")
        await clinic.put(basic("b1"))
        failed = await clinic.status("s1", "error")
        assert "not public" in failed["error"]
    assert receiver.received == []


@pytest.mark.usefixtures("event_services")
async def test_rights_are_asked_again_at_each_send(clinic: Clinic, receiver: Receiver) -> None:
    """What the subscriber's scopes no longer allow is withheld; its number is not given again."""
    narrow = Principal("narrow", "system/Basic.r?code=billing", "token-2")
    await clinic.put(subscription("s1", receiver.url, criteria="Basic?"), narrow)
    await clinic.status("s1", "active")
    await clinic.put(basic("b1", "secret"))
    await clinic.put(basic("b2", "billing"))
    await receiver.until(lambda: len(receiver.accepted) == 1)
    assert [(one.path, one.number) for one in receiver.accepted] == [("/s1/Basic/b2", 2)]
    row = await clinic.store.database("default")["deliveries"].find_one({"_id": "s1|1"})
    assert row is not None
    assert row["withheld"] == "scope-constraint"


@pytest.mark.usefixtures("event_services")
async def test_revoked_client_is_told_nothing(clinic: Clinic, receiver: Receiver) -> None:
    """Events after the revocation of the client are withheld."""
    control = clinic.store.connection.control
    clients = Clients(control)
    await clients.add(Client("billing", "Billing", CLIENT.scope, today(), jwks="{}"))
    principal = Principal("billing", CLIENT.scope, "token-3")
    await clients.revoke("billing", today())
    await clinic.put(subscription("s1", receiver.url), principal)
    await clinic.put(subscription("other", receiver.url))
    await clinic.status("s1", "active")
    await clinic.status("other", "active")
    await clinic.put(basic("b1"))
    await receiver.until(lambda: receiver.numbers("/other") == [1])
    await _until_delivered(clinic, "s1", 1)
    assert receiver.numbers("/s1") == []


async def _until_delivered(clinic: Clinic, subscription_id: str, number: int) -> None:
    async with asyncio.timeout(10):
        while True:
            progress = await clinic.progress(subscription_id)
            if progress is not None and progress.delivered >= number:
                return
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("event_services")
async def test_record_is_never_activated(clinic: Clinic) -> None:
    """A requested Subscription whose end has passed stays as it was sent."""
    ended = subscription("old", "https://billing.example", end="2021-01-01T00:00:00Z")
    await clinic.put(ended)
    await clinic.put(subscription("new", "https://billing.example"))
    await clinic.status("new", "active")
    stored = await clinic.read("Subscription", "old")
    assert (stored["status"], stored["meta"]["versionId"]) == ("requested", "1")


async def test_nothing_stays_in_the_outbox(clinic: Clinic, settings: Settings) -> None:
    """Events that concern nobody leave the outbox as well."""
    for count in range(30):
        await clinic.put(basic(f"b{count}"))
    events = clinic.store.database("default")["events"]
    assert await events.count_documents({}) == 30
    async with running(run_sequencer(settings)):
        await clinic.put(basic("later"))
        await emptied(events)
