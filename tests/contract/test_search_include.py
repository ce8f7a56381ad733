"""`_include` and `_revinclude` (https://hl7.org/fhir/R4/search.html#include)."""

from collections.abc import Iterator
from typing import Any

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
    start_server,
)


def refer(resource: Json) -> Json:
    """A reference to it."""
    return {"reference": f"{resource['resourceType']}/{resource['id']}"}


def shown(answer: Answer, mode: str) -> list[str]:
    """`Type/id` of the entries of that mode, in order."""
    assert answer.status == 200, answer.body
    return [
        f"{one['resource']['resourceType']}/{one['resource']['id']}"
        for one in answer.json.get("entry", [])
        if one["search"]["mode"] == mode
    ]


def included(answer: Answer) -> set[str]:
    """What stands beside the matches; each only once."""
    found = shown(answer, "include")
    assert len(found) == len(set(found))
    assert not set(found) & set(shown(answer, "match"))
    return set(found)


class Booked:
    """A doctor of an organization, whose Schedule has two Slots, one with an Appointment."""

    def __init__(self, client: Client) -> None:
        self.organization = client.created({"resourceType": "Organization", "name": "O"})
        self.doctor = client.created({"resourceType": "Practitioner", "name": [{"family": "D"}]})
        self.role = client.created(
            {
                "resourceType": "PractitionerRole",
                "practitioner": refer(self.doctor),
                "organization": refer(self.organization),
            }
        )
        self.patient = client.created(patient(managingOrganization=refer(self.organization)))
        self.schedule = client.created(
            schedule(actor=[refer(self.doctor), refer(self.role), {"reference": "Location/gone"}])
        )
        self.slots = [client.created(slot(self.schedule["id"], start, 15)) for start in (600, 615)]
        self.appointment = client.created(
            appointment(
                self.slots[:1],
                participant=[
                    {"actor": refer(self.patient), "status": "accepted"},
                    {"actor": refer(self.doctor), "status": "accepted"},
                ],
            )
        )

    def key(self, name: str) -> str:
        """`Type/id` of one of them."""
        reference: str = refer(getattr(self, name))["reference"]
        return reference


@pytest.fixture(scope="module")
def booked(server: Server, operator_token: str) -> Iterator[Booked]:
    """One for all tests, which only read."""
    opened = Client(server.base_url, operator_token)
    yield Booked(opened)
    opened.close()


def test_include_adds_what_matches_refer_to(client: Client, booked: Booked) -> None:
    """Once, however many matches refer to it, with fullUrl and without being counted."""
    query = f"Slot?schedule={booked.key('schedule')}&_total=accurate"
    answer = client.get(f"{query}&_include=Slot:schedule")
    assert included(answer) == {booked.key("schedule")}
    assert answer.json["total"] == len(shown(answer, "match")) == 2
    entry = answer.json["entry"][-1]
    assert entry["fullUrl"].endswith(f"/fhir/{booked.key('schedule')}")
    assert entry["resource"] == client.get(booked.key("schedule")).json
    assert "_include=Slot:schedule" in (answer.relation("self") or "")


def test_includes_are_repeated_on_each_page(client: Client, booked: Booked) -> None:
    """Every page can be understood alone."""
    query = f"Slot?schedule={booked.key('schedule')}&_count=1&_include=Slot:schedule"
    first = client.get(query)
    second = client.get(first.relation("next") or "")
    assert included(first) == included(second) == {booked.key("schedule")}


def test_missing_targets_are_no_error(client: Client, booked: Booked) -> None:
    """What is not there is not shown; types may be chosen."""
    query = f"Schedule?_id={booked.schedule['id']}"
    both = {booked.key("doctor"), booked.key("role")}
    assert included(client.get(f"{query}&_include=Schedule:actor")) == both
    typed = client.get(f"{query}&_include=Schedule:actor:Practitioner")
    assert included(typed) == {booked.key("doctor")}
    assert included(client.get(f"{query}&_include=Schedule:actor:Location")) == set()


def test_one_step_only_unless_iterated(client: Client, booked: Booked) -> None:
    """`:iterate` follows references of what was included, in any order of the parameters."""
    query = f"Slot?_id={booked.slots[0]['id']}"
    assert included(client.get(f"{query}&_include=Slot:schedule")) == {booked.key("schedule")}
    chain = (
        "_include:iterate=PractitionerRole:organization&_include:iterate=Schedule:actor"
        "&_include=Slot:schedule"
    )
    assert included(client.get(f"{query}&{chain}")) == {
        booked.key(one) for one in ("schedule", "doctor", "role", "organization")
    }


def test_wildcards_follow_every_reference(client: Client, booked: Booked) -> None:
    """`*` and `Type:*`."""
    query = f"Appointment?_id={booked.appointment['id']}"
    expected = {booked.key("patient"), booked.key("doctor"), f"Slot/{booked.slots[0]['id']}"}
    assert included(client.get(f"{query}&_include=*")) == expected
    assert included(client.get(f"{query}&_include=Appointment:*")) == expected


def test_revinclude_adds_what_refers_to_matches(client: Client, booked: Booked) -> None:
    """By one parameter, by all of a type, by all of all types, and iterated."""
    query = f"Slot?_id={booked.slots[0]['id']}"
    expected = {booked.key("appointment")}
    for value in ("Appointment:slot", "Appointment:slot:Slot", "Appointment:*", "*"):
        assert included(client.get(f"{query}&_revinclude={value}")) == expected
    query = f"Schedule?_id={booked.schedule['id']}&_revinclude=Slot:schedule"
    slots = {f"Slot/{one['id']}" for one in booked.slots}
    assert included(client.get(query)) == slots
    iterated = client.get(f"{query}&_revinclude:iterate=Appointment:slot")
    assert included(iterated) == slots | expected
    mixed = client.get(
        f"{query}&_revinclude:iterate=Appointment:slot&_include:iterate=Appointment:patient"
    )
    assert included(mixed) == slots | expected | {booked.key("patient")}


def test_circles_end(client: Client) -> None:
    """Resources that refer to each other are shown once."""
    first = client.created({"resourceType": "Organization", "name": "a"})
    second = client.created({"resourceType": "Organization", "name": "b", "partOf": refer(first)})
    client.put(f"Organization/{first['id']}", {**first, "partOf": refer(second)})
    answer = client.get(
        f"Organization?_id={first['id']}&_include:iterate=Organization:partof"
        "&_revinclude:iterate=Organization:partof"
    )
    assert included(answer) == {f"Organization/{second['id']}"}


def test_no_matches_and_no_entries_include_nothing(client: Client, booked: Booked) -> None:
    """There is nothing that anything could stand beside."""
    assert "entry" not in client.get("Slot?_id=nowhere&_include=*&_revinclude=*").json
    counted = client.get(f"Slot?schedule={booked.key('schedule')}&_count=0&_include=*")
    assert "entry" not in counted.json


def test_includes_show_only_what_the_token_may_search(
    server: Server, client: Client, booked: Booked
) -> None:
    """Of types without a right nothing, of constrained types what fulfils the constraint."""

    def limited(scope: str, query: str) -> Answer:
        opened = Client(server.base_url, server.token(scope))
        try:
            return opened.get(query)
        finally:
            opened.close()

    actors = f"Schedule?_id={booked.schedule['id']}&_include=Schedule:actor"
    seen = limited("system/Schedule.s system/PractitionerRole.s", actors)
    assert included(seen) == {booked.key("role")}
    refused = limited("system/Schedule.s", actors)
    assert (refused.status, refused.codes) == (403, ["forbidden"])
    assert limited("system/Schedule.s system/Practitioner.r", actors).status == 403
    assert included(limited("system/Schedule.s", f"{actors.partition('&')[0]}&_include=*")) == set()
    constrained = limited(
        "system/Schedule.s system/Slot.s?status=free",
        f"Schedule?_id={booked.schedule['id']}&_revinclude=Slot:schedule",
    )
    assert included(constrained) == {f"Slot/{booked.slots[1]['id']}"}
    onward = limited(
        "system/Schedule.s system/Appointment.s system/Slot.s?status=free",
        f"Schedule?_id={booked.schedule['id']}&_revinclude=Slot:schedule"
        "&_revinclude:iterate=Appointment:slot",
    )
    assert included(onward) == {f"Slot/{booked.slots[1]['id']}"}


def test_the_limit_is_told(
    mongodb_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As many as allowed, counted after authorisation, and a warning."""
    folder = tmp_path_factory.mktemp("limited")
    running = start_server(mongodb_url, redis_url, folder, max_included=2)
    client = Client(running.base_url, running.token("system/*.cruds"))
    narrow = Client(running.base_url, running.token("system/Patient.s system/Task.s?status=ready"))
    try:
        found = client.created(patient())
        task: dict[str, Any] = {"resourceType": "Task", "intent": "order", "for": refer(found)}
        for status in ("draft", "draft", "draft", "ready", "ready"):
            client.created({**task, "status": status})
        query = f"Patient?_id={found['id']}&_revinclude=Task:patient"
        answer = client.get(query)
        assert len(included(answer)) == 2
        outcome = [e["resource"] for e in answer.json["entry"] if e["search"]["mode"] == "outcome"]
        assert outcome[0]["issue"][0]["code"] == "incomplete"
        limited = narrow.get(query)
        assert len(included(limited)) == 2
        assert not shown(limited, "outcome")
    finally:
        client.close()
        narrow.close()
        running.stop()


def test_the_capability_statement_tells_what_may_be_included(client: Client) -> None:
    """And all of it is answered."""
    declared = client.get("metadata").json["rest"][0]["resource"]
    for resource in declared:
        name = resource["type"]
        for value in resource.get("searchInclude", []):
            assert client.get(f"{name}?_count=1&_include={value}").status == 200, (name, value)
        for value in resource.get("searchRevInclude", []):
            assert client.get(f"{name}?_count=1&_revinclude={value}").status == 200, (name, value)
