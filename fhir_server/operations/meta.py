"""$meta, $meta-add and $meta-delete: profiles, tags and security labels.

https://hl7.org/fhir/R4/resource-operation-meta.html,
https://hl7.org/fhir/R4/resource-operation-meta-add.html,
https://hl7.org/fhir/R4/resource-operation-meta-delete.html
"""

from collections.abc import Callable
from typing import Final

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.definitions.parameters import Invocation
from fhir_server.fhir.codec import encode_json
from fhir_server.fhir.errors import NotFound
from fhir_server.fhir.exchange import Answer
from fhir_server.fhir.ids import IdSource, is_id
from fhir_server.fhir.types import Json
from fhir_server.settings import Settings
from fhir_server.store.amendment import amend_meta
from fhir_server.store.labels import metas
from fhir_server.store.store import Store
from fhir_server.store.stored import StoredVersion

LABELS: Final = ("profile", "security", "tag")
"""The elements of Meta that these operations are about."""


async def meta(
    store: Store, settings: Settings, _: IdSource, ctx: RequestContext, call: Invocation
) -> Answer:
    """200 with the meta of one resource, or with all labels that a type or the system uses.

    Raises:
        NotFound, Deleted: there is no such resource.
        Forbidden: the token may not search a type.
        TooCostly: there are too many different labels.
    """
    if call.id:
        _check_id(call)
        return _answer(await store.read(ctx, call.type, call.id))
    types = [call.type] if call.type else list(store.registry.types)
    for name in types:
        policy.authorize(ctx.principal, name, "search-type")
    found = await metas(store, settings, ctx, types)
    together: Json = {}
    for one in found:
        together = added(together, one)
    return Answer(200, _parameters({name: together[name] for name in LABELS if name in together}))


async def meta_add(
    store: Store, settings: Settings, new_id: IdSource, ctx: RequestContext, call: Invocation
) -> Answer:
    """200 with the resulting meta; no new version is made.

    Raises:
        NotFound, Deleted: there is no such resource.
        FhirError: the token does not allow it, or the database is not there.
    """
    return await _amend(store, settings, new_id, ctx, call, added)


async def meta_delete(
    store: Store, settings: Settings, new_id: IdSource, ctx: RequestContext, call: Invocation
) -> Answer:
    """As `meta_add`; what the resource does not have needs no deletion."""
    return await _amend(store, settings, new_id, ctx, call, without)


async def _amend(
    store: Store,
    settings: Settings,
    new_id: IdSource,
    ctx: RequestContext,
    call: Invocation,
    change: Callable[[Json, Json], Json],
) -> Answer:
    _check_id(call)
    given = call.first("meta") or {}
    found = await amend_meta(
        store,
        settings,
        new_id,
        ctx,
        (call.type, call.id),
        lambda present: change(present, given),
        interaction=f"${call.definition.code}",
    )
    return _answer(found)


def added(present: Json, given: Json) -> Json:
    """A meta with the labels of both; those it has stay as they are."""
    changed = dict(present)
    for name in LABELS:
        has = {_identity(one) for one in present.get(name, ())}
        new = {_identity(one): one for one in reversed(given.get(name, ()))}
        fresh = [one for key, one in reversed(new.items()) if key not in has]
        if fresh:
            changed[name] = [*present.get(name, ()), *fresh]
            if f"_{name}" in present:
                changed[f"_{name}"] = [*present[f"_{name}"], *([None] * len(fresh))]
    return changed


def without(present: Json, given: Json) -> Json:
    """A meta without the labels given."""
    changed = dict(present)
    for name in LABELS:
        gone = {_identity(one) for one in given.get(name, ())}
        kept = [
            index for index, one in enumerate(present.get(name, ())) if _identity(one) not in gone
        ]
        # Beside a list of URLs there may be one of their ids and extensions, item by item.
        for key in (name, f"_{name}"):
            items = [present[key][index] for index in kept] if key in present else []
            changed[key] = items
            if not any(items):
                del changed[key]
    return changed


def _identity(label: Json) -> Json:
    """R4: system and code of a tag or label, whatever its version and display; a profile's URL."""
    if isinstance(label, dict):
        return label.get("system"), label.get("code")
    return label


def _check_id(call: Invocation) -> None:
    if not is_id(call.id):
        raise NotFound(f"There is no {call.type} with this id")


def _answer(found: StoredVersion) -> Answer:
    return Answer(
        200,
        _parameters(found.resource["meta"]),
        found.version,
        found.last_updated,
        compartments=found.acl,
    )


def _parameters(value: Json) -> bytes:
    # R4 allows no empty element, and `return` must be there.
    parameter = {"name": "return", **({"valueMeta": value} if value else {})}
    return encode_json({"resourceType": "Parameters", "parameter": [parameter]})
