"""`fhir-server client`: who may get access tokens (SMART Backend Services)."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from fhir_server.auth.restrictions import Restrictions
from fhir_server.authorization_server.registration import registered_client
from fhir_server.authorization_server.token import PATH
from fhir_server.context import system_clock
from fhir_server.definitions.loader import load
from fhir_server.embedded.instance import resolve
from fhir_server.operator_error import OperatorError
from fhir_server.settings import Settings, load_settings
from fhir_server.store.clients import Client, ClientExistsError, Clients
from fhir_server.store.control import ControlDatabase, control_database
from fhir_server.store.tokens import Tokens

MAX_KEY_SET_BYTES = 64_000

T = TypeVar("T")


@click.group()
def command() -> None:
    """Register, list and revoke the clients of SMART Backend Services."""


@command.command()
@click.option("--id", "client_id", required=True, help="The OAuth client_id.")
@click.option("--name", required=True, help="A name for people and the audit trail.")
@click.option(
    "--jwks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the client's public keys, a JWK Set.",
)
@click.option("--jwks-url", help="Where the client publishes its JWK Set.")
@click.option(
    "--scope", required=True, help='What it may be granted at most, e.g. "system/Appointment.rs".'
)
def add(client_id: str, name: str, jwks: Path | None, jwks_url: str | None, scope: str) -> None:
    """Register a client that authenticates with private_key_jwt (RS384 or ES384)."""
    settings = resolve(load_settings())
    try:
        client = registered_client(
            client_id,
            name,
            scope,
            jwks=None if jwks is None else _read(jwks),
            jwks_url=jwks_url,
            now=system_clock(),
            restrictions=Restrictions(load(), settings),
            settings=settings,
        )
    except ValueError as error:
        raise OperatorError(str(error)) from error
    _run(settings, lambda control: _add(control, client))
    click.echo(f"registered {client.id}; it gets its tokens at {settings.root_url}{PATH}")


@command.command("list")
def list_clients() -> None:
    """List the clients, one a line: id, state, keys, scopes, name."""
    for client in _run(resolve(load_settings()), lambda control: Clients(control).all()):
        state = "active" if client.revoked is None else f"revoked {client.revoked:%Y-%m-%d}"
        keys = client.jwks_url or "own keys"
        click.echo(f"{client.id}\t{state}\t{keys}\t{client.scope}\t{client.name}")


@command.command()
@click.argument("client_id", metavar="ID")
def revoke(client_id: str) -> None:
    """Refuse a client from now on, and all of its access tokens within two seconds."""
    count = _run(resolve(load_settings()), lambda control: _revoke(control, client_id))
    click.echo(f"revoked {client_id} and {count} access tokens")


async def _add(control: ControlDatabase, client: Client) -> None:
    try:
        await Clients(control).add(client)
    except ClientExistsError:
        raise OperatorError(
            f"there is, or was, a client {client.id!r}; ids are not reused, choose another"
        ) from None


async def _revoke(control: ControlDatabase, client_id: str) -> int:
    # First the mark, then the tokens: the token endpoint relies on this order.
    if not await Clients(control).revoke(client_id, system_clock()):
        raise OperatorError(f"there is no client {client_id!r}; see fhir-server client list")
    return await Tokens(control).revoke_client(client_id)


def _run(settings: Settings, work: Callable[[ControlDatabase], Awaitable[T]]) -> T:
    async def run() -> T:
        async with control_database(settings) as control:
            return await work(control)

    return asyncio.run(run())


def _read(path: Path) -> str:
    if path.stat().st_size > MAX_KEY_SET_BYTES:
        raise ValueError(f"{path} is larger than {MAX_KEY_SET_BYTES} bytes")
    return path.read_text("utf-8")
