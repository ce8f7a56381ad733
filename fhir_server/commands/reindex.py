"""`fhir-server reindex`: bring searches up to date with changed artefacts."""

import asyncio

import click

from fhir_server.definitions.loader import load
from fhir_server.embedded import instance
from fhir_server.settings import load_settings
from fhir_server.store.reindex import count_resources, is_reindex_needed, reindex


@click.command()
@click.option(
    "--if-needed", is_flag=True, help="Do nothing unless the artefacts have changed since."
)
def command(*, if_needed: bool) -> None:
    """Rebuild what searches use from every stored resource.

    Needed after SearchParameters or CompartmentDefinitions have changed. Works beside a running
    `fhir-server serve`, or on the database in FHIR_SERVER_MONGODB_URL; safe while it serves.
    """
    settings = instance.resolve(load_settings())
    registry = load()
    if if_needed and not asyncio.run(is_reindex_needed(settings, registry)):
        return
    total = asyncio.run(count_resources(settings, registry))
    with click.progressbar(length=total, label="reindexing") as bar:
        changed = asyncio.run(reindex(settings, registry, advance=bar.update))
    click.echo(f"{changed} of about {total} resources were indexed anew")
