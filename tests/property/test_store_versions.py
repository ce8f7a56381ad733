"""Whatever is written at once, current documents, history, outbox and audit trail agree."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fhir_server.fhir.errors import FhirError
from fhir_server.scheduling.plan import Action, Decide, Plan, View, Write
from fhir_server.settings import Settings
from fhir_server.store.store import Store
from tests.fixtures_store import assert_consistent, basic, context, loaded

Step = tuple[str, int | None]
"""A resource, and the version to write upon; None for whatever is current."""

_IDS = ["a", "b", "c"]
_STEPS = st.lists(
    st.tuples(st.sampled_from(_IDS), st.one_of(st.none(), st.integers(0, 3))),
    min_size=1,
    max_size=3,
    unique_by=lambda step: step[0],
)
_DECISIONS = st.lists(st.tuples(_STEPS, st.booleans(), st.booleans()), min_size=1, max_size=12)


def _deciding(steps: Sequence[Step], *, delete: bool) -> Decide:
    def decide(view: View) -> Plan:
        return Plan(tuple(_write(view, step, delete=delete) for step in steps))

    return decide


def _write(view: View, step: Step, *, delete: bool) -> Write:
    logical_id, wanted = step
    found = view.get("Basic", logical_id)
    current = found.version if found else 0
    expected = current if wanted is None else wanted
    if delete and found is not None and not found.deleted:
        return Write("Basic", logical_id, "delete", None, "DELETE", expected)
    action: Action = "update" if current else "create"
    return Write("Basic", logical_id, action, basic(), "PUT", expected)


async def test_all_collections_agree_after_any_mix_of_writes(settings: Settings) -> None:
    """Concurrent plans from two processes are written whole or refused whole."""
    first = await Store.open(settings, loaded())
    second = await Store.open(settings, loaded())
    names = iter(f"tenant{number}" for number in range(10_000))
    loop = asyncio.get_running_loop()

    async def play(decisions: list[tuple[list[Step], bool, bool]]) -> None:
        tenant = next(names)
        ctx = context(tenant=tenant)
        results = await asyncio.gather(
            *(
                (first if one else second).run(
                    ctx, _deciding(steps, delete=delete), interaction="transaction"
                )
                for steps, delete, one in decisions
            ),
            return_exceptions=True,
        )
        versions = await assert_consistent(first, "Basic", tenant)
        written = 0
        for (steps, _, _), result in zip(decisions, results, strict=True):
            if isinstance(result, BaseException):
                assert isinstance(result, FhirError), result
            else:
                assert [one.id for one in result.versions] == [step[0] for step in steps]
                written += len(steps)
        assert sum(versions.values()) == written
        await first.connection.client.drop_database(first.database(tenant).name)

    @given(decisions=_DECISIONS)
    @examples(max_examples=40)
    def check(decisions: list[tuple[list[Step], bool, bool]]) -> None:
        asyncio.run_coroutine_threadsafe(play(decisions), loop).result()

    try:
        await asyncio.to_thread(check)
    finally:
        await first.close()
        await second.close()
