"""Percentiles and what counts as an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stats import SAMPLES, Recorder, percentile, summary_ms


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0.0, 1), (0.50, 51), (0.95, 96), (0.99, 100), (1.0, 100)]
)
def test_percentile_of_a_hundred(fraction: float, expected: int) -> None:
    """Less than the rest of the values lie above a percentile."""
    assert percentile(range(1, 101), fraction) == expected


@given(st.lists(st.integers(0, 10**9), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_percentile_flatters_nobody(values: list[int], fraction: float) -> None:
    """At least the named share of the values is no larger."""
    found = percentile(sorted(values), fraction)
    assert found in values
    assert sum(each <= found for each in values) >= fraction * len(values)


def test_summary_is_in_milliseconds() -> None:
    """Nanoseconds come in, milliseconds go out."""
    summary = summary_ms([3_000_000, 1_000_000, 2_000_000])
    assert summary == {"p50": 2.0, "p95": 3.0, "p99": 3.0, "max": 3.0, "mean": 2.0}


def test_summary_of_nothing_is_empty() -> None:
    """Without a good answer there is no latency to be proud of."""
    assert summary_ms([]) == {}


def test_wrong_answer_is_an_error_and_no_latency() -> None:
    """A fast wrong answer neither adds to the rate nor to the percentiles."""
    recorder = Recorder()
    recorder.add(5_000_000, 200, None)
    recorder.add(1_000, 200, "somebody else's appointment")
    result = recorder.result(2.0)
    assert (result["ok"], result["errors"], result["req_per_s"]) == (1, 1, 0.5)
    assert result["latency_ms"]["p50"] == 5.0
    assert result["statuses"] == {"200": 2}
    assert result["error_samples"] == ["somebody else's appointment"]


def test_few_samples_are_kept() -> None:
    """Every error counts, the first few are shown."""
    recorder = Recorder()
    for number in range(100):
        recorder.add(0, 500, f"error {number}")
    result = recorder.result(1.0)
    assert result["errors"] == 100
    assert result["error_samples"] == [f"error {number}" for number in range(SAMPLES)]
