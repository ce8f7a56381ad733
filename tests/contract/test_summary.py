"""`_summary` and `_elements`, on searches and reads."""

import pytest

from tests.contract.conftest import Client, Json, Server, appointment, patient, schedule, slot

SUBSETTED = "SUBSETTED"
NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}


def full_patient(client: Client) -> Json:
    """A Patient with a narrative, a photo and a contact."""
    return client.created(
        patient(
            text=NARRATIVE,
            gender="female",
            photo=[{"title": "p"}],
            contact=[{"name": {"family": "C"}, "gender": "male"}],
            communication=[{"language": {"text": "es"}, "preferred": True}],
            deceasedBoolean=False,
            meta={"tag": [{"system": "urn:t", "code": "kept"}]},
        )
    )


def tags(resource: Json) -> list[str]:
    """The codes of the tags."""
    return [one["code"] for one in resource["meta"].get("tag", [])]


def both(client: Client, resource: Json, query: str) -> Json:
    """The part that a read shows; a search shows the same."""
    address = f"{resource['resourceType']}/{resource['id']}"
    read = client.get(f"{address}?{query}")
    assert read.status == 200, read.body
    search = client.get(f"{resource['resourceType']}?_id={resource['id']}&{query}")
    assert search.status == 200, search.body
    entry = search.json["entry"][0]
    assert entry["search"]["mode"] == "match"
    assert entry["resource"] == read.json
    assert query in (search.relation("self") or "")
    return read.json


def test_summary_true_shows_the_elements_of_the_summary(client: Client) -> None:
    """Neither narrative nor what R4 leaves out; tagged, beside the tags that were there."""
    stored = full_patient(client)
    part = both(client, stored, "_summary=true")
    assert tags(part) == ["kept", SUBSETTED]
    shown = {"resourceType", "id", "meta", "name", "birthDate", "gender", "deceasedBoolean"}
    assert set(part) == shown
    assert tags(client.get(f"Patient/{stored['id']}").json) == ["kept"]


def test_summary_keeps_mandatory_elements_at_every_depth(client: Client) -> None:
    """An Appointment keeps its participants, and of them what the summary holds."""
    calendar = client.created(schedule())
    free = client.created(slot(calendar["id"], 900))
    stored = client.created(
        appointment(
            [free],
            description="not in the summary",
            participant=[
                {
                    "actor": {"reference": "Patient/ada"},
                    "status": "accepted",
                    "period": {"start": "2026"},
                }
            ],
        )
    )
    part = both(client, stored, "_summary=true")
    participant = {"actor": {"reference": "Patient/ada"}, "status": "accepted"}
    assert part["participant"] == [participant]
    assert "slot" not in part
    assert "description" not in part


def test_summary_text_data_and_false(client: Client) -> None:
    """The narrative with what is mandatory; everything but the narrative; everything."""
    stored = full_patient(client)
    text = both(client, stored, "_summary=text")
    assert set(text) == {"resourceType", "id", "meta", "text"}
    data = both(client, stored, "_summary=data")
    assert set(data) == set(stored) - {"text"}
    assert tags(text)[-1] == tags(data)[-1] == SUBSETTED
    assert both(client, stored, "_summary=false") == stored
    slots = client.created(slot(client.created(schedule())["id"], 930, text=NARRATIVE, comment="c"))
    assert set(both(client, slots, "_summary=text")) == {
        *("resourceType", "id", "meta", "text", "schedule", "status", "start", "end")
    }


def test_summary_count_only_counts(client: Client) -> None:
    """The same as `_count=0`; a read has nothing to count."""
    stored = full_patient(client)
    answer = client.get(f"Patient?_id={stored['id']}&_summary=count")
    assert answer.json["total"] == 1
    assert "entry" not in answer.json
    assert [one["relation"] for one in answer.json["link"]] == ["self"]
    assert client.get(f"Patient/{stored['id']}?_summary=count").status == 400


def test_elements_are_shown_beside_the_mandatory_ones(client: Client) -> None:
    """Choices by the name of the choice or of one type; several names."""
    stored = full_patient(client)
    part = both(client, stored, "_elements=gender,deceased,name")
    assert set(part) == {"resourceType", "id", "meta", "gender", "deceasedBoolean", "name"}
    assert tags(part) == ["kept", SUBSETTED]
    assert "birthDate" in both(client, stored, "_elements=Patient.birthDate")
    assert "deceasedBoolean" in both(client, stored, "_elements=deceasedBoolean")
    one = client.created(slot(client.created(schedule())["id"], 960, comment="c"))
    assert set(both(client, one, "_elements=comment")) == {
        *("resourceType", "id", "meta", "comment", "schedule", "status", "start", "end")
    }


def test_included_resources_have_summaries_and_all_elements(client: Client) -> None:
    """Elements are named for the type searched only."""
    calendar = client.created(schedule(comment="c"))
    one = client.created(slot(calendar["id"], 990, comment="c"))
    query = f"Slot?_id={one['id']}&_include=Slot:schedule"
    summary = client.get(f"{query}&_summary=true").json["entry"]
    assert [tags(entry["resource"]) for entry in summary] == [[SUBSETTED], [SUBSETTED]]
    assert "comment" not in summary[1]["resource"]
    elements = client.get(f"{query}&_elements=status").json["entry"]
    assert elements[1]["resource"] == calendar


def test_parts_keep_the_digits_of_decimals(client: Client) -> None:
    """1.50 stays 1.50."""
    body = b'{"resourceType":"Location","name":"L","position":{"longitude":1.50,"latitude":2.000}}'
    stored = client.send("POST", "Location", body)
    assert stored.status == 201, stored.body
    assert b'"longitude":1.50' in client.get(f"Location/{stored.id}?_elements=position").body


def test_reads_of_parts_keep_their_etag(client: Client) -> None:
    """The version is the same, and 304 is answered for it."""
    stored = full_patient(client)
    answer = client.get(f"Patient/{stored['id']}?_summary=true")
    assert answer.headers["ETag"] == 'W/"1"'
    again = client.get(f"Patient/{stored['id']}?_summary=true", If_None_Match='W/"1"')
    assert again.status == 304


@pytest.mark.parametrize(
    "path",
    [
        "Patient/x?_summary=maybe",
        "Patient/x?_elements=nonsense",
        "Patient/x?_elements=",
        "Patient/x?family=x",
        "Patient/x?_summary=true&family=x",
        "Patient?_summary=maybe",
        "Patient?_summary=",
        "Patient?_summary=true&_summary=text",
        "Patient?_elements=name.family",
    ],
)
def test_what_is_not_legal_is_400(client: Client, path: str) -> None:
    """A refusal that says what is."""
    assert client.get(path).status == 400


def test_every_type_has_a_summary(client: Client, server: Server) -> None:
    """Of whatever there is."""
    for resource in client.get("metadata").json["rest"][0]["resource"]:
        for kind in ("true", "text", "data"):
            answer = client.get(f"{resource['type']}?_summary={kind}&_count=5")
            assert answer.status == 200, (resource["type"], answer.body)
