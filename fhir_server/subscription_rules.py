"""What a client may ask of a Subscription, judged when it is written.

A Subscription that could never be honoured is refused at once, with the element that is to blame:
a silent one is the worst kind. https://hl7.org/fhir/R4/subscription.html
"""

import re
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import parse_qsl

from fhir_server.definitions.registry import Registry
from fhir_server.fhir.dates import parse_instant
from fhir_server.fhir.errors import BusinessRule, FhirError, Issues, NotSupported
from fhir_server.fhir.types import Resource
from fhir_server.outbound import check_url
from fhir_server.search.request import SearchRequest, parse_search
from fhir_server.settings import Settings

SUBSCRIPTION = "Subscription"
PAYLOAD_TYPES = frozenset({"application/fhir+json", "application/json"})
PAYLOAD_PARAMETERS = {"charset": frozenset({"utf-8"}), "fhirversion": frozenset({"4.0", "4.0.1"})}

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
OURS = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "expect",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "x-subscription-event-number",
    }
)
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x20-\x7e\t]*)")
MAX_HEADERS = 20
MAX_HEADER_LENGTH = 4_000


def check_subscription(
    registry: Registry,
    settings: Settings,
    resource: Resource,
    now: datetime,
    *,
    previous: Resource | None = None,
) -> None:
    """Refuse a Subscription of a client that this server would not honour.

    One that is `off` or in `error`, or whose `end` has passed, is a record: it is stored as sent
    and never activated.

    Args:
        registry: the served types and their search parameters.
        settings: whether loopback endpoints are allowed, and the limits of a search.
        resource: the new content, structurally valid.
        now: aware.
        previous: the live current content; None when there is none.

    Raises:
        BusinessRule: a status, endpoint or header that is not allowed.
        NotSupported: a channel, payload or criteria that this server does not have.
        Issues: several of these.
    """
    if is_record(resource, now):
        return
    problems = [
        *_status_problems(resource, previous),
        *_criteria_problems(registry, settings, resource, now),
        *_channel_problems(settings, resource.get("channel") or {}),
    ]
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise Issues(problems)


def is_record(resource: Resource, now: datetime) -> bool:
    """Whether the Subscription asks for nothing: off, failed, or past its end."""
    if resource.get("status") in {"off", "error"}:
        return True
    end = resource.get("end")
    return isinstance(end, str) and parse_instant(end) <= now


def parse_criteria(
    registry: Registry, settings: Settings, criteria: str, now: datetime
) -> SearchRequest:
    """The search that criteria stand for.

    Raises:
        FhirError: this server cannot evaluate it.
    """
    resource_type, _, query = criteria.partition("?")
    if re.match(r"https?:", criteria, re.IGNORECASE):
        raise NotSupported(
            "Topic-based Subscriptions are not offered; use a search such as "
            "`Appointment?status=booked` as criteria."
        )
    definition = registry.types.get(resource_type.removeprefix("/"))
    if definition is None:
        raise NotSupported(
            f"Criteria must be a search on a type that this server has, such as "
            f"`Appointment?status=booked`; it has no `{resource_type[:64]}`."
        )
    pairs = parse_qsl(query, keep_blank_values=True)
    special = sorted({name for name, _ in pairs if name in _RESULT_PARAMETERS})
    if special:
        raise NotSupported(f"{', '.join(special)} has no meaning in criteria; leave it out.")
    return parse_search(
        definition,
        pairs,
        base_url=settings.fhir_base,
        limits=settings,
        now=now,
        lenient=False,
    )


_RESULT_PARAMETERS = frozenset(
    {"_count", "_total", "_sort", "_page", "_format", "_pretty", "_summary", "_elements"}
    | {"_include", "_revinclude", "_contained", "_containedType", "_score"}
)


def parse_header(text: str) -> tuple[str, str]:
    """One `channel.header` as name and value.

    Raises:
        ValueError: it is not a header, or one that only this server may set.
    """
    found = _HEADER.fullmatch(text)
    if found is None or len(text) > MAX_HEADER_LENGTH:
        raise ValueError("a header has the form `Name: value`, in printable ASCII, on one line")
    name, value = found[1], found[2].strip()
    if name.lower() in HOP_BY_HOP or name.lower() in OURS:
        raise ValueError(f"the header {name} is set by this server and cannot be chosen")
    return name, value


def _status_problems(resource: Resource, previous: Resource | None) -> Iterator[FhirError]:
    if resource.get("status") == "active" and (previous or {}).get("status") != "active":
        yield BusinessRule(
            "Only the server sets `active`: send `requested`, and the Subscription becomes active "
            "within moments.",
            expression=["Subscription.status"],
        )


def _criteria_problems(
    registry: Registry, settings: Settings, resource: Resource, now: datetime
) -> Iterator[FhirError]:
    try:
        parse_criteria(registry, settings, str(resource.get("criteria", "")), now)
    except Issues as several:
        for one in several.issues:
            yield _placed(one, "Subscription.criteria")
    except FhirError as error:
        yield _placed(error, "Subscription.criteria")


def _placed(error: FhirError, expression: str) -> FhirError:
    kind = NotSupported if isinstance(error, NotSupported) else BusinessRule
    return kind(error.diagnostics, expression=[expression], details=error.details)


def _channel_problems(settings: Settings, channel: Resource) -> Iterator[FhirError]:
    kind = channel.get("type")
    if kind != "rest-hook":
        yield NotSupported(
            f"The channel type `{kind}` is not offered; use `rest-hook`.",
            expression=["Subscription.channel.type"],
        )
        return
    yield from _endpoint_problems(settings, channel.get("endpoint"))
    yield from _payload_problems(channel.get("payload"))
    headers = channel.get("header") or []
    if len(headers) > MAX_HEADERS:
        yield BusinessRule(
            f"At most {MAX_HEADERS} headers can be sent.",
            expression=["Subscription.channel.header"],
        )
    for place, header in enumerate(headers):
        try:
            parse_header(str(header))
        except ValueError as error:
            yield BusinessRule(
                f"Not a usable header: {error}.",
                expression=[f"Subscription.channel.header[{place}]"],
            )


def _endpoint_problems(settings: Settings, endpoint: object) -> Iterator[FhirError]:
    problem = _endpoint_problem(settings, endpoint)
    if problem is not None:
        yield BusinessRule(
            f"Not a usable endpoint: {problem}.", expression=["Subscription.channel.endpoint"]
        )


def _endpoint_problem(settings: Settings, endpoint: object) -> str | None:
    if not isinstance(endpoint, str):
        return "a rest-hook needs one"
    if "?" in endpoint:
        return "it must not have a query"
    try:
        check_url(endpoint, settings)
    except ValueError as error:
        return str(error)
    return None


def _payload_problems(payload: object) -> Iterator[FhirError]:
    if payload is None:
        return
    media, *parameters = str(payload).lower().split(";")
    known = media.strip() in PAYLOAD_TYPES
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        known = known and value.strip('" ') in PAYLOAD_PARAMETERS.get(name.strip(), ())
    if not known:
        yield NotSupported(
            "Notifications are sent as `application/fhir+json`, or without content when "
            "`payload` is absent.",
            expression=["Subscription.channel.payload"],
        )
