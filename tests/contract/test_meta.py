"""$meta, $meta-add and $meta-delete (https://hl7.org/fhir/R4/resource-operations.html)."""

from concurrent.futures import ThreadPoolExecutor

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

SYSTEM = "https://tags.example"


def tag(code: str, **changed: Json) -> Json:
    """A tag of a system of our own."""
    return {"system": SYSTEM, "code": code, **changed}


def given(**meta: Json) -> Json:
    """The parameter `meta`."""
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


def told(answer: Answer) -> Json:
    """The parameter `return`."""
    assert answer.status == 200, answer.body
    (parameter,) = answer.json["parameter"]
    assert parameter["name"] == "return"
    return parameter["valueMeta"]


def codes(meta: Json, name: str = "tag") -> list[str]:
    """The codes of the tags or labels."""
    return [one["code"] for one in meta.get(name, [])]


def test_labels_are_added_without_a_new_version(client: Client, server: Server) -> None:
    """Version and time stay; read, vread, history and search show the labels."""
    stored = client.created(patient(meta={"tag": [tag("a", display="A")]}))
    fresh = time_ordered_id()
    before = server.everything()
    meta = told(
        client.post(
            f"Patient/{stored['id']}/$meta-add",
            given(
                tag=[tag("a", display="other"), tag(fresh), tag(fresh)],
                security=[tag("s")],
                profile=["urn:p"],
                source="urn:ignored",
                versionId="7",
            ),
        )
    )
    assert codes(meta) == ["a", fresh]
    assert meta["tag"][0]["display"] == "A"
    assert (codes(meta, "security"), meta["profile"]) == (["s"], ["urn:p"])
    assert "source" not in meta
    assert (meta["versionId"], meta["lastUpdated"]) == ("1", stored["meta"]["lastUpdated"])
    assert server.everything() == before
    shown = client.get(f"Patient/{stored['id']}")
    assert shown.json["meta"] == meta
    assert shown.headers["ETag"] == 'W/"1"'
    assert client.get(f"Patient/{stored['id']}/_history/1").json == shown.json
    (entry,) = client.get(f"Patient?_tag={SYSTEM}|{fresh}").json["entry"]
    assert entry["resource"] == shown.json
    assert told(client.get(f"Patient/{stored['id']}/$meta")) == meta


def test_labels_are_deleted(client: Client) -> None:
    """By system and code; what is not there needs no deletion; nothing else changes."""
    stored = client.created(patient(meta={"tag": [tag("a"), tag("b")], "profile": ["urn:p"]}))
    address = f"Patient/{stored['id']}/$meta-delete"
    meta = told(client.post(address, given(tag=[tag("a", display="x"), tag("c")])))
    assert (codes(meta), meta["profile"]) == (["b"], ["urn:p"])
    meta = told(client.post(address, given(tag=[tag("b")], profile=["urn:p"])))
    assert meta.keys() == {"versionId", "lastUpdated"}
    assert "entry" not in client.get(f"Patient?_id={stored['id']}&_profile=urn:p").json
    shown = client.get(f"Patient/{stored['id']}").json
    assert {**shown, "meta": 0} == {**stored, "meta": 0}


def test_extensions_of_profiles_stay_with_them(client: Client) -> None:
    """JSON keeps them in a list of its own beside the URLs."""
    note = {"extension": [{"url": "urn:why", "valueString": "x"}]}
    meta = {"profile": ["urn:a", "urn:b"], "_profile": [None, note]}
    stored = client.created(patient(meta=meta))
    address = f"Patient/{stored['id']}"
    added = told(client.post(f"{address}/$meta-add", given(profile=["urn:c"])))
    assert (added["profile"], added["_profile"]) == (
        ["urn:a", "urn:b", "urn:c"],
        [None, note, None],
    )
    left = told(client.post(f"{address}/$meta-delete", given(profile=["urn:a"])))
    assert (left["profile"], left["_profile"]) == (["urn:b", "urn:c"], [note, None])
    assert client.put(address, client.get(address).json).status == 200


def test_labels_survive_what_the_server_writes_itself(client: Client) -> None:
    """A Slot that is booked keeps a tag that was added to it."""
    wanted = client.created(slot(client.created(schedule())["id"], 540))
    client.post(f"Slot/{wanted['id']}/$meta-add", given(tag=[tag("kept")]))
    client.created(appointment([wanted]))
    booked = client.get(f"Slot/{wanted['id']}").json
    assert (booked["status"], codes(booked["meta"])) == ("busy", ["kept"])


def test_nothing_is_lost_among_many(server: Server, operator_token: str, client: Client) -> None:
    """Labels added at the same time, while other versions are written, are all there."""
    wanted = client.created(slot(client.created(schedule())["id"], 540))
    names = [f"t{number}" for number in range(16)]

    def add(name: str) -> int:
        own = Client(server.base_url, operator_token)
        try:
            return own.post(f"Slot/{wanted['id']}/$meta-add", given(tag=[tag(name)])).status
        finally:
            own.close()

    def book(_: int) -> int:
        own = Client(server.base_url, operator_token)
        try:
            return own.post("Appointment", appointment([wanted])).status
        finally:
            own.close()

    with ThreadPoolExecutor(8) as pool:
        added = pool.map(add, names)
        booked = pool.map(book, range(4))
        assert set(added) == {200}
        assert sorted(booked) == [201, 409, 409, 409]
    assert sorted(codes(client.get(f"Slot/{wanted['id']}").json["meta"])) == sorted(names)


def test_all_labels_of_a_type_and_of_the_system(client: Client) -> None:
    """Each once, without any other metadata; those of deleted resources are gone."""
    code, other = time_ordered_id(), time_ordered_id()
    for number in range(3):
        client.created(patient(meta={"tag": [tag(code, display=str(number))]}))
    client.created(schedule(meta={"security": [tag(other)], "profile": [f"urn:{other}"]}))
    gone = client.created(patient(meta={"tag": [tag(f"{code}x")]}))
    client.delete(f"Patient/{gone['id']}")
    meta = told(client.get("Patient/$meta"))
    assert codes(meta).count(code) == 1
    assert f"{code}x" not in codes(meta)
    assert other not in codes(meta, "security")
    assert meta.keys() <= {"profile", "security", "tag"}
    for meta in (told(client.get("$meta")), told(client.send("POST", "$meta"))):
        assert code in codes(meta)
        assert other in codes(meta, "security")
        assert f"urn:{other}" in meta["profile"]


@pytest.mark.parametrize("operation", ["$meta", "$meta-add", "$meta-delete"])
def test_what_is_not_there_has_no_meta(client: Client, operation: str) -> None:
    """404 and 410, as read."""
    gone = client.created(patient())
    client.delete(f"Patient/{gone['id']}")
    body = None if operation == "$meta" else given(tag=[tag("a")])
    for path, status in (("none", 404), ("n_o", 404), (gone["id"], 410)):
        answer = client.send("POST", f"Patient/{path}/{operation}", body)
        assert answer.status == status, (path, answer.body)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("operation", ["$meta-add", "$meta-delete"])
@pytest.mark.parametrize(
    "body",
    [
        None,
        {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueString": "x"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": []}]},
        given(tag="x"),
        given(tag=[None]),
        given(tag=[{"code": 1}]),
        given(profile=[[]]),
        given(colour="red"),
        given(),
        {"resourceType": "Parameters", "parameter": given()["parameter"] * 2},
        {"resourceType": "Patient"},
    ],
)
def test_malformed_labels_are_refused(client: Client, operation: str, body: Json) -> None:
    """400, whether the resource is there or not."""
    answer = client.send("POST", f"Patient/none/{operation}", body)
    assert answer.status == 400, answer.body
    assert answer.expressions


def test_labels_cannot_grow_for_ever(client: Client, server: Server) -> None:
    """A resource stays as small as one that may be sent."""
    stored = client.created(patient())
    address = f"Patient/{stored['id']}/$meta-add"
    assert client.post(address, given(tag=[tag("a", display="x" * 60_000)])).status == 200
    before = server.everything()
    assert client.post(address, given(tag=[tag("b", display="x" * 60_000)])).status == 413
    assert server.everything() == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "Patient/a/$meta-add", 405),
        ("POST", "Patient/$meta-add", 404),
        ("POST", "$meta-add", 404),
        ("GET", "Patient/$meta?x=y", 400),
        ("DELETE", "Patient/$meta", 405),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_undeclared_levels_are_refused(client: Client, method: str, path: str, status: int) -> None:
    """As every address that is not declared."""
    assert client.send(method, path, given() if method == "POST" else None).status == status


def test_rights(client: Client, server: Server) -> None:
    """Reading, searching and updating, each where it is needed."""
    stored = client.created(patient())
    cases = [
        ("system/Patient.r", (200, 403, 403, 403)),
        ("system/Patient.rs", (200, 200, 403, 403)),
        ("system/*.rs", (200, 200, 200, 403)),
        ("system/Patient.u", (403, 403, 403, 200)),
        ("system/Slot.cruds", (403, 403, 403, 403)),
    ]
    for scope, expected in cases:
        limited = Client(server.base_url, server.token(scope))
        found = (
            limited.get(f"Patient/{stored['id']}/$meta").status,
            limited.get("Patient/$meta").status,
            limited.get("$meta").status,
            limited.post(f"Patient/{stored['id']}/$meta-add", given(tag=[tag("a")])).status,
        )
        limited.close()
        assert found == expected, scope


def test_granular_scopes_apply(client: Client, server: Server) -> None:
    """Neither what a token may not reach, nor a way out of its reach."""
    code, secret = time_ordered_id(), time_ordered_id()
    mine = client.created(patient(meta={"tag": [tag(code)]}))
    others = client.created(patient(meta={"tag": [tag(secret)]}))
    limited = Client(server.base_url, server.token(f"system/Patient.rus?_tag={SYSTEM}|{code}"))
    assert codes(told(limited.get("Patient/$meta"))) == [code]
    for path in (others["id"], "none"):
        assert limited.get(f"Patient/{path}/$meta").status == 404
        answer = limited.post(f"Patient/{path}/$meta-add", given(tag=[tag(code)]))
        assert answer.status == 404
    answer = limited.post(f"Patient/{mine['id']}/$meta-delete", given(tag=[tag(code)]))
    assert answer.status == 403
    limited.close()
    assert codes(client.get(f"Patient/{mine['id']}").json["meta"]) == [code]
    assert codes(client.get(f"Patient/{others['id']}").json["meta"]) == [secret]


def test_amendments_are_audited(client: Client, server: Server) -> None:
    """In the same transaction, with the version that was amended."""
    stored = client.created(patient())
    client.post(f"Patient/{stored['id']}/$meta-add", given(tag=[tag("a")]))
    found = server.database["audit"].find_one({"records.interaction": "$meta-add",
                                               "records.id": stored["id"]})  # fmt: skip
    (record,) = (one for one in found["records"] if one["id"] == stored["id"])
    assert (record["v"], record["outcome"]) == (1, "success")
