"""vread (https://hl7.org/fhir/R4/http.html#vread)."""

import pytest

from tests.contract.conftest import Client, patient


def test_vread_answers_each_version(client: Client) -> None:
    """Old versions stay as they were."""
    first = client.created(patient(gender="male"))
    path = f"Patient/{first['id']}"
    client.put(path, patient(id=first["id"], gender="female"))
    old, new = client.get(f"{path}/_history/1"), client.get(f"{path}/_history/2")
    assert (old.json["gender"], new.json["gender"]) == ("male", "female")
    assert (old.headers["ETag"], new.headers["ETag"]) == ('W/"1"', 'W/"2"')
    assert client.get(f"{path}/_history/1", If_None_Match='W/"1"').status == 304


def test_vread_of_the_deletion_is_410(client: Client) -> None:
    """The versions before it can still be read."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    client.delete(path)
    assert client.get(f"{path}/_history/2").status == 410
    assert client.get(f"{path}/_history/1").status == 200


@pytest.mark.parametrize("version", ["2", "0", "-1", "1.0", "one", "9" * 30, "%00"])
def test_vread_of_no_version_is_404(client: Client, version: str) -> None:
    """Missing and malformed version ids alike."""
    stored = client.created(patient())
    answer = client.get(f"Patient/{stored['id']}/_history/{version}")
    assert answer.status == 404
    assert answer.codes == ["not-found"]
