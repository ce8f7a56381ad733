"""Granular scopes: `system/Task.rs?status=draft` touches drafts only, on every way in."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.conftest import Client, Server

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


def task(status: str, **changed: Any) -> dict[str, Any]:
    """A Task to submit."""
    return {"resourceType": "Task", "intent": "order", "status": status, **changed}


def _found(answer: Any) -> set[str]:
    return {entry["resource"]["id"] for entry in answer.json.get("entry", [])}


def test_read_outside_is_like_absent(client: Client, client_with: OpenClient) -> None:
    """What is outside the constraint answers exactly as what is not there."""
    draft, ready = client.created(task("draft")), client.created(task("ready"))
    limited = client_with("system/Task.rs?status=draft")
    assert limited.get(f"Task/{draft['id']}").status == 200
    outside = limited.get(f"Task/{ready['id']}")
    absent = limited.get("Task/absent")
    assert (outside.status, absent.status) == (404, 404)
    assert outside.body.replace(ready["id"].encode(), b"absent") == absent.body


def test_vread_and_history_show_versions_within(client: Client, client_with: OpenClient) -> None:
    """An old version must be within the constraint, and so must the current one."""
    stored = client.created(task("draft"))
    path = f"Task/{stored['id']}"
    assert client.put(path, task("ready", id=stored["id"])).status == 200
    drafts = client_with("system/Task.rs?status=draft")
    ready = client_with("system/Task.rs?status=ready")
    assert drafts.get(f"{path}/_history/1").status == 404
    assert drafts.get(f"{path}/_history").status == 404
    assert ready.get(f"{path}/_history/2").status == 200
    assert ready.get(f"{path}/_history/1").status == 404
    versions = [
        one["resource"]["meta"]["versionId"] for one in ready.get(f"{path}/_history").json["entry"]
    ]
    assert versions == ["2"]


def test_search_is_narrowed(client: Client, client_with: OpenClient) -> None:
    """The client's criteria and one of the constraints must match; totals count no more."""
    tag = [{"system": "urn:test", "code": "narrowed"}]
    ids = {
        status: client.created(task(status, meta={"tag": tag}))["id"]
        for status in ("draft", "ready", "completed")
    }
    scopes = "system/Task.s?status=draft system/Task.s?status=ready"
    limited = client_with(scopes)
    everything = limited.get("Task?_tag=narrowed&_total=accurate")
    assert _found(everything) == {ids["draft"], ids["ready"]}
    assert everything.json["total"] == 2
    assert _found(limited.get("Task?_tag=narrowed&status=draft,completed")) == {ids["draft"]}
    assert _found(limited.get("Task?_tag=narrowed&status=completed")) == set()
    assert _found(limited.get(f"Task?_id={ids['completed']}")) == set()
    both = client_with("system/Task.s?status=draft&_tag=other")
    assert _found(both.get("Task?_tag=narrowed")) == set()


def test_rights_are_apart(client: Client, client_with: OpenClient) -> None:
    """A constraint on searching does not narrow reading, and an unlimited scope lifts it."""
    ready = client.created(task("ready"))
    limited = client_with("system/Task.r system/Task.s?status=draft")
    assert limited.get(f"Task/{ready['id']}").status == 200
    assert _found(limited.get(f"Task?_id={ready['id']}")) == set()
    lifted = client_with("system/Task.s?status=draft system/*.s")
    assert _found(lifted.get(f"Task?_id={ready['id']}")) == {ready["id"]}


def test_create_outside_is_refused(server: Server, client_with: OpenClient) -> None:
    """New content must be within the constraint; what is refused is not written."""
    limited = client_with("system/Task.c?status=draft")
    assert limited.post("Task", task("draft")).status == 201
    before = server.everything()
    refused = limited.post("Task", task("ready"))
    assert (refused.status, refused.codes) == (403, ["forbidden"])
    assert server.everything() == before


def test_update_must_stay_within(server: Server, client: Client, client_with: OpenClient) -> None:
    """Both what is replaced and what replaces it must be within the constraint."""
    draft, ready = client.created(task("draft")), client.created(task("ready"))
    limited = client_with("system/Task.u?status=draft")
    changed = task("draft", id=draft["id"], description="changed")
    assert limited.put(f"Task/{draft['id']}", changed).status == 200
    before = server.everything()
    out = limited.put(f"Task/{draft['id']}", task("ready", id=draft["id"]))
    assert out.status == 403
    taken = limited.put(f"Task/{ready['id']}", task("draft", id=ready["id"]))
    assert taken.status in {403, 404}
    assert server.everything() == before


def test_update_that_creates_needs_both_rights(
    server: Server, client: Client, client_with: OpenClient
) -> None:
    """An update may create only with the right to create, and within both constraints."""
    before = server.everything()
    only_update = client_with("system/Task.u")
    assert only_update.put("Task/granular-a", task("draft", id="granular-a")).status == 403
    limited = client_with("system/Task.u system/Task.c?status=draft")
    assert limited.put("Task/granular-b", task("ready", id="granular-b")).status == 403
    assert server.everything() == before
    draft = task("draft", id="granular-c")
    assert limited.put("Task/granular-c", draft).status == 201
    assert client.delete("Task/granular-c").status in {200, 204}
    assert limited.put("Task/granular-c", {**draft, "status": "ready"}).status == 403
    assert limited.put("Task/granular-c", draft).status == 201


def test_delete_must_be_within(server: Server, client: Client, client_with: OpenClient) -> None:
    """Only what is within the constraint can be deleted."""
    draft, ready = client.created(task("draft")), client.created(task("ready"))
    limited = client_with("system/Task.d?status=draft")
    assert limited.delete(f"Task/{draft['id']}").status in {200, 204}
    before = server.everything()
    assert limited.delete(f"Task/{ready['id']}").status in {403, 404}
    assert server.everything() == before


def test_refusals_tell_nothing_about_what_is_outside(
    server: Server, client: Client, client_with: OpenClient
) -> None:
    """Neither a version nor a status: what is outside is not there, before any other rule."""
    ready = client.created(task("ready"))
    patient = [{"actor": {"reference": "Patient/granular"}, "status": "accepted"}]
    times = {"start": "2035-03-05T09:00:00Z", "end": "2035-03-05T09:30:00Z"}
    visit = {"resourceType": "Appointment", "status": "cancelled", "participant": patient, **times}
    visit = client.created(visit)
    visit_path, asked = f"Appointment/{visit['id']}", {**visit, "status": "booked"}
    limited = client_with("system/Task.cruds?status=draft system/Appointment.cruds?status=booked")
    before = server.everything()
    path, body = f"Task/{ready['id']}", task("draft", id=ready["id"])
    book = {"name": "appointment-reference", "valueReference": {"reference": visit_path}}
    answers = [
        limited.put(path, body, if_match='W/"77"'),
        limited.put(path, body, if_none_match="*"),
        limited.delete(path, if_match='W/"77"'),
        limited.put(visit_path, asked),
        limited.post("Appointment/$book", {"resourceType": "Parameters", "parameter": [book]}),
    ]
    assert [answer.status for answer in answers] == [404] * len(answers)
    assert not [answer.body for answer in answers if b"cancelled" in answer.body]
    assert server.everything() == before


@pytest.mark.parametrize(
    "scope",
    ["system/Task.rs?nonsense=1", "system/Task.rs?_count=5", "system/Task.rs?modified=ap2026"],
)
def test_constraint_that_is_no_search_grants_nothing(
    client: Client, client_with: OpenClient, scope: str
) -> None:
    """What cannot be understood shows nothing, even if a token carried it."""
    stored = client.created(task("draft"))
    limited = client_with(scope)
    assert limited.get(f"Task/{stored['id']}").status in {403, 404}
    search = limited.get("Task")
    assert search.status in {200, 403}
    assert search.status == 403 or _found(search) == set()
