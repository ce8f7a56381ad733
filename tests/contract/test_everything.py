"""Patient/$everything (https://hl7.org/fhir/R4/patient-operation-everything.html)."""

from collections.abc import Iterator

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


@pytest.fixture
def record(client: Client) -> Json:
    """A patient with an appointment, an encounter, coverage and a relative; and a stranger."""
    ada, stranger = client.created(patient()), client.created(patient())
    doctor = client.created({"resourceType": "Practitioner", "name": [{"family": "Mbeki"}]})
    me = {"reference": f"Patient/{ada['id']}"}
    agenda = client.created(schedule(actor=[{"reference": f"Practitioner/{doctor['id']}"}]))
    times = [client.created(slot(agenda["id"], start)) for start in (540, 555)]
    booked = [
        client.created(
            appointment(
                [times[number]],
                participant=[
                    {"actor": {"reference": f"Patient/{who['id']}"}, "status": "accepted"},
                    {
                        "actor": {"reference": f"Practitioner/{doctor['id']}"},
                        "status": "accepted",
                    },
                ],
            )
        )
        for number, who in enumerate((ada, stranger))
    ]
    encounters = [
        client.created(
            {
                "resourceType": "Encounter",
                "status": "finished",
                "class": {"code": "AMB"},
                "subject": me,
                "period": {"start": f"{year}-03-01", "end": f"{year}-03-04"},
            }
        )
        for year in (2020, 2024)
    ]
    relative = client.created({"resourceType": "RelatedPerson", "patient": me})
    return {
        "patient": ada,
        "stranger": stranger,
        "doctor": doctor,
        "slot": times[0],
        "appointment": booked[0],
        "foreign": booked[1],
        "encounters": encounters,
        "relative": relative,
    }


def names(answer: Answer, mode: str = "match") -> list[str]:
    """The addresses of a Bundle's entries."""
    assert answer.status == 200, answer.body
    assert (answer.json["resourceType"], answer.json["type"]) == ("Bundle", "searchset")
    return [
        name(one["resource"])
        for one in answer.json.get("entry", [])
        if one["search"]["mode"] == mode
    ]


def name(resource: Json) -> str:
    """Type and id."""
    return f"{resource['resourceType']}/{resource['id']}"


def pages(client: Client, address: str | None) -> Iterator[Answer]:
    """This page and all that follow."""
    while address is not None:
        answer = client.get(address)
        yield answer
        address = answer.relation("next")


def own(record: Json) -> list[str]:
    """What belongs to the patient, in order."""
    encounters = sorted(name(one) for one in record["encounters"])
    ada, booked, relative = (name(record[one]) for one in ("patient", "appointment", "relative"))
    return [ada, booked, *encounters, relative]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_everything_of_a_patient(client: Client, record: Json, method: str) -> None:
    """The patient first, then its compartment; beside it the directory; nobody else's."""
    answer = client.send(method, f"Patient/{record['patient']['id']}/$everything")
    assert names(answer) == own(record)
    beside = names(answer, "include")
    assert sorted(beside) == sorted([name(record["doctor"]), name(record["slot"])])
    assert answer.relation("next") is None
    assert f"Patient/{record['patient']['id']}/$everything" in (answer.relation("self") or "")


@pytest.mark.parametrize("count", [1, 2, 4, 100])
def test_pages(client: Client, record: Json, count: int) -> None:
    """All pages together tell everything once, in order."""
    address = f"Patient/{record['patient']['id']}/$everything?_count={count}"
    found = list(pages(client, address))
    assert [one for page in found for one in names(page)] == own(record)
    assert all(len(names(page)) <= count for page in found)
    assert all("_page=" in (page.relation("self") or "") for page in found[1:])


def test_parameters_in_a_body(client: Client, record: Json) -> None:
    """The link to the next page works all the same."""
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "_count", "valueInteger": 2},
            {"name": "_type", "valueCode": "Encounter"},
            {"name": "_type", "valueCode": "Patient"},
        ],
    }
    first = client.post(f"Patient/{record['patient']['id']}/$everything", body)
    found = [*names(first), *(one for page in pages(client, first.relation("next"))
                              for one in names(page))]  # fmt: skip
    encounters = sorted(name(one) for one in record["encounters"])
    assert found == [name(record["patient"]), *encounters]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("start=2024-03-04", [1]),
        ("start=2024-03-05", []),
        ("end=2020-03-01", [0]),
        ("end=2020-02", []),
        ("start=2020&end=2024", [0, 1]),
        ("start=2021&end=2022", []),
        ("start=0001-01-01&end=9999-12-31", [0, 1]),
        ("start=2020-03-02&end=2020-03-02", [0]),
    ],
)
def test_dates_of_care(client: Client, record: Json, query: str, kept: list[int]) -> None:
    """What overlaps the range; what is about no time is always there."""
    found = names(client.get(f"Patient/{record['patient']['id']}/$everything?{query}"))
    encounters = [one for one in found if one.startswith("Encounter/")]
    assert encounters == sorted(name(record["encounters"][number]) for number in kept)
    assert {name(record["patient"]), name(record["relative"])} <= set(found)


def test_since(client: Client, record: Json) -> None:
    """Only what was updated after that."""
    last = record["relative"]["meta"]["lastUpdated"]
    address = f"Patient/{record['patient']['id']}/$everything?_since={last}"
    assert names(client.get(address)) == []
    changed = client.put(name(record["relative"]), {**record["relative"], "gender": "other"})
    assert names(client.get(address)) == [name(changed.json)]


def test_types(client: Client, record: Json) -> None:
    """Those named and no others, directory types included."""
    address = f"Patient/{record['patient']['id']}/$everything?_type="
    answer = client.get(f"{address}Appointment,Slot")
    assert names(answer) == [name(record["appointment"])]
    assert names(answer, "include") == [name(record["slot"])]
    assert names(client.get(f"{address}Location")) == []


def test_everything_of_all_patients(client: Client, record: Json) -> None:
    """On the type, page by page."""
    address = "Patient/$everything?_type=Patient,Appointment,RelatedPerson&_count=7"
    found = [one for page in pages(client, address) for one in names(page)]
    assert len(found) == len(set(found))
    expected = ("patient", "stranger", "appointment", "foreign", "relative")
    assert {name(record[one]) for one in expected} <= set(found)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("start=yesterday", 400),
        ("start=2026-01-01T10:00:00Z", 400),
        ("_since=2026-01-01", 400),
        ("_type=Nonsense", 400),
        ("_type=Patient,,", 400),
        ("_type=Observation", 400),
        ("_count=0", 400),
        ("_count=-1", 400),
        ("_count=many", 400),
        ("_count=99999999999999999999", 400),
        ("_count=1&_count=1", 400),
        ("_page=abc", 400),
        ("_page=%C3%A9", 400),
        ("colour=red", 400),
        ("start=2026&start=2026", 400),
    ],
)
def test_malformed_parameters_are_refused(client: Client, query: str, status: int) -> None:
    """With an OperationOutcome."""
    stored = client.created(patient())
    for address in ("Patient/$everything", f"Patient/{stored['id']}/$everything"):
        answer = client.get(f"{address}?{query}")
        assert answer.status == status, answer.body
        assert answer.issues


def test_a_page_of_another_query_is_refused(client: Client, record: Json) -> None:
    """Tokens are bound to patient and parameters."""
    address = f"Patient/{record['patient']['id']}/$everything"
    token = (client.get(f"{address}?_count=1").relation("next") or "").partition("_page=")[2]
    assert client.get(f"{address}?_count=1&_page={token}").status == 200
    assert client.get(f"{address}?_count=2&_page={token}").status == 400
    other = f"Patient/{record['stranger']['id']}/$everything?_count=1&_page={token}"
    assert client.get(other).status == 400


def test_patients_that_are_not_there(client: Client) -> None:
    """404, and 410 when it has been deleted."""
    gone = client.created(patient())
    client.delete(f"Patient/{gone['id']}")
    assert client.get(f"Patient/{gone['id']}/$everything").status == 410
    for wrong in ("none", "n_o"):
        assert client.get(f"Patient/{wrong}/$everything").status == 404
    assert client.get("Encounter/a/$everything").status == 404


def test_access(client: Client, server: Server, record: Json) -> None:
    """Type by type what the token may search; a type asked for by name is refused."""
    address = f"Patient/{record['patient']['id']}/$everything"
    cases = [
        ("system/Slot.rs", "", 403, None),
        ("system/Patient.r", "", 200, set()),
        ("system/Patient.r", "?_type=Encounter", 403, None),
        ("system/Patient.rs", "", 200, {"Patient"}),
        ("system/Patient.rs system/Appointment.rs", "", 200, {"Patient", "Appointment"}),
        ("system/Patient.rs system/Encounter.r", "", 200, {"Patient"}),
        ("system/Patient.rs system/Encounter.s?status=planned", "", 200, {"Patient"}),
    ]
    for scope, query, status, types in cases:
        limited = Client(server.base_url, server.token(scope))
        answer = limited.get(f"{address}{query}")
        assert answer.status == status, scope
        if types is not None:
            found = {one.partition("/")[0] for one in names(answer)}
            assert (found, names(answer, "include")) == (types, []), scope
        limited.close()
    limited = Client(server.base_url, server.token("system/Patient.rs?gender=female"))
    assert limited.get(address).status == 404
    limited.close()
    limited = Client(server.base_url, server.token("system/Patient.r"))
    assert limited.get("Patient/$everything").status == 403
    limited.close()


def test_reading_everything_is_audited(client: Client, server: Server, record: Json) -> None:
    """With the patient whose record was read."""
    reader = Client(server.base_url, server.token("system/*.rs"))
    assert reader.get(f"Patient/{record['patient']['id']}/$everything").status == 200
    reader.close()
    assert client.get("Patient/none/$everything").status == 404
