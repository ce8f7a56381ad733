"""Versions of resources as they come out of the database."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fhir_server.fhir import codec
from fhir_server.fhir.types import Resource

WITHOUT_INDEX = {"ix": 0}
"""The projection of a current document that leaves out what only searches need."""

SERVED = {"v": 1, "t": 1, "deleted": 1, "json": 1, "acl": 1, "a": 1}
"""The projection that `from_current` needs."""


class StoredVersion:
    """One version of a resource; it is never changed.

    Attributes:
        type: the resource type.
        id: the logical id.
        version: the version id; 1 is the first.
        deleted: whether this version is a deletion.
        json: the resource as served; empty when deleted.
        acl: the compartments it is in, for example `Patient/1`; of a deletion, its last ones.
        method: the HTTP method that history shows; empty if read from the current documents.
        amended: how often its tags, labels and profiles were changed in place.
    """

    __slots__ = (
        "_resource",
        "_time",
        "acl",
        "amended",
        "deleted",
        "id",
        "json",
        "method",
        "type",
        "version",
    )

    def __init__(
        self,
        resource_type: str,
        logical_id: str,
        version: int,
        last_updated: datetime,
        *,
        deleted: bool,
        json: bytes,
        acl: tuple[str, ...],
        method: str = "",
        resource: Resource | None = None,
        amended: int = 0,
    ) -> None:
        """`resource` spares parsing `json` when the caller has it parsed already.

        A `last_updated` without a time zone is taken to be in UTC.
        """
        self.type = resource_type
        self.id = logical_id
        self.version = version
        self._time = last_updated
        self.deleted = deleted
        self.json = json
        self.acl = acl
        self.method = method
        self.amended = amended
        self._resource = resource

    def __repr__(self) -> str:
        """For messages: no content."""
        return f"<{self.type}/{self.id} version {self.version}>"

    @property
    def last_updated(self) -> datetime:
        """When it was written; aware, UTC."""
        time = self._time
        return time if time.tzinfo is not None else time.replace(tzinfo=UTC)

    @property
    def resource(self) -> Resource:
        """The parsed resource, shared: copy it before you change it. Empty when deleted."""
        if self._resource is None:
            self._resource = codec.decode(self.json) if self.json else {}
        return self._resource


def from_current(resource_type: str, document: Mapping[str, Any]) -> StoredVersion:
    """The version in a document of `<Type>`."""
    return StoredVersion(
        resource_type,
        document["_id"],
        document["v"],
        document["t"],
        deleted=document["deleted"],
        json=document["json"],
        acl=tuple(document["acl"]),
        amended=document.get("a", 0),
    )


def from_history(resource_type: str, document: Mapping[str, Any]) -> StoredVersion:
    """The version in a document of `<Type>_history`."""
    return StoredVersion(
        resource_type,
        document["id"],
        document["v"],
        document["t"],
        deleted=document["deleted"],
        json=document["json"],
        acl=tuple(document["acl"]),
        method=document["method"],
    )
