"""`fhir-server demo`: a clinic to try the server with, and a play of what its users do."""

import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from fhir_server.authorization_server.operator_token import issue_operator_token
from fhir_server.client import loading, sources
from fhir_server.client.connection import Connection
from fhir_server.context import system_clock
from fhir_server.demo import walkthrough
from fhir_server.demo.backend_client import BackendClient
from fhir_server.demo.clinic import make_clinic
from fhir_server.embedded import instance, process
from fhir_server.fhir import codec
from fhir_server.fhir.ids import time_ordered_id
from fhir_server.operator_error import OperatorError
from fhir_server.settings import PREFIX, Settings, load_settings
from fhir_server.store.clients import Client, Clients
from fhir_server.store.control import control_database

SEED = 1
TOKEN_SECONDS = 600
READY = "ready: "


@click.command()
@click.option("--seed", default=SEED, show_default=True, help="Decides names and visits.")
@click.option("--walkthrough", "play", is_flag=True, help="Play what the server's users do.")
def command(seed: int, *, play: bool) -> None:
    """Load the demo clinic; with --walkthrough, play bookings against the running server.

    Without a running server, the play starts one of its own and ends it afterwards.
    """
    with _server(play=play) as settings:
        asyncio.run(load_clinic(settings, seed, show=True))
        if play:
            asyncio.run(_play(settings))


@contextlib.contextmanager
def _server(*, play: bool) -> Iterator[Settings]:
    settings = load_settings()
    running = settings.mongodb_url is not None or instance.is_running(settings.data_dir)
    if running or not play:
        yield instance.resolve(settings)
        return
    click.echo("no server is running; starting one for the play")
    with TemporaryDirectory(prefix="fhir-demo-") as folder, _own(Path(folder)) as own:
        yield own


@contextlib.contextmanager
def _own(folder: Path) -> Iterator[Settings]:
    """A server on a free port with empty data, ended afterwards."""
    port = process.free_port()
    changed = {"PORT": str(port), "DATA_DIR": str(folder), "DEMO": "false", "WORKERS": "1"}
    environment = os.environ | {PREFIX + name: value for name, value in changed.items()}
    environment[PREFIX + "ALLOW_LOOPBACK_ENDPOINTS"] = "true"
    with subprocess.Popen(
        [sys.executable, "-m", "fhir_server", "serve"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as server:
        try:
            if not any(line.startswith(READY) for line in server.stdout or ()):
                raise OperatorError("the play's own server did not start; its message is above")
            yield instance.resolve(
                Settings(port=port, data_dir=folder, allow_loopback_endpoints=True)
            )
        finally:
            server.terminate()


async def load_clinic(settings: Settings, seed: int, *, show: bool) -> int:
    """Load the clinic unless it is there already; answers how many resources were loaded.

    Args:
        settings: with the URLs of the running instance.
        seed: decides names and visits.
        show: whether to show progress.

    Raises:
        OperatorError: the server refused a part of it.
    """
    async with _connected(settings) as connection:
        there = await connection.request("GET", "Organization/demo-clinic")
        if there.status == 200:
            if show:
                click.echo("the demo clinic is already there")
            return 0
        clinic = make_clinic(seed, system_clock())
        items = [
            sources.Item("demo", r["resourceType"], r["id"], codec.encode(r))
            for r in clinic.resources
        ]
        file = sys.stderr if show else io.StringIO()
        with click.progressbar(length=len(items), label="demo clinic", file=file) as bar:
            report = await loading.load(connection, items, advance=bar.update)
    if report.refused:
        origin, reason = report.refused[0]
        raise OperatorError(
            f"{len(report.refused)} resources of the demo clinic were refused, first {origin}: "
            f"{reason}"
        )
    return len(items)


@contextlib.asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Connection]:
    async with control_database(settings) as control:
        token = await issue_operator_token(control, "system/*.cruds", TOKEN_SECONDS, system_clock())
    async with Connection(settings.fhir_base, token) as connection:
        yield connection


async def _play(settings: Settings) -> None:
    run = time_ordered_id()[-6:]
    async with control_database(settings) as control:
        await _perform(settings, Clients(control), run)


async def _perform(settings: Settings, clients: Clients, run: str) -> None:
    cast: dict[str, BackendClient] = {}
    try:
        for name, scope in walkthrough.CLIENTS.items():
            cast[name] = BackendClient.with_new_key(f"demo-{name}-{run}", scope)
            await clients.add(_registration(cast[name], name))
        stage = walkthrough.Stage(click.echo, system_clock, settings.fhir_base, cast)
        await walkthrough.play(stage)
    except (walkthrough.DemoError, PermissionError) as failure:
        raise OperatorError(f"the play stopped: {failure}") from failure
    except TimeoutError as failure:
        raise OperatorError("the play stopped: a notification did not come in time") from failure
    finally:
        for client in cast.values():
            await clients.revoke(client.client_id, system_clock())


def _registration(client: BackendClient, name: str) -> Client:
    return Client(
        id=client.client_id,
        name=f"Demo {name}",
        scope=client.scope,
        created=system_clock(),
        jwks=json.dumps(client.jwks),
    )
