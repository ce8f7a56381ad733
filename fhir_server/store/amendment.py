"""Tags, security labels and profiles of a stored resource, changed without a new version.

R4 wants it so: what these say does not change the meaning of the resource
(https://hl7.org/fhir/R4/resource-operation-meta-add.html).
"""

import asyncio
import secrets
from collections.abc import Callable

from fhir_server.audit.record import access_record
from fhir_server.context import RequestContext
from fhir_server.fhir import codec
from fhir_server.fhir.errors import Forbidden, TooLarge, Transient
from fhir_server.fhir.ids import IdSource
from fhir_server.fhir.types import Json
from fhir_server.search.index import build_index
from fhir_server.settings import Settings
from fhir_server.store.commit import Amendment, Batch, OutcomeUnknown, Overtaken, commit
from fhir_server.store.find import LOCAL, find
from fhir_server.store.refusals import deleted, not_found
from fhir_server.store.store import Store
from fhir_server.store.stored import WITHOUT_INDEX, StoredVersion, from_current

_MOST_ATTEMPTS = 30
_FIRST_DELAY_MILLISECONDS = 2
_LONGEST_DELAY_MILLISECONDS = 400


async def amend_meta(
    store: Store,
    settings: Settings,
    new_id: IdSource,
    context: RequestContext,
    place: tuple[str, str],
    change: Callable[[Json], Json],
    *,
    interaction: str,
) -> StoredVersion:
    """Change the meta of the current version, all or nothing, and keep its version and time.

    Args:
        store: holds it.
        settings: bound a resource's size.
        new_id: names audit records.
        context: who asks.
        place: type and id.
        change: pure; meta in, meta out, without touching what it is given.
        interaction: for the audit trail.

    Returns:
        The version as it is now.

    Raises:
        NotFound, Deleted: there is no such resource, or the token may not update it.
        Forbidden: the token could not update the result.
        TooLarge: the resource would become larger than what may be sent.
        Transient: the database cannot be reached or too many compete.
    """
    for attempt in range(_MOST_ATTEMPTS):
        current = await _load(store, context, *place)
        meta = change(current.resource["meta"])
        if meta == current.resource["meta"]:
            return current
        amended, amendment = _amended(store, settings, context, current, meta)
        record = access_record(
            context,
            interaction,
            resource_type=amended.type,
            logical_id=amended.id,
            version=amended.version,
            compartments=amended.acl,
        )
        batch = Batch(new_id(), context.now, records=[record], amendments=[amendment])
        try:
            await commit(store.connection.client, store.database(context.tenant), batch)
        except Overtaken:
            await _wait(attempt)
            continue
        except OutcomeUnknown:
            raise Transient("The database was lost; it may or may not have happened.") from None
        return amended
    raise Transient("Too many change this resource at once; try again.")


async def _wait(attempt: int) -> None:
    """At random, so that those who compete do not meet again."""
    most = min(_LONGEST_DELAY_MILLISECONDS, _FIRST_DELAY_MILLISECONDS << min(attempt, 10))
    await asyncio.sleep(secrets.randbelow(most * 1_000) / 1_000_000)


async def _load(
    store: Store, context: RequestContext, resource_type: str, logical_id: str
) -> StoredVersion:
    reaches = store.reach(context, resource_type, "update")
    found = await find(
        store.database(context.tenant),
        resource_type,
        {"_id": logical_id},
        limit=1,
        projection=WITHOUT_INDEX,
        level=LOCAL,
    )
    if not found:
        raise not_found(resource_type, logical_id)
    current = from_current(resource_type, found[0])
    if current.deleted:
        raise deleted(current) if reaches({}) else not_found(resource_type, logical_id)
    if not reaches(current.resource):
        raise not_found(resource_type, logical_id)
    return current


def _amended(
    store: Store, settings: Settings, context: RequestContext, current: StoredVersion, meta: Json
) -> tuple[StoredVersion, Amendment]:
    resource = {**current.resource, "meta": meta}
    if not store.reach(context, current.type, "update")(resource):
        raise Forbidden(
            f"This token allows update only on some {current.type} resources; "
            "with these labels it would not be among them."
        )
    body = codec.encode(resource)
    if len(body) > settings.max_body_bytes:
        raise TooLarge(f"The resource would be larger than {settings.max_body_bytes} bytes")
    index = build_index(store.registry.types[current.type], resource, context.base_url)
    acl = list(index.acl)
    amendment = Amendment(
        current.type,
        current.id,
        current.version,
        current.amended,
        {"json": body, "ix": index.ix, "acl": acl},
        {"json": body, "acl": acl},
    )
    amended = StoredVersion(
        current.type,
        current.id,
        current.version,
        current.last_updated,
        deleted=False,
        json=body,
        acl=tuple(acl),
        resource=resource,
        amended=current.amended + 1,
    )
    return amended, amendment
