"""patch (https://hl7.org/fhir/R4/http.html#patch)."""

import json

import pytest

from fhir_server.fhir.ids import time_ordered_id
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

JSON_PATCH = "application/json-patch+json"
ACTIVATE: Json = [{"op": "add", "path": "/active", "value": True}]
FHIRPATH_ACTIVATE: Json = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "add"},
                {"name": "path", "valueString": "Patient"},
                {"name": "name", "valueString": "active"},
                {"name": "value", "valueBoolean": True},
            ],
        }
    ],
}


def change(client: Client, path: str, body: Json, **headers: str) -> Answer:
    """PATCH with a JSON Patch, or a FHIRPath Patch when it is a resource."""
    kind = JSON_PATCH if isinstance(body, list) else "application/fhir+json"
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.send("PATCH", path, body, {"Content-Type": kind, **sent})


@pytest.mark.parametrize("body", [ACTIVATE, FHIRPATH_ACTIVATE])
def test_patch_makes_the_next_version(client: Client, body: Json) -> None:
    """200, the whole resource, and PATCH in the history."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    answer = change(client, path, body)
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"2"')
    assert answer.json == {**stored, "active": True, "meta": answer.json["meta"]}
    assert client.get(path).json == answer.json
    newest = client.get(f"{path}/_history").json["entry"][0]
    assert newest["request"]["method"] == "PATCH"


def test_patch_keeps_digits(client: Client) -> None:
    """Of what it adds and of what it does not touch."""
    stored = client.post(
        "Location",
        b'{"resourceType":"Location","position":{"longitude":1.50,"latitude":2.10}}',
        Content_Type="application/fhir+json",
    )
    body = b'[{"op":"replace","path":"/position/latitude","value":3.00}]'
    answer = client.send("PATCH", f"Location/{stored.id}", body, {"Content-Type": JSON_PATCH})
    assert b'"position":{"longitude":1.50,"latitude":3.00}' in answer.body


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ([{"op": "test", "path": "/gender", "value": "male"}], 422, "processing"),
        ([{"op": "remove", "path": "/gender"}], 422, "processing"),
        ([{"op": "add", "path": "/gender", "value": "m"}], 422, "processing"),
        ([{"op": "add", "path": "/nonsense", "value": 1}], 422, "processing"),
        ([{"op": "remove", "path": "/name"}, {"op": "remove", "path": ""}], 422, "processing"),
        ([{"op": "replace", "path": "", "value": {}}], 422, "processing"),
        ([{"op": "replace", "path": "", "value": 7}], 422, "processing"),
        ([{"op": "replace", "path": "/id", "value": "other"}], 422, "processing"),
        ([{"op": "remove", "path": "/id"}], 422, "processing"),
        ([{"op": "replace", "path": "/resourceType", "value": "Group"}], 422, "processing"),
        ([{"op": "replace", "path": "/meta/versionId", "value": "9"}], 422, "processing"),
        ([{"op": "replace", "path": "/meta/lastUpdated", "value": "2020-01-01T00:00:00Z"}], 422,
         "processing"),
        ([{"op": "replace", "path": "/meta", "value": 7}], 422, "processing"),
        ([{"op": "nonsense", "path": "/a"}], 400, "invalid"),
        ([{"op": "add", "path": "/a"}], 400, "required"),
        ([7], 400, "invalid"),
        ({"resourceType": "Parameters", "parameter": [{"name": "x"}]}, 400, "invalid"),
        ({"resourceType": "Patient"}, 400, "invalid"),
    ],
)  # fmt: skip
def test_what_cannot_be_applied_changes_nothing(
    client: Client, server: Server, body: Json, status: int, code: str
) -> None:
    """400 for what is no patch, 422 for one that does not fit or whose result is invalid."""
    stored = client.created(patient())
    before = server.everything()
    answer = change(client, f"Patient/{stored['id']}", body)
    assert answer.status == status, answer.body
    assert answer.codes[0] == code
    assert server.everything() == before


def test_every_problem_of_the_result_is_told(client: Client) -> None:
    """With its place."""
    stored = client.created(patient())
    answer = change(
        client,
        f"Patient/{stored['id']}",
        [{"op": "add", "path": f"/{name}", "value": "m"} for name in ("gender", "birthDate")],
    )
    assert answer.status == 422
    assert {"Patient.gender", "Patient.birthDate"} <= set(answer.expressions)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b"[]", 415),
        ("application/xml-patch+xml", b"<diff/>", 415),
        ("application/merge-patch+json", b"{}", 415),
        (None, b"[]", 415),
        (JSON_PATCH, b"{}", 400),
        (JSON_PATCH, b"", 400),
        (JSON_PATCH, b"[", 400),
        (JSON_PATCH, b'[{"op":"add","op":"add"}]', 400),
        (JSON_PATCH, b"[" * 99 + b"]" * 99, 400),
        ("application/fhir+json", b"[]", 400),
        ("application/fhir+json", b"7", 400),
    ],
)
def test_bodies_that_are_no_patch(
    client: Client, server: Server, content_type: str | None, body: bytes, status: int
) -> None:
    """415 for other formats, 400 for malformed ones."""
    stored = client.created(patient())
    before = server.everything()
    answer = client.send("PATCH", f"Patient/{stored['id']}", body, {"Content-Type": content_type})
    assert answer.status == status
    assert answer.issues
    assert server.everything() == before


def test_an_empty_patch_is_an_update(client: Client) -> None:
    """R4 knows no update that is none."""
    stored = client.created(patient())
    assert change(client, f"Patient/{stored['id']}", []).headers["ETag"] == 'W/"2"'


def test_if_match_is_honoured(client: Client, server: Server) -> None:
    """R4 demands it of PATCH."""
    path = f"Patient/{client.created(patient())['id']}"
    before = server.everything()
    assert change(client, path, ACTIVATE, If_Match='W/"2"').status == 412
    assert change(client, path, ACTIVATE, If_None_Match="*").status == 412
    assert change(client, path, ACTIVATE, If_Match="nonsense").status == 400
    assert server.everything() == before
    assert change(client, path, ACTIVATE, If_Match='W/"1"').status == 200


def test_what_is_not_there_cannot_be_patched(client: Client) -> None:
    """404, and 410 for what has been deleted."""
    assert change(client, "Patient/nowhere", ACTIVATE).status == 404
    assert change(client, "Patient/a_b", ACTIVATE).status == 404
    stored = client.created(patient())
    client.delete(f"Patient/{stored['id']}")
    assert change(client, f"Patient/{stored['id']}", ACTIVATE).status == 410


def test_prefer_is_honoured(client: Client) -> None:
    """No body, or an OperationOutcome."""
    path = f"Patient/{client.created(patient())['id']}"
    assert change(client, path, ACTIVATE, Prefer="return=minimal").body == b""
    answer = change(client, path, ACTIVATE, Prefer="return=OperationOutcome")
    assert answer.json["resourceType"] == "OperationOutcome"


def test_who_may_not_read_gets_no_content(client: Client, server: Server) -> None:
    """The scope u allows the change and shows nothing."""
    path = f"Patient/{client.created(patient())['id']}"
    writer = Client(server.base_url, server.token("system/Patient.u"))
    answer = change(writer, path, ACTIVATE)
    writer.close()
    assert (answer.status, answer.body) == (200, b"")


def test_what_is_out_of_reach_is_not_there(client: Client, server: Server) -> None:
    """A failing test must not tell what the token may not see."""
    path = f"Patient/{client.created(patient(gender='male'))['id']}"
    before = server.everything()
    writer = Client(server.base_url, server.token("system/Patient.ru?gender=female"))
    probe = [{"op": "test", "path": "/gender", "value": "female"}]
    answers = [change(writer, path, body).status for body in (probe, ACTIVATE)]
    writer.close()
    assert answers == [404, 404]
    assert server.everything() == before


def test_a_scope_without_u_does_not_patch(client: Client, server: Server) -> None:
    """403."""
    path = f"Patient/{client.created(patient())['id']}"
    writer = Client(server.base_url, server.token("system/Patient.crds"))
    answer = change(writer, path, ACTIVATE)
    writer.close()
    assert answer.status == 403


def test_conditional_patch(client: Client, server: Server) -> None:
    """One match is changed; none is 404, several are 412."""
    value = time_ordered_id()
    identifier = [{"system": "urn:mrn", "value": value}]
    path = f"Patient?identifier={value}"
    assert change(client, path, ACTIVATE).status == 404
    stored = client.created(patient(identifier=identifier))
    answer = change(client, path, ACTIVATE)
    assert (answer.status, answer.id, answer.headers["ETag"]) == (200, stored["id"], 'W/"2"')
    assert change(client, path, FHIRPATH_ACTIVATE).status == 422
    assert change(client, path, ACTIVATE, If_Match='W/"9"').status == 412
    client.created(patient(identifier=identifier))
    before = server.everything()
    assert change(client, path, ACTIVATE).status == 412
    assert change(client, "Patient", ACTIVATE).status == 400
    assert server.everything() == before


def test_patching_the_status_takes_and_frees_the_slot(client: Client) -> None:
    """The same guard as on every other path."""
    owner = client.created(schedule())
    free = client.created(slot(owner["id"], 0))
    booked = client.created(appointment([free]))
    assert client.get(f"Slot/{free['id']}").json["status"] == "busy"
    cancel = [{"op": "replace", "path": "/status", "value": "cancelled"}]
    assert change(client, f"Appointment/{booked['id']}", cancel).status == 200
    assert client.get(f"Slot/{free['id']}").json["status"] == "free"


def test_patching_onto_a_taken_slot_is_409(client: Client, server: Server) -> None:
    """And nothing is written."""
    owner = client.created(schedule())
    free = client.created(slot(owner["id"], 0))
    client.created(appointment([free]))
    other = client.created(appointment([free], status="proposed"))
    before = server.everything()
    book = [{"op": "replace", "path": "/status", "value": "booked"}]
    answer = change(client, f"Appointment/{other['id']}", book)
    assert (answer.status, answer.codes[0]) == (409, "conflict")
    assert server.everything() == before


def test_unsafe_narrative_is_refused(client: Client, server: Server) -> None:
    """A patch must not make the narrative dangerous."""
    stored = client.created(patient())
    before = server.everything()
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>'
    body = [{"op": "add", "path": "/text", "value": {"status": "generated", "div": div}}]
    answer = change(client, f"Patient/{stored['id']}", body)
    assert answer.status == 422, json.dumps(answer.json)
    assert server.everything() == before
