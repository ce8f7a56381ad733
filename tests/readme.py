"""Reads the tour out of README.md: shell blocks, and what each is said to print."""

import re
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|\+00:00)"), "INSTANT"),
    (re.compile(r'"created": "\d{4}-\d\d-\d\d[^"]*"'), '"created": "DATE"'),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"_page=[^\"&]+"), "_page=TOKEN"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One shell block of the tour; `output` is None where README shows none."""

    commands: str
    output: str | None


def tour() -> list[Step]:
    """The steps in order."""
    steps: list[Step] = []
    for language, text in _BLOCK.findall(README.read_text("utf-8")):
        if language == "sh":
            steps.append(Step(text, None))
        else:
            steps[-1] = Step(steps[-1].commands, text)
    return steps


def stable(text: str) -> str:
    """The text without what differs from run to run: instants, ids, ports."""
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    return text.strip()
