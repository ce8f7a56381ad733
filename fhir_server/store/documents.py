"""What one new version of a resource looks like in each collection."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.context import RequestContext
from fhir_server.definitions.registry import TypeDefinition
from fhir_server.fhir import codec
from fhir_server.fhir.dates import format_instant
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import Write
from fhir_server.search.index import build_index
from fhir_server.store.stored import StoredVersion

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version that is about to be written.

    Attributes:
        version: as its writer gets to see it.
        expected: the version it replaces; 0 for none.
        current: the document of `<Type>`.
        history: the document of `<Type>_history`.
        event: the row of the outbox.
        amended: how often the replaced version was changed in place; None when it is not known.
    """

    version: StoredVersion
    expected: int
    current: Document
    history: Document
    event: Document
    amended: int | None = None


def stamp(resource: Resource, logical_id: str, version: int, last_updated: datetime) -> Resource:
    """A copy with the server's id and meta, every other element shared with the original."""
    meta = resource.get("meta") or {}
    return {
        "resourceType": resource["resourceType"],
        "id": logical_id,
        "meta": {
            **meta,
            "versionId": str(version),
            "lastUpdated": format_instant(last_updated),
        },
        **{key: value for key, value in resource.items() if key not in _STAMPED},
    }


_STAMPED = frozenset({"resourceType", "id", "meta"})


def new_version(
    write: Write,
    definition: TypeDefinition,
    context: RequestContext,
    previous: StoredVersion | None,
) -> NewVersion:
    """Everything that is stored for a write.

    Args:
        write: what the plan asks for.
        definition: of the resource's type.
        context: who writes, and when.
        previous: the version it replaces, if the decision looked at it.

    Raises:
        FhirError: an element that must be indexed is malformed.
    """
    number = write.expected_version + 1
    at = context.now if previous is None else max(context.now, previous.last_updated)
    if write.resource is None:
        acl = previous.acl if previous else ()
        version = StoredVersion(
            write.type, write.id, number, at, deleted=True, json=b"", acl=acl, method=write.method
        )
        return _with_documents(version, write, context, previous, ix={})
    resource = stamp(write.resource, write.id, number, at)
    index = build_index(definition, resource, context.base_url)
    version = StoredVersion(
        write.type,
        write.id,
        number,
        at,
        deleted=False,
        json=codec.encode(resource),
        acl=tuple(index.acl),
        method=write.method,
        resource=resource,
    )
    return _with_documents(version, write, context, previous, ix=index.ix)


def _with_documents(
    version: StoredVersion,
    write: Write,
    context: RequestContext,
    previous: StoredVersion | None,
    ix: Mapping[str, Any],
) -> NewVersion:
    acl = list(version.acl)
    key = f"{version.id}/{version.version}"
    common = {
        "v": version.version,
        "t": version.last_updated,
        "deleted": version.deleted,
        "json": version.json,
    }
    principal = context.principal
    event = {
        "_id": f"{version.type}/{key}",
        "type": version.type,
        "id": version.id,
        "v": version.version,
        "op": write.action,
        "t": version.last_updated,
        "client": principal.client_id if principal else "",
        "scope": principal.scope if principal else "",
    }
    return NewVersion(
        version=version,
        expected=write.expected_version,
        current={"_id": version.id, **common, "ix": ix, "acl": acl},
        history={"_id": key, "id": version.id, **common, "acl": acl, "method": write.method},
        event=event,
        amended=previous.amended if previous else None,
    )
