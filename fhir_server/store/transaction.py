"""The one write path: decide on fresh data, let the guard complete the plan, write it at once."""

import asyncio
from dataclasses import dataclass, field

from fhir_server.audit.record import access_record
from fhir_server.auth.restrictions import Restrictions
from fhir_server.context import RequestContext
from fhir_server.decisions.subscriber import check_subscriber
from fhir_server.definitions.registry import Registry
from fhir_server.fhir.errors import FhirError, Forbidden, Invalid, VersionConflict
from fhir_server.scheduling.guard import extend
from fhir_server.scheduling.plan import Decide, Plan, Write
from fhir_server.store import cells, commit, locks, receipts
from fhir_server.store.collections import Collections
from fhir_server.store.commit import Batch
from fhir_server.store.database import Connection
from fhir_server.store.documents import NewVersion, new_version
from fhir_server.store.locks import LockWrite
from fhir_server.store.refusals import not_found
from fhir_server.store.stored import StoredVersion
from fhir_server.store.view import Key, MemberView, NotLoaded, Snapshot
from fhir_server.subscription_rules import SUBSCRIPTION

_MOST_ROUNDS = 200
_ANY_COMPANY = 1 << 30


@dataclass(frozen=True, slots=True)
class Committed:
    """What a decision has led to, held by a majority of the replica set.

    Attributes:
        versions: the new versions: the decision's own, in its order, then what the guard added.
        result: the plan's result, untouched.
    """

    versions: tuple[StoredVersion, ...]
    result: object


@dataclass(slots=True, eq=False)
class Member:
    """A decision that somebody waits for.

    Attributes:
        since: when it was queued, by the event loop's clock.
        aims: the resources that the caller names to be changed.
        attempts: how often writing it has failed.
        contested: what it wanted to write when it failed.
        company: how many others it may share a transaction with, itself included.
    """

    context: RequestContext
    decide: Decide
    interaction: str
    future: asyncio.Future[Committed]
    since: float
    aims: tuple[Key, ...] = ()
    attempts: int = 0
    contested: frozenset[Key] = frozenset()
    company: int = _ANY_COMPANY

    def resolve(self, committed: Committed) -> None:
        """Tell the caller, unless it has gone."""
        if not self.future.done():
            self.future.set_result(committed)

    def refuse(self, error: Exception) -> None:
        """Tell the caller, unless it has gone or knows already."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(slots=True, eq=False)
class Decided:
    """A member whose plan is complete.

    Attributes:
        own: how many of the plan's writes are the decision's own; the guard added the others.
        writes: the keys of what is written.
        touched: the keys of what is written or was looked at.
        locks: the locks that the plan takes, at the versions that the decision saw.
    """

    member: Member
    plan: Plan
    own: int
    snapshot: Snapshot
    writes: set[Key]
    touched: set[Key]
    locks: tuple[LockWrite, ...]
    versions: list[NewVersion] = field(default_factory=list)

    def committed(self) -> Committed:
        """For the caller, once it is written."""
        return Committed(tuple(one.version for one in self.versions), self.plan.result)


@dataclass(slots=True, eq=False)
class _Attempt:
    member: Member
    view: MemberView
    plan: Plan | None = None


class Transactions:
    """Decides members and writes what they decided; knows nothing of queues."""

    def __init__(
        self,
        connection: Connection,
        collections: Collections,
        registry: Registry,
        restrictions: Restrictions,
    ) -> None:
        self._connection = connection
        self._collections = collections
        self._registry = registry
        self._restrictions = restrictions

    async def decide(self, tenant: str, members: list[Member]) -> list[Decided]:
        """Run every decision on what is stored now.

        Members that are refused, or have nothing to write, are told so at once.

        Returns:
            The others, in the order given.

        Raises:
            Transient: the database cannot be reached.
        """
        database = self._connection.tenant(tenant)
        snapshot = Snapshot()
        decided: dict[int, Decided] = {}
        pending = {
            number: _Attempt(member, MemberView(member.context, snapshot))
            for number, member in enumerate(members)
            if not member.future.done()
        }
        contested = dict.fromkeys(key for one in pending.values() for key in one.member.contested)
        if contested:
            snapshot.missing.update(contested)
            await snapshot.load(database)
        for _ in range(_MOST_ROUNDS):
            for number, attempt in list(pending.items()):
                try:
                    found = self._attempt(attempt, snapshot)
                except NotLoaded:
                    continue
                del pending[number]
                if found is not None:
                    decided[number] = found
            if not pending:
                return [decided[number] for number in sorted(decided)]
            await snapshot.load(database)
        raise RuntimeError("a decision never stops asking for more")

    def _attempt(self, attempt: _Attempt, snapshot: Snapshot) -> Decided | None:
        member = attempt.member
        try:
            if attempt.plan is None:
                attempt.plan = member.decide(attempt.view)
            plan = extend(attempt.plan, attempt.view)
            if not plan.writes and not plan.cells:
                member.resolve(Committed((), plan.result))
                return None
            return _decided(member, plan, len(attempt.plan.writes), snapshot, attempt.view)
        except Exception as error:  # noqa: BLE001 - only this member may suffer from it
            member.refuse(self._hidden(member, snapshot) or error)
            return None

    def _hidden(self, member: Member, snapshot: Snapshot) -> FhirError | None:
        """What to say instead of a refusal that would tell about a resource out of sight."""
        right = "delete" if member.interaction == "delete" else "update"
        context = member.context
        for resource_type, logical_id in member.aims:
            current = snapshot.resources.get((resource_type, logical_id))
            if current is None or current.deleted:
                continue
            try:
                allowed = self._restrictions.of(
                    context.principal, resource_type, right, context.base_url
                )
            except Forbidden as refusal:
                return refusal
            if allowed is not None and not allowed.admits_resource(current.resource):
                return not_found(resource_type, logical_id)
        return None

    def add(self, batch: Batch, decided: Decided) -> bool:
        """Put a member's documents into a batch; if they cannot be made, it is refused alone.

        Returns:
            Whether they are in the batch.
        """
        member = decided.member
        if member.future.done():
            return False
        try:
            versions = [self._new_version(decided, write) for write in decided.plan.writes]
            for write, version in zip(
                decided.plan.writes[: decided.own], versions[: decided.own], strict=True
            ):
                self._check_right(decided, write, version)
        except Exception as error:  # noqa: BLE001 - only this member may suffer from it
            member.refuse(error)
            return False
        decided.versions = versions
        batch.versions += versions
        batch.cells += decided.plan.cells
        batch.locks += decided.locks
        if decided.plan.receipt is not None:
            first = versions[0].version
            batch.receipts.append(receipts.to_document(decided.plan, first, batch.at))
        batch.size += sum(len(one.version.json) for one in versions)
        batch.records += [
            access_record(
                member.context,
                member.interaction,
                resource_type=one.version.type,
                logical_id=one.version.id,
                version=one.version.version,
                compartments=one.version.acl,
            )
            for one in versions
        ]
        return True

    async def commit(self, tenant: str, batch: Batch) -> None:
        """See `commit.commit`; makes missing collections first."""
        database = self._connection.tenant(tenant)
        types = {one.version.type for one in batch.versions}
        await self._collections.ensure(database, types)
        await commit.commit(self._connection.client, database, batch)

    def _new_version(self, decided: Decided, write: Write) -> NewVersion:
        previous = decided.snapshot.resources.get((write.type, write.id))
        definition = self._registry.types[write.type]
        return new_version(write, definition, decided.member.context, previous)

    def _check_right(self, decided: Decided, write: Write, version: NewVersion) -> None:
        """Refuse content outside a granular scope; the edge has decided about the type."""
        context = decided.member.context
        if write.type == SUBSCRIPTION and write.resource is not None:
            check_subscriber(context.principal, write.resource, context.now)
        previous = decided.snapshot.resources.get((write.type, write.id))
        interaction = _interaction(write, previous)
        try:
            found = self._restrictions.of(
                context.principal, write.type, interaction, context.base_url
            )
        except Forbidden:
            # The edge would have refused a write that the caller asked for: this one follows from
            # it, as an Appointment changes when a participant responds.
            return
        if found is None:
            return
        if previous and not previous.deleted and not found.admits_resource(previous.resource):
            raise not_found(write.type, write.id)
        if not version.version.deleted and not found.admits(version.current["ix"]):
            raise Forbidden(
                f"This token allows {interaction} only on some {write.type} resources; "
                "the content is not among them."
            )


def _interaction(write: Write, previous: StoredVersion | None) -> str:
    if write.action == "delete":
        return "delete"
    if write.method == "POST":
        return "create"
    return "update-create" if previous is None or previous.deleted else "update"


def _decided(member: Member, plan: Plan, own: int, snapshot: Snapshot, view: MemberView) -> Decided:
    writes: set[Key] = {(one.type, one.id) for one in plan.writes}
    if len(writes) != len(plan.writes):
        raise Invalid("The same resource is written twice in one transaction.")
    for one in plan.writes:
        _check_expectation(one, snapshot)
    writes.update((cells.COLLECTION, one.id) for one in plan.cells)
    writes.update((locks.COLLECTION, name) for name in plan.locks)
    if plan.receipt is not None:
        writes.add((receipts.COLLECTION, plan.receipt[0]))
    taken = tuple(LockWrite(name, snapshot.locks[name]) for name in sorted(set(plan.locks)))
    return Decided(member, plan, own, snapshot, writes, view.reads | writes, taken)


def _check_expectation(write: Write, snapshot: Snapshot) -> None:
    """Refuse what can never be written, however often it is decided again."""
    key = (write.type, write.id)
    if key not in snapshot.resources:
        return
    known = snapshot.resources[key]
    version = known.version if known else 0
    if version != write.expected_version:
        raise VersionConflict(
            f"{write.type}/{write.id} is at version {version}, not at {write.expected_version}; "
            "read it again."
        )
