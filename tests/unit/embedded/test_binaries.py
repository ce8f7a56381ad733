"""Where MongoDB and Redis come from."""

import importlib.util
import platform
import sys
from pathlib import Path

import pytest

from fhir_server.embedded import binaries
from fhir_server.operator_error import OperatorError


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with nothing on PATH and without the wheels."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    return monkeypatch


def test_path_comes_before_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator's own mongod is preferred."""
    own = tmp_path / "mongod"
    own.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binaries.find("mongod") == own


@pytest.mark.parametrize("name", ["mongod", "redis-server"])
def test_wheel_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one on PATH the wheel's program is used."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert binaries.find(name).name == name


def test_unsupported_platform(bare: pytest.MonkeyPatch) -> None:
    """Where there is no wheel, the operator learns the two ways out."""
    bare.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(OperatorError, match=r"aarch64; install mongod .* FHIR_SERVER_MONGODB_URL"):
        binaries.find("mongod")


def test_extra_is_not_installed(bare: pytest.MonkeyPatch) -> None:
    """Where there is a wheel, the operator learns how to install it."""
    bare.setattr(platform, "machine", lambda: "x86_64")
    bare.setattr(sys, "platform", "linux")
    with pytest.raises(OperatorError, match=r"fhir-server\[embedded\].*FHIR_SERVER_REDIS_URL"):
        binaries.find("redis-server")


@pytest.mark.parametrize(
    ("library", "remedy"),
    [
        ("libcurl.so.4", "apt-get install libcurl4"),
        ("libother.so.7", "install the package with libother.so.7"),
    ],
)
def test_missing_library_names_the_package(library: str, remedy: str) -> None:
    """The loader's words become what is missing and what to install."""
    output = (
        f"/x/mongod: error while loading shared libraries: {library}: "
        "cannot open shared object file: No such file or directory\n"
    )
    error = binaries.missing_library("mongod", output)
    assert str(error) == f"mongod needs the system library {library}, which is missing; {remedy}"


def test_other_output_is_no_missing_library() -> None:
    """Ordinary log lines mean nothing of the kind."""
    assert binaries.missing_library("mongod", "Failed to set up listener") is None
