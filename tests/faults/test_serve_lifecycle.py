"""`fhir-server serve`: start, stop, accidents, and what is left afterwards."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pymongo import MongoClient

from tests.faults.serving import Serving, marked, run, serving

# The tests that share a server stay in one process.
sharing = pytest.mark.xdist_group("serve")

PATIENT = {"resourceType": "Patient", "id": "kept", "gender": "unknown"}


def test_serves_and_keeps_everything_over_restarts(tmp_path: Path) -> None:
    """Orderly ends and a killed parent lose nothing and leave nothing behind."""
    with serving(tmp_path / "data", measured=False) as server:
        server.start()
        assert server.output.splitlines()[0] == f"ready: {server.base}"
        token = _token_of_pasted_request(server)
        assert server.request("PUT", "Patient/kept", token, PATIENT)[0] == 201
        mark = server.recorded().mark
        assert oct((tmp_path / "data/run.json").stat().st_mode)[-3:] == "600"
        assert len(marked(mark)) >= 7

        code, seconds = server.stop(signal.SIGINT)
        assert (code, marked(mark)) == (0, [])
        assert seconds <= 10
        assert not (tmp_path / "data/run.json").exists()

        server.start()
        assert server.request("GET", "Patient/kept", server.token())[1]["gender"] == "unknown"

        mark = server.recorded().mark
        # Children that do not notice the death of their parent must not be in the way either.
        for name in ("sequencer", "mongod"):
            os.kill(server.child(name), signal.SIGSTOP)
        assert server.request("PUT", "Patient/kept2", "wrong", PATIENT)[0] == 401
        server.stop(signal.SIGKILL)
        server.start()
        assert "ended what an earlier run left behind" in server.errors
        assert marked(mark) == []
        assert server.request("GET", "Patient/kept", server.token())[0] == 200
        code, seconds = server.stop(signal.SIGTERM)
        assert (code, seconds <= 10) == (0, True)


def test_changed_artefacts_do_not_keep_the_server_from_starting(tmp_path: Path) -> None:
    """What was indexed under other artefacts is indexed anew, then the server is ready."""
    with serving(tmp_path / "data", measured=False) as server:
        server.start()
        assert server.request("PUT", "Patient/kept", server.token(), PATIENT)[0] == 201
        with MongoClient[dict[str, object]](server.recorded().mongodb_url) as client:
            indexed = client["fhir_control"]["instance"]
            assert indexed.update_one({"_id": "index"}, {"$set": {"version": "old"}}).matched_count
        server.stop(signal.SIGTERM)

        server.start()
        found = server.request("GET", "Patient?gender=unknown", server.token())[1]
        assert [entry["resource"]["id"] for entry in found["entry"]] == ["kept"]
        assert "definitions have changed: searches are rebuilt first" in server.errors
        assert "api ended" not in server.errors


def test_stubborn_children_do_not_prolong_the_stop(tmp_path: Path) -> None:
    """Several that need all of their time are killed before the whole takes 10 seconds."""
    with serving(tmp_path / "data", measured=False) as server:
        server.start()
        mark = server.recorded().mark
        names = {"beat", "worker", "deliverer", "sequencer", "mongod"}
        deadline = time.monotonic() + 30
        while not names <= {each.name for each in server.recorded().processes}:
            assert time.monotonic() < deadline, server.errors
            time.sleep(0.05)
        for name in names:
            os.kill(server.child(name), signal.SIGSTOP)
        code, seconds = server.stop(signal.SIGTERM)
        assert (code, marked(mark)) == (0, [])
        assert seconds < 10


@sharing
@pytest.mark.parametrize("name", ["sequencer", "redis", "mongod", "api"])
def test_child_that_dies_is_started_again(name: str, shared: Serving) -> None:
    """A killed child comes back, and the server serves again."""
    token = shared.token()
    before = shared.child(name)
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not (shared.child(name) != before and _reads(shared, token)):
        assert time.monotonic() < deadline, shared.errors
        time.sleep(0.05)
    assert f"{name} ended (code -9) and is started again" in shared.errors


@sharing
def test_second_server_on_the_same_data_is_refused(shared: Serving) -> None:
    """One plain line and exit code 2; the first one goes on."""
    done = run("serve", env=shared.env)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"fhir-server: a server is already running on .*; .*\n", done.stderr)
    assert _reads(shared, shared.token())


@sharing
def test_two_servers_run_side_by_side(shared: Serving, tmp_path: Path) -> None:
    """Another port and folder make another server; they fall alone and lose nothing."""
    with serving(tmp_path / "other", measured=False) as other:
        other.start()
        token = other.token()
        assert other.request("PUT", "Patient/kept", token, PATIENT)[0] == 201
        assert shared.request("GET", "Patient/kept", shared.token())[0] == 404
        assert shared.request("GET", "Patient/kept", token)[0] == 401

        mark = other.recorded().mark
        for each in [psutil.Process(other.pid), *marked(mark)]:
            each.kill()
        other.stop(signal.SIGKILL)
        assert _reads(shared, shared.token())
        other.start()
        assert other.request("GET", "Patient/kept", token)[0] == 200


@sharing
def test_token_is_all_that_the_token_command_prints(shared: Serving) -> None:
    """Standard output can go straight into a variable."""
    done = run("token", "--scope", "system/*.cruds", env=shared.env)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43,}\n", done.stdout)
    assert (done.returncode, done.stderr) == (0, "")


@sharing
def test_listens_on_the_loopback_interface_only(shared: Serving) -> None:
    """No process of the server can be reached from another machine."""
    connections = [
        connection
        for each in marked(shared.recorded().mark)
        for connection in each.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert connections
    assert {connection.laddr.ip for connection in connections} == {"127.0.0.1"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server for the tests that need no fresh one."""
    with serving(tmp_path_factory.mktemp("shared") / "data") as server:
        server.start()
        yield server


def _reads(server: Serving, token: str) -> bool:
    try:
        return server.request("GET", "Patient/nobody", token)[0] == 404
    except OSError:
        return False


def _token_of_pasted_request(server: Serving) -> str:
    found = server.wait_for(r"^curl .*Bearer ([A-Za-z0-9_-]+)' '(\S+)'$")
    assert found[2].startswith(server.base)
    return found[1]
