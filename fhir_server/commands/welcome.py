"""What `serve` runs once it is ready: the demo clinic on the first start, and a first request."""

import asyncio

import click

from fhir_server.authorization_server.operator_token import issue_operator_token
from fhir_server.commands.demo import SEED, load_clinic
from fhir_server.context import system_clock
from fhir_server.embedded import instance
from fhir_server.settings import Settings, load_settings
from fhir_server.store.control import control_database

TOKEN_SECONDS = 12 * 3600


@click.command(hidden=True)
def command() -> None:
    """Load the demo clinic if settings say so, then print a request to paste."""
    settings = instance.resolve(load_settings())
    if settings.demo:
        loaded = asyncio.run(load_clinic(settings, SEED, show=False))
        if loaded:
            click.echo(f"the demo clinic is loaded: {loaded} resources")
    token = asyncio.run(_token(settings))
    now = system_clock().strftime("%Y-%m-%dT%H:%M:%SZ")
    query = f"status=free&start=ge{now}&_count=3&_pretty=true"
    click.echo("try it (the token is good for 12 hours):")
    click.echo(f"curl -H 'Authorization: Bearer {token}' '{settings.fhir_base}/Slot?{query}'")


async def _token(settings: Settings) -> str:
    async with control_database(settings) as control:
        return await issue_operator_token(control, "system/*.cruds", TOKEN_SECONDS, system_clock())
