"""What a subscriber is sent for one event (https://hl7.org/fhir/R4/subscription.html#rest-hook).

With a payload type the subscriber's endpoint is a FHIR base on which the resource is updated, with
exactly the bytes of the version that the event is about. Without one the request is empty and the
subscriber asks for itself.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fhir_server.fhir.types import Resource
from fhir_server.store.deliveries import Delivery
from fhir_server.subscription_rules import parse_header

NUMBER_HEADER = "X-Subscription-Event-Number"


@dataclass(frozen=True, slots=True)
class Notification:
    """One HTTP request.

    Attributes:
        headers: names and values, in order; a name may occur more than once.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def webhook_id(base_url: str, delivery: Delivery) -> str:
    """The delivery's id: the same on every attempt, of no other delivery, without full stops."""
    name = f"{base_url} {delivery.subscription} {delivery.number}"
    return f"evt_{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def build(
    channel: Mapping[str, object],
    delivery: Delivery,
    content: bytes,
    *,
    base_url: str,
    at: datetime,
) -> Notification:
    """The request that tells of one event.

    Args:
        channel: the Subscription's channel, as checked when it was written.
        delivery: the event and its number.
        content: the stored bytes of the event's version.
        base_url: the FHIR base, which makes the id unique among servers.
        at: the time of this attempt.

    Raises:
        ValueError: the channel is not one that can be used.
    """
    endpoint = channel.get("endpoint")
    if channel.get("type") != "rest-hook" or not isinstance(endpoint, str):
        raise ValueError("the channel is not a rest-hook with an endpoint")
    headers = [*_copied(channel)]
    headers += [
        ("webhook-id", webhook_id(base_url, delivery)),
        ("webhook-timestamp", str(int(at.timestamp()))),
        (NUMBER_HEADER, str(delivery.number)),
    ]
    payload = channel.get("payload")
    if not isinstance(payload, str):
        return Notification("POST", endpoint, tuple(headers), b"")
    event = delivery.event
    url = f"{endpoint.rstrip('/')}/{event.type}/{event.id}"
    return Notification("PUT", url, (*headers, ("Content-Type", payload)), content)


def _copied(channel: Resource | Mapping[str, object]) -> list[tuple[str, str]]:
    given = channel.get("header")
    return [parse_header(str(text)) for text in given] if isinstance(given, list) else []
