"""What is installed from a wheel is complete without the checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARTEFACTS = ("profiles", "capability", "subscriptions")
SOURCES = ("fhir_server", *ARTEFACTS)
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources and unpacked, as pip would."""
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    wheels = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels)]
    done = subprocess.run([*build, str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.glob("*.whl")
    target = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(target)
    return target


def test_wheel_carries_every_artefact_and_module(installed: Path) -> None:
    """Nothing of the three folders and of the package is left behind."""
    for name in ARTEFACTS:
        ours = {path.name for path in (ROOT / name).glob("*.json")}
        assert {
            path.name for path in (installed / "fhir_server/_artefacts" / name).iterdir()
        } == ours
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "fhir_server").rglob("*.py")}
    assert {str(p.relative_to(installed)) for p in installed.rglob("*.py")} == modules


def test_wheel_serves_the_same_definitions(installed: Path, tmp_path: Path) -> None:
    """Away from the checkout the loader finds the wheel's own artefacts, and they are the same."""
    program = (
        "import json, fhir_server; from fhir_server.definitions.loader import load;"
        "print(json.dumps([fhir_server.__file__, load().artefact_hash]))"
    )

    def ask(path: Path) -> list[str]:
        env = os.environ | {"PYTHONPATH": str(path)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=env, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        answer: list[str] = json.loads(done.stdout)
        return answer

    from_wheel, from_checkout = ask(installed), ask(ROOT)
    assert Path(from_wheel[0]).is_relative_to(installed)
    assert Path(from_checkout[0]).is_relative_to(ROOT)
    assert from_wheel[1] == from_checkout[1]
