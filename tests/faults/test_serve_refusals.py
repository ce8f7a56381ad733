"""What an operator reads when something outside the program is wrong."""

import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from fhir_server.embedded import binaries, process
from tests.faults.serving import environment, run


def refusal(env: dict[str, str], *arguments: str) -> str:
    """The one line of a command that refuses to run."""
    done = run(*(arguments or ("serve",)), env=env)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert re.fullmatch(r"fhir-server: [^\n]+\n", done.stderr), done.stderr
    return done.stderr


def test_taken_port(tmp_path: Path) -> None:
    """The line names the port and the setting; nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = refusal(environment(tmp_path / "data", port=port))
    assert f"port {port} on 127.0.0.1 is taken" in line
    assert "FHIR_SERVER_PORT" in line
    assert not (tmp_path / "data/run.json").exists()


def test_read_only_data_folder() -> None:
    """The line names the folder; /sys refuses even the superuser."""
    line = refusal(environment(Path("/sys/kernel")))
    assert "cannot write to the data folder /sys/kernel" in line
    assert "FHIR_SERVER_DATA_DIR" in line


def test_data_folder_that_is_a_file(tmp_path: Path) -> None:
    """A file in the place of the folder is refused too."""
    (tmp_path / "data").touch()
    assert "cannot write to the data folder" in refusal(environment(tmp_path / "data"))


@pytest.mark.parametrize("command", ["serve", "api", "sequencer", "token --scope system/*.rs"])
def test_unreachable_mongodb(command: str, tmp_path: Path) -> None:
    """Every command names the address and the setting, and no password."""
    url = f"mongodb://u:secret@127.0.0.1:{process.free_port()}/?replicaSet=fhir"
    env = environment(tmp_path, mongodb_url=url, redis_url="redis://127.0.0.1:1/0")
    if command == "serve":
        del env["FHIR_SERVER_REDIS_URL"]
    line = refusal(env | {"FHIR_SERVER_PORT": str(process.free_port())}, *command.split())
    assert "cannot reach MongoDB at 127.0.0.1:" in line
    assert "FHIR_SERVER_MONGODB_URL" in line
    assert "secret" not in line


def test_illegal_mongodb_url(tmp_path: Path) -> None:
    """A URL of another kind is told how to be written."""
    line = refusal(environment(tmp_path, mongodb_url="http://127.0.0.1/"))
    assert "write it as mongodb://" in line


def test_unreachable_redis(tmp_path: Path, mongodb_url: str) -> None:
    """The same for Redis."""
    url = f"redis://:secret@127.0.0.1:{process.free_port()}/0"
    line = refusal(
        environment(tmp_path, mongodb_url=mongodb_url, redis_url=url, port=process.free_port())
    )
    assert "cannot use Redis at 127.0.0.1:" in line
    assert "secret" not in line


@pytest.mark.parametrize("query", ["", "?replicaSet=fhir"])
def test_mongodb_that_is_no_replica_set(query: str, tmp_path: Path, standalone: str) -> None:
    """The line says what transactions need and how to get it."""
    line = refusal(environment(tmp_path, mongodb_url=standalone + query, port=process.free_port()))
    assert "is no replica set" in line
    assert "rs.initiate()" in line


def test_unknown_setting(tmp_path: Path) -> None:
    """A misspelt variable is not silently ignored."""
    line = refusal(environment(tmp_path, prot=8001))
    assert "unknown setting FHIR_SERVER_PROT" in line


def test_illegal_setting(tmp_path: Path) -> None:
    """A value out of range is named with its variable."""
    line = refusal(environment(tmp_path, port=70_000))
    assert "FHIR_SERVER_PORT=70000" in line


def test_no_server_to_talk_to(tmp_path: Path) -> None:
    """A command beside no server says how to start one."""
    line = refusal(environment(tmp_path), "token", "--scope", "system/*.rs")
    assert "no server is running on" in line
    assert "fhir-server serve" in line


def test_missing_system_library(tmp_path: Path) -> None:
    """The loader's refusal becomes a plain line.

    This is the real mongod, except that the name of one library it needs is replaced by one that
    no system has, so the system's own loader refuses it.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    content = binaries.find("mongod").read_bytes()
    assert content.count(b"\0libcurl.so.4\0") == 1
    broken = programs / "mongod"
    broken.write_bytes(content.replace(b"\0libcurl.so.4\0", b"\0libcurl.so.0\0"))
    broken.chmod(0o755)
    env = environment(tmp_path / "data", port=process.free_port())
    line = refusal(env | {"PATH": f"{programs}{os.pathsep}{env['PATH']}"})
    assert "mongod needs the system library libcurl.so.0, which is missing" in line


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MongoDB that somebody started without thinking of transactions."""
    folder = tmp_path_factory.mktemp("standalone")
    port = process.free_port()
    command: list[str | Path] = [
        *(binaries.find("mongod"), "--dbpath", folder, "--port", str(port), "--nounixsocket"),
        *("--bind_ip", "127.0.0.1", "--wiredTigerCacheSizeGB", "0.25"),
    ]
    child = process.spawn(command, log=folder / "log", env=os.environ)
    with MongoClient[dict[str, object]]("127.0.0.1", port, directConnection=True) as client:
        client.admin.command("ping")
        yield f"mongodb://127.0.0.1:{port}/"
    process.end(child, seconds=10)
    shutil.rmtree(folder)
