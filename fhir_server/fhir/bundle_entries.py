"""The entries of a batch or transaction (https://hl7.org/fhir/R4/http.html#transaction)."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fhir_server.fhir.dates import parse_instant
from fhir_server.fhir.errors import FhirError, Invalid, Issues, Required, Structure, TooLarge, Value
from fhir_server.fhir.preconditions import format_http_date
from fhir_server.fhir.types import Json, Resource

METHODS: Final = ("DELETE", "POST", "PUT", "PATCH", "GET", "HEAD")
"""In the order in which R4 processes them; PUT and PATCH, GET and HEAD count as one."""

_BUNDLE: Final = frozenset(
    {
        "resourceType", "id", "meta", "implicitRules", "language", "identifier", "type",
        "timestamp", "link", "entry", "signature",
    }
)  # fmt: skip
_ENTRY: Final = frozenset({"id", "extension", "link", "fullUrl", "resource", "request"})
_REQUEST: Final = frozenset(
    {"id", "extension", "method", "url", "ifNoneMatch", "ifModifiedSince", "ifMatch", "ifNoneExist"}
)
_HEADERS: Final[Mapping[str, bytes]] = {
    "ifMatch": b"if-match",
    "ifNoneMatch": b"if-none-match",
    "ifNoneExist": b"if-none-exist",
}


class Entry(NamedTuple):
    """One entry as sent.

    Attributes:
        number: its place in the Bundle, from 0.
        full_url: the name by which other entries refer to it; empty when it has none.
        method: an HTTP method.
        url: the address below the base.
        resource: the body; None when there is none.
        headers: what its `request` says beside method and URL, as HTTP headers.
    """

    number: int
    full_url: str
    method: str
    url: str
    resource: Resource | None
    headers: Mapping[bytes, bytes]

    @property
    def place(self) -> str:
        """Its FHIRPath."""
        return f"Bundle.entry[{self.number}]"


class Sent(NamedTuple):
    """A Bundle that asks for interactions.

    Attributes:
        type: `batch` or `transaction`.
        entries: what it asks for; where an entry is malformed, why.
    """

    type: str
    entries: list[Entry | FhirError]


def parse_bundle(bundle: Resource, *, most: int) -> Sent:
    """Understand a Bundle that was posted to the base.

    Args:
        bundle: the parsed body.
        most: how many entries it may have.

    Raises:
        FhirError: it is no batch or transaction, or holds too many entries.
    """
    if bundle.get("resourceType") != "Bundle":
        raise Invalid("Only a Bundle can be sent to the base URL", expression=["resourceType"])
    kind = bundle.get("type")
    if kind not in ("batch", "transaction"):
        raise Value("Bundle.type must be batch or transaction here", expression=["Bundle.type"])
    unknown = [key for key in bundle if key not in _BUNDLE]
    if unknown:
        places = [f"Bundle.{key[:64]}" for key in unknown]
        raise Structure("R4 has no such element in Bundle", expression=places)
    entries = bundle.get("entry", [])
    if not isinstance(entries, list) or ("entry" in bundle and not entries):
        raise Structure("Bundle.entry must be an array, not empty", expression=["Bundle.entry"])
    if len(entries) > most:
        raise TooLarge(
            f"The Bundle has {len(entries)} entries; {most} are allowed. Send it in parts",
            expression=["Bundle.entry"],
        )
    return Sent(kind, [_entry_or_problem(one, number) for number, one in enumerate(entries)])


def _entry_or_problem(entry: Json, number: int) -> Entry | FhirError:
    try:
        return _entry(entry, number)
    except FhirError as problem:
        return problem


def _entry(entry: Json, number: int) -> Entry:
    place = f"Bundle.entry[{number}]"
    _check_object(entry, _ENTRY, place)
    full_url = entry.get("fullUrl", "")
    if not isinstance(full_url, str):
        raise Value(f"{place}.fullUrl must be text", expression=[f"{place}.fullUrl"])
    resource = entry.get("resource")
    if resource is not None and not isinstance(resource, dict):
        raise Structure(f"{place}.resource must be an object", expression=[f"{place}.resource"])
    if "request" not in entry:
        raise Required(f"{place}.request is missing", expression=[f"{place}.request"])
    request = entry["request"]
    _check_object(request, _REQUEST, f"{place}.request")
    for name in ("method", "url"):
        where = f"{place}.request.{name}"
        if name not in request:
            raise Required(f"{where} is missing", expression=[where])
    if request["method"] not in METHODS:
        where = f"{place}.request.method"
        raise Value(f"{where} must be one of {', '.join(METHODS)}", expression=[where])
    if not isinstance(request["url"], str):
        where = f"{place}.request.url"
        raise Value(f"{where} must be text", expression=[where])
    return Entry(
        number, full_url, request["method"], request["url"], resource, _headers(request, place)
    )


def _headers(request: Json, place: str) -> dict[bytes, bytes]:
    headers = {}
    for name, header in _HEADERS.items():
        if name not in request:
            continue
        value = request[name]
        if not isinstance(value, str):
            where = f"{place}.request.{name}"
            raise Value(f"{where} must be text", expression=[where])
        # Headers are read as Latin-1; what is beyond cannot be an ETag or a query.
        headers[header] = value.encode("latin-1", "replace")
    since = request.get("ifModifiedSince")
    if since is not None:
        try:
            headers[b"if-modified-since"] = format_http_date(parse_instant(since)).encode()
        except (FhirError, TypeError, AttributeError):
            where = f"{place}.request.ifModifiedSince"
            raise Value(f"{where} must be an instant", expression=[where]) from None
    return headers


def _check_object(value: Json, known: frozenset[str], place: str) -> None:
    if not isinstance(value, dict):
        raise Structure(f"{place} must be an object", expression=[place])
    unknown = [f"{place}.{key[:64]}" for key in value if key not in known]
    if unknown:
        raise Structure("R4 has no such element here", expression=unknown)


def placed(error: FhirError, place: str) -> FhirError:
    """The same refusal, told about an entry: its expressions begin with that entry."""
    if isinstance(error, Issues):
        return Issues([placed(one, place) for one in error.issues])
    told: FhirError = _copy(error)
    told.expression = tuple(_below(one, place) for one in error.expression) or (place,)
    return told


def _copy(error: FhirError) -> FhirError:
    told = type(error).__new__(type(error))
    told.__dict__.update(error.__dict__)
    told.args = error.args
    return told


def _below(expression: str, place: str) -> str:
    if expression.startswith("Bundle.entry["):
        return expression
    head, dot, rest = expression.partition(".")
    if head[:1].isupper():
        return f"{place}.resource{dot}{rest}"
    return f"{place}.resource.{expression}"
