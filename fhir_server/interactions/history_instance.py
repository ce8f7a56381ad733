"""history: the versions of one resource, newest first (https://hl7.org/fhir/R4/http.html#history)."""

import re
from datetime import datetime

from fhir_server.context import RequestContext
from fhir_server.fhir import bundles
from fhir_server.fhir.dates import parse_instant
from fhir_server.fhir.errors import FhirError, Issues, NotFound, NotSupported, Value
from fhir_server.fhir.exchange import Answer, Pairs, Request, query_string
from fhir_server.fhir.ids import is_id
from fhir_server.settings import Settings
from fhir_server.store.store import Store

PARAMETERS = ("_count", "_since", "_page")
_NUMBER = re.compile(r"[0-9]{1,18}")


async def history_instance(
    store: Store, settings: Settings, ctx: RequestContext, request: Request
) -> Answer:
    """200 with a page of versions; deletions included.

    Raises:
        NotFound: there never was such a resource, or the caller may not know of it.
        NotSupported: a parameter that is not offered.
        Value: a parameter's value is not legal, or it is repeated.
    """
    if not is_id(request.id):
        raise NotFound(f"There is no {request.type} with this id")
    given = _single_values(request.pairs)
    count = min(_number(given, "_count", settings.page_size), settings.max_page_size)
    since = _since(given)
    before = _number(given, "_page", 0) or None
    page = await store.history(ctx, request.type, request.id, count=count, before=before)
    versions = [
        bundles.HistoryEntry(
            request.type, request.id, one.version, one.method, one.last_updated, one.json
        )
        for one in page.entries
        if since is None or one.last_updated >= since
    ]
    complete = len(versions) < len(page.entries) or page.next_before is None
    address = f"{ctx.base_url}/{request.type}/{request.id}/_history"
    links = [("self", _link(address, given))]
    if not complete:
        links.append(("next", _link(address, {**given, "_page": str(page.next_before)})))
    total = page.total if since is None else None
    return Answer(200, bundles.history(ctx.base_url, versions, links=links, total=total))


def _link(address: str, given: dict[str, str]) -> str:
    return f"{address}?{query_string(list(given.items()))}" if given else address


def _single_values(pairs: Pairs) -> dict[str, str]:
    problems: list[FhirError] = []
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            problems.append(
                NotSupported(
                    f"Parameter {name[:60]} is not offered on history; _count and _since are"
                )
            )
        elif name in given:
            problems.append(Value(f"{name} may be given once"))
        given[name] = value
    if problems:
        raise Issues(problems)
    return given


def _number(given: dict[str, str], name: str, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if _NUMBER.fullmatch(text) is None:
        raise Value(f"{name} must be a whole number")
    return int(text)


def _since(given: dict[str, str]) -> datetime | None:
    text = given.get("_since")
    if text is None:
        return None
    try:
        # A + that was not percent-encoded arrives as a space.
        return parse_instant(text.replace(" ", "+"))
    except FhirError:
        raise Value("_since must be an instant, for example 2026-03-01T09:00:00Z") from None
