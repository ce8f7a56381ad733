"""Pages without state: a signed position in the order of the matches.

A page starts right after, or ends right before, the match whose position it names; matches that
appear or vanish meanwhile neither repeat nor hide others. A token is bound to its query by an
HMAC-SHA256, so that it says nothing to any other search and cannot be made up.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fhir_server.fhir.errors import Invalid
from fhir_server.search.condition import Filter
from fhir_server.search.request import Pair, SearchRequest
from fhir_server.search.sorting import Sort

Direction = Literal["next", "previous"]
Position = tuple[int | float | str, ...]
"""The values by which a match is ordered, its id last."""

_MAC_BYTES: Final = 16
_LONGEST: Final = 3_000
_KEY: Final = "key"
_CODES: Final[dict[Direction, str]] = {"next": "n", "previous": "p"}
_DIRECTIONS: Final[dict[str, Direction]] = {"n": "next", "p": "previous"}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page lies.

    Attributes:
        position: of the match that the page follows or precedes.
        direction: `next` for the page after it, `previous` for the page before it.
    """

    position: Position
    direction: Direction


def fingerprint(request: SearchRequest) -> bytes:
    """What a token is bound to: the type and the query as it was understood, without the page."""
    return fingerprint_of([request.type, request.compartment], request.pairs_used)


def fingerprint_of(searched: Sequence[Any], pairs: Sequence[Pair]) -> bytes:
    """The same of any search, by what is searched and the query."""
    kept = [pair for pair in pairs if pair[0] != "_page"]
    return hashlib.sha256(json.dumps([searched, kept]).encode()).digest()


def encode(secret: bytes, bound_to: bytes, position: Position, direction: Direction) -> str:
    """A URL-safe token.

    Args:
        secret: the same for all processes.
        bound_to: the query's `fingerprint`.
        position: of the match at the edge of the present page.
        direction: which way the other page lies.
    """
    payload = json.dumps(
        [_CODES[direction], *position], separators=(",", ":"), ensure_ascii=False
    ).encode()
    return _encoded(_sign(secret, bound_to, payload) + payload)


def decode(secret: bytes, bound_to: bytes, token: str) -> Cursor:
    """The position that a token of ours names.

    Raises:
        Invalid: it was altered, made for another query or by somebody else.
    """
    if len(token) > _LONGEST:
        raise _not_ours()
    try:
        padding = "=" * (-len(token) % 4)
        signed = base64.b64decode(token + padding, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise _not_ours() from error
    mac, payload = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _sign(secret, bound_to, payload)):
        raise _not_ours()
    if _encoded(signed) != token:  # Base64 can write the same bytes in several ways.
        raise _not_ours()
    code, *position = json.loads(payload)
    return Cursor(tuple(position), _DIRECTIONS[code])


def cursor(secret: bytes, request: SearchRequest) -> Cursor | None:
    """Where the page that a request asks for lies; None for the first page.

    Raises:
        Invalid: its token is not one of ours for this query.
    """
    if request.page_token is None:
        return None
    return decode(secret, fingerprint(request), request.page_token)


def link_pairs(
    secret: bytes, request: SearchRequest, position: Position, direction: Direction
) -> tuple[Pair, ...]:
    """The query of the page after or before a match: the same query with its token."""
    token = encode(secret, fingerprint(request), position, direction)
    return (*(pair for pair in request.pairs_used if pair[0] != "_page"), ("_page", token))


def sort_spec(sort: Sort, direction: Direction = "next") -> dict[str, int]:
    """The order for MongoDB; reversed to walk backwards, whose matches must be turned round."""
    return {
        path: -1 if descending != (direction == "previous") else 1
        for path, descending in _columns(sort)
    }


def keyset_filter(sort: Sort, found: Cursor) -> Filter:
    """What lies strictly after a position, in the direction walked.

    Where an index has the order, the range on the first key is written alone, so that it bounds
    the index; only matches that tie with the position are then looked at one by one.

    Raises:
        Invalid: the position has not as many parts as the order.
    """
    backwards = found.direction == "previous"
    columns = [
        (path, "lt" if descending != backwards else "gt") for path, descending in _columns(sort)
    ]
    if len(columns) != len(found.position):
        raise _not_ours()
    if sort.keys:
        return _beyond(columns, found.position)
    value, logical_id = found.position[0], found.position[-1]
    path, beyond = columns[0]
    if path == "_id":
        return {"_id": {f"${beyond}": logical_id}}
    passed = {path: value, "_id": {"$gte" if beyond == "lt" else "$lte": logical_id}}
    return {path: {f"${beyond}e": value}, "$nor": [passed]}


def position_of(sort: Sort, document: Mapping[str, Any]) -> Position:
    """The position of a stored document, which must hold `_id` and the fields sorted by."""
    return tuple(_value(document, path) for path, _ in _columns(sort))


def computed_keys(sort: Sort) -> dict[str, Any]:
    """For MongoDB's `$set`: the fields that the order of computed keys is made of."""
    return {f"{_KEY}{number}": key.expression() for number, key in enumerate(sort.keys)}


def _columns(sort: Sort) -> list[tuple[str, bool]]:
    """The fields of a position, and whether the greatest comes first; the id is the last."""
    if not sort.keys:
        tie = [] if sort.path == "_id" else [("_id", sort.descending)]
        return [(sort.path, sort.descending), *tie]
    columns = [(f"{_KEY}{number}", key.descending) for number, key in enumerate(sort.keys)]
    return [*columns, ("_id", sort.keys[-1].descending)]


def _beyond(columns: list[tuple[str, str]], position: Position) -> Filter:
    ways = []
    for number, (path, beyond) in enumerate(columns):
        ties = {columns[one][0]: position[one] for one in range(number)}
        ways.append({**ties, path: {f"${beyond}": position[number]}})
    return {"$or": ways}


def _value(document: Mapping[str, Any], path: str) -> int | float | str:
    found: Any = document
    for name in path.split("."):
        found = found[name]
    value: int | float | str = found
    return value


def _encoded(signed: bytes) -> str:
    return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()


def _sign(secret: bytes, bound_to: bytes, payload: bytes) -> bytes:
    return hmac.digest(secret, bound_to + payload, "sha256")[:_MAC_BYTES]


def _not_ours() -> Invalid:
    return Invalid(
        "_page is not a page of this search; use the links of its answers as they are, "
        "or search again without _page"
    )
