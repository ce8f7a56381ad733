"""Figures to reach, beside those that were measured. Information, never a verdict."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.resources import Json
from benchmarks.runs import fault

START = "start"
"""Names the starts of our own server where a workload is meant otherwise."""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure to reach, in every run that it applies to.

    Attributes:
        workload: W1 to W7, or "start".
        figure: where it is in the run's result, with dots between the steps.
        unit: for people.
        where: what the result must also say for the target to apply.
    """

    workload: str
    figure: str
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    where: Json = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses what says nothing or contradicts itself."""
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"{self.workload} {self.figure}: give one of at_least and at_most")

    def applies(self, workload: str, result: Json) -> bool:
        """Whether a run is one of those meant."""
        return workload == self.workload and all(
            result.get(name) == value for name, value in self.where.items()
        )

    def is_met(self, value: float) -> bool:
        """Whether the figure reaches the target."""
        if self.at_least is not None:
            return value >= self.at_least
        return self.at_most is not None and value <= self.at_most

    @property
    def wanted(self) -> str:
        """The target, for people."""
        sign, bound = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        return f"{sign} {bound:g} {self.unit}".strip()


def load(path: Path) -> list[Target]:
    """Reads targets.

    Raises:
        TypeError: an entry has an unknown field, or lacks one.
        ValueError: it is not JSON, or an entry has no bound or two.
    """
    return [Target(**entry) for entry in json.loads(path.read_text("utf-8"))]


def figure(result: Json, path: str) -> float | None:
    """The number at a dotted path; None where there is none."""
    found: Any = result
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return float(found) if isinstance(found, int | float) else None


def markdown(results: Json, targets: list[Target]) -> str:
    """A row for each target and each run that it applies to.

    A run with a wrong answer meets nothing, however fast it was.
    """
    lines = [
        "| figure | to reach | measured | |",
        "|---|---|---|---|",
    ]
    runs = [(run["workload"], run["result"]) for run in results["runs"]]
    runs += [(START, each) for each in results.get("starts", [])]
    for target in targets:
        applied = [result for workload, result in runs if target.applies(workload, result)]
        for result in applied or [{}]:
            value = figure(result, target.figure)
            measured = "-" if value is None else f"{value:g}"
            name = _name(target, result)
            lines.append(f"| {name} | {target.wanted} | {measured} | {_verdict(target, result)} |")
    return "\n".join(lines) + "\n"


def _name(target: Target, result: Json) -> str:
    variant = [f"{name} {value}" for name, value in target.where.items()]
    variant += [str(result[key]) for key in ("strategy", "data") if key in result]
    return f"{target.workload} {target.figure}" + (f" ({', '.join(variant)})" if variant else "")


def _verdict(target: Target, result: Json) -> str:
    value = figure(result, target.figure)
    if value is None:
        return "not measured"
    if fault(result):
        return "not met: wrong answers"
    return "met" if target.is_met(value) else "not met"
