"""conditional create (https://hl7.org/fhir/R4/http.html#ccreate)."""

import pytest

from fhir_server.fhir.ids import time_ordered_id
from tests.contract.conftest import Client, Json, Server, patient


def identified(value: str, **changed: Json) -> Json:
    """A Patient with an identifier of system `urn:mrn`."""
    return patient(identifier=[{"system": "urn:mrn", "value": value}], **changed)


def test_nothing_matches_and_it_is_created(client: Client) -> None:
    """201, like a plain create."""
    value = time_ordered_id()
    answer = client.post("Patient", identified(value), If_None_Exist=f"identifier=urn:mrn|{value}")
    assert answer.status == 201
    assert answer.headers["Location"].endswith(f"/Patient/{answer.id}/_history/1")


def test_one_matches_and_nothing_is_written(client: Client, server: Server) -> None:
    """200 with what is there and where it is."""
    value = time_ordered_id()
    stored = client.created(identified(value))
    before = server.everything()
    answer = client.post(
        "Patient", identified(value, active=True), If_None_Exist=f"?identifier=urn:mrn|{value}"
    )
    assert answer.status == 200
    assert answer.json == stored
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Location"].endswith(f"/Patient/{stored['id']}/_history/1")
    assert server.everything() == before


def test_several_match_and_it_is_412(client: Client, server: Server) -> None:
    """Nothing is written."""
    value = time_ordered_id()
    client.created(identified(value))
    client.created(identified(value))
    before = server.everything()
    answer = client.post("Patient", identified(value), If_None_Exist=f"identifier={value}")
    assert answer.status == 412
    assert answer.codes == ["multiple-matches"]
    assert server.everything() == before


def test_what_is_deleted_does_not_match(client: Client) -> None:
    """A deleted resource is in no search."""
    value = time_ordered_id()
    stored = client.created(identified(value))
    client.delete(f"Patient/{stored['id']}")
    answer = client.post("Patient", identified(value), If_None_Exist=f"identifier={value}")
    assert answer.status == 201


@pytest.mark.parametrize(
    ("criteria", "code"),
    [
        ("", "required"),
        ("?", "required"),
        ("nonsense=1", "not-supported"),
        ("identifier=", "value"),
        ("birthdate=2026-13-01", "value"),
        ("identifier=a&_count=1", "not-supported"),
        ("identifier=a&_sort=_id", "not-supported"),
        ("identifier=%FF", "invalid"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_malformed_criteria_are_400(client: Client, criteria: str, code: str) -> None:
    """And nothing is created, also not when the client is lenient."""
    answer = client.post("Patient", patient(), If_None_Exist=criteria, Prefer="handling=lenient")
    assert answer.status == 400
    assert code in answer.codes


def test_prefer_is_honoured(client: Client) -> None:
    """A client that wants no body gets none, whether it was created or found."""
    value = time_ordered_id()
    for status in (201, 200):
        answer = client.post(
            "Patient",
            identified(value),
            If_None_Exist=f"identifier={value}",
            Prefer="return=minimal",
        )
        assert (answer.status, answer.body) == (status, b"")


@pytest.mark.usefixtures("unchanged")
def test_it_needs_the_right_to_search(server: Server) -> None:
    """Else it would tell what is there."""
    creator = Client(server.base_url, server.token("system/Patient.c"))
    answer = creator.post("Patient", patient(), If_None_Exist="identifier=a")
    creator.close()
    assert answer.status == 403


def test_what_the_token_may_not_find_does_not_match(client: Client, server: Server) -> None:
    """Absent and forbidden look the same."""
    value = time_ordered_id()
    client.created(identified(value, gender="male"))
    limited = Client(
        server.base_url, server.token("system/Patient.c system/Patient.s?gender=female")
    )
    answer = limited.post(
        "Patient", identified(value, gender="female"), If_None_Exist=f"identifier={value}"
    )
    limited.close()
    assert answer.status == 201
