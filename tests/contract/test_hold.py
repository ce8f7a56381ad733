"""Appointment/$hold: who holds, until when, and that a hold ends at its instant."""

import email.utils
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from tests.contract.conftest import (
    Client,
    Json,
    Server,
    appointment,
    schedule,
    slot,
    start_server,
)

RACERS = 64
HELD_UNTIL = "https://fhir-server.example/fhir/StructureDefinition/held-until"
EVERYTHING = "system/*.cruds"


def slots(client: Client, count: int) -> list[Json]:
    """So many free quarters of an hour in a row on a new Schedule."""
    agenda = client.created(schedule())
    return [client.created(slot(agenda["id"], 540 + 15 * number)) for number in range(count)]


def proposed(wanted: list[Json], patient: str = "", **changed: Json) -> Json:
    """What $hold takes; without a patient, one whom only this Slot knows."""
    who = patient or f"Patient/of-{wanted[0]['id']}"
    taking_part = [{"actor": {"reference": who}, "status": "accepted"}]
    return appointment(wanted, status="proposed", participant=taking_part, **changed)


def given(name: str, value: Json) -> Json:
    """A Parameters resource of one parameter."""
    return {"resourceType": "Parameters", "parameter": [{"name": name, **value}]}


def hold(client: Client, resource: Json) -> Json:
    """$hold of an Appointment."""
    return client.post("Appointment/$hold", given("appointment-resource", {"resource": resource}))


def end_of(held: Json) -> datetime:
    """What `held-until` says."""
    (found,) = [one for one in held["extension"] if one["url"] == HELD_UNTIL]
    return datetime.fromisoformat(found["valueInstant"])


def reason(answer: Json) -> str:
    """The coded reason of a refusal."""
    return str(answer.issues[0]["details"]["coding"][0]["code"])


@pytest.fixture
def other(server: Server) -> Iterator[Client]:
    """Another client that may do everything."""
    opened = Client(server.base_url, server.token(EVERYTHING, "another-client"))
    yield opened
    opened.close()


def test_hold_answers_a_pending_appointment_with_its_end(client: Client, server: Server) -> None:
    """201; `held-until` and Expires tell the same second; the Slot is busy-tentative."""
    (wanted,) = slots(client, 1)
    before = datetime.now(UTC)
    answer = hold(client, proposed([wanted]))
    assert answer.status == 201, answer.body
    assert answer.json["status"] == "pending"
    end = end_of(answer.json)
    wait = timedelta(seconds=server.settings.hold_seconds)
    assert before - timedelta(seconds=1) <= end - wait <= datetime.now(UTC)
    expires = email.utils.parsedate_to_datetime(answer.headers["Expires"])
    assert expires == end.replace(microsecond=0)
    assert answer.headers["Location"]
    assert client.get(f"Slot/{wanted['id']}").json["status"] == "busy-tentative"
    assert client.get(f"Appointment/{answer.id}").json == answer.json


@pytest.mark.parametrize("name", ["appointment-resource", "appt-resource", "appointment", ""])
def test_every_dialect_names_the_appointment(client: Client, name: str) -> None:
    """IHE, Argonaut, Medplum, or the Appointment as the whole body."""
    resource = proposed(slots(client, 1))
    body = given(name, {"resource": resource}) if name else resource
    assert client.post("Appointment/$hold", body).status == 201


@pytest.mark.parametrize("way", ["appointment-reference", "appt-id", "id", "instance"])
def test_a_stored_appointment_is_held(client: Client, way: str) -> None:
    """By reference, by id, or on the instance; 200 and the next version."""
    stored = client.created(proposed(slots(client, 1)))
    path, body = "Appointment/$hold", given("appt-id", {"valueUri": stored["id"]})
    if way == "appointment-reference":
        reference = {"reference": f"Appointment/{stored['id']}"}
        body = given(way, {"valueReference": reference})
    elif way == "appt-id":
        body = given(way, {"valueUri": f"Appointment/{stored['id']}"})
    elif way == "instance":
        path, body = f"Appointment/{stored['id']}/$hold", {"resourceType": "Parameters"}
    answer = client.post(path, body)
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"2"'), answer.body
    assert answer.headers["Expires"]


def test_the_owner_prolongs_and_others_do_not(client: Client, other: Client) -> None:
    """The same call again; the end moves on. Another client gets 409 `held`."""
    held = hold(client, proposed(slots(client, 1))).json
    path = f"Appointment/{held['id']}/$hold"
    again = client.post(path, {"resourceType": "Parameters"})
    assert (again.status, again.headers["ETag"]) == (200, 'W/"2"')
    assert end_of(again.json) > end_of(held)
    refused = other.post(path, {"resourceType": "Parameters"})
    assert (refused.status, reason(refused)) == (409, "held")


def test_only_the_owner_books(client: Client, other: Client, server: Server) -> None:
    """By operation and by update; refused without anything written."""
    held = hold(client, proposed(slots(client, 1))).json
    path = f"Appointment/{held['id']}"
    body = {"resourceType": "Parameters"}
    before = server.everything()
    for answer in (
        other.post(f"{path}/$book", body),
        other.put(path, {**held, "status": "booked"}),
        other.put(path, {**held, "status": "cancelled"}),
        other.delete(path),
    ):
        assert (answer.status, reason(answer)) == (409, "held")
    assert server.everything() == before
    booked = client.post(f"{path}/$book", body)
    assert (booked.status, booked.json["status"]) == (200, "booked")
    assert "Expires" not in booked.headers
    assert all(one["url"] != HELD_UNTIL for one in booked.json.get("extension", []))


@pytest.mark.parametrize("way", ["PUT", "PATCH", "$cancel"])
def test_release_frees_the_slot_at_once(client: Client, other: Client, way: str) -> None:
    """Setting it to cancelled is enough, as Argonaut says."""
    (wanted,) = slots(client, 1)
    held = hold(client, proposed([wanted])).json
    path = f"Appointment/{held['id']}"
    if way == "PUT":
        answer = client.put(path, {**held, "status": "cancelled"})
    elif way == "PATCH":
        patch = b'[{"op": "replace", "path": "/status", "value": "cancelled"}]'
        headers = {"Content-Type": "application/json-patch+json"}
        answer = client.send("PATCH", path, patch, headers)
    else:
        answer = client.post(f"{path}/$cancel", {"resourceType": "Parameters"})
    assert answer.status == 200, answer.body
    assert client.get(f"Slot/{wanted['id']}").json["status"] == "free"
    assert hold(other, proposed([wanted])).status == 201


def test_a_held_slot_is_refused_to_everybody_else(client: Client, other: Client) -> None:
    """409 with alternatives, by every way of writing."""
    wanted, free = slots(client, 2)
    hold(client, proposed([wanted]))
    for answer in (
        hold(other, proposed([wanted])),
        other.post("Appointment", appointment([wanted])),
        other.post("Appointment/$book", proposed([wanted])),
        client.post("Appointment", appointment([wanted])),
    ):
        assert (answer.status, reason(answer)) == (409, "slot-taken")
        assert free["id"] in answer.issues[1]["diagnostics"]


def test_a_patient_holds_a_limited_number(client: Client, server: Server) -> None:
    """The limit is a setting; one more is 409 and nothing is written."""
    wanted = slots(client, server.settings.hold_limit_per_patient + 1)
    patient = f"Patient/{wanted[0]['id']}"
    for one in wanted[:-1]:
        assert hold(client, proposed([one], patient)).status == 201
    before = server.everything()
    refused = hold(client, proposed([wanted[-1]], patient))
    assert (refused.status, reason(refused)) == (409, "hold-limit")
    assert server.everything() == before


def test_concurrent_holds_keep_the_limit(
    client: Client, server: Server, operator_token: str
) -> None:
    """However many ask at the same moment for one patient."""
    most = server.settings.hold_limit_per_patient
    wanted = slots(client, most * 3)
    patient = f"Patient/{wanted[0]['id']}"
    start = Barrier(len(wanted))

    def race(one: Json) -> int:
        racer = Client(server.base_url, operator_token)
        start.wait()
        answer = hold(racer, proposed([one], patient))
        racer.close()
        return int(answer.status)

    with ThreadPoolExecutor(len(wanted)) as pool:
        statuses = sorted(pool.map(race, wanted))
    assert statuses == [201] * most + [409] * most * 2


def test_of_64_who_race_for_a_slot_one_holds_it(
    client: Client, server: Server, operator_token: str
) -> None:
    """The others are refused with 409; one Appointment exists."""
    (wanted,) = slots(client, 1)
    start = Barrier(RACERS)

    def race(number: int) -> int:
        racer = Client(server.base_url, operator_token)
        start.wait()
        answer = hold(racer, proposed([wanted], f"Patient/racer-{number}"))
        racer.close()
        return int(answer.status)

    with ThreadPoolExecutor(RACERS) as pool:
        statuses = sorted(pool.map(race, range(RACERS)))
    assert statuses == [201, *[409] * (RACERS - 1)]
    found = client.get(f"Appointment?slot=Slot/{wanted['id']}&_total=accurate").json
    assert found["total"] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resourceType": "Parameters"}, 400),
        (given("appt-id", {"valueUri": "nobody"}), 422),
        (given("until", {"valueInstant": "2040-01-01T00:00:00Z"}), 400),
        (appointment([], status="proposed"), 422),
        (appointment([], status="booked", start="2040-01-01T00:00:00Z"), 422),
    ],
)
def test_what_cannot_be_held_is_refused(
    client: Client, unchanged: None, body: Json, status: int
) -> None:
    """With a reason, and nothing is written."""
    answer = client.post("Appointment/$hold", body)
    assert answer.status == status, answer.body


def test_reading_is_not_enough_to_hold(server: Server, client: Client) -> None:
    """It needs the rights to create and to update."""
    body = proposed(slots(client, 1))
    for scope in ("system/Appointment.rs", "system/Appointment.c", "system/Slot.cruds"):
        limited = Client(server.base_url, server.token(scope))
        assert limited.post("Appointment/$hold", body).status == 403
        limited.close()


@pytest.fixture(scope="module")
def brief(
    mongodb_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server whose holds last a second, and nothing that sweeps."""
    running = start_server(mongodb_url, redis_url, tmp_path_factory.mktemp("brief"), hold_seconds=1)
    yield running
    running.stop()


def test_a_hold_lapses_at_its_instant_though_no_worker_runs(brief: Server) -> None:
    """Until then 409, from then on the next one has it, and the first is cancelled."""
    first = Client(brief.base_url, brief.token(EVERYTHING, "one"))
    second = Client(brief.base_url, brief.token(EVERYTHING, "two"))
    (wanted,) = slots(first, 1)
    held = hold(first, proposed([wanted])).json
    refused = 0
    while (answer := hold(second, proposed([wanted], "Patient/second"))).status == 409:
        assert datetime.now(UTC) < end_of(held) + timedelta(milliseconds=200)
        refused += 1
        time.sleep(0.02)
    assert refused
    assert answer.status == 201, answer.body
    # The instant that counts is that of the request, which ended with lastUpdated.
    assert datetime.fromisoformat(answer.json["meta"]["lastUpdated"]) >= end_of(held)
    lapsed = first.get(f"Appointment/{held['id']}").json
    assert lapsed["status"] == "cancelled"
    assert lapsed["cancelationReason"]["coding"][0]["code"] == "hold-lapsed"
    late = first.post(f"Appointment/{held['id']}/$book", {"resourceType": "Parameters"})
    assert late.status == 422
    first.close()
    second.close()


def test_a_lapsed_hold_is_not_booked_by_its_owner_either(brief: Server) -> None:
    """409 `hold-lapsed`, also before anybody has written that it lapsed."""
    client = Client(brief.base_url, brief.token(EVERYTHING))
    held = hold(client, proposed(slots(client, 1))).json
    while datetime.now(UTC) < end_of(held):
        time.sleep(0.02)
    before = brief.everything()
    answer = client.post(f"Appointment/{held['id']}/$book", {"resourceType": "Parameters"})
    assert (answer.status, reason(answer)) == (409, "hold-lapsed")
    assert brief.everything() == before
    client.close()
