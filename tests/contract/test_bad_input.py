"""Bad input: the status R4 demands, the place named, and nothing written."""

import gzip
import json

import pytest

from tests.contract.conftest import (
    Client,
    Json,
    appointment,
    instant,
    patient,
    slot,
)

DEEP = (
    b'{"resourceType":"Patient","extension":' + b'[{"extension":' * 40 + b"[]" + b"}]" * 40 + b"}"
)


def body_of(value: Json) -> bytes:
    """As JSON."""
    return json.dumps(value).encode()


BODIES: list[tuple[str, bytes, int, str, list[str]]] = [
    ("empty", b"", 400, "structure", []),
    ("no JSON", b"{", 400, "structure", []),
    ("array", b"[]", 400, "structure", []),
    ("text", b'"Patient"', 400, "structure", []),
    ("null", b"null", 400, "structure", []),
    ("NaN", b'{"resourceType":"Patient","x":NaN}', 400, "structure", []),
    ("no UTF-8", b'{"resourceType":"Patient","id":"\xff"}', 400, "structure", []),
    ("lone surrogate", b'{"resourceType":"Patient","language":"\\ud800"}', 400, "structure", []),
    (
        "duplicate key",
        b'{"resourceType":"Patient","active":true,"active":false}',
        400,
        "structure",
        [],
    ),
    ("too deep", DEEP, 400, "too-long", []),
    ("no type", b"{}", 400, "structure", ["Patient"]),
    ("type is a number", b'{"resourceType":7}', 400, "invalid", ["resourceType"]),
    ("other type", body_of({"resourceType": "Group"}), 400, "invalid", ["resourceType"]),
    ("unknown type", body_of({"resourceType": "Nonsense"}), 400, "invalid", ["resourceType"]),
    ("unknown element", body_of(patient(nonsense=1)), 400, "structure", ["Patient.nonsense"]),
    (
        "nested unknown element",
        body_of(patient(name=[{"familie": "x"}])),
        400,
        "structure",
        ["Patient.name[0].familie"],
    ),
    ("wrong JSON type", body_of(patient(active="yes")), 400, "value", ["Patient.active"]),
    ("not a date", body_of(patient(birthDate="2026-13-01")), 400, "value", ["Patient.birthDate"]),
    ("unknown code", body_of(patient(gender="m")), 400, "code-invalid", ["Patient.gender"]),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("body", "status", "code", "expressions"),
    [one[1:] for one in BODIES],
    ids=[one[0] for one in BODIES],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_broken_bodies_are_refused(
    client: Client, method: str, body: bytes, status: int, code: str, expressions: list[str]
) -> None:
    """On create and update alike."""
    if method == "PUT":
        body = body.replace(
            b'{"resourceType":"Patient",', b'{"resourceType":"Patient","id":"x",', 1
        )
        body = body.replace(b'"id":"x","id":"\xff"', b'"id":"\xff"')
        body = body.replace(b'{"resourceType": "Patient",', b'{"resourceType": "Patient","id":"x",')
    path = "Patient" if method == "POST" else "Patient/x"
    answer = client.send(method, path, body)
    assert answer.status == status, answer.body
    assert answer.codes == [code]
    assert answer.expressions == expressions
    assert answer.issues[0]["diagnostics"]
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"


@pytest.mark.usefixtures("unchanged")
def test_all_problems_of_a_resource_are_told_at_once(client: Client) -> None:
    """One round trip per mistake would be cruel."""
    broken = patient(gender="m", birthDate="soon", nonsense=1)
    answer = client.post("Patient", broken)
    assert answer.status == 400
    assert set(answer.expressions) == {"Patient.gender", "Patient.birthDate", "Patient.nonsense"}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/fhir+xml", "application/json; charset=latin-1", "x", None],
)
def test_bodies_of_other_types_are_415(client: Client, content_type: str | None) -> None:
    """Also one that does not say what it is."""
    answer = client.send("POST", "Patient", body_of(patient()), {"Content-Type": content_type})
    assert answer.status == 415
    assert answer.codes == ["not-supported"]


@pytest.mark.usefixtures("unchanged")
def test_compressed_bodies_are_415(client: Client) -> None:
    """A coding that is not undone is named, rather than called broken JSON."""
    answer = client.send(
        "POST", "Patient", gzip.compress(body_of(patient())), {"Content-Encoding": "gzip"}
    )
    assert answer.status == 415
    assert "gzip" in answer.json["issue"][0]["diagnostics"]


@pytest.mark.usefixtures("unchanged")
def test_a_body_that_is_too_large_is_413(client: Client) -> None:
    """Whether its length is declared or not."""
    large = body_of(patient(language="x" * 200_000))
    declared = client.send("POST", "Patient", large)
    assert declared.status == 413
    assert declared.codes == ["too-long"]
    client.close()
    chunked = client.send(
        "POST",
        "Patient",
        f"{len(large):x}\r\n".encode() + large + b"\r\n0\r\n\r\n",
        {"Transfer-Encoding": "chunked"},
    )
    assert chunked.status == 413


@pytest.mark.usefixtures("unchanged")
def test_update_at_an_impossible_id_is_400(client: Client) -> None:
    """The grammar of ids is told."""
    for logical_id in ("a_b", "a" * 65, "%20", ".", ".."):
        answer = client.put(f"Patient/{logical_id}", patient(id=logical_id))
        assert answer.status == 400
        assert answer.codes == ["invalid"]


@pytest.mark.usefixtures("unchanged")
def test_formats_that_cannot_be_produced_are_406(client: Client) -> None:
    """Nothing is written for a client that could not read the answer."""
    assert client.post("Patient", patient(), Accept="application/fhir+xml").status == 406
    assert client.post("Patient?_format=xml", patient()).status == 406
    assert client.get("Patient/a", Accept="text/turtle").status == 406


RULES: list[tuple[str, Json, int, str, str]] = [
    (
        "app-1",
        appointment([], status="proposed", participant=[{"status": "accepted"}]),
        422,
        "invariant",
        "Appointment.participant[0]",
    ),
    ("app-3", appointment([]), 422, "invariant", "Appointment"),
    (
        "app-2",
        appointment([], status="proposed", start=instant(600)),
        422,
        "invariant",
        "Appointment",
    ),
    (
        "start after end",
        appointment([], start=instant(600), end=instant(540)),
        422,
        "business-rule",
        "Appointment",
    ),
    (
        "unknown slot",
        appointment([{"id": "nowhere", "start": instant(540), "end": instant(555)}]),
        422,
        "business-rule",
        "Appointment.slot[0]",
    ),
    (
        "apr-1",
        {
            "resourceType": "AppointmentResponse",
            "appointment": {"reference": "Appointment/nowhere"},
            "participantStatus": "accepted",
        },
        422,
        "invariant",
        "AppointmentResponse",
    ),
    (
        "response to nothing",
        {
            "resourceType": "AppointmentResponse",
            "appointment": {"reference": "Appointment/nowhere"},
            "actor": {"reference": "Patient/ada"},
            "participantStatus": "accepted",
        },
        422,
        "business-rule",
        "AppointmentResponse.appointment",
    ),
    ("unknown schedule", slot("nowhere", 540), 422, "business-rule", "Slot.schedule"),
    ("empty slot", slot("nowhere", 540, minutes=0), 422, "business-rule", "Slot"),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("resource", "status", "code", "place"),
    [one[1:] for one in RULES],
    ids=[one[0] for one in RULES],
)
def test_broken_rules_are_422(
    client: Client, resource: Json, status: int, code: str, place: str
) -> None:
    """Invariants and rules of scheduling, each naming its place."""
    answer = client.post(resource["resourceType"], resource)
    assert answer.status == status, answer.body
    assert code in answer.codes, answer.body
    assert any(one.startswith(place) for one in answer.expressions), answer.body
