"""How failures are counted and when the next attempt is due."""

from datetime import UTC, datetime, timedelta

from fhir_server.store.deliveries import Trouble
from fhir_server.subscriptions.channels.rest_hook import Outcome
from fhir_server.subscriptions.drain import next_trouble

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_waits_double_and_stay_within_the_budget() -> None:
    """Every wait is about twice the one before; the last attempt is at the end of the budget."""
    trouble: Trouble | None = None
    now = NOW
    waits = []
    while trouble is None or trouble.due_at > now:
        if trouble is not None:
            now = trouble.due_at
        trouble = next_trouble(trouble, 3, Outcome("no"), now=now, budget=HOUR, jitter=1.0)
        waits.append((trouble.due_at - now).total_seconds())
    assert waits[:4] == [0.5, 1, 2, 4]
    assert max(waits) == 300
    assert now == NOW + HOUR
    assert trouble.since == NOW
    assert trouble.tries == len(waits)


def test_jitter_shortens() -> None:
    """Many subscribers that failed together do not come back together."""
    trouble = next_trouble(None, 1, Outcome("no"), now=NOW, budget=HOUR, jitter=0.5)
    assert trouble.due_at == NOW + timedelta(seconds=0.25)


def test_changed_subscription_gets_a_new_budget() -> None:
    """Failures under an older version of the Subscription are forgotten."""
    old = Trouble(1, NOW - HOUR, 40, NOW, "no")
    trouble = next_trouble(old, 2, Outcome("no"), now=NOW, budget=HOUR, jitter=1)
    assert (trouble.tries, trouble.since) == (1, NOW)


def test_endpoint_may_ask_to_wait() -> None:
    """Retry-After is obeyed, within the budget."""
    trouble = next_trouble(None, 1, Outcome("no", 90), now=NOW, budget=HOUR, jitter=1)
    assert trouble.due_at == NOW + timedelta(seconds=90)
    trouble = next_trouble(
        None, 1, Outcome("no", 90), now=NOW, budget=timedelta(seconds=60), jitter=1
    )
    assert trouble.due_at == NOW + timedelta(seconds=60)
