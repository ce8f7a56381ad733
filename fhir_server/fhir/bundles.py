"""Bundles as concatenated bytes: stored resources go in untouched.

https://hl7.org/fhir/R4/bundle.html, https://hl7.org/fhir/R4/search.html#2.1.1.2,
https://hl7.org/fhir/R4/http.html#history
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import orjson

from fhir_server.fhir.dates import format_instant
from fhir_server.fhir.types import Resource

Links = Sequence[tuple[str, str]]
"""Relation and URL, in the order they are shown."""

STATUS_TEXT = {
    "POST": "201 Created",
    "PUT": "200 OK",
    "PATCH": "200 OK",
    "DELETE": "204 No Content",
}


class Match(Protocol):
    """A resource as search finds it."""

    @property
    def type(self) -> str:
        """The resource type."""

    @property
    def id(self) -> str:
        """The logical id."""

    @property
    def json(self) -> bytes:
        """The resource as served."""


class HistoryEntry(NamedTuple):
    """One version in a history Bundle."""

    type: str
    id: str
    version: int
    method: str
    last_updated: datetime
    json: bytes

    @classmethod
    def of(cls, written: "Written") -> "HistoryEntry":
        """The entry of a stored version."""
        return cls(
            written.type,
            written.id,
            written.version,
            written.method,
            written.last_updated,
            written.json,
        )


class Written(Match, Protocol):
    """A stored version, with how it came about."""

    @property
    def version(self) -> int:
        """The version id."""

    @property
    def last_updated(self) -> datetime:
        """When it was written."""

    @property
    def method(self) -> str:
        """The HTTP method that wrote it."""


class _Starts(dict[str, bytes]):
    """The first bytes of an entry, by resource type; made once per type and page."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base_url = base_url

    def __missing__(self, resource_type: str) -> bytes:
        start = self[resource_type] = f'{{"fullUrl":"{self._base_url}/{resource_type}/'.encode()
        return start


def _head(kind: str, links: Links, total: int | None) -> bytes:
    parts = [b'{"resourceType":"Bundle","type":"', kind.encode(), b'"']
    if total is not None:
        parts.append(b',"total":%d' % total)
    if links:
        parts.append(b',"link":')
        parts.append(orjson.dumps([{"relation": name, "url": url} for name, url in links]))
    return b"".join(parts)


def searchset(
    base_url: str,
    matches: Iterable[Match],
    *,
    links: Links,
    total: int | None,
    included: Iterable[Match] = (),
    outcome: Resource | None = None,
) -> bytes:
    """A page of search matches.

    Args:
        base_url: the FHIR base, for fullUrl.
        matches: the resources, in order.
        links: to this page and others.
        total: of all pages; None when it is not known.
        included: the resources beside the matches.
        outcome: warnings to the caller, an entry of search mode `outcome`.
    """
    starts = _Starts(base_url)
    entries = [
        b'%b%b","resource":%b,"search":{"mode":"%b"}}'
        % (starts[one.type], one.id.encode(), one.json, mode)
        for mode, found in ((b"match", matches), (b"include", included))
        for one in found
    ]
    if outcome is not None:
        entries.append(b'{"resource":%b,"search":{"mode":"outcome"}}' % orjson.dumps(outcome))
    return _close(_head("searchset", links, total), entries)


def history(
    base_url: str, versions: Iterable[HistoryEntry], *, links: Links, total: int | None
) -> bytes:
    """A page of versions, newest first; deletions carry no resource."""
    entries = [_history_entry(base_url, version) for version in versions]
    return _close(_head("history", links, total), entries)


def responses(kind: str, entries: list[bytes]) -> bytes:
    """What came of the entries of a batch or transaction.

    Args:
        kind: `batch-response` or `transaction-response`.
        entries: made by `response_entry`, in the order of the request.
    """
    return _close(_head(kind, (), None), entries)


def response_entry(response: Resource, *, resource: bytes = b"", outcome: bytes = b"") -> bytes:
    """One entry of such a Bundle.

    Args:
        response: status, location, etag and lastModified.
        resource: as served; empty for none.
        outcome: an OperationOutcome; empty for none.
    """
    if outcome:
        response = {**response, "outcome": orjson.Fragment(outcome)}
    told = b'"response":%b' % orjson.dumps(response)
    return b'{"resource":%b,%b}' % (resource, told) if resource else b"{%b}" % told


def _history_entry(base_url: str, entry: HistoryEntry) -> bytes:
    address = entry.type if entry.method == "POST" else f"{entry.type}/{entry.id}"
    status = STATUS_TEXT[entry.method]
    if entry.method == "PUT" and entry.version == 1:
        status = STATUS_TEXT["POST"]
    tail = orjson.dumps(
        {
            "request": {"method": entry.method, "url": address},
            "response": {"status": status, "lastModified": format_instant(entry.last_updated)},
        }
    )
    resource = b'"resource":%b,' % entry.json if entry.method != "DELETE" else b""
    url = f"{base_url}/{entry.type}/{entry.id}".encode()
    return b'{"fullUrl":"%b",%b%b' % (url, resource, tail[1:])


def _close(head: bytes, entries: list[bytes]) -> bytes:
    # R4 allows no empty arrays.
    if not entries:
        return head + b"}"
    return b'%b,"entry":[%b]}' % (head, b",".join(entries))
