"""The store: everything the server keeps, as the rest of the server sees it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from fhir_server.audit.record import Record, access_record
from fhir_server.auth.restrictions import Restriction, Restrictions
from fhir_server.context import Clock, RequestContext, system_clock
from fhir_server.decisions.criteria import Criteria, parse_criteria
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.errors import Forbidden, Transient
from fhir_server.fhir.exchange import Pairs
from fhir_server.fhir.history_query import HistoryQuery
from fhir_server.fhir.ids import IdSource, time_ordered_id
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import Decide
from fhir_server.search.request import SearchRequest
from fhir_server.settings import Settings
from fhir_server.store.audit_log import AuditLog
from fhir_server.store.changes import ChangePage, load_changes
from fhir_server.store.collections import Collections
from fhir_server.store.database import Connection
from fhir_server.store.find import Database
from fhir_server.store.group_commit import GroupCommit
from fhir_server.store.history import HistoryPage, load_version, load_versions
from fhir_server.store.index_version import check_index
from fhir_server.store.query import SearchPage
from fhir_server.store.receipts import Receipt, Replay, once, result_of
from fhir_server.store.refusals import deleted, not_found, version_not_found
from fhir_server.store.resources import CoalescedReads
from fhir_server.store.searches import Searches
from fhir_server.store.secrets import Secrets
from fhir_server.store.stored import StoredVersion
from fhir_server.store.transaction import Committed, Transactions
from fhir_server.store.view import Key

_PAGING = "paging"


class Store:
    """Reads, searches and writes, each limited to what the token of its context allows.

    The type-level decision whether a token may do something at all is the caller's
    (`auth.policy.authorize`); the store applies the constraints of granular scopes.
    """

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        registry: Registry,
        *,
        clock: Clock,
        new_id: IdSource,
    ) -> None:
        """Use `open`."""
        self.connection = connection
        self.registry = registry
        self._settings = settings
        self._restrictions = Restrictions(registry, settings)
        self._reads = CoalescedReads(connection)
        self._collections = Collections()
        transactions = Transactions(connection, self._collections, registry, self._restrictions)
        self._writes = GroupCommit(transactions, clock=clock, new_id=new_id)
        self._audit = AuditLog(connection, clock=clock, new_id=new_id)
        self._secrets = Secrets(connection.control)

    @classmethod
    async def open(
        cls,
        settings: Settings,
        registry: Registry,
        *,
        clock: Clock = system_clock,
        new_id: IdSource = time_ordered_id,
        outdated_index: bool = False,
    ) -> Self:
        """Connect to `settings.mongodb_url`; one store per process and event loop.

        Args:
            settings: name the database and bound searches.
            registry: the served types.
            clock: stamps audit documents.
            new_id: names audit documents.
            outdated_index: accept index documents that were built from other artefacts, to
                rebuild them.

        Raises:
            DatabaseUnusable: MongoDB cannot be used; the message says what to do.
            IndexOutdated: the artefacts have changed; `fhir-server reindex` is needed.
        """
        connection = await Connection.open(settings)
        try:
            if not outdated_index:
                await check_index(connection, registry)
            return cls(connection, settings, registry, clock=clock, new_id=new_id)
        except BaseException:
            await connection.close()
            raise

    async def close(self) -> None:
        """Finish accepted writes and audit records, then disconnect."""
        await self._writes.close()
        await self._audit.close()
        await self.connection.close()

    def database(self, tenant: str) -> Database:
        """The MongoDB database of a tenant, for the other modules of this package."""
        return self.connection.tenant(tenant)

    async def read(
        self, context: RequestContext, resource_type: str, logical_id: str
    ) -> StoredVersion:
        """The current version (https://hl7.org/fhir/R4/http.html#read).

        Raises:
            NotFound: there never was one, or the token does not allow to see it.
            Deleted: it was deleted.
            Transient: the database cannot be reached.
        """
        restriction = self._restriction(context, resource_type, "read")
        version = await self._reads.get(context.tenant, resource_type, logical_id)
        if version is None or not _admits(restriction, version):
            raise not_found(resource_type, logical_id)
        if version.deleted:
            raise deleted(version)
        return version

    async def vread(
        self, context: RequestContext, resource_type: str, logical_id: str, version: int
    ) -> StoredVersion:
        """One version, current or not (https://hl7.org/fhir/R4/http.html#vread).

        Raises:
            NotFound: there is no such version, or the token does not allow to see it.
            Deleted: that version is the deletion.
            Transient: the database cannot be reached.
        """
        restriction = self._restriction(context, resource_type, "vread")
        database = self.database(context.tenant)
        found = await load_version(database, resource_type, logical_id, version)
        if found is None or not _admits(restriction, found):
            raise version_not_found(resource_type, logical_id, version)
        if restriction is not None:
            # What has left the token's reach takes its old versions along.
            current = await self._reads.get(context.tenant, resource_type, logical_id)
            if current is None or not _admits(restriction, current):
                raise version_not_found(resource_type, logical_id, version)
        if found.deleted:
            raise deleted(found)
        return found

    async def history(
        self,
        context: RequestContext,
        resource_type: str,
        logical_id: str,
        *,
        count: int,
        before: int | None = None,
    ) -> HistoryPage:
        """The versions, newest first (https://hl7.org/fhir/R4/http.html#history).

        Args:
            context: who asks.
            resource_type: the resource's type.
            logical_id: the resource's id.
            count: most entries on the page; 0 only counts.
            before: only versions older than this one.

        Raises:
            NotFound: there never was one, or the token does not allow to see the current version.
            Transient: the database cannot be reached.
        """
        restriction = self._restriction(context, resource_type, "history-instance")
        database = self.database(context.tenant)
        current, found = await asyncio.gather(
            self._reads.get(context.tenant, resource_type, logical_id),
            load_versions(database, resource_type, logical_id, limit=count + 1, before=before),
        )
        if current is None or not _admits(restriction, current):
            raise not_found(resource_type, logical_id)
        page = found[:count]
        next_before = page[-1].version if page and len(found) > count else None
        # Numbers are never given twice or left out, so the newest version is their count.
        if restriction is None:
            return HistoryPage(tuple(page), current.version, next_before)
        admitted = tuple(one for one in page if _admits(restriction, one))
        return HistoryPage(admitted, None, next_before)

    async def changes(
        self, context: RequestContext, types: Sequence[str], query: HistoryQuery
    ) -> ChangePage:
        """The versions of all resources of some types, newest first.

        Raises:
            Forbidden: the token does not allow to read one of the types.
            Invalid: the page is not one of this history.
            Transient: the database cannot be reached.
        """
        restrictions = {
            name: self._restriction(context, name, "history-instance") for name in types
        }
        secret = await self.secret(_PAGING)
        return await load_changes(self.database(context.tenant), restrictions, query, secret=secret)

    async def search(self, context: RequestContext, request: SearchRequest) -> SearchPage:
        """A page of matches (https://hl7.org/fhir/R4/search.html).

        Raises:
            Forbidden: the token may not search the type, or one that a chain leads through.
            TooCostly: a chain leads through too many resources.
            Invalid: the page is not one of this search.
            Transient: the database cannot be reached or needed too long.
        """
        return await (await self.searches(context)).page(request)

    async def searches(self, context: RequestContext) -> Searches:
        """Searches of any kind, as far as the token allows them.

        Raises:
            Transient: the database cannot be reached.
        """
        return Searches(
            self.database(context.tenant),
            self.registry,
            self._settings,
            lambda name: self._restriction(context, name, "search-type"),
            await self.secret(_PAGING),
        )

    async def run(
        self,
        context: RequestContext,
        decide: Decide,
        *,
        interaction: str,
        aims: tuple[Key, ...] = (),
    ) -> Committed:
        """Decide and write, all or nothing, once it is safe on a majority of the replica set.

        The decision is run on current data, and again whenever that has changed; the scheduling
        guard completes its plan. History, outbox and audit record are part of the same
        transaction. What a decision reads without writing it is not locked: it may change between
        the decision and the commit.

        Args:
            context: who asks; `now` becomes meta.lastUpdated.
            decide: pure; sees the present, returns what to write.
            interaction: for the audit trail: FHIR's code, or `$` and an operation's code.
            aims: the types and ids that the caller names to be changed. While one is outside the
                token's granular scopes, nothing but NotFound is told about it.

        Raises:
            FhirError: the decision's or the guard's refusal; nothing was written.
            Forbidden, NotFound: outside the constraints of the token's granular scopes.
            Transient: the database cannot be reached or too many compete; nothing was written
                unless the diagnostics say that it is not known.
        """
        committed = await self._writes.run(context, once(context, decide), interaction, aims)
        if not isinstance(committed.result, Replay):
            return committed
        return await self._repeated(context, committed.result.receipt, interaction)

    async def _repeated(
        self, context: RequestContext, receipt: Receipt, interaction: str
    ) -> Committed:
        """What was committed when the idempotency key came first."""
        version = await load_version(
            self.database(context.tenant), receipt.type, receipt.logical_id, receipt.version
        )
        if version is None:
            # A decision sees what a majority is about to hold; the history shows what it holds.
            raise Transient("The first request with this Idempotency-Key is not yet complete.")
        await self.record_access(
            access_record(
                context,
                interaction,
                resource_type=version.type,
                logical_id=version.id,
                version=version.version,
                outcome="repeated",
                compartments=version.acl,
            )
        )
        return Committed((version,), result_of(receipt))

    def criteria(
        self,
        context: RequestContext,
        resource_type: str,
        pairs: Pairs,
        *,
        most: int = 2,
    ) -> Criteria:
        """The criteria of a conditional interaction, for `View.find`.

        Args:
            context: who asks.
            resource_type: the type searched.
            pairs: the search parameters.
            most: how many matches are looked for.

        Raises:
            Forbidden: the token does not allow to search the type.
            FhirError: they are no legal criteria.
        """
        return parse_criteria(
            context,
            self.registry.types[resource_type],
            pairs,
            restriction=self._restriction(context, resource_type, "search-type"),
            settings=self._settings,
            most=most,
        )

    def reach(
        self, context: RequestContext, resource_type: str, interaction: str
    ) -> Callable[[Resource], bool]:
        """Tells of resources of a type whether the token allows the interaction on them.

        Raises:
            Forbidden: it allows it on none.
        """
        restriction = self._restriction(context, resource_type, interaction)
        return lambda resource: restriction is None or restriction.admits_resource(resource)

    def may_read(self, context: RequestContext, version: StoredVersion) -> bool:
        """Whether the token allows to read this version."""
        try:
            restriction = self._restriction(context, version.type, "read")
        except Forbidden:
            return False
        return _admits(restriction, version)

    async def record_access(self, record: Record) -> None:
        """Put a read, a search or a refusal on the audit trail (`audit.record.access_record`)."""
        await self._audit.record(record)

    async def secret(self, name: str) -> bytes:
        """32 random bytes, the same in every process and after every start.

        Raises:
            Transient: the database cannot be reached.
        """
        return await self._secrets.get(name)

    def _restriction(
        self, context: RequestContext, resource_type: str, interaction: str
    ) -> Restriction | None:
        return self._restrictions.of(
            context.principal, resource_type, interaction, context.base_url
        )


def _admits(restriction: Restriction | None, version: StoredVersion) -> bool:
    """A deletion has no content that could match a constraint, so it stays hidden."""
    if restriction is None:
        return True
    return not version.deleted and restriction.admits_resource(version.resource)
