"""W6: what the rivals are told, and the verdict on what was booked."""

from typing import Any

import orjson
import pytest

from benchmarks.booking import Book, Target, outcome_of
from benchmarks.http import Auth, Client, Response
from benchmarks.race import STRATEGIES, Race
from benchmarks.resources import BASE
from benchmarks.runs import fault

TARGETS = 3


def answer(status: int, body: Any = None) -> Response:
    return Response(status, {}, orjson.dumps(body), 1_000_000)


def race() -> Race:
    manifest: Any = {}
    strategy = Book(Client("http://127.0.0.1:1/fhir", Auth()), manifest)
    strategy.targets = [Target("s", BASE, slot=str(n)) for n in range(TARGETS)]
    return Race(strategy, seed=1)


def won(run: Race, *numbers: int) -> Race:
    for number in numbers:
        run.told(number, "won", answer(201))
    return run


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "won"),
        (201, "won"),
        (409, "lost"),
        (412, "lost"),
        (400, "error 400"),
        (422, "error 422"),
        (500, "error 500"),
        (503, "error 503"),
    ],
)
def test_outcome_of_a_status(status: int, outcome: str) -> None:
    """Only a conflict is a clean refusal."""
    assert outcome_of(answer(status)) == outcome


def test_each_slot_booked_once_passes() -> None:
    """Everybody else lost."""
    run = won(race(), 0, 1, 2)
    run.told(0, "lost", answer(409, {"issue": [{"code": "conflict"}]}))
    assert run.verdict([1, 1, 1])["pass"]
    assert dict(run.outcomes) == {"won": 3, "lost": 1}
    assert dict(run.refusals) == {"409 conflict": 1}


def test_double_booking_fails() -> None:
    """Two live appointments on a slot, though only one client was told so."""
    verdict = won(race(), 0, 1, 2).verdict([1, 2, 1])
    assert (verdict["double_booked"], verdict["pass"]) == (1, False)


def test_two_winners_fail() -> None:
    """Two clients were told yes, though one appointment is live."""
    verdict = won(race(), 0, 1, 2, 2).verdict([1, 1, 1])
    assert (verdict["two_clients_told_yes"], verdict["pass"]) == (1, False)


def test_unbooked_slot_fails() -> None:
    """A slot that everybody was refused is a lost booking."""
    verdict = won(race(), 0, 1).verdict([1, 1, 0])
    assert (verdict["never_booked"], verdict["pass"]) == (1, False)


def test_acknowledged_booking_that_is_gone_fails() -> None:
    """The client was told yes and the server knows nothing of it."""
    verdict = won(race(), 0, 1, 2).verdict([1, 1, 0])
    assert (verdict["never_booked"], verdict["pass"]) == (1, False)


def test_inconsistent_slot_fails() -> None:
    """A booked slot that is still free to others."""
    run = won(race(), 0, 1, 2)
    run.strategy.targets[1].consistent = False
    verdict = run.verdict([1, 1, 1])
    assert (verdict["inconsistent_slots"], verdict["pass"]) == (1, False)


def test_other_statuses_are_errors() -> None:
    """A rival who gets a 5xx neither won nor lost."""
    run = race()
    run.told(0, "error 503", answer(503, {"a": 1}))
    assert (run.errors, run.samples) == (1, ['error 503: 503 {"a":1}'])
    assert fault({"errors": run.errors, "error_samples": run.samples, "check": {"pass": True}})


def test_default_strategies_exist() -> None:
    """Both ways of our own, and those of others."""
    assert {"post", "book", "transaction"} < set(STRATEGIES)
