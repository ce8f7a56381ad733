"""`fhir-server client` and `fhir-server token`, as the operator uses them."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner
from joserfc.jwk import ECKey, RSAKey

from fhir_server.__main__ import cli
from fhir_server.authorization_server.bearer import Authenticator
from fhir_server.context import Principal, system_clock
from fhir_server.fhir.errors import Login
from fhir_server.operator_error import OperatorError
from fhir_server.settings import Settings
from fhir_server.store.clients import Client, Clients
from fhir_server.store.control import control_database
from fhir_server.store.tokens import Tokens

KeyPair = dict[str, RSAKey | ECKey]
Run = Callable[..., str]
REFUSED: list[tuple[dict[str, str | None], str]] = [
    ({"--id": "operator"}, "cannot be a client id"),
    ({"--id": "a b"}, "cannot be a client id"),
    ({"--id": ""}, "cannot be a client id"),
    ({"--name": " "}, "name must be"),
    ({"--name": "a\nb"}, "name must be"),
    ({"--jwks": None}, "either"),
    ({"--jwks-url": "https://ehr.example/keys"}, "either"),
    ({"--jwks": None, "--jwks-url": "http://ehr.example/keys"}, "https"),
    ({"--jwks": None, "--jwks-url": "https://127.0.0.1/keys"}, "not public"),
    ({"--scope": ""}, "no scope"),
    ({"--scope": "user/*.rs"}, "is not a scope of the form"),
    ({"--scope": "system/*.sr"}, "is not a scope of the form"),
    ({"--scope": "system/Apointment.rs"}, "not served"),
    ({"--scope": "system/Slot.rs?nonsense=1"}, "no search"),
]


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings as an operator's shell has them."""
    variables = {
        "FHIR_SERVER_MONGODB_URL": settings.mongodb_url or "",
        "FHIR_SERVER_REDIS_URL": settings.redis_url or "",
        "FHIR_SERVER_DATABASE_PREFIX": settings.database_prefix,
        "FHIR_SERVER_DATA_DIR": str(settings.data_dir),
        "FHIR_SERVER_PORT": "8123",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Runs a command and gives what it prints; its refusals are raised."""

    def invoke(*arguments: str) -> str:
        result = CliRunner().invoke(cli, arguments, standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return result.output

    return invoke


@pytest.fixture
def jwks(key_pair: KeyPair, tmp_path: Path) -> Path:
    """A file with public keys."""
    path = tmp_path / "jwks.json"
    keys = [key.as_dict(private=False) for key in key_pair.values()]
    path.write_bytes(orjson.dumps({"keys": keys}))
    return path


def _clients(settings: Settings) -> list[Client]:
    async def read() -> list[Client]:
        async with control_database(settings) as control:
            return await Clients(control).all()

    return asyncio.run(read())


def _principal(settings: Settings, token: str) -> Principal:
    async def ask() -> Principal:
        async with control_database(settings) as control:
            return await Authenticator(Tokens(control)).authenticate(f"Bearer {token}")

    return asyncio.run(ask())


def test_client_life(run: Run, settings: Settings, jwks: Path) -> None:
    """A client is added, listed and revoked; revoking takes its tokens along."""
    scope = "system/Appointment.rs system/Slot.rs?status=free"
    added = run("client", "add", "--id", "ehr", "--name", "EHR", "--jwks", str(jwks),
                "--scope", scope)  # fmt: skip
    assert "http://127.0.0.1:8123/auth/token" in added
    assert run("client", "list").splitlines() == [f"ehr\tactive\town keys\t{scope}\tEHR"]

    async def issue() -> str:
        async with control_database(settings) as control:
            token, _ = await Tokens(control).issue("ehr", scope, now=system_clock(), seconds=60)
            return token

    token = asyncio.run(issue())
    assert _principal(settings, token).client_id == "ehr"
    assert run("client", "revoke", "ehr") == "revoked ehr and 1 access tokens\n"
    with pytest.raises(Login):
        _principal(settings, token)
    assert re.match(r"ehr\trevoked \d{4}-\d\d-\d\d\t", run("client", "list"))
    (client,) = _clients(settings)
    assert client.revoked is not None
    run("client", "revoke", "ehr")
    assert _clients(settings) == [client]


def test_client_with_url(run: Run, settings: Settings) -> None:
    """A client may be registered with the address of its keys."""
    url = "https://ehr.example/jwks.json"
    run("client", "add", "--id", "e", "--name", "E", "--jwks-url", url, "--scope", "system/*.rs")
    (client,) = _clients(settings)
    assert (client.jwks, client.jwks_url) == (None, url)
    assert url in run("client", "list")


def test_client_add_refuses(run: Run, settings: Settings, jwks: Path) -> None:
    """What could not work is refused with a reason, and nothing is stored."""
    for changes, message in REFUSED:
        full = {"--id": "e", "--name": "E", "--jwks": str(jwks), "--scope": "system/*.rs"} | changes
        options = [(name, value) for name, value in full.items() if value is not None]
        with pytest.raises(OperatorError, match=message):
            run("client", "add", *chain.from_iterable(options))
    assert _clients(settings) == []


def test_client_add_refuses_keys(run: Run, settings: Settings, tmp_path: Path,
                                 key_pair: KeyPair) -> None:  # fmt: skip
    """Private keys, other files and large ones are refused."""
    path = tmp_path / "keys"
    private = orjson.dumps({"keys": [key_pair["ec"].as_dict(private=True)]})
    for content in (private, b"nonsense", b"\xff\xfe", b"{}", b" " * 70_000):
        path.write_bytes(content)
        with pytest.raises(OperatorError):
            run("client", "add", "--id", "e", "--name", "E", "--jwks", str(path), "--scope",
                "system/*.rs")  # fmt: skip
    assert _clients(settings) == []


def test_client_ids_are_not_reused(run: Run, settings: Settings, jwks: Path) -> None:
    """An id stays taken, after a revocation too."""
    add = ("client", "add", "--id", "e", "--name", "E", "--jwks", str(jwks), "--scope",
           "system/*.rs")  # fmt: skip
    run(*add)
    run("client", "revoke", "e")
    before = _clients(settings)
    with pytest.raises(OperatorError, match="not reused"):
        run(*add)
    assert _clients(settings) == before


def test_revoking_nobody(run: Run) -> None:
    """There must be such a client."""
    with pytest.raises(OperatorError, match="no client 'nobody'"):
        run("client", "revoke", "nobody")


def test_token_prints_the_token_only(environment: dict[str, str], settings: Settings) -> None:
    """The process prints the token on standard output, and nothing anywhere else."""
    done = _process(environment, "token", "--scope", "system/*.cruds")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", done.stdout)
    principal = _principal(settings, done.stdout.strip())
    assert (principal.client_id, principal.scope) == ("operator", "system/*.cruds")


@pytest.mark.parametrize(
    "arguments",
    [
        ("token",),
        ("token", "--scope", "nonsense"),
        ("token", "--scope", "system/*.rs", "--expires", "0"),
        ("client", "revoke", "nobody"),
    ],
)
def test_bad_use_is_told_plainly(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    """Exit code 2, the reason on standard error, no traceback, nothing on standard output."""
    done = _process(environment, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_no_server_is_told_plainly(tmp_path: Path) -> None:
    """Without a running server and without its database there is nothing to issue."""
    done = _process({"FHIR_SERVER_DATA_DIR": str(tmp_path)}, "token", "--scope", "system/*.rs")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no server is running" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _process(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fhir_server", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
