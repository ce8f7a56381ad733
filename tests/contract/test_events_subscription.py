"""What the server says to a client that writes a Subscription."""

import secrets
from typing import Any

import pytest

from tests.contract.conftest import Client, Server


def subscription(**changed: Any) -> dict[str, Any]:
    """A Subscription to submit."""
    channel = {
        "type": "rest-hook",
        "endpoint": "http://127.0.0.1:9999/fhir",
        "payload": "application/fhir+json",
        **changed.pop("channel", {}),
    }
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "Billing",
        "criteria": "Appointment?status=booked",
        "channel": channel,
        **changed,
    }


def test_accepted_subscription_is_requested_and_shows_its_headers(client: Client) -> None:
    """The answer is what was sent; the server turns it on later."""
    header = ["Authorization: Bearer abc"]
    answer = client.post("Subscription", subscription(channel={"header": header}))
    assert answer.status == 201
    assert answer.json["status"] == "requested"
    assert answer.json["channel"]["header"] == header


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("wrong", "status", "expression"),
    [
        ({"status": "active"}, 422, "Subscription.status"),
        ({"criteria": "Observation?code=x"}, 400, "Subscription.criteria"),
        ({"criteria": "Appointment?nonsense=x"}, 400, "Subscription.criteria"),
        ({"criteria": "http://example.org/topic"}, 400, "Subscription.criteria"),
        ({"channel": {"type": "sms"}}, 400, "Subscription.channel.type"),
        ({"channel": {"endpoint": "http://10.0.0.1/"}}, 422, "Subscription.channel.endpoint"),
        ({"channel": {"payload": "text/plain"}}, 400, "Subscription.channel.payload"),
        ({"channel": {"header": ["Host: x"]}}, 422, "Subscription.channel.header[0]"),
    ],
)
def test_subscription_that_cannot_be_honoured_is_refused(
    client: Client, wrong: dict[str, Any], status: int, expression: str
) -> None:
    """The outcome names the element; nothing is written, by create or by update."""
    created = client.post("Subscription", subscription(**wrong))
    assert (created.status, created.expressions) == (status, [expression])
    updated = client.put("Subscription/never", subscription(id="never", **wrong))
    assert (updated.status, updated.expressions) == (status, [expression])


def test_only_the_server_activates(client: Client) -> None:
    """`active` after `requested` or `error` is refused; other changes need not ask again."""
    name = secrets.token_hex(8)
    assert client.put(f"Subscription/{name}", subscription(id=name)).status == 201
    active = subscription(id=name, status="active")
    assert client.put(f"Subscription/{name}", active).status == 422
    off = client.put(f"Subscription/{name}", subscription(id=name, status="off"))
    assert off.status == 200
    assert client.put(f"Subscription/{name}", active).status == 422
    assert client.get(f"Subscription/{name}").json["meta"]["versionId"] == "2"


@pytest.mark.parametrize(
    "record",
    [
        {"status": "requested", "end": "2021-01-01T00:00:00Z"},
        {"status": "error", "error": "Socket Error 10060"},
        {"status": "off"},
    ],
)
def test_record_goes_in_as_sent(client: Client, record: dict[str, Any]) -> None:
    """One that asks for nothing may name what this server does not have."""
    name = secrets.token_hex(8)
    sent = subscription(id=name, criteria="Observation?code=x", **record)
    answer = client.put(f"Subscription/{name}", sent)
    assert answer.status == 201
    meta = answer.json.pop("meta")
    assert meta["versionId"] == "1"
    assert {key: value for key, value in client.get(f"Subscription/{name}").json.items()
            if key != "meta"} == sent  # fmt: skip


def test_subscription_that_its_writer_may_not_hear_is_refused(
    client: Client, server: Server
) -> None:
    """It would become active and stay silent; 403 names the scope, on every way to write it."""
    mine = client.created(subscription())
    place = f"Subscription/{mine['id']}"
    before = server.everything()
    deaf = Client(server.base_url, server.token("system/Subscription.crud system/Slot.rs"))
    patch = [{"op": "replace", "path": "/reason", "value": "Changed"}]
    entry = {"resource": subscription(), "request": {"method": "POST", "url": "Subscription"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    for answer in (
        deaf.post("Subscription", subscription()),
        deaf.put(place, {**mine, "reason": "Changed"}),
        deaf.send("PATCH", place, patch, {"Content-Type": "application/json-patch+json"}),
        deaf.post("", bundle),
    ):
        assert (answer.status, answer.codes) == (403, ["forbidden"]), answer.body
        assert "system/Appointment.r" in answer.issues[0]["diagnostics"]
    assert server.everything() == before
    assert deaf.post("Subscription", subscription(criteria="Slot?status=free")).status == 201
    assert deaf.put(place, {**mine, "status": "off"}).status == 200
    deaf.close()
