"""Renews the lock files, or checks that they belong to pyproject.toml.

`python requirements/lock.py` resolves anew; `python requirements/lock.py --check` needs no network.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

FOLDER = Path(__file__).resolve().parent
PYPROJECT = FOLDER.parent / "pyproject.toml"
LOCKS: dict[str, tuple[str, ...]] = {
    # What development and tests need on one machine; what a server among others needs.
    "dev.lock": ("embedded", "demo", "dev"),
    "server.lock": ("demo",),
}
PIP_COMPILE = (sys.executable, "-m", "piptools", "compile")
OPTIONS = (
    "--quiet",
    "--upgrade",
    "--generate-hashes",
    "--allow-unsafe",
    "--strip-extras",
    "--all-build-deps",
    # Where packages come from is the machine's business, not the project's.
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
    "--no-emit-options",
    "--resolver=backtracking",
    "--newline=lf",
)
STAMP = "# dependencies of pyproject.toml: sha256 "
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def read() -> tuple[dict[str, Any], str]:
    """The project table, and a hash of everything that decides what is locked."""
    content = tomllib.loads(PYPROJECT.read_text("utf-8"))
    project = content["project"]
    relevant = [
        project["dependencies"],
        project["optional-dependencies"],
        project["requires-python"],
        content["build-system"]["requires"],
    ]
    text = json.dumps(relevant, sort_keys=True)
    return project, hashlib.sha256(text.encode()).hexdigest()


def renew() -> None:
    """Resolves every lock file with the newest versions allowed."""
    _, stamp = read()
    environment = {**os.environ, "CUSTOM_COMPILE_COMMAND": "make lock"}
    for name, extras in LOCKS.items():
        target = FOLDER / name
        chosen = [f"--extra={extra}" for extra in extras]
        output = f"--output-file={target.relative_to(PYPROJECT.parent)}"
        subprocess.run(
            [*PIP_COMPILE, *OPTIONS, *chosen, output, PYPROJECT.name],
            cwd=PYPROJECT.parent,
            env=environment,
            check=True,
        )
        target.write_text(STAMP + stamp + "\n" + target.read_text("utf-8"), "utf-8")


def problems() -> list[str]:
    """What is wrong with the lock files; empty when they may be installed."""
    project, stamp = read()
    found = []
    for lock, extras in LOCKS.items():
        text = (FOLDER / lock).read_text("utf-8")
        if text.partition("\n")[0] != STAMP + stamp:
            found.append(f"{lock} does not belong to pyproject.toml")
        if "://" in text:
            found.append(f"{lock} names a host")
        pins = {canonicalize_name(name): version for name, version in PIN.findall(text)}
        lines = list(project["dependencies"])
        for extra in extras:
            lines += project["optional-dependencies"][extra]
        found += [f"{lock}: {line} is not met" for line in lines if not is_met(line, pins)]
    return found


def is_met(line: str, pins: Mapping[NormalizedName, str]) -> bool:
    """Whether the pins hold a version that the requirement allows."""
    requirement = Requirement(line)
    environment = {str(key): str(value) for key, value in default_environment().items()}
    if requirement.marker is not None and not requirement.marker.evaluate(environment):
        return True
    version = pins.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def main(arguments: Sequence[str]) -> int:
    """Renews, or checks when told so; the exit code."""
    if "--check" not in arguments:
        renew()
        return 0
    found = problems()
    for problem in found:
        sys.stderr.write(f"{problem}; run make lock\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
