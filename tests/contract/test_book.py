"""Appointment/$book, plain bookings, and what is offered when a time is taken."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from fhir_server.fhir.ids import time_ordered_id
from tests.contract.conftest import Client, Json, Server, appointment, instant, schedule, slot

RACERS = 24
ALTERNATIVE = "https://fhir-server.example/fhir/StructureDefinition/alternative-slot"


def slots(client: Client, count: int) -> list[Json]:
    """So many free quarters of an hour in a row on a new Schedule."""
    agenda = client.created(schedule())
    return [client.created(slot(agenda["id"], 540 + 15 * number)) for number in range(count)]


def parameters(*given: Json) -> Json:
    """A Parameters resource."""
    return {"resourceType": "Parameters", "parameter": list(given)}


def proposed(wanted: list[Json], **changed: Json) -> Json:
    """What $book takes."""
    return appointment(wanted, status="proposed", **changed)


def book(client: Client, resource: Json) -> Json:
    """The parameter that holds an Appointment."""
    return client.post(
        "Appointment/$book", parameters({"name": "appointment-resource", "resource": resource})
    )


def test_book_answers_the_booked_appointment(client: Client, server: Server) -> None:
    """201, booked, with Location and ETag; the Slot is busy."""
    (wanted,) = slots(client, 1)
    answer = book(client, proposed([wanted]))
    assert answer.status == 201, answer.body
    assert answer.json["status"] == "booked"
    assert answer.headers["Location"] == f"{server.base_url}/Appointment/{answer.id}/_history/1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert client.get(f"Appointment/{answer.id}").json == answer.json
    assert client.get(f"Slot/{wanted['id']}").json["status"] == "busy"


def test_book_takes_an_appointment_as_the_whole_body(client: Client) -> None:
    """A single resource parameter needs no Parameters around it."""
    answer = client.post("Appointment/$book", proposed(slots(client, 1)))
    assert answer.status == 201, answer.body


def test_book_books_a_stored_appointment(client: Client) -> None:
    """By reference; the next version is booked, and the comment is kept."""
    (wanted,) = slots(client, 1)
    stored = client.created(proposed([wanted]))
    answer = client.post(
        "Appointment/$book",
        parameters(
            {
                "name": "appointment-reference",
                "valueReference": {"reference": f"Appointment/{stored['id']}"},
            },
            {"name": "comment", "valueString": "By the window"},
        ),
    )
    assert answer.status == 200, answer.body
    assert answer.headers["ETag"] == 'W/"2"'
    assert answer.json["comment"] == "By the window"


def test_book_honours_prefer(client: Client) -> None:
    """As create does."""
    answer = client.post("Appointment/$book", proposed(slots(client, 1)), Prefer="return=minimal")
    assert (answer.status, answer.body) == (201, b"")
    assert answer.headers["Location"]


@pytest.mark.parametrize("way", ["$book", "POST", "PUT"])
def test_a_taken_slot_is_409_with_alternatives(client: Client, server: Server, way: str) -> None:
    """The next free Slots of the same Schedule, at most three, in order; nothing is written."""
    wanted, *others = slots(client, 6)
    assert book(client, proposed([wanted])).status == 201
    assert book(client, proposed([others[1]])).status == 201
    free = [others[0], others[2], others[3]]
    before = server.everything()
    if way == "$book":
        answer = book(client, proposed([wanted]))
    elif way == "POST":
        answer = client.post("Appointment", appointment([wanted]))
    else:
        answer = client.put("Appointment/late", appointment([wanted], id="late"))
    assert answer.status == 409
    assert server.everything() == before
    refusal, *hints = answer.issues
    assert (refusal["severity"], refusal["code"]) == ("error", "conflict")
    assert refusal["details"]["coding"][0]["code"] == "slot-taken"
    assert refusal["expression"]
    offered = []
    for hint in hints:
        assert (hint["severity"], hint["code"]) == ("information", "informational")
        (extension,) = hint["extension"]
        assert extension["url"] == ALTERNATIVE
        parts = {one["url"]: one for one in extension["extension"]}
        offered.append(
            (
                parts["slot"]["valueReference"]["reference"],
                parts["start"]["valueInstant"],
                parts["end"]["valueInstant"],
            )
        )
    assert offered == [(f"Slot/{one['id']}", one["start"], one["end"]) for one in free]


def test_alternatives_are_not_shown_to_whom_may_not_search_slots(
    client: Client, server: Server
) -> None:
    """The refusal alone."""
    wanted, _other = slots(client, 2)
    client.created(appointment([wanted]))
    limited = Client(server.base_url, server.token("system/Appointment.cu"))
    answer = limited.post("Appointment", appointment([wanted]))
    limited.close()
    assert answer.status == 409
    assert len(answer.issues) == 1


def test_a_full_schedule_offers_nothing(client: Client) -> None:
    """The refusal alone."""
    (wanted,) = slots(client, 1)
    client.created(appointment([wanted]))
    assert len(client.post("Appointment", appointment([wanted])).issues) == 1


def test_of_all_who_race_for_a_slot_one_wins(server: Server, operator_token: str) -> None:
    """By operation, create and update alike; the others are refused with 409."""
    client = Client(server.base_url, operator_token)
    (wanted,) = slots(client, 1)
    start = Barrier(RACERS)

    def race(number: int) -> int:
        racer = Client(server.base_url, operator_token)
        start.wait()
        if number % 3 == 0:
            status = book(racer, proposed([wanted])).status
        elif number % 3 == 1:
            status = racer.post("Appointment", appointment([wanted])).status
        else:
            logical_id = time_ordered_id()
            body = appointment([wanted], id=logical_id)
            status = racer.put(f"Appointment/{logical_id}", body).status
        racer.close()
        return int(status)

    with ThreadPoolExecutor(RACERS) as pool:
        statuses = sorted(pool.map(race, range(RACERS)))
    assert statuses == [201, *[409] * (RACERS - 1)]
    found = client.get(f"Appointment?slot=Slot/{wanted['id']}&_total=accurate").json
    client.close()
    assert found["total"] == 1


def test_cancelling_frees_the_slot(client: Client) -> None:
    """It can be booked again."""
    (wanted,) = slots(client, 1)
    stored = client.created(appointment([wanted]))
    cancelled = {**stored, "status": "cancelled"}
    assert client.put(f"Appointment/{stored['id']}", cancelled).status == 200
    assert client.get(f"Slot/{wanted['id']}").json["status"] == "free"
    assert book(client, proposed([wanted])).status == 201


def test_a_response_moves_the_appointment(client: Client) -> None:
    """A pending Appointment that its last participant accepts is booked."""
    (wanted,) = slots(client, 1)
    actor = {"reference": "Practitioner/grace"}
    asked = [
        {"actor": {"reference": "Patient/ada"}, "status": "accepted"},
        {"actor": actor, "status": "needs-action", "required": "required"},
    ]
    stored = client.created(appointment([wanted], status="pending", participant=asked))
    answer = client.post(
        "AppointmentResponse",
        {
            "resourceType": "AppointmentResponse",
            "appointment": {"reference": f"Appointment/{stored['id']}"},
            "actor": actor,
            "participantStatus": "accepted",
        },
    )
    assert answer.status == 201, answer.body
    moved = client.get(f"Appointment/{stored['id']}")
    assert moved.json["status"] == "booked"
    assert moved.headers["ETag"] == 'W/"2"'


BROKEN: list[tuple[str, Json, int, list[str], list[str]]] = [
    (
        "nothing given",
        parameters(),
        400,
        ["required"],
        ["Parameters.parameter"],
    ),
    (
        "unknown parameter",
        parameters({"name": "nonsense", "valueString": "x"}),
        400,
        ["not-supported"],
        ["Parameters.parameter[0]"],
    ),
    (
        "wrong value type",
        parameters({"name": "comment", "valueInteger": 1}, {"name": "nonsense"}),
        400,
        ["value", "not-supported"],
        ["Parameters.parameter[0]", "Parameters.parameter[1]"],
    ),
    (
        "wrong JSON type",
        parameters({"name": "comment", "valueString": 1}),
        400,
        ["value"],
        ["Parameters.parameter[0].valueString"],
    ),
    (
        "wrong resource",
        parameters({"name": "appointment-resource", "resource": {"resourceType": "Patient"}}),
        400,
        ["value"],
        ["Parameters.parameter[0].resource"],
    ),
    (
        "no resource",
        parameters({"name": "appointment-resource"}),
        400,
        ["value"],
        ["Parameters.parameter[0].resource"],
    ),
    (
        "twice",
        parameters(*[{"name": "comment", "valueString": "x"}] * 2),
        400,
        ["value"],
        ["Parameters.parameter.where(name='comment')"],
    ),
    ("no name", parameters({"valueString": "x"}), 400, ["structure"], ["Parameters.parameter[0]"]),
    ("no object", parameters("x"), 400, ["structure"], ["Parameters.parameter[0]"]),
    (
        "no list",
        {"resourceType": "Parameters", "parameter": {}},
        400,
        ["structure"],
        ["Parameters.parameter"],
    ),
    ("wrong body", {"resourceType": "Patient"}, 400, ["structure"], ["Parameters"]),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("body", "status", "codes", "expressions"),
    [one[1:] for one in BROKEN],
    ids=[one[0] for one in BROKEN],
)
def test_malformed_parameters_are_refused(
    client: Client, body: Json, status: int, codes: list[str], expressions: list[str]
) -> None:
    """All problems at once, each with its place; nothing is written."""
    answer = client.post("Appointment/$book", body)
    assert answer.status == status, answer.body
    assert answer.codes == codes
    assert answer.expressions == expressions


@pytest.mark.usefixtures("unchanged")
def test_book_refuses_the_past(client: Client) -> None:
    """Nobody can come yesterday."""
    past = proposed([], start=instant(-20_000), end=instant(-19_985))
    assert book(client, past).status == 422


@pytest.mark.usefixtures("unchanged")
def test_book_needs_the_rights_to_create_and_update(server: Server) -> None:
    """Either alone is not enough."""
    for scope in ("system/Appointment.c", "system/Appointment.u", "system/Slot.cruds"):
        limited = Client(server.base_url, server.token(scope))
        assert book(limited, proposed([])).status == 403
        limited.close()
