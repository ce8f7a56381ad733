"""Chains and `_has` (https://hl7.org/fhir/R4/search.html#chaining)."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fhir_server.fhir.ids import time_ordered_id
from tests.contract.conftest import Client, Json, Server, start_server

OpenClient = Callable[[str], Client]


@pytest.fixture
def client_with(server: Server) -> Iterator[OpenClient]:
    """Opens clients whose token has the given scope."""
    opened: list[Client] = []

    def open_client(scope: str) -> Client:
        opened.append(Client(server.base_url, server.token(scope)))
        return opened[-1]

    yield open_client
    for one in opened:
        one.close()


def ids(answer: Any) -> set[str]:
    """Of the matches."""
    assert answer.status == 200, answer.body
    return {one["resource"]["id"] for one in answer.json.get("entry", [])}


def refer(resource: Json) -> Json:
    """A reference to it."""
    return {"reference": f"{resource['resourceType']}/{resource['id']}"}


class Clinic:
    """An organization, two practitioners in their roles, two patients and their tasks.

    Attributes:
        mark: a word that only these resources hold.
    """

    def __init__(self, client: Client) -> None:
        self.mark = f"q{time_ordered_id()}".replace("-", "")
        self.organization = client.created({"resourceType": "Organization", "name": self.mark})
        self.doctors = [
            client.created(
                {"resourceType": "Practitioner", "name": [{"family": self.mark, "given": [given]}]}
            )
            for given in ("Ada", "Bo")
        ]
        self.patients = [
            client.created(
                {
                    "resourceType": "Patient",
                    "name": [{"family": self.mark}],
                    "gender": gender,
                    "managingOrganization": refer(self.organization),
                    "generalPractitioner": [refer(doctor)],
                }
            )
            for gender, doctor in zip(("female", "male"), self.doctors, strict=True)
        ]
        self.tasks = [
            client.created(
                {
                    "resourceType": "Task",
                    "status": status,
                    "intent": "order",
                    "for": refer(patient),
                    "owner": refer(doctor),
                }
            )
            for patient, doctor, status in zip(
                self.patients, self.doctors, ("draft", "ready"), strict=True
            )
        ]


@pytest.fixture(scope="module")
def clinic(server: Server, operator_token: str) -> Iterator[Clinic]:
    """One clinic for all tests, which only read."""
    opened = Client(server.base_url, operator_token)
    yield Clinic(opened)
    opened.close()


def test_chains_ask_of_the_resource_referred_to(client: Client, clinic: Clinic) -> None:
    """With and without the type, with modifiers, over several steps, and several at once."""
    first, second = (one["id"] for one in clinic.tasks)
    mark = clinic.mark
    assert ids(client.get(f"Task?subject:Patient.family={mark}&patient.gender=female")) == {first}
    assert ids(client.get(f"Task?patient.family={mark}")) == {first, second}
    assert ids(client.get(f"Task?patient.family:exact={mark.upper()}")) == set()
    assert ids(client.get(f"Task?patient.family={mark}&patient.gender:not=female")) == {second}
    assert ids(client.get(f"Task?patient.organization.name={mark}")) == {first, second}
    steps = "patient.general-practitioner:Practitioner.given"
    assert ids(client.get(f"Task?{steps}=bo&patient.family={mark}")) == {second}
    assert ids(client.get(f"Task?{steps}=bo,ada&patient.family={mark}")) == {first, second}
    assert ids(client.get(f"Task?owner:Practitioner._id={clinic.doctors[0]['id']}")) == {first}
    assert ids(client.get(f"Task?patient.family={mark}x")) == set()


def test_chain_through_an_open_reference_tries_all_types(client: Client, clinic: Clinic) -> None:
    """Of the types that a reference may point to, those that have the parameter."""
    assert ids(client.get(f"Task?owner.name={clinic.mark}")) == {one["id"] for one in clinic.tasks}


def test_has_asks_of_the_resources_that_refer_here(client: Client, clinic: Clinic) -> None:
    """Alone, nested, beside others and behind a chain."""
    first, second = (one["id"] for one in clinic.patients)
    family = f"family={clinic.mark}"
    assert ids(client.get(f"Patient?{family}&_has:Task:patient:status=draft")) == {first}
    assert ids(client.get(f"Patient?{family}&_has:Task:patient:status:not=draft")) == {second}
    both = "_has:Task:patient:status=draft&_has:Task:patient:status=ready"
    assert ids(client.get(f"Patient?{family}&{both}")) == set()
    nested = f"_has:Patient:general-practitioner:_has:Task:patient:status=ready&{family}"
    assert ids(client.get(f"Practitioner?{nested}")) == {clinic.doctors[1]["id"]}
    inner = f"_has:Task:owner:patient.gender=female&{family}"
    assert ids(client.get(f"Practitioner?{inner}")) == {clinic.doctors[0]["id"]}
    outer = f"patient._has:Task:patient:status=ready&patient.{family}"
    assert ids(client.get(f"Task?{outer}")) == {clinic.tasks[1]["id"]}


def test_paging_and_totals_hold_with_chains(client: Client, clinic: Clinic) -> None:
    """The links carry the chain."""
    page = client.get(f"Task?patient.family={clinic.mark}&_count=1&_total=accurate")
    assert page.json["total"] == 2
    following = client.get(page.relation("next") or "")
    assert ids(page) | ids(following) == {one["id"] for one in clinic.tasks}


def test_deleted_resources_join_nothing(client: Client) -> None:
    """A chain leads through what is there now."""
    patient = client.created({"resourceType": "Patient", "gender": "other"})
    task = {"resourceType": "Task", "status": "draft", "intent": "order", "for": refer(patient)}
    stored = client.created(task)
    query = f"Task?_id={stored['id']}&patient.gender=other"
    assert ids(client.get(query)) == {stored["id"]}
    client.delete(f"Patient/{patient['id']}")
    assert ids(client.get(query)) == set()


def test_types_on_the_way_need_the_right_to_search(clinic: Clinic, client_with: OpenClient) -> None:
    """403, whichever direction, even when nothing would be found."""
    limited = client_with("system/Task.rs system/Patient.r")
    for query in ("patient.family=x", "patient:missing=false&patient.gender=male", "owner.name=x"):
        answer = limited.get(f"Task?{query}")
        assert (answer.status, answer.codes) == (403, ["forbidden"])
    patients = client_with("system/Patient.rs")
    for query in (
        "_has:Task:patient:status=draft",
        "general-practitioner:Practitioner._has:Task:owner:status=draft",
    ):
        assert patients.get(f"Patient?{query}").status == 403


def test_nothing_leaks_through_resources_on_the_way(
    clinic: Clinic, client_with: OpenClient
) -> None:
    """A constraint on the type in the middle holds there too, for matches and totals."""
    first, second = (one["id"] for one in clinic.tasks)
    limited = client_with("system/Task.s system/Patient.s?gender=female")
    answer = limited.get(f"Task?patient.family={clinic.mark}&_total=accurate")
    assert ids(answer) == {first}
    assert answer.json["total"] == 1
    assert ids(limited.get(f"Task?patient.gender=male&_id={second}")) == set()
    assert ids(limited.get(f"Task?patient.gender:not=female&_id={second}")) == set()
    drafts = client_with("system/Patient.s system/Task.s?status=draft")
    asked = f"Patient?family={clinic.mark}&_has:Task:patient"
    assert ids(drafts.get(f"{asked}:status=ready")) == set()
    assert ids(drafts.get(f"{asked}:status=draft")) == {clinic.patients[0]["id"]}


@pytest.mark.parametrize(
    "query",
    [
        "Task?patient.nonsense=x",
        "Task?patient.birthdate=soon",
        "Task?status.code=x",
        "Task?patient:Group.name=x",
        "Patient?_has:Task:patient=x",
        "Patient?_has:Task:patient:=x",
        "Patient?_has:::=x",
        "Patient?_has:Task:status:intent=order",
        "Patient?.=x",
        "Patient?general-practitioner.=x",
        "Patient?" + "link." * 6 + "gender=male",
    ],
)
def test_malformed_chains_are_400(client: Client, query: str) -> None:
    """Never answered with the unfiltered set, not even for lenient clients."""
    answer = client.get(query, Prefer="handling=lenient")
    if "Patient?.=" in query:
        assert answer.status in {200, 400}
        return
    assert answer.status == 400, answer.body


def test_a_chain_through_too_many_resources_is_refused(
    mongodb_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A clear refusal in place of a long wait or half an answer."""
    folder = tmp_path_factory.mktemp("bounded")
    running = start_server(mongodb_url, redis_url, folder, max_chained=2)
    client = Client(running.base_url, running.token("system/*.cruds"))
    try:
        for _ in range(3):
            patient = client.created({"resourceType": "Patient", "gender": "other"})
            client.created(
                {
                    "resourceType": "Task",
                    "status": "draft",
                    "intent": "order",
                    "for": refer(patient),
                }
            )
        for query in ("Task?patient.gender=other", "Patient?_has:Task:patient:status=draft"):
            answer = client.get(query)
            assert (answer.status, answer.codes) == (400, ["too-costly"])
            assert "more than 2" in answer.issues[0]["diagnostics"]
        assert client.get("Task?patient.gender=male").status == 200
    finally:
        client.close()
        running.stop()
