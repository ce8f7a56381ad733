"""history of one resource (https://hl7.org/fhir/R4/http.html#history)."""

import time

import pytest

from tests.contract.conftest import Client, Server, patient


def test_history_is_newest_first_with_deletions(client: Client, server: Server) -> None:
    """Every version with its request and response; the deletion without a resource."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    client.put(path, patient(id=stored["id"], active=True))
    client.delete(path)
    bundle = client.get(f"{path}/_history").json
    assert (bundle["type"], bundle["total"]) == ("history", 3)
    assert [one["request"]["method"] for one in bundle["entry"]] == ["DELETE", "PUT", "POST"]
    assert [one["response"]["status"][:3] for one in bundle["entry"]] == ["204", "200", "201"]
    assert all(one["response"]["lastModified"] for one in bundle["entry"])
    assert {one["fullUrl"] for one in bundle["entry"]} == {f"{server.base_url}/{path}"}
    assert "resource" not in bundle["entry"][0]
    assert bundle["entry"][2]["resource"] == stored


def test_history_has_pages(client: Client) -> None:
    """`_count` is never exceeded, and following next shows every version once."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    for _ in range(4):
        client.put(path, patient(id=stored["id"]))
    versions: list[str] = []
    url: str | None = f"{path}/_history?_count=2"
    while url is not None:
        page = client.get(url)
        assert len(page.json["entry"]) <= 2
        assert page.json["total"] == 5
        versions += [one["resource"]["meta"]["versionId"] for one in page.json["entry"]]
        url = page.relation("next")
    assert versions == ["5", "4", "3", "2", "1"]


def test_count_zero_only_counts(client: Client) -> None:
    """No entries, no links to other pages."""
    stored = client.created(patient())
    answer = client.get(f"Patient/{stored['id']}/_history?_count=0")
    assert answer.json["total"] == 1
    assert "entry" not in answer.json
    assert answer.relation("next") is None


def test_since_leaves_out_older_versions(client: Client) -> None:
    """Versions at or after the instant."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    time.sleep(0.005)  # the next version must have a later millisecond
    changed = client.put(path, patient(id=stored["id"])).json
    since = changed["meta"]["lastUpdated"].replace("+", "%2B")
    bundle = client.get(f"{path}/_history?_since={since}").json
    assert [one["resource"]["meta"]["versionId"] for one in bundle["entry"]] == ["2"]
    assert "entry" not in client.get(f"{path}/_history?_since=2999-01-01T00:00:00Z").json


def test_at_shows_what_was_current_then(client: Client) -> None:
    """The version that was there when the period began, and those written in it."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    moments = [stored["meta"]["lastUpdated"]]
    for _ in range(2):
        time.sleep(0.005)  # each version must have a millisecond of its own
        changed = client.put(path, patient(id=stored["id"])).json
        moments.append(changed["meta"]["lastUpdated"])

    def versions(query: str) -> list[str]:
        found = client.get(f"{path}/_history?{query}").json.get("entry", [])
        return [one["resource"]["meta"]["versionId"] for one in found]

    assert [versions(f"_at={one}") for one in moments] == [["1"], ["2"], ["3"]]
    assert versions("_at=2999") == ["3"]
    assert versions("_at=1999") == []
    assert versions(f"_at={moments[0][:10]}") == ["3", "2", "1"]
    assert versions(f"_at={moments[2]}&_since={moments[2]}") == ["3"]
    assert versions(f"_at={moments[0]}&_since={moments[1]}") == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("_count=x", "value"),
        ("_count=-1", "value"),
        ("_count=1&_count=2", "value"),
        ("_since=yesterday", "value"),
        ("_since=2026-01-01T00:00:00Z&_since=2026-01-01T00:00:00Z", "value"),
        ("_page=x", "value"),
        ("_at=yesterday", "value"),
        ("_at=2026&_at=2027", "value"),
        ("_sort=_lastUpdated", "not-supported"),
        ("nonsense=1", "not-supported"),
    ],
)
def test_malformed_or_unknown_parameters_are_400(client: Client, query: str, code: str) -> None:
    """Nothing is silently ignored."""
    stored = client.created(patient())
    answer = client.get(f"Patient/{stored['id']}/_history?{query}")
    assert answer.status == 400
    assert answer.codes == [code]


def test_history_of_nothing_is_404(client: Client) -> None:
    """There never was one."""
    assert client.get("Patient/nowhere/_history").status == 404
    assert client.get("Patient/a_b/_history").status == 404
