"""$validate (https://hl7.org/fhir/R4/resource-operation-validate.html)."""

import pytest

from tests.contract.conftest import (
    Answer,
    Client,
    Json,
    Server,
    appointment,
    patient,
    schedule,
    slot,
)

R4 = "http://hl7.org/fhir/StructureDefinition/"


def parameters(**given: Json) -> Json:
    """A Parameters resource: `resource` as it is, `profile` and `mode` as primitives."""
    keys = {"resource": "resource", "mode": "valueCode", "profile": "valueCanonical"}
    listed = [{"name": name, keys[name]: value} for name, value in given.items()]
    return {"resourceType": "Parameters", "parameter": listed}


def is_all_ok(answer: Answer) -> bool:
    """Whether the outcome is the one informational issue."""
    assert answer.status == 200, answer.body
    (issue,) = answer.issues
    return bool(issue["severity"] == "information" and issue["details"]["text"] == "All OK")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "body",
    [patient(), parameters(resource=patient()), parameters(resource=patient(), mode="create")],
)
def test_a_valid_resource_is_all_ok(client: Client, body: Json) -> None:
    """200 with one informational issue; nothing is written."""
    assert is_all_ok(client.post("Patient/$validate", body))


@pytest.mark.usefixtures("unchanged")
def test_every_problem_is_told_with_its_place(client: Client) -> None:
    """200: the validation was possible, though its result is bad."""
    bad = patient(gender="unsure", birthDate="tomorrow", colour="red", contact=[{}])
    for mode in ({}, {"mode": "create"}):
        answer = client.post("Patient/$validate", parameters(resource=bad, **mode))
        assert answer.status == 200
        assert {"Patient.gender", "Patient.birthDate", "Patient.colour"} <= set(answer.expressions)
        assert all(one["severity"] == "error" for one in answer.issues)
        assert all(one["expression"] for one in answer.issues)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "content", [{}, {"resourceType": "Slot"}, {"resourceType": "Nonsense"}, {"resourceType": 1}]
)
def test_another_type_is_an_issue(client: Client, content: Json) -> None:
    """As it would be in a create."""
    answer = client.post("Patient/$validate", parameters(resource=content))
    assert answer.status in (200, 400), answer.body
    assert answer.issues[0]["severity"] == "error"
    assert answer.expressions


def test_modes_of_a_stored_resource(client: Client, server: Server) -> None:
    """Update needs the right id; delete needs no body; without either, the stored one is judged."""
    stored = client.created(patient())
    address = f"Patient/{stored['id']}/$validate"
    before = server.everything()
    assert is_all_ok(client.post(address, parameters(resource=stored, mode="update")))
    assert is_all_ok(client.post(address, parameters(mode="delete")))
    assert is_all_ok(client.get(f"{address}?mode=delete"))
    assert is_all_ok(client.get(address))
    assert is_all_ok(client.get(f"{address}?mode=profile&profile={R4}Patient"))
    wrong = client.post(address, parameters(resource={**stored, "id": "other"}, mode="update"))
    assert (wrong.status, wrong.expressions) == (200, ["Patient.id"])
    assert server.everything() == before


@pytest.mark.parametrize(
    ("profile", "status", "code"),
    [
        (f"{R4}Patient", 200, "informational"),
        (f"{R4}Patient|4.0.1", 200, "informational"),
        (f"{R4}DomainResource", 200, "informational"),
        (f"{R4}Slot", 200, "invalid"),
        (f"{R4}Patient|5.0.0", 400, "not-supported"),
        (f"{R4}Period", 400, "not-supported"),
        ("http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient", 400, "not-supported"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_profiles(client: Client, profile: str, status: int, code: str) -> None:
    """Those that the server carries; an unknown one cannot be answered about."""
    answer = client.post("Patient/$validate", parameters(resource=patient(), profile=profile))
    assert (answer.status, answer.codes) == (status, [code])
    answer = client.post(f"Patient/$validate?profile={profile}", patient())
    assert (answer.status, answer.codes) == (status, [code])


@pytest.mark.usefixtures("unchanged")
def test_claimed_profiles_that_are_unknown_are_a_warning(client: Client) -> None:
    """Nobody should believe that they were checked."""
    answer = client.post("Patient/$validate", patient(meta={"profile": ["urn:x", f"{R4}Patient"]}))
    (issue,) = answer.issues
    assert (issue["severity"], issue["expression"]) == ("warning", ["Patient.meta.profile[0]"])


def test_a_booking_that_would_be_refused(client: Client, server: Server) -> None:
    """The scheduling guard has its say, in modes create, update and delete; nothing is written."""
    agenda = client.created(schedule())
    first, second = (client.created(slot(agenda["id"], start)) for start in (540, 555))
    wanted = appointment([first])
    assert is_all_ok(
        client.post("Appointment/$validate", parameters(resource=wanted, mode="create"))
    )
    client.created(wanted)
    other = client.created(appointment([second]))
    before = server.everything()
    answer = client.post("Appointment/$validate", parameters(resource=wanted, mode="create"))
    assert (answer.status, answer.codes) == (200, ["conflict"])
    assert answer.expressions == ["Appointment.slot[0]"]
    assert is_all_ok(client.post("Appointment/$validate", wanted))
    moved = {**other, "slot": wanted["slot"], "start": first["start"], "end": first["end"]}
    address = f"Appointment/{other['id']}/$validate"
    answer = client.post(address, parameters(resource=moved, mode="update"))
    assert (answer.status, answer.codes) == (200, ["conflict"])
    busy = slot(agenda["id"], 545, status="busy")
    answer = client.post("Slot/$validate", parameters(resource=busy, mode="create"))
    assert (answer.status, answer.codes) == (200, ["conflict"])
    answer = client.get(f"Schedule/{agenda['id']}/$validate?mode=delete")
    assert (answer.status, answer.codes) == (200, ["conflict"])
    assert server.everything() == before


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("Patient/$validate", parameters(), 400),
        ("Patient/$validate", parameters(mode="update", resource=patient()), 400),
        ("Patient/$validate", parameters(mode="delete"), 400),
        ("Patient/$validate", parameters(mode="merge", resource=patient()), 400),
        ("Patient/none/$validate", parameters(mode="delete"), 404),
        ("Patient/none/$validate", parameters(), 404),
        ("Patient/none/$validate", parameters(mode="profile"), 400),
        ("Patient/n_o/$validate", parameters(mode="delete"), 404),
        ("Patient/$validate?mode=create&mode=create", patient(), 400),
        ("Patient/$validate?colour=red", patient(), 400),
        ("Patient/$validate?resource=x", patient(), 400),
        ("Patient/$validate", {"resourceType": "Parameters", "parameter": [[]]}, 400),
        ("$validate", patient(), 404),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_senseless_questions_are_refused(
    client: Client, path: str, body: Json, status: int
) -> None:
    """With an OperationOutcome that says why."""
    answer = client.post(path, body)
    assert answer.status == status, answer.body
    assert answer.issues[0]["severity"] == "error"


@pytest.mark.usefixtures("unchanged")
def test_update_may_create(client: Client) -> None:
    """As the update itself may."""
    body = parameters(resource=patient(id="not-there-yet"), mode="update")
    assert is_all_ok(client.post("Patient/not-there-yet/$validate", body))


def test_modes_need_the_rights_of_what_they_rehearse(server: Server, client: Client) -> None:
    """Content alone may be judged by anybody with a token; the rest as the interactions."""
    stored = client.created(patient())
    limited = Client(server.base_url, server.token("system/Slot.r"))
    address = f"Patient/{stored['id']}/$validate"
    try:
        assert is_all_ok(limited.post("Patient/$validate", patient()))
        for path, body in (
            ("Patient/$validate", parameters(resource=patient(), mode="create")),
            (address, parameters(resource=stored, mode="update")),
            (address, parameters(mode="delete")),
            (address, parameters()),
            (f"{address}?mode=profile&profile={R4}Patient", parameters()),
        ):
            assert limited.post(path, body).status == 403, (path, body)
    finally:
        limited.close()


def test_granular_scopes_apply(server: Server, client: Client) -> None:
    """What a token may not touch, it may not ask about either."""
    token = server.token("system/Patient.cruds?gender=female")
    limited = Client(server.base_url, token)
    hidden = client.created(patient(gender="male"))
    address = f"Patient/{hidden['id']}/$validate"
    try:
        assert limited.get(address).status == 404
        assert limited.get(f"{address}?mode=delete").status == 404
        body = parameters(resource={**hidden, "gender": "female"}, mode="update")
        assert limited.post(address, body).status == 404
        body = parameters(resource=patient(gender="male"), mode="create")
        assert limited.post("Patient/$validate", body).status == 403
    finally:
        limited.close()


def test_no_token_no_answer(anonymous: Client) -> None:
    """401, as everywhere."""
    assert anonymous.post("Patient/$validate", patient()).status == 401
