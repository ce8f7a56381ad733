"""Targets beside figures, and the exit code."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import arguments, report, targets
from benchmarks.__main__ import _conclude, show
from benchmarks.runs import WORKLOADS
from benchmarks.targets import Target


def read(rate: float = 9000.0, p99: float = 12.0, **changes: Any) -> dict[str, Any]:
    return {
        "ok": 10,
        "errors": 0,
        "concurrency": 32,
        "req_per_s": rate,
        "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": p99, "max": 20.0, "mean": 1.0},
        "cpu_percent_of_a_core": {"api": 99.6, "beat": 0.0, "steal": 3.0},
        "error_samples": [],
        **changes,
    }


def results(*reads: dict[str, Any], **more: Any) -> dict[str, Any]:
    runs = [{"workload": "W1", "result": each} for each in reads]
    return {"label": "x", "when": "now", "cores": 2, "runs": runs, **more}


RATE = Target("W1", "req_per_s", "req/s", at_least=8000, where={"concurrency": 32})
P99 = Target("W1", "latency_ms.p99", "ms", at_most=20)


def verdicts(measured: dict[str, Any], *wanted: Target) -> list[str]:
    rows = targets.markdown(measured, list(wanted)).splitlines()[2:]
    return [row.split("|")[-2].strip() for row in rows]


def test_met_and_not_met() -> None:
    """At least and at most, at the bound as well."""
    assert verdicts(results(read()), RATE, P99) == ["met", "met"]
    assert verdicts(results(read(8000, 20)), RATE, P99) == ["met", "met"]
    assert verdicts(results(read(7999.9, 20.1)), RATE, P99) == ["not met", "not met"]


def test_other_runs_are_not_compared() -> None:
    """A target for 32 clients says nothing about one."""
    assert verdicts(results(read(concurrency=1)), RATE) == ["not measured"]
    assert verdicts(results(), P99) == ["not measured"]


def test_each_run_has_its_row() -> None:
    """Repeated runs are all compared."""
    assert verdicts(results(read(), read(10)), RATE) == ["met", "not met"]


def test_wrong_answers_meet_nothing() -> None:
    """However fast they were."""
    assert verdicts(results(read(errors=1)), RATE) == ["not met: wrong answers"]


def test_starts_are_compared() -> None:
    """The seconds until ready are a figure like others."""
    ready = Target("start", "ready_s", "s", at_most=10)
    starts = [{"data": "none", "ready_s": 3.0}, {"data": "some", "ready_s": 11.0}]
    assert verdicts(results(starts=starts), ready) == ["met", "not met"]


@pytest.mark.parametrize("bounds", [{}, {"at_least": 1, "at_most": 2}])
def test_target_has_one_bound(bounds: dict[str, Any]) -> None:
    """None says nothing, two are two targets."""
    with pytest.raises(ValueError, match="one of"):
        Target("W1", "req_per_s", "", **bounds)


def test_own_targets_name_known_workloads() -> None:
    """The file that is used by default is well-formed and complete."""
    own = targets.load(arguments.TARGETS)
    assert {each.workload for each in own} == {*WORKLOADS, targets.START}


def test_report_tells_figures_and_processors() -> None:
    """A row has rate, percentiles and whoever used a processor."""
    text = report.markdown(results(read(), {"error": "RuntimeError: 500"}))
    assert "| W1 | 32 | 9000.0 | 1.0 | 2.0 | 12.0 | 0 | pass | api 100, steal 3 |" in text
    assert "FAILED" in text
    assert "RuntimeError: 500" in text


def test_report_command_never_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures that are not met are information."""
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results(read(1.0))))
    given = ["report", str(file), "--targets", str(arguments.TARGETS)]
    show(arguments.parse(given))
    printed = capsys.readouterr().out
    assert "| W1 req_per_s (concurrency 32) | ≥ 8000 req/s | 1 | not met |" in printed


def test_wrong_answers_end_with_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A message as the exit code is told on standard error, and the code is 1."""
    _conclude(results(read()), None)
    with pytest.raises(SystemExit) as ended:
        _conclude(results(read(), read(errors=2)), arguments.TARGETS)
    assert str(ended.value.code).startswith("run 2 (W1): 2 wrong answers")
    assert "not met: wrong answers" in capsys.readouterr().out


def test_no_command_is_all() -> None:
    """`make bench` needs no arguments, and compares with the targets."""
    given = arguments.parse([])
    assert (given.command, given.targets) == ("all", arguments.TARGETS)
    assert arguments.load_of(given).booking == ("post", "book")
    assert arguments.sizes_of(given).slots == 20_000


@pytest.mark.parametrize("wrong", [["--workloads", "W9"], ["--booking", "hope"]])
def test_unknown_names_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Before a server is started."""
    with pytest.raises(SystemExit) as ended:
        arguments.parse(["all", *wrong])
    assert ended.value.code == 2
    assert "not among" in capsys.readouterr().err
