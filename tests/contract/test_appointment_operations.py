"""$confirm, $cancel, $reschedule and $validate-booking over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.contract.conftest import Client, Json, Server, appointment, schedule, slot

RACERS = 16
NOTHING: Json = {"resourceType": "Parameters"}
REASON: Json = {"coding": [{"system": "urn:reasons", "code": "pat"}], "text": "Patient"}


def slots(client: Client, count: int) -> list[Json]:
    """So many free quarters of an hour in a row on a new Schedule."""
    agenda = client.created(schedule())
    return [client.created(slot(agenda["id"], 540 + 15 * number)) for number in range(count)]


def parameters(**given: Json) -> Json:
    """A Parameters resource; underscores in names stand for dashes, lists for repetitions."""
    entries = [
        {"name": name.replace("_", "-"), **value}
        for name, values in given.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    return {"resourceType": "Parameters", "parameter": entries}


def reference(one: Json) -> Json:
    """A Reference as a parameter's value."""
    return {"valueReference": {"reference": f"{one['resourceType']}/{one['id']}"}}


def reasons(answer: Json) -> list[str]:
    """The coded reasons of a refusal."""
    return [one["details"]["coding"][0]["code"] for one in answer.issues if "details" in one]


def status_of(client: Client, one: Json) -> str:
    """The present status."""
    return str(client.get(f"{one['resourceType']}/{one['id']}").json["status"])


def test_cancel(client: Client) -> None:
    """200, the next version, with reason, date and who; the Slot is free."""
    (wanted,) = slots(client, 1)
    booked = client.created(appointment([wanted]))
    answer = client.post(
        f"Appointment/{booked['id']}/$cancel",
        parameters(
            reason={"valueCodeableConcept": REASON},
            cancelled_by={"valueReference": {"reference": "Patient/ada"}},
            comment={"valueString": "Called"},
        ),
    )
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"2"'), answer.body
    assert answer.json["status"] == "cancelled"
    assert answer.json["cancelationReason"] == REASON
    told = {one["url"].rsplit("/", 1)[1]: one for one in answer.json["extension"]}
    assert told["extension-Appointment.cancellationDate"]["valueDateTime"]
    assert told["cancelled-by"]["valueReference"] == {"reference": "Patient/ada"}
    assert status_of(client, wanted) == "free"
    history = client.get(f"Appointment/{booked['id']}/_history").json
    assert history["total"] == 2


def test_cancel_by_reference_and_by_argonauts_name(client: Client) -> None:
    """On the type."""
    for name, value in (("appointment_reference", None), ("appt_id", "id")):
        booked = client.created(appointment(slots(client, 1)))
        given = {"valueUri": booked["id"]} if value else reference(booked)
        answer = client.post("Appointment/$cancel", parameters(**{name: given}))
        assert (answer.status, answer.json["status"]) == (200, "cancelled")


def test_cancel_refuses(client: Client, server: Server) -> None:
    """What is over, what is not there, and reasons without a code; nothing is written."""
    booked = client.created(appointment(slots(client, 1)))
    ended = client.created(appointment([], status="fulfilled", start="2020-01-01T10:00:00Z",
                                       end="2020-01-01T10:30:00Z"))  # fmt: skip
    before = server.everything()
    text = parameters(reason={"valueCodeableConcept": {"text": "Ill"}})
    assert client.post(f"Appointment/{booked['id']}/$cancel", text).status == 400
    answer = client.post(f"Appointment/{ended['id']}/$cancel", NOTHING)
    assert (answer.status, reasons(answer)) == (422, ["wrong-status"])
    assert "entered-in-error" in answer.issues[0]["diagnostics"]
    assert client.post("Appointment/nobody/$cancel", NOTHING).status == 422
    assert client.post("Appointment/$cancel", NOTHING).status == 400
    assert server.everything() == before


def test_confirm(client: Client, server: Server) -> None:
    """A request becomes a booking; a second time is refused."""
    (wanted,) = slots(client, 1)
    asked = [{"actor": {"reference": "Practitioner/grace"}, "status": "needs-action"}]
    pending = client.created(appointment([wanted], status="pending", participant=asked))
    answer = client.post(f"Appointment/{pending['id']}/$confirm", NOTHING)
    assert (answer.status, answer.json["status"]) == (200, "booked"), answer.body
    assert answer.json["participant"][0]["status"] == "accepted"
    assert status_of(client, wanted) == "busy"
    before = server.everything()
    again = client.post(f"Appointment/{pending['id']}/$confirm", NOTHING)
    assert (again.status, reasons(again)) == (422, ["wrong-status"])
    assert server.everything() == before


def test_reschedule(client: Client) -> None:
    """The same id at the new time; the old Slot is free, the new ones busy."""
    old, one, two = slots(client, 3)
    booked = client.created(appointment([old]))
    answer = client.post(
        f"Appointment/{booked['id']}/$reschedule", parameters(slot=[reference(one), reference(two)])
    )
    assert (answer.status, answer.id) == (200, booked["id"]), answer.body
    assert (answer.json["start"], answer.json["end"]) == (one["start"], two["end"])
    assert answer.json["status"] == "booked"
    assert [status_of(client, each) for each in (old, one, two)] == ["free", "busy", "busy"]


def test_reschedule_to_a_taken_time_keeps_the_old_one(client: Client, server: Server) -> None:
    """409 with alternatives; nothing is written."""
    old, taken, free = slots(client, 3)
    booked = client.created(appointment([old]))
    client.created(appointment([taken]))
    before = server.everything()
    path = f"Appointment/{booked['id']}/$reschedule"
    answer = client.post(path, parameters(slot=reference(taken)))
    assert (answer.status, reasons(answer)) == (409, ["slot-taken"])
    assert free["id"] in answer.issues[1]["diagnostics"]
    assert client.post(path, NOTHING).status == 400
    assert client.post(
        path, parameters(slot={"valueReference": {"reference": "Slot/x"}})
    ).status == (422)
    assert server.everything() == before
    assert status_of(client, old) == "busy"


def test_of_all_who_reschedule_to_one_slot_one_gets_it(
    client: Client, server: Server, operator_token: str
) -> None:
    """The others keep what they have."""
    *old, wanted = slots(client, RACERS + 1)
    booked = [client.created(appointment([one])) for one in old]
    start = Barrier(RACERS)

    def race(one: Json) -> int:
        racer = Client(server.base_url, operator_token)
        start.wait()
        path = f"Appointment/{one['id']}/$reschedule"
        answer = racer.post(path, parameters(slot=reference(wanted)))
        racer.close()
        return int(answer.status)

    with ThreadPoolExecutor(RACERS) as pool:
        statuses = sorted(pool.map(race, booked))
    assert statuses == [200, *[409] * (RACERS - 1)]
    assert status_of(client, wanted) == "busy"
    assert sorted(status_of(client, one) for one in old) == ["busy"] * (RACERS - 1) + ["free"]


def test_validate_booking_tells_all_and_writes_nothing(client: Client, server: Server) -> None:
    """200 with every refusal, or that all is well; also by GET."""
    taken, closed, free = slots(client, 3)
    client.created(appointment([taken]))
    client.put(f"Slot/{closed['id']}", {**closed, "status": "busy-unavailable"})
    stored = client.created(appointment([free], status="proposed"))
    before = server.everything()
    answer = client.post(
        "Appointment/$validate-booking", appointment([taken, closed], status="proposed")
    )
    assert answer.status == 200, answer.body
    assert reasons(answer) == ["slot-taken", "slot-blocked"]
    assert {one["severity"] for one in answer.issues} == {"error"}
    for fine in (
        client.post("Appointment/$validate-booking", appointment([free], status="proposed")),
        client.post(f"Appointment/{stored['id']}/$validate-booking", NOTHING),
        client.get(f"Appointment/$validate-booking?appt-id={stored['id']}"),
    ):
        assert (fine.status, fine.codes) == (200, ["informational"]), fine.body
    unknown = client.post("Appointment/nobody/$validate-booking", NOTHING)
    assert (unknown.status, reasons(unknown)) == (200, ["appointment-unknown"])
    assert server.everything() == before


@pytest.mark.parametrize("code", ["confirm", "cancel", "reschedule", "validate-booking"])
def test_rights(client: Client, server: Server, code: str) -> None:
    """Reading Appointments is not enough."""
    booked = client.created(appointment(slots(client, 1)))
    limited = Client(server.base_url, server.token("system/Appointment.rs system/Slot.cruds"))
    answer = limited.post(f"Appointment/{booked['id']}/${code}", parameters(slot=reference(booked)))
    assert answer.status == 403
    limited.close()


def test_moves_are_refused_on_plain_writes_too(client: Client, server: Server) -> None:
    """PUT and PATCH; the answer names what may follow."""
    booked = client.created(appointment(slots(client, 1)))
    path = f"Appointment/{booked['id']}"
    client.post(f"{path}/$cancel", NOTHING)
    stored = client.get(path).json
    before = server.everything()
    patch = b'[{"op": "replace", "path": "/status", "value": "booked"}]'
    for answer in (
        client.put(path, {**stored, "status": "booked"}),
        client.send("PATCH", path, patch, {"Content-Type": "application/json-patch+json"}),
    ):
        assert (answer.status, reasons(answer)) == (422, ["wrong-status"]), answer.body
        assert "entered-in-error" in answer.issues[0]["diagnostics"]
    assert server.everything() == before


ON_REFERENCE = ["book", "hold", "confirm", "cancel", "reschedule", "validate-booking"]


@pytest.mark.parametrize("code", ON_REFERENCE)
def test_a_reference_shows_nobody_what_he_may_not_read(
    client: Client, server: Server, code: str
) -> None:
    """403 without the right to read, 404 outside a granular scope; nothing is written."""
    wanted, other = slots(client, 2)
    pending = client.created(appointment([wanted], status="pending"))
    given = parameters(appointment_reference=reference(pending))
    if code == "reschedule":
        given["parameter"] += parameters(slot=reference(other))["parameter"]
    before = server.everything()
    for scope, status in (
        ("system/Appointment.cu", 403),
        ("system/Appointment.cu system/Appointment.r?status=booked", 404),
    ):
        blind = Client(server.base_url, server.token(scope))
        answer = blind.post(f"Appointment/${code}", given)
        blind.close()
        assert answer.status == status, answer.body
        assert b"ada" not in answer.body
    assert server.everything() == before
