"""Group commit: decisions that wait at the same moment share one MongoDB transaction.

Each member of a group is decided, refused or retried alone; only the round trips are shared.
Within a process, members that touch the same document wait for each other in the order in which
they came; across processes the versions compared by `commit` decide.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pymongo.errors import PyMongoError

from fhir_server.context import Clock, RequestContext
from fhir_server.fhir.errors import FhirError, Transient
from fhir_server.fhir.ids import IdSource
from fhir_server.observability import COMMIT_RETRIES, GROUP_COMMIT_MEMBERS
from fhir_server.scheduling.plan import Decide
from fhir_server.store.commit import Batch, OutcomeUnknown, Overtaken
from fhir_server.store.errors import is_transient
from fhir_server.store.transaction import Committed, Decided, Member, Transactions
from fhir_server.store.view import Key

LARGEST_GROUP = 128
LANES = 2
"""Groups in flight per process: while one waits for MongoDB, the other is decided."""

_LONGEST_QUEUE = 4_096
_LARGEST_GROUP_BYTES = 8_000_000
_PATIENCE_SECONDS = 12.0
"""Longer than an election, and than MongoDB keeps what a killed process was writing locked."""
_TRUSTING_ATTEMPTS = 3
"""Most members of a group that was overtaken are innocent; decided anew, the others are refused or
fit again. Only a group that fails this often is split."""
_FIRST_DELAY_MILLISECONDS = 2
_LONGEST_DELAY_MILLISECONDS = 500


@dataclass(slots=True, eq=False)
class Group:
    """Members on their way into one transaction.

    Attributes:
        writing: what its members write, and what those who wait for it want to write.
        written: what its members write themselves.
        stale: what other groups have written since this one began to load.
        followers: who must be decided after it, in order.
    """

    tenant: str
    members: list[Member]
    writing: set[Key] = field(default_factory=set)
    written: set[Key] = field(default_factory=set)
    stale: set[Key] = field(default_factory=set)
    followers: list[Member] = field(default_factory=list)


class GroupCommit:
    """Queues decisions and leads them through commits; one per process."""

    def __init__(self, transactions: Transactions, *, clock: Clock, new_id: IdSource) -> None:
        self._transactions = transactions
        self._clock = clock
        self._new_id = new_id
        self._queues: dict[str, deque[Member]] = {}
        self._active: list[Group] = []
        self._leaders: set[asyncio.Task[None]] = set()
        self._futures: set[asyncio.Future[Committed]] = set()
        self._scheduled = False
        self._closed = False

    async def run(
        self,
        context: RequestContext,
        decide: Decide,
        interaction: str,
        aims: tuple[Key, ...] = (),
    ) -> Committed:
        """Decide and write; see `Store.run`."""
        if self._closed or len(self._futures) >= _LONGEST_QUEUE:
            raise Transient("The server is busy or about to stop; try again.")
        loop = asyncio.get_running_loop()
        member = Member(context, decide, interaction, loop.create_future(), loop.time(), aims)
        self._futures.add(member.future)
        member.future.add_done_callback(self._futures.discard)
        self._enqueue([member])
        return await member.future

    async def close(self) -> None:
        """Refuse new members and wait for those that were accepted."""
        self._closed = True
        while self._futures or self._leaders:
            under_way: list[asyncio.Future[Any]] = [*self._futures, *self._leaders]
            await asyncio.wait(under_way)

    def _enqueue(self, members: Iterable[Member]) -> None:
        for member in members:
            self._queues.setdefault(member.context.tenant, deque()).append(member)
        self._wake()

    def _put_back(self, members: list[Member]) -> None:
        """To the front: they have waited longest."""
        for member in reversed(members):
            self._queues.setdefault(member.context.tenant, deque()).appendleft(member)

    def _wake(self) -> None:
        """Start groups at the end of this turn of the event loop, when all have queued up."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._scheduled = False
        while len(self._active) < LANES and self._queues:
            group = self._take()
            if group.members:
                self._active.append(group)
                leader = asyncio.create_task(self._lead(group))
                self._leaders.add(leader)
                leader.add_done_callback(self._leaders.discard)

    def _take(self) -> Group:
        """The next group of the tenant whose turn it is."""
        tenant, queue = next(iter(self._queues.items()))
        del self._queues[tenant]
        members: list[Member] = []
        limit = LARGEST_GROUP
        while queue:
            limit = min(limit, queue[0].company)
            if members and len(members) >= limit:
                break
            member = queue.popleft()
            if not member.future.done():
                members.append(member)
        if queue:
            self._queues[tenant] = queue
        return Group(tenant, members)

    async def _lead(self, group: Group) -> None:
        try:
            await self._serve(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must reach the callers
            self._give_up(group.members, error)
        finally:
            self._active.remove(group)
            for other in self._active:
                if other.tenant == group.tenant:
                    other.stale |= group.written
            self._put_back(group.followers)
            self._wake()

    async def _serve(self, group: Group) -> None:
        try:
            decided = await self._transactions.decide(group.tenant, group.members)
        except Transient as error:
            self._retry(group.members, error)
            return
        chosen = self._choose(group, decided)
        if not chosen:
            return
        batch = Batch(self._new_id(), self._clock())
        ready = self._fill(group, batch, chosen)
        if not ready:
            return
        members = [one.member for one in ready]
        for one in ready:
            one.member.contested = frozenset(one.writes)
        try:
            await self._transactions.commit(group.tenant, batch)
        except Overtaken as error:
            self._retry(members, error)
        except OutcomeUnknown as error:
            self._give_up(members, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must reach the callers
            self._isolate(members, error)
        else:
            GROUP_COMMIT_MEMBERS.observe(len(ready))
            group.written = set().union(*(one.writes for one in ready))
            for one in ready:
                one.member.resolve(one.committed())

    def _fill(self, group: Group, batch: Batch, chosen: list[Decided]) -> list[Decided]:
        """Make the members' documents; those beyond a good size wait for the next group."""
        ready: list[Decided] = []
        for one in chosen:
            if batch.size > _LARGEST_GROUP_BYTES:
                group.followers.append(one.member)
            elif self._transactions.add(batch, one):
                ready.append(one)
        return ready

    def _choose(self, group: Group, decided: list[Decided]) -> list[Decided]:
        """The members that can be written together; the others wait for whom they collide with."""
        chosen: list[Decided] = []
        again: list[Member] = []
        for one in decided:
            blocker = self._blocker(group, one)
            if blocker:
                blocker.writing |= one.writes
                blocker.followers.append(one.member)
            elif not one.touched.isdisjoint(group.stale):
                again.append(one.member)
            else:
                group.writing |= one.writes
                chosen.append(one)
        self._put_back(again)
        return chosen

    def _blocker(self, group: Group, decided: Decided) -> Group | None:
        for other in self._active:
            foreign = other is not group and other.tenant == group.tenant
            if foreign and not decided.touched.isdisjoint(other.writing):
                return other
        return None if decided.touched.isdisjoint(group.writing) else group

    def _isolate(self, members: list[Member], error: Exception) -> None:
        """After a failure that one member may have caused alone, find out which."""
        if len(members) == 1 and not _is_transient(error):
            self._give_up(members, error)
            return
        if not _is_transient(error):
            for member in members:
                member.company = 1
        self._retry(members, error)

    def _retry(self, members: list[Member], error: Exception) -> None:
        """Decide again soon, after a while in smaller company, so that nobody fails for others."""
        loop = asyncio.get_running_loop()
        again: list[Member] = []
        COMMIT_RETRIES.inc(len(members))
        for member in members:
            member.attempts += 1
            if member.attempts >= _TRUSTING_ATTEMPTS:
                member.company = min(member.company, max(1, len(members) // 2))
            if loop.time() - member.since > _PATIENCE_SECONDS:
                self._give_up([member], error)
            else:
                again.append(member)
        if again:
            attempts = min(member.attempts for member in again)
            loop.call_later(_delay_seconds(attempts), self._come_back, again)

    def _come_back(self, members: list[Member]) -> None:
        self._put_back(members)
        self._wake()

    def _give_up(self, members: list[Member], error: Exception) -> None:
        for member in members:
            member.refuse(_for_caller(error))


def _is_transient(error: Exception) -> bool:
    if isinstance(error, PyMongoError):
        return is_transient(error)
    return isinstance(error, Transient)


def _for_caller(error: Exception) -> Exception:
    """A refusal of its own for each member: exceptions carry their traceback."""
    if isinstance(error, OutcomeUnknown):
        return Transient(
            "The database was lost while this was written and it is not known whether it was; "
            "read before you try again, or repeat with If-Match.",
            retry_after=5,
        )
    if isinstance(error, Overtaken):
        return Transient("Others changed the same resources all the time; nothing was written.")
    if _is_transient(error):
        return Transient("The database cannot be reached; nothing was written.", retry_after=2)
    if isinstance(error, FhirError):
        return error
    return RuntimeError(f"writing failed: {error!r}").with_traceback(error.__traceback__)


def _delay_seconds(attempts: int) -> float:
    most = min(_FIRST_DELAY_MILLISECONDS << min(attempts, 10), _LONGEST_DELAY_MILLISECONDS)
    return secrets.randbelow(most * 1_000) / 1_000_000
