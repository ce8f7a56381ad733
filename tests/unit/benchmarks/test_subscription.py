"""W7: what counts as lost, twice and out of order."""

from typing import Any

import orjson
import pytest

from benchmarks.receiver import Receiver, appointment_in
from benchmarks.subscription import (
    Exchange,
    Volumes,
    inversions,
    is_good,
    late,
    told,
    versions_told,
)

MS = 1_000_000
TIMES = {n: Exchange(10 * n * MS, 10 * n * MS, (10 * n + 5) * MS) for n in range(4)}


def test_everything_told_in_order() -> None:
    """Latency begins with the request and with the answer."""
    result = told([(n, (10 * n + 8) * MS) for n in range(4)], TIMES)
    assert (result["lost"], result["duplicates"], result["out_of_order"]) == (0, 0, 0)
    assert result["latency_from_request_ms"]["p50"] == 8.0
    assert result["latency_from_answer_ms"]["p50"] == 3.0


def test_waiting_to_be_sent_counts() -> None:
    """A create that was sent late has waited since it was due."""
    result = told([(0, 50 * MS)], {0: Exchange(10 * MS, 30 * MS, 40 * MS)})
    assert result["latency_from_request_ms"]["max"] == 40.0
    assert result["sent_behind_ms"]["max"] == 20.0


def test_missing_and_repeated() -> None:
    """What did not come is lost; what came again counts with its first arrival."""
    result = told([(0, 8 * MS), (2, 28 * MS), (0, 90 * MS)], TIMES)
    assert (result["received"], result["lost"], result["duplicates"]) == (2, 2, 1)
    assert result["latency_from_request_ms"]["max"] == 8.0


def test_late_after_what_was_sent_later() -> None:
    """Only creates that did not overlap have an order."""
    assert late([0, 1, 2, 3], TIMES) == 0
    assert late([1, 0, 2, 3], TIMES) == 1
    overlapping = {0: Exchange(0, 0, 10), 1: Exchange(5, 5, 15)}
    assert late([1, 0], overlapping) == 0


@pytest.mark.parametrize(
    ("sequence", "count"), [([], 0), ([0, 1, 2], 0), ([0, 2, 1], 1), ([2, 0, 1], 2), ([1, 1], 0)]
)
def test_inversions(sequence: list[int], count: int) -> None:
    """Each that came after a newer one."""
    assert inversions(sequence) == count


def test_versions() -> None:
    """Each version once, each resource's in order, the resources in any."""
    versions = {"a": ["1", "2", "3"], "b": ["1", "2"]}
    right = versions_told(versions, [("b", "1"), ("a", "1"), ("a", "2"), ("b", "2"), ("a", "3")])
    assert (right["lost"], right["duplicates"], right["out_of_order"]) == (0, 0, 0)
    wrong = versions_told(versions, [("a", "2"), ("a", "1"), ("b", "1"), ("b", "1")])
    assert (wrong["lost"], wrong["duplicates"], wrong["out_of_order"]) == (2, 1, 1)
    assert wrong["resources_out_of_order"] == 1


def result(**changes: Any) -> dict[str, Any]:
    series = {"lost": 0, "duplicates": 0, "out_of_order": 0}
    return {
        **dict.fromkeys(("burst", "one_at_a_time", "paced", "updates"), series),
        "retry": {"never_redelivered": 0, "others_lost": 0},
        "unreadable_notifications": 0,
        "header_delivered": True,
        **changes,
    }


def test_good_result() -> None:
    """Nothing lost, nothing twice, all in order."""
    assert is_good(result())


@pytest.mark.parametrize("part", ["burst", "one_at_a_time", "paced", "updates"])
@pytest.mark.parametrize("what", ["lost", "duplicates", "out_of_order"])
def test_anything_lost_twice_or_out_of_order_fails(part: str, what: str) -> None:
    """In any part."""
    assert not is_good(result(**{part: {**result()[part], what: 1}}))


@pytest.mark.parametrize(
    "changes",
    [
        {"retry": {"never_redelivered": 1, "others_lost": 0}},
        {"retry": {"never_redelivered": 0, "others_lost": 1}},
        {"unreadable_notifications": 1},
        {"header_delivered": False},
    ],
)
def test_other_failures(changes: dict[str, Any]) -> None:
    """A refused delivery that never comes again, an unreadable one, a header left out."""
    assert not is_good(result(**changes))


def notification(description: str) -> bytes:
    return orjson.dumps(
        {
            "resourceType": "Appointment",
            "id": "a",
            "meta": {"versionId": "1"},
            "description": description,
        }
    )


def test_receiver_refuses_the_first_delivery_only() -> None:
    """And remembers both, and what it could not read."""
    receiver = Receiver()
    receiver.refuse = {"one"}
    statuses = [receiver.take({}, notification(each)) for each in ("one", "two", "one")]
    assert statuses == [503, 200, 200]
    assert [each.refused for each in receiver.arrivals] == [True, False, False]
    assert receiver.take({}, b"") == 200
    assert receiver.unreadable == [b""]


@pytest.mark.parametrize("body", [b"[]", b"1", b"{", b'{"resourceType":"Patient"}'])
def test_body_without_an_appointment(body: bytes) -> None:
    """Whatever it is, it is no Appointment."""
    assert appointment_in(body) is None


def test_appointment_in_a_notification_bundle() -> None:
    """The R5 backport wraps it."""
    inside = orjson.loads(notification("x"))
    entries = [{"resource": {"resourceType": "SubscriptionStatus"}}, {"resource": inside}]
    bundle = {"resourceType": "Bundle", "entry": entries}
    assert appointment_in(orjson.dumps(bundle)) == inside


def test_volumes_in_proportion() -> None:
    """The defaults are those of the default burst."""
    assert Volumes.of(500, 100.0, 10.0) == Volumes()
    assert Volumes.of(1, 100.0, 10.0).updated == 1
