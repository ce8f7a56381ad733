"""Idempotency-Key: a request that is repeated happens once and is answered alike."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest

from tests.contract.conftest import Answer, Client, Json, Server, appointment, schedule, slot

RACERS = 24
NOTHING: Json = {"resourceType": "Parameters"}
SAME = ("ETag", "Location", "Last-Modified", "Expires")


def key() -> str:
    """A new key."""
    return str(uuid4())


def slots(client: Client, count: int) -> list[Json]:
    """So many free quarters of an hour in a row on a new Schedule."""
    agenda = client.created(schedule())
    return [client.created(slot(agenda["id"], 540 + 15 * number)) for number in range(count)]


def proposed(one: Json) -> Json:
    """What $book and $hold take; each Slot with a patient of its own."""
    who = [{"actor": {"reference": f"Patient/of-{one['id']}"}, "status": "accepted"}]
    return appointment([one], status="proposed", participant=who)


Call = Callable[[Client, str], Answer]


def calls(client: Client) -> dict[str, Call]:
    """Every request that takes a key, on resources of its own."""
    one, two, three, old, new, kept = slots(client, 6)
    booked = client.created(appointment([old]))
    cancelled = client.created(appointment([kept]))
    moved = {
        "resourceType": "Parameters",
        "parameter": [{"name": "slot", "valueReference": {"reference": f"Slot/{new['id']}"}}],
    }
    paths = {
        "create": ("Appointment", appointment([one])),
        "book": ("Appointment/$book", proposed(two)),
        "hold": ("Appointment/$hold", proposed(three)),
        "reschedule": (f"Appointment/{booked['id']}/$reschedule", moved),
        "cancel": (f"Appointment/{cancelled['id']}/$cancel", NOTHING),
    }

    def call(path: str, body: Json) -> Call:
        return lambda who, chosen: who.post(path, body, Idempotency_Key=chosen)

    return {name: call(*wanted) for name, wanted in paths.items()}


NAMES = ["create", "book", "hold", "reschedule", "cancel"]


@pytest.mark.parametrize("name", NAMES)
def test_a_retry_gets_the_same_answer(client: Client, server: Server, name: str) -> None:
    """Status, headers and body; nothing is written again, also after later changes."""
    call, chosen = calls(client)[name], key()
    first = call(client, chosen)
    assert first.status in {200, 201}, first.body
    before = server.everything()
    for _ in range(2):
        again = call(client, chosen)
        assert (again.status, again.body) == (first.status, first.body)
        assert [again.headers[one] for one in SAME] == [first.headers[one] for one in SAME]
    assert server.everything() == before
    client.put(f"Appointment/{first.id}", {**first.json, "comment": "Changed since"})
    assert call(client, chosen).body == first.body


@pytest.mark.parametrize("name", NAMES)
def test_without_or_with_another_key_it_is_another_request(client: Client, name: str) -> None:
    """The time is taken, or the Appointment is not what it was."""
    call = calls(client)[name]
    assert call(client, key()).status in {200, 201}
    # A reschedule to where it is already changes nothing and takes nothing.
    assert call(client, key()).status in ({200} if name == "reschedule" else {409, 422})


def test_a_key_is_good_for_one_request(client: Client, server: Server) -> None:
    """Another body, or another operation, is 422 and nothing is written."""
    one, two = slots(client, 2)
    chosen = key()
    assert client.post("Appointment/$hold", proposed(one), Idempotency_Key=chosen).status == 201
    before = server.everything()
    for path, body in (
        ("Appointment/$hold", proposed(two)),
        ("Appointment/$book", proposed(one)),
        ("Appointment", appointment([two])),
    ):
        answer = client.post(path, body, Idempotency_Key=chosen)
        assert answer.status == 422
        assert answer.issues[0]["details"]["coding"][0]["code"] == "idempotency-key-reused"
    assert server.everything() == before


def test_a_refusal_is_not_kept(client: Client) -> None:
    """What failed may succeed later with the same key."""
    (wanted,) = slots(client, 1)
    first = client.created(appointment([wanted]))
    chosen = key()
    body = proposed(wanted)
    assert client.post("Appointment/$book", body, Idempotency_Key=chosen).status == 409
    client.post(f"Appointment/{first['id']}/$cancel", NOTHING)
    assert client.post("Appointment/$book", body, Idempotency_Key=chosen).status == 201


def test_keys_belong_to_their_client(client: Client, server: Server) -> None:
    """Another client with the same key is another request."""
    one, two = slots(client, 2)
    chosen = key()
    other = Client(server.base_url, server.token("system/*.cruds", "another"))
    first = client.post("Appointment/$book", proposed(one), Idempotency_Key=chosen)
    second = other.post("Appointment/$book", proposed(two), Idempotency_Key=chosen)
    assert (first.status, second.status) == (201, 201)
    assert first.id != second.id
    taken = other.post("Appointment/$book", proposed(one), Idempotency_Key=key())
    assert taken.status == 409
    other.close()


@pytest.mark.parametrize("name", ["create", "book", "hold"])
def test_of_all_who_repeat_at_once_all_get_the_same(
    client: Client, server: Server, operator_token: str, name: str
) -> None:
    """As a client does whose connections break: one booking, one answer."""
    call, chosen = calls(client)[name], key()
    start = Barrier(RACERS)

    def race(_: int) -> tuple[int, bytes]:
        racer = Client(server.base_url, operator_token)
        start.wait()
        answer = call(racer, chosen)
        racer.close()
        return answer.status, answer.body

    with ThreadPoolExecutor(RACERS) as pool:
        answers = set(pool.map(race, range(RACERS)))
    assert [status for status, _ in answers] == [201]


@pytest.mark.parametrize("chosen", ["", "x" * 256, "two words"])
def test_what_is_no_key(client: Client, unchanged: None, chosen: str) -> None:
    """400, and nothing is written."""
    assert client.post("Appointment", appointment([]), Idempotency_Key=chosen).status == 400


def test_a_receipt_is_forgotten_after_a_day(client: Client, server: Server) -> None:
    """MongoDB removes it."""
    calls(client)["book"](client, key())
    (index,) = [
        one for one in server.database["receipts"].list_indexes() if "expireAfterSeconds" in one
    ]
    assert (index["expireAfterSeconds"], list(index["key"])) == (86_400, ["t"])


def test_a_create_of_another_type_takes_a_key_as_well(client: Client, server: Server) -> None:
    """A patient is not registered twice."""
    chosen = key()
    body = {"resourceType": "Patient", "name": [{"family": chosen}]}
    first = client.post("Patient", body, Idempotency_Key=chosen)
    before = server.everything()
    again = client.post("Patient", body, Idempotency_Key=chosen)
    assert (again.status, again.body, again.headers["Location"]) == (
        201,
        first.body,
        first.headers["Location"],
    )
    assert server.everything() == before
