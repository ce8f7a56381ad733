"""transaction (https://hl7.org/fhir/R4/http.html#transaction)."""

import base64
import json
from uuid import uuid4

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


def entry(method: str, url: str, resource: Json = None, full_url: str = "", **more: Json) -> Json:
    """One entry."""
    built: Json = {"request": {"method": method, "url": url, **more}}
    if resource is not None:
        built["resource"] = resource
    if full_url:
        built["fullUrl"] = full_url
    return built


def send(client: Client, *entries: Json, kind: str = "transaction", **headers: str) -> Answer:
    """Post a Bundle of them to the base."""
    bundle: Json = {"resourceType": "Bundle", "type": kind}
    if entries:
        bundle["entry"] = list(entries)
    return client.post("", bundle, **headers)


def statuses(answer: Answer) -> list[str]:
    """The status code of each entry."""
    assert answer.status == 200, answer.body
    return [one["response"]["status"][:3] for one in answer.json["entry"]]


def urn() -> str:
    """A placeholder."""
    return f"urn:uuid:{uuid4()}"


def identified(value: str, **changed: Json) -> Json:
    """A Patient with an identifier of system `urn:mrn`."""
    return patient(identifier=[{"system": "urn:mrn", "value": value}], **changed)


def test_every_kind_of_entry(client: Client, server: Server) -> None:
    """In the order of the request, whatever the order of processing."""
    changed, gone, patched = (client.created(patient()) for _ in range(3))
    activate = base64.b64encode(b'[{"op":"add","path":"/active","value":true}]').decode()
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json"}
    answer = send(
        client,
        entry("GET", f"Patient/{changed['id']}"),
        entry("PUT", f"Patient/{changed['id']}", patient(id=changed["id"], gender="other")),
        entry("POST", "Patient", patient()),
        entry("PATCH", f"Patient/{patched['id']}", {**binary, "data": activate}),
        entry("DELETE", f"Patient/{gone['id']}"),
        entry("GET", f"Patient?_id={changed['id']}"),
        entry("HEAD", f"Patient/{changed['id']}"),
    )
    assert answer.json["type"] == "transaction-response"
    assert statuses(answer) == ["200", "200", "201", "200", "204", "200", "200"]
    entries = answer.json["entry"]
    # Reads see what the transaction has written.
    assert entries[0]["resource"]["gender"] == "other"
    assert entries[0]["response"]["etag"] == 'W/"2"'
    assert entries[5]["resource"]["entry"][0]["resource"]["gender"] == "other"
    assert entries[3]["resource"]["active"] is True
    assert "resource" not in entries[6]
    created = entries[2]["resource"]["id"]
    assert entries[2]["response"]["location"] == f"{server.base_url}/Patient/{created}/_history/1"
    assert entries[2]["response"]["lastModified"]
    assert client.get(f"Patient/{gone['id']}").status == 410


def test_an_empty_transaction_is_fine(client: Client) -> None:
    """There is nothing to do."""
    answer = send(client)
    assert (answer.status, answer.json["type"]) == (200, "transaction-response")
    assert "entry" not in answer.json


def test_placeholders_become_addresses_everywhere(client: Client) -> None:
    """References, uri and url elements and narrative; not canonicals, not other text."""
    one, two = urn(), urn()
    links = f'<a href="{one}">x</a><img src=\'{one}\' alt="{one}"/>'
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{links}</div>'
    resource = {
        "resourceType": "Basic",
        "text": {"status": "generated", "div": div},
        "contained": [{"resourceType": "Basic", "id": "c", "code": {"text": "x"},
                       "subject": {"reference": one}}],
        "extension": [
            {"url": "urn:a", "valueUri": one},
            {"url": "urn:b", "valueUrl": one},
            {"url": "urn:c", "valueCanonical": one},
            {"url": "urn:d", "valueString": one},
            {"url": "urn:e", "valueReference": {"reference": f"{one}/_history/7"}},
            {"url": "urn:f", "valueReference": {"reference": "#c"}},
        ],
        "code": {"text": one},
        "subject": {"reference": one, "display": one},
        "author": {"reference": urn()},
    }  # fmt: skip
    answer = send(
        client, entry("POST", "Basic", resource, two), entry("POST", "Patient", patient(), one)
    )
    assert statuses(answer) == ["201", "201"]
    stored = answer.json["entry"][0]["resource"]
    address = f"Patient/{answer.json['entry'][1]['resource']['id']}"
    assert stored["subject"] == {"reference": address, "display": one}
    assert stored["contained"][0]["subject"]["reference"] == address
    assert f'<a href="{address}">' in stored["text"]["div"]
    assert f'<img src="{address}" alt="{one}"/>' in stored["text"]["div"]
    values = [next(v for k, v in ext.items() if k != "url") for ext in stored["extension"]]
    assert values[0] == values[1] == f"{client.base_url}/{address}"
    assert values[2] == values[3] == one
    assert values[4]["reference"] == f"{address}/_history/1"
    assert stored["code"]["text"] == one
    assert stored["author"] == resource["author"]


def test_other_servers_addresses_are_placeholders_too(client: Client) -> None:
    """An absolute fullUrl, and references relative to the entry's own."""
    base = "https://elsewhere.example/fhir"
    basic = {"resourceType": "Basic", "code": {"text": "x"}}
    answer = send(
        client,
        entry("POST", "Patient", patient(), f"{base}/Patient/7"),
        entry("POST", "Basic", {**basic, "subject": {"reference": f"{base}/Patient/7"}}),
        entry("POST", "Basic", {**basic, "subject": {"reference": "Patient/7"}}, f"{base}/Basic/1"),
        entry("POST", "Basic", {**basic, "subject": {"reference": "Patient/7"}}),
    )
    assert statuses(answer) == ["201"] * 4
    entries = [one["resource"] for one in answer.json["entry"]]
    address = f"Patient/{entries[0]['id']}"
    found = [one["subject"]["reference"] for one in entries[1:]]
    assert found == [address, address, "Patient/7"]


def test_entries_that_refer_to_each_other(client: Client) -> None:
    """Circles are no problem."""
    one, two = urn(), urn()
    basic = {"resourceType": "Basic", "code": {"text": "x"}}
    answer = send(
        client,
        entry("POST", "Basic", {**basic, "subject": {"reference": two}}, one),
        entry("POST", "Basic", {**basic, "subject": {"reference": one}}, two),
    )
    first, second = (each["resource"] for each in answer.json["entry"])
    assert first["subject"]["reference"] == f"Basic/{second['id']}"
    assert second["subject"]["reference"] == f"Basic/{first['id']}"


def test_conditional_references(client: Client) -> None:
    """To what is stored and to what the transaction creates."""
    known, fresh = time_ordered_id(), time_ordered_id()
    stored = client.created(identified(known))
    basic = {"resourceType": "Basic", "code": {"text": "x"}}
    answer = send(
        client,
        entry("POST", "Basic", {
            **basic,
            "subject": {"reference": f"Patient?identifier=urn:mrn|{known}"},
            "author": {"reference": f"Patient?identifier={fresh}"},
        }),
        entry("POST", "Patient", identified(fresh)),
    )  # fmt: skip
    created = answer.json["entry"][0]["resource"]
    assert created["subject"]["reference"] == f"Patient/{stored['id']}"
    assert created["author"]["reference"] == (
        f"Patient/{answer.json['entry'][1]['resource']['id']}"
    )


@pytest.mark.parametrize(("matches", "status"), [(0, 422), (2, 412)])
def test_conditional_references_need_one_match(
    client: Client, server: Server, matches: int, status: int
) -> None:
    """Else nothing is written."""
    value = time_ordered_id()
    for _ in range(matches):
        client.created(identified(value))
    before = server.everything()
    basic = {"resourceType": "Basic", "code": {"text": "x"}}
    answer = send(
        client,
        entry("POST", "Patient", patient()),
        entry("POST", "Basic", {**basic, "subject": {"reference": f"Patient?identifier={value}"}}),
    )
    assert answer.status == status
    assert answer.expressions[0].startswith("Bundle.entry[1]")
    assert server.everything() == before


def test_conditional_entries(client: Client) -> None:
    """If-None-Exist, criteria in URLs, If-Match; references lead to what was found."""
    found, updated, removed = (time_ordered_id() for _ in range(3))
    known = client.created(identified(found))
    client.created(identified(updated))
    gone = client.created(identified(removed))
    name = urn()
    basic = {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": name}}
    answer = send(
        client,
        entry("POST", "Basic", basic),
        entry("POST", "Patient", identified(found), name, ifNoneExist=f"identifier={found}"),
        entry("PUT", f"Patient?identifier={updated}", identified(updated), ifMatch='W/"1"'),
        entry("DELETE", f"Patient?identifier={removed}"),
        entry("DELETE", "Patient?identifier=nobody"),
    )
    assert statuses(answer) == ["201", "200", "200", "204", "204"]
    assert answer.json["entry"][0]["resource"]["subject"]["reference"] == f"Patient/{known['id']}"
    assert answer.json["entry"][1]["resource"]["id"] == known["id"]
    assert client.get(f"Patient/{gone['id']}").status == 410


def test_deletions_come_first(client: Client) -> None:
    """So that a conditional create finds nothing of what the same transaction deletes."""
    value = time_ordered_id()
    old = client.created(identified(value))
    answer = send(
        client,
        entry("POST", "Patient", identified(value), ifNoneExist=f"identifier={value}"),
        entry("DELETE", f"Patient/{old['id']}"),
    )
    assert statuses(answer) == ["201", "204"]
    assert answer.json["entry"][0]["resource"]["id"] != old["id"]


OTHER = "overlap-other"


@pytest.mark.parametrize(
    "entries",
    [
        [entry("PUT", f"Patient/{OTHER}", patient(id=OTHER)), entry("DELETE", f"Patient/{OTHER}")],
        [entry("PUT", f"Patient/{OTHER}", patient(id=OTHER))] * 2,
        [entry("DELETE", f"Patient/{OTHER}")] * 2,
        [
            entry("POST", "Patient", identified("twin"), ifNoneExist="identifier=twin"),
            entry("POST", "Patient", identified("twin"), ifNoneExist="identifier=twin"),
        ],
        [
            entry("POST", "Patient", identified("twin"), ifNoneExist="identifier=twin"),
            entry("POST", "Patient", identified("twin")),
        ],
        [
            entry("POST", "Patient", patient(), "urn:uuid:1"),
            entry("POST", "Patient", patient(), "urn:uuid:1"),
        ],
        [entry("DELETE", f"Patient/{OTHER}"), entry("GET", f"Patient/{OTHER}")],
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_overlapping_entries_are_refused(client: Client, entries: list[Json]) -> None:
    """The result would depend on their order."""
    answer = send(client, *entries)
    assert answer.status == 400, answer.body
    assert answer.codes == ["invalid"]


def test_conditional_and_plain_entries_may_not_meet(client: Client, server: Server) -> None:
    """Their identities are compared after the criteria have been resolved."""
    value = time_ordered_id()
    stored = client.created(identified(value))
    before = server.everything()
    answer = send(
        client,
        entry("PUT", f"Patient?identifier={value}", identified(value)),
        entry("DELETE", f"Patient/{stored['id']}"),
    )
    assert answer.status == 400
    assert sorted(answer.expressions) == ["Bundle.entry[0]", "Bundle.entry[1]"]
    assert server.everything() == before


@pytest.mark.parametrize(
    ("bad", "status", "expression"),
    [
        (entry("POST", "Patient", patient(gender="m")), 400, "Bundle.entry[1].resource.gender"),
        (entry("POST", "Patient"), 400, "Bundle.entry[1].resource"),
        (entry("POST", "Patient", {"resourceType": "Group"}), 400,
         "Bundle.entry[1].resource.resourceType"),
        (entry("PUT", "Patient/a", patient()), 400, "Bundle.entry[1].resource.id"),
        (entry("PUT", "Patient/a_b", patient(id="a_b")), 400, "Bundle.entry[1]"),
        (entry("PUT", "Patient/nowhere", patient(id="nowhere"), ifMatch='W/"3"'), 412,
         "Bundle.entry[1]"),
        (entry("PATCH", "Patient/nowhere", {"resourceType": "Parameters"}), 404, "Bundle.entry[1]"),
        (entry("PATCH", "Patient/nowhere", patient()), 400,
         "Bundle.entry[1].resource.resourceType"),
        (entry("GET", "Patient/nowhere"), 404, "Bundle.entry[1]"),
        (entry("GET", "Patient?nonsense=1"), 400, "Bundle.entry[1]"),
        (entry("GET", "Nonsense/1"), 404, "Bundle.entry[1]"),
        (entry("GET", "metadata"), 400, "Bundle.entry[1]"),
        (entry("POST", "", {"resourceType": "Bundle", "type": "batch"}), 400, "Bundle.entry[1]"),
        (entry("POST", "Appointment/$book", {"resourceType": "Parameters"}), 400,
         "Bundle.entry[1]"),
        (entry("POST", "Patient/_search"), 400, "Bundle.entry[1]"),
        (entry("DELETE", "AuditEvent/1"), 405, "Bundle.entry[1]"),
        (entry("DELETE", "Patient"), 400, "Bundle.entry[1]"),
        (entry("GET", "https://elsewhere.example/fhir/Patient/1"), 400,
         "Bundle.entry[1].request.url"),
        (entry("TRACE", "Patient"), 400, "Bundle.entry[1].request.method"),
        ({"resource": patient()}, 400, "Bundle.entry[1].request"),
        ({"request": {"method": "POST"}}, 400, "Bundle.entry[1].request.url"),
        ({"request": {"url": "Patient"}}, 400, "Bundle.entry[1].request.method"),
        ({"request": 7}, 400, "Bundle.entry[1].request"),
        (7, 400, "Bundle.entry[1]"),
        ({"nonsense": 1, "request": {"method": "GET", "url": "Patient"}}, 400,
         "Bundle.entry[1].nonsense"),
        (entry("GET", "Patient", ifModifiedSince="yesterday"), 400,
         "Bundle.entry[1].request.ifModifiedSince"),
        (entry("POST", "Slot", slot("nowhere", 0)), 422, "Bundle.entry[1].resource.schedule"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("unchanged")
def test_one_bad_entry_and_nothing_is_written(
    client: Client, bad: Json, status: int, expression: str
) -> None:
    """One OperationOutcome that names the entry."""
    answer = send(client, entry("POST", "Patient", patient()), bad)
    assert answer.status == status, answer.body
    assert expression in answer.expressions


@pytest.mark.parametrize(
    ("bundle", "status"),
    [
        ({"resourceType": "Patient"}, 400),
        ({"resourceType": "Bundle"}, 400),
        ({"resourceType": "Bundle", "type": "history"}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": []}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": {}}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "nonsense": 1}, 400),
        ({"resourceType": "Bundle", "type": "batch",
          "entry": [{"request": {"method": "GET", "url": "Patient"}}] * 501}, 413),
        ([], 400),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("unchanged")
def test_what_is_no_bundle_of_interactions(client: Client, bundle: Json, status: int) -> None:
    """Refused as a whole."""
    answer = client.post("", bundle)
    assert answer.status == status
    assert answer.issues


@pytest.mark.usefixtures("unchanged")
def test_a_large_resource_in_a_bundle_is_refused(client: Client) -> None:
    """A Bundle may be larger than a resource, its resources may not."""
    large = patient(name=[{"family": "x" * 120_000}])
    answer = send(client, entry("POST", "Patient", large))
    assert (answer.status, answer.expressions) == (413, ["Bundle.entry[0]"])


@pytest.mark.parametrize(
    ("preference", "check"),
    [
        ("minimal", lambda one: "resource" not in one and "outcome" not in one["response"]),
        ("representation", lambda one: one["resource"]["resourceType"] == "Patient"),
        ("OperationOutcome",
         lambda one: one["response"]["outcome"]["resourceType"] == "OperationOutcome"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_prefer(client: Client, preference: str, check: Json, kind: str) -> None:
    """For every entry that writes; reads are read in any case."""
    answer = send(
        client,
        entry("POST", "Patient", patient()),
        entry("GET", "Patient?_count=1"),
        kind=kind,
        Prefer=f"return={preference}",
    )
    assert statuses(answer) == ["201", "200"]
    assert check(answer.json["entry"][0])
    assert answer.json["entry"][0]["response"]["location"]
    assert answer.json["entry"][1]["resource"]["resourceType"] == "Bundle"


@pytest.mark.usefixtures("unchanged")
def test_every_entry_needs_its_right(server: Server) -> None:
    """One that is not allowed, and nothing happens."""
    limited = Client(server.base_url, server.token("system/Patient.cruds system/Basic.rs"))
    basic = {"resourceType": "Basic", "code": {"text": "x"}}
    answer = send(limited, entry("POST", "Patient", patient()), entry("POST", "Basic", basic))
    limited.close()
    assert answer.status == 403
    assert answer.expressions == ["Bundle.entry[1]"]


def test_granular_scopes_hold_inside(client: Client, server: Server) -> None:
    """For content and for what is there."""
    hidden = client.created(patient(gender="male"))
    before = server.everything()
    limited = Client(server.base_url, server.token("system/Patient.cruds?gender=female"))
    put = patient(id=hidden["id"], gender="female")
    answers = [
        send(limited, entry("POST", "Patient", patient(gender="male"))),
        send(limited, entry("PUT", f"Patient/{hidden['id']}", put)),
        send(limited, entry("DELETE", f"Patient/{hidden['id']}")),
        send(limited, entry("GET", f"Patient/{hidden['id']}")),
    ]
    limited.close()
    assert [one.status for one in answers] == [403, 404, 404, 404]
    assert server.everything() == before


def test_a_token_is_needed(anonymous: Client) -> None:
    """As everywhere."""
    assert send(anonymous, entry("POST", "Patient", patient())).status == 401


def booking(free: Json, full_url: str = "") -> list[Json]:
    """Plain R4 booking: the Slot turned busy if nobody did, and the Appointment."""
    etag = f'W/"{free["meta"]["versionId"]}"'
    busy = {**free, "status": "busy"}
    return [
        entry("PUT", f"Slot/{free['id']}", busy, ifMatch=etag),
        entry("POST", "Appointment", appointment([free]), full_url),
    ]


def test_slot_and_appointment_in_one(client: Client) -> None:
    """The guard sees the whole plan."""
    owner = client.created(schedule())
    free = client.created(slot(owner["id"], 0))
    assert statuses(send(client, *booking(free))) == ["200", "201"]
    assert client.get(f"Slot/{free['id']}").json["status"] == "busy"


def test_a_taken_slot_is_refused_inside(client: Client, server: Server) -> None:
    """With the entry, alternatives, and nothing written."""
    owner = client.created(schedule())
    free, later = (client.created(slot(owner["id"], start)) for start in (0, 15))
    client.created(appointment([free]))
    before = server.everything()
    stale = send(client, *booking(free))
    assert (stale.status, stale.expressions) == (412, ["Bundle.entry[0]"])
    taken = send(
        client,
        entry("POST", "Patient", patient()),
        entry("POST", "Appointment", appointment([free])),
    )
    assert (taken.status, taken.codes[0]) == (409, "conflict")
    assert taken.expressions[0] == "Bundle.entry[1].resource.slot[0]"
    assert later["id"] in taken.body.decode()
    assert server.everything() == before


def test_two_appointments_cannot_share_a_slot(client: Client, server: Server) -> None:
    """Also not within one transaction."""
    owner = client.created(schedule())
    free = client.created(slot(owner["id"], 0))
    before = server.everything()
    one = entry("POST", "Appointment", appointment([free]))
    answer = send(client, one, one)
    assert answer.status == 409
    assert server.everything() == before


def test_a_whole_agenda_in_one(client: Client) -> None:
    """Schedule, Slots and an Appointment that refer to each other by placeholders."""
    owner, first = urn(), urn()
    planned = slot("x", 0)
    planned["schedule"]["reference"] = owner
    booked = appointment([])
    booked |= {
        "slot": [{"reference": first}], "start": planned["start"], "end": planned["end"]
    }  # fmt: skip
    answer = send(
        client,
        entry("POST", "Appointment", booked),
        entry("POST", "Slot", planned, first),
        entry("POST", "Schedule", schedule(), owner),
    )
    assert statuses(answer) == ["201"] * 3
    assert answer.json["entry"][0]["resource"]["slot"][0]["reference"].startswith("Slot/")


def test_history_shows_each_method(client: Client) -> None:
    """As if each had come alone."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    send(client, entry("PUT", path, patient(id=stored["id"])))
    parameters = {"resourceType": "Parameters"}
    send(client, entry("PATCH", path, parameters))
    send(client, entry("DELETE", path))
    found = client.get(f"{path}/_history").json["entry"]
    assert [one["request"]["method"] for one in found] == ["DELETE", "PATCH", "PUT", "POST"]


def test_digits_survive(client: Client) -> None:
    """Numbers keep their text through a Bundle."""
    body = (
        b'{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":'
        b'"Location","position":{"longitude":1.50,"latitude":2.10}},"request":{"method":"POST",'
        b'"url":"Location"}}]}'
    )
    answer = client.post("", body, Content_Type="application/fhir+json")
    assert b'"position":{"longitude":1.50,"latitude":2.10}' in answer.body
    assert json.loads(answer.body)["entry"][0]["response"]["etag"] == 'W/"1"'
