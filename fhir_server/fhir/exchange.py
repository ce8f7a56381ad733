"""One FHIR interaction as asked and as answered, free of the wire.

The HTTP edge and (later) each entry of a batch build the same `Request`, so both pass through the
same dispatcher (https://hl7.org/fhir/R4/http.html).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol, Self, TypeVar
from urllib.parse import quote

from fhir_server.fhir.types import Json, Resource

Pairs = Sequence[tuple[str, str]]


_PLAIN = re.compile(r"[A-Za-z0-9_.~/,:|$-]*")
# Commas, colons, slashes and pipes are legal in a query and read better unescaped.
_READABLE = "/,:|$-._~"


def query_string(pairs: Pairs) -> str:
    """The parameters as they stand in a URL."""
    return "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in pairs])


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote(text, safe=_READABLE)


class Body(Protocol):
    """What came with a request, read only once somebody may send it."""

    async def resource(self) -> Resource:
        """The parsed resource.

        Raises:
            FhirError: wrong media type, too large, too deep, or no JSON object.
        """
        ...

    async def patch(self) -> list[Json] | Resource:
        """The parsed patch document: the array of a JSON Patch, or a FHIRPath Patch's resource.

        Raises:
            FhirError: as `resource`.
        """
        ...


class Prefer(NamedTuple):
    """The Prefer header (https://hl7.org/fhir/R4/http.html#ops).

    Attributes:
        answer: `minimal`, `representation` or `OperationOutcome`.
        lenient: whether unknown search parameters are ignored with a warning.
    """

    answer: str = "representation"
    lenient: bool = False


@lru_cache(maxsize=256)
def parse_prefer(text: str) -> Prefer:
    """The preferences this server knows; all others are ignored, as RFC 7240 demands."""
    chosen: dict[str, str] = {}
    for part in text.replace(";", ",").split(","):
        name, _, value = part.partition("=")
        chosen.setdefault(name.strip().lower(), value.strip().strip('"'))
    answer = chosen.get("return", "")
    known = {"minimal": "minimal", "operationoutcome": "OperationOutcome"}
    return Prefer(
        answer=known.get(answer.lower(), "representation"),
        lenient=chosen.get("handling", "").lower() == "lenient",
    )


NO_PREFERENCE = Prefer()


class Version(Protocol):
    """A stored version of a resource, as far as an answer shows it."""

    @property
    def type(self) -> str:
        """The resource type."""

    @property
    def id(self) -> str:
        """The logical id."""

    @property
    def version(self) -> int:
        """The version id."""

    @property
    def last_updated(self) -> datetime:
        """When it was written."""

    @property
    def json(self) -> bytes:
        """The resource as served."""

    @property
    def acl(self) -> Sequence[str]:
        """The compartments it is in."""


class Request(NamedTuple):
    """What is asked.

    Attributes:
        interaction: FHIR's code, for example `search-type`; `operation` for operations.
        type: resource type; empty for the whole system.
        id: logical id; empty above the instance level.
        version_id: as in the URL, unchecked.
        operation: canonical URL of the OperationDefinition.
        pairs: decoded query (and form) parameters in order, `_format` and `_pretty` removed.
        headers: lower-case names and raw values, the last one of repeated headers.
        compartment: `Type/id` of the compartment that is searched; empty for none.
    """

    interaction: str
    type: str
    id: str
    version_id: str
    operation: str
    pairs: Pairs
    headers: Mapping[bytes, bytes]
    body: Body
    compartment: str = ""

    def header(self, name: bytes) -> str | None:
        """A header's value by lower-case name."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    @property
    def prefer(self) -> Prefer:
        """The client's preferences."""
        value = self.headers.get(b"prefer")
        return NO_PREFERENCE if value is None else parse_prefer(value.decode("latin-1"))


_Version = TypeVar("_Version", bound=Version)


def version_of(versions: Sequence[_Version], resource_type: str, logical_id: str) -> _Version:
    """The version of one resource among all that a commit wrote."""
    return next(one for one in versions if one.id == logical_id and one.type == resource_type)


@dataclass(slots=True)
class Answer:
    """What is answered.

    Attributes:
        status: HTTP status code.
        body: the FHIR JSON as served; empty for none.
        version: version id for the ETag.
        last_modified: for Last-Modified.
        location: absolute URL of the version that this request wrote.
        address: absolute URL of the version that was written, whether or not it is new.
        cacheable: whether the client may keep it and ask again with If-None-Match.
        compartments: of everything in the body, for the audit trail.
        expires: for Expires: until when what was granted lasts.
    """

    status: int
    body: bytes = b""
    version: int | None = None
    last_modified: datetime | None = None
    location: str | None = None
    cacheable: bool = False
    address: str | None = None
    compartments: Iterable[str] = ()
    expires: datetime | None = None

    @classmethod
    def of_current(cls, found: Version, *, unchanged: bool) -> Self:
        """The answer to a read: 200 with the resource, or 304 when the client has it already."""
        status, body = (304, b"") if unchanged else (200, found.json)
        return cls(
            status,
            body,
            found.version,
            found.last_updated,
            cacheable=True,
            compartments=found.acl,
        )

    @classmethod
    def of_written(cls, base_url: str, written: Version, status: int) -> Self:
        """The answer to a write, before the client's preference is applied."""
        location = f"{base_url}/{written.type}/{written.id}/_history/{written.version}"
        return cls(
            status,
            written.json,
            written.version,
            written.last_updated,
            location if status == 201 else None,
            address=location,
        )
