"""What a client may ask of a Subscription."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_server.definitions.loader import load
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.errors import BusinessRule, FhirError, Issues, NotSupported
from fhir_server.settings import Settings
from fhir_server.subscription_rules import check_subscription, parse_header

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENDPOINT = "https://billing.example/fhir"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load()


def subscription(**overrides: Any) -> dict[str, Any]:
    channel = {"type": "rest-hook", "endpoint": ENDPOINT, **overrides.pop("channel", {})}
    return {
        "resourceType": "Subscription",
        "id": "s",
        "status": "requested",
        "reason": "Billing",
        "criteria": "Appointment?status=booked",
        "channel": channel,
        **overrides,
    }


def at(endpoint: str | None) -> dict[str, Any]:
    return subscription(channel={"endpoint": endpoint})


def carrying(payload: str) -> dict[str, Any]:
    return subscription(channel={"payload": payload})


def check(registry: Registry, resource: dict[str, Any], **more: Any) -> None:
    loopback = more.pop("loopback", False)
    settings = Settings(allow_loopback_endpoints=loopback)
    check_subscription(registry, settings, resource, NOW, **more)


@pytest.mark.parametrize(
    "resource",
    [
        subscription(),
        subscription(criteria="Appointment"),
        subscription(criteria="Appointment?"),
        subscription(criteria="Appointment?status=booked&actor=Practitioner/1"),
        subscription(criteria="Slot?start=ge2026-01-01&status=free,busy"),
        subscription(channel={"payload": "application/fhir+json"}),
        subscription(channel={"payload": "application/fhir+json;fhirVersion=4.0"}),
        subscription(channel={"payload": "application/json; charset=UTF-8"}),
        subscription(channel={"header": ["Authorization: Bearer a.b", "X-Empty:"]}),
        subscription(end="2027-01-01T00:00:00Z"),
    ],
)
def test_usable_subscription_is_accepted(registry: Registry, resource: dict[str, Any]) -> None:
    """What the server can honour passes."""
    check(registry, resource)


@pytest.mark.parametrize(
    ("resource", "kind", "expression"),
    [
        (subscription(status="active"), BusinessRule, "status"),
        (subscription(criteria="Observation?code=1"), NotSupported, "criteria"),
        (subscription(criteria="Nonsense"), NotSupported, "criteria"),
        (subscription(criteria="?status=booked"), NotSupported, "criteria"),
        (subscription(criteria="Appointment?nonsense=1"), NotSupported, "criteria"),
        (subscription(criteria="Appointment?actor.name=x"), NotSupported, "criteria"),
        (subscription(criteria="Appointment?date=2026-13-45"), BusinessRule, "criteria"),
        (subscription(criteria="Appointment?_count=5"), NotSupported, "criteria"),
        (subscription(criteria="http://example.org/topics/a"), NotSupported, "criteria"),
        (subscription(criteria="HTTPS://example.org/topics/a"), NotSupported, "criteria"),
        (subscription(channel={"type": "email"}), NotSupported, "channel.type"),
        (subscription(channel={"type": "websocket"}), NotSupported, "channel.type"),
        (at(None), BusinessRule, "channel.endpoint"),
        (at("ftp://a.example"), BusinessRule, "channel.endpoint"),
        (at("http://a.example"), BusinessRule, "channel.endpoint"),
        (
            subscription(channel={"endpoint": "https://127.0.0.1/"}),
            BusinessRule,
            "channel.endpoint",
        ),
        (at("https://10.0.0.1/"), BusinessRule, "channel.endpoint"),
        (at("https://[::1]/"), BusinessRule, "channel.endpoint"),
        (at(ENDPOINT + "?a=b"), BusinessRule, "channel.endpoint"),
        (
            subscription(channel={"endpoint": "https://u:p@a.example"}),
            BusinessRule,
            "channel.endpoint",
        ),
        (
            subscription(channel={"payload": "application/fhir+xml"}),
            NotSupported,
            "channel.payload",
        ),
        (carrying("text/plain"), NotSupported, "channel.payload"),
        (
            subscription(channel={"payload": "application/fhir+json;fhirVersion=5.0"}),
            NotSupported,
            "channel.payload",
        ),
        (subscription(channel={"header": ["Host: a"]}), BusinessRule, "channel.header[0]"),
        (subscription(channel={"header": ["A: b"] * 21}), BusinessRule, "channel.header"),
        (
            subscription(channel={"header": ["X-A: b", "X-B: c\r\nX-C: d"]}),
            BusinessRule,
            "channel.header[1]",
        ),
    ],
)
def test_unusable_subscription_is_refused(
    registry: Registry, resource: dict[str, Any], kind: type[FhirError], expression: str
) -> None:
    """What the server could not honour is refused with the element that is to blame."""
    with pytest.raises(kind) as refused:
        check(registry, resource)
    assert refused.value.expression == (f"Subscription.{expression}",)


def test_every_problem_is_told_at_once(registry: Registry) -> None:
    """Several problems come together."""
    wrong = subscription(
        status="active", criteria="X", channel={"endpoint": "x", "payload": "y", "header": ["z"]}
    )
    with pytest.raises(Issues) as refused:
        check(registry, wrong)
    assert [issue.expression[0] for issue in refused.value.issues] == [
        "Subscription.status",
        "Subscription.criteria",
        "Subscription.channel.endpoint",
        "Subscription.channel.payload",
        "Subscription.channel.header[0]",
    ]


@pytest.mark.parametrize(
    "record",
    [
        {"status": "requested", "end": "2021-01-01T00:00:00Z"},
        {"status": "active", "end": "2026-03-01T12:00:00Z"},
        {"status": "error"},
        {"status": "off"},
    ],
)
def test_record_is_stored_as_sent(registry: Registry, record: dict[str, Any]) -> None:
    """What is off, failed or past its end asks for nothing, so nothing is judged."""
    check(registry, subscription(criteria="Observation?code=x", channel={"type": "sms"}, **record))


def test_active_may_stay_active(registry: Registry) -> None:
    """A client that changes something else need not ask again; one that failed must."""
    check(registry, subscription(status="active"), previous=subscription(status="active"))
    for before in ("requested", "error", "off"):
        with pytest.raises(BusinessRule):
            check(registry, subscription(status="active"), previous=subscription(status=before))


def test_loopback_needs_the_setting(registry: Registry) -> None:
    """Endpoints on this machine are for demonstrations only."""
    local = subscription(channel={"endpoint": "http://127.0.0.1:9999/hook"})
    check(registry, local, loopback=True)
    with pytest.raises(BusinessRule):
        check(registry, local)


@pytest.mark.parametrize(
    "text",
    [
        "Host: a",
        "content-length: 1",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "webhook-id: 1",
        "no colon",
        ": empty",
        "X A: b",
        "X-A: b\nX-B: c",
        "X-A: b\x00",
        "X-A: ü",
        "X-A: " + "b" * 5_000,
    ],
)
def test_dangerous_header_is_refused(text: str) -> None:
    """Headers cannot break the request, redirect it or pose as ours."""
    with pytest.raises(ValueError, match="header"):
        parse_header(text)


def test_header_is_name_and_value() -> None:
    """White space around the value does not count."""
    assert parse_header("Authorization:  Bearer a.b-c ") == ("Authorization", "Bearer a.b-c")
