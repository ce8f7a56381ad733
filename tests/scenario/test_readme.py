"""README's tour, run as it stands against a running server."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_server.embedded import process
from fhir_server.settings import PREFIX
from tests.readme import stable, tour

ROOT = Path(__file__).parent.parent.parent
MARK = "@@@ end of step"


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which a server of our own is running."""
    environment = os.environ | {
        PREFIX + "PORT": str(process.free_port()),
        PREFIX + "DATA_DIR": str(tmp_path),
        PREFIX + "DEMO": "false",
        PREFIX + "WORKERS": "1",
    }
    command = [str(ROOT / ".venv/bin/fhir-server"), "serve"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as server:
        assert server.stdout is not None
        try:
            assert any(line.startswith("ready: ") for line in server.stdout)
            yield environment
        finally:
            server.terminate()
            server.communicate(timeout=20)


def test_tour_prints_what_readme_shows(serving: dict[str, str]) -> None:
    """Every command of the tour works and answers what README says."""
    steps = tour()
    script = "".join(f"{step.commands}echo '{MARK}'\n" for step in steps)
    ran = subprocess.run(
        ["bash", "-eu", "-c", script],
        env=serving,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stderr == ""
    printed = [stable(part) for part in ran.stdout.split(f"{MARK}\n")]
    expected = [stable(step.output or "") for step in steps]
    assert printed == [*expected, ""]
    assert len(steps) == 6
