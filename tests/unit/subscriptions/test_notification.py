"""The request that tells of an event."""

from datetime import UTC, datetime

import pytest

from fhir_server.store.deliveries import Delivery
from fhir_server.store.events import Event
from fhir_server.subscriptions.notification import build, webhook_id

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENT = Event("Basic/b/3", "Basic", "b", 3, "update", AT)
CHANNEL = {"type": "rest-hook", "endpoint": "https://a.example/fhir/"}


def test_id_depends_on_server_subscription_and_number_only() -> None:
    """Attempts share an id, everything else does not."""
    base = "https://one.example/fhir"
    ids = {
        webhook_id(base, Delivery("s", 1, EVENT)),
        webhook_id(base, Delivery("s", 2, EVENT)),
        webhook_id(base, Delivery("t", 1, EVENT)),
        webhook_id("https://two.example/fhir", Delivery("s", 1, EVENT)),
    }
    assert len(ids) == 4
    assert webhook_id(base, Delivery("s", 1, EVENT)) in ids


def test_payload_makes_it_an_update() -> None:
    """The endpoint is a FHIR base; the content type is the channel's, word for word."""
    channel = {**CHANNEL, "payload": "application/fhir+json;fhirVersion=4.0"}
    got = build(channel, Delivery("s", 7, EVENT), b"{}", base_url="https://b.example", at=AT)
    assert (got.method, got.url, got.body) == ("PUT", "https://a.example/fhir/Basic/b", b"{}")
    headers = dict(got.headers)
    assert headers["Content-Type"] == "application/fhir+json;fhirVersion=4.0"
    assert headers["X-Subscription-Event-Number"] == "7"
    assert headers["webhook-timestamp"] == str(int(AT.timestamp()))


def test_repeated_headers_are_all_sent() -> None:
    """Two headers of one name stay two, in order."""
    channel = {**CHANNEL, "header": ["X-A: 1", "X-A: 2"]}
    got = build(channel, Delivery("s", 7, EVENT), b"{}", base_url="https://b.example", at=AT)
    assert got.headers[:2] == (("X-A", "1"), ("X-A", "2"))
    assert (got.method, got.url, got.body) == ("POST", "https://a.example/fhir/", b"")


@pytest.mark.parametrize(
    "channel",
    [{}, {"type": "email", "endpoint": "mailto:a@b.example"}, {**CHANNEL, "header": ["Host: b"]}],
)
def test_unusable_channel_is_refused(channel: dict[str, object]) -> None:
    """What got stored before the rules were as they are cannot be sent."""
    with pytest.raises(ValueError, match=r"channel|header"):
        build(channel, Delivery("s", 1, EVENT), b"", base_url="https://b.example", at=AT)
