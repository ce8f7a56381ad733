"""$everything: a patient's record, or those of all patients, page by page.

https://hl7.org/fhir/R4/patient-operation-everything.html
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Final

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.definitions.parameters import Invocation
from fhir_server.fhir import bundles
from fhir_server.fhir.errors import NotFound, Value
from fhir_server.fhir.exchange import Answer, query_string
from fhir_server.fhir.ids import IdSource, is_id
from fhir_server.fhir.types import Resource
from fhir_server.search import paging
from fhir_server.settings import Settings
from fhir_server.store.compartment import PATIENT, Compartments, Page, Place, Wanted
from fhir_server.store.store import Store

_PAGE: Final = "_page"
_TYPES: Final = "Parameters.parameter.where(name='_type')"
_COUNT: Final = "Parameters.parameter.where(name='_count')"
_INCOMPLETE: Final[Resource] = {
    "resourceType": "OperationOutcome",
    "issue": [
        {
            "severity": "warning",
            "code": "incomplete",
            "diagnostics": "More directory resources are referred to than fit on a page; "
            "read those that are missing, or ask for smaller pages by _count",
        }
    ],
}


async def everything(
    store: Store, settings: Settings, _: IdSource, ctx: RequestContext, call: Invocation
) -> Answer:
    """200 with a searchset: the patient, all in its compartment, and the directory around.

    Types that the token may not search are left out.

    Raises:
        NotFound, Deleted: there is no such patient.
        Forbidden: the token may not search a type named by `_type`.
        Value: `_type` or `_count` is not legal.
        Invalid: `_page` is not a page of this operation.
    """
    if call.id and not is_id(call.id):
        raise NotFound(f"There is no {PATIENT} with this id")
    wanted, pairs = _wanted(store, settings, call)
    if call.id:
        await store.read(ctx, PATIENT, call.id)
    else:
        policy.authorize(ctx.principal, PATIENT, "search-type")
    secret = await store.secret("paging")
    bound_to = hashlib.sha256(json.dumps(["$everything", call.id, pairs]).encode()).digest()
    after = _after(secret, bound_to, call)
    page = await Compartments(store, settings, ctx).page(wanted, after)
    body = _bundle(ctx, call, page, _links(secret, bound_to, page), pairs)
    shown = (*(one.version for one in page.matches), *page.included.versions)
    return Answer(200, body, compartments={name for one in shown for name in one.acl})


def _wanted(
    store: Store, settings: Settings, call: Invocation
) -> tuple[Wanted, list[tuple[str, str]]]:
    """What is asked for, and the same as parameters of a URL."""
    types = sorted({name for value in call.parameters["_type"] for name in value.split(",")})
    unknown = [name for name in types if name not in store.registry.types]
    if unknown:
        raise Value(f"_type: {', '.join(unknown)[:100]} is not served here", expression=[_TYPES])
    count = call.first("_count")
    if count is not None and count < 1:
        raise Value("_count must be at least 1", expression=[_COUNT])
    dates = {name: str(call.first(name) or "") for name in ("start", "end", "_since")}
    wanted = Wanted(
        call.id,
        frozenset(types),
        dates["start"],
        dates["end"],
        dates["_since"],
        min(count or settings.page_size, settings.max_page_size),
    )
    pairs = [(name, value) for name, value in dates.items() if value]
    if types:
        pairs.append(("_type", ",".join(types)))
    if count is not None:
        pairs.append(("_count", str(wanted.count)))
    return wanted, pairs


def _after(secret: bytes, bound_to: bytes, call: Invocation) -> Place | None:
    token = call.first(_PAGE)
    if token is None:
        return None
    name, logical_id = paging.decode(secret, bound_to, token).position
    return Place(str(name), str(logical_id))


def _links(secret: bytes, bound_to: bytes, page: Page) -> str | None:
    if page.next is None:
        return None
    return paging.encode(secret, bound_to, tuple(page.next), "next")


def _bundle(
    ctx: RequestContext,
    call: Invocation,
    page: Page,
    token: str | None,
    pairs: Sequence[tuple[str, str]],
) -> bytes:
    level = f"{PATIENT}/{call.id}" if call.id else PATIENT
    address = f"{ctx.base_url}/{level}/$everything"
    own = [(_PAGE, str(one)) for one in call.parameters[_PAGE]]
    links = [("self", _address(address, [*pairs, *own]))]
    if token is not None:
        links.append(("next", _address(address, [*pairs, (_PAGE, token)])))
    return bundles.searchset(
        ctx.base_url,
        [one.version for one in page.matches],
        links=links,
        total=None,
        included=page.included.versions,
        outcome=None if page.included.complete else _INCOMPLETE,
    )


def _address(address: str, pairs: Sequence[tuple[str, str]]) -> str:
    return f"{address}?{query_string(pairs)}" if pairs else address
