"""`fhir-server token`: an access token for the person who runs the server."""

import asyncio

import click

from fhir_server.authorization_server.operator_token import issue_operator_token
from fhir_server.context import system_clock
from fhir_server.embedded.instance import resolve
from fhir_server.settings import Settings, load_settings
from fhir_server.store.control import control_database

MOST_SECONDS = 30 * 24 * 3600


@click.command()
@click.option(
    "--scope",
    required=True,
    help='SMART system scopes, space separated, for example "system/*.cruds".',
)
@click.option(
    "--expires",
    "seconds",
    default=3_600,
    show_default=True,
    type=click.IntRange(1, MOST_SECONDS),
    help="Life of the token in seconds.",
)
def command(scope: str, seconds: int) -> None:
    """Print an access token, and only that.

    Works beside a running `fhir-server serve`, or on the database in FHIR_SERVER_MONGODB_URL.
    """
    click.echo(asyncio.run(_issue(resolve(load_settings()), scope, seconds)))


async def _issue(settings: Settings, scope: str, seconds: int) -> str:
    async with control_database(settings) as control:
        try:
            return await issue_operator_token(control, scope, seconds, system_clock())
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--scope") from error
