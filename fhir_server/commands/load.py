"""`fhir-server load FILE|DIR...`: resources and Bundles from files into the running server."""

import asyncio
from collections import Counter
from pathlib import Path

import click

from fhir_server.authorization_server.operator_token import issue_operator_token
from fhir_server.client import loading, sources
from fhir_server.client.connection import Connection
from fhir_server.context import system_clock
from fhir_server.embedded import instance
from fhir_server.settings import Settings, load_settings
from fhir_server.store.control import control_database

SHOWN = 20


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--parallel", default=16, show_default=True, help="Requests under way at once.")
def command(paths: tuple[Path, ...], parallel: int) -> None:
    """Load resources and Bundles (JSON, NDJSON) from files and folders.

    A resource with an id is put there; one without is posted. What others refer to goes first.
    Exit code 1 when something was refused.
    """
    settings = instance.resolve(load_settings())
    items, unreadable = sources.read(paths)
    report = asyncio.run(_load(settings, items, parallel))
    report.refused += [(each.origin, each.problem) for each in unreadable]
    summarise(report)
    if report.refused:
        raise SystemExit(1)


async def _load(settings: Settings, items: list[sources.Item], parallel: int) -> loading.Report:
    async with control_database(settings) as control:
        token = await issue_operator_token(control, "system/*.cruds", 3600, system_clock())
    with click.progressbar(length=len(items), label="loading") as bar:
        async with Connection(settings.fhir_base, token, parallel=parallel) as connection:
            return await loading.load(connection, items, parallel=parallel, advance=bar.update)


def summarise(report: loading.Report) -> None:
    """Prints what became of the resources, per type, and why some were refused."""
    rows: Counter[str] = report.created + report.updated
    for kind in sorted(rows):
        click.echo(f"{kind}: {report.created[kind]} created, {report.updated[kind]} updated")
    click.echo(f"{rows.total()} loaded, {len(report.refused)} refused")
    for origin, reason in report.refused[:SHOWN]:
        click.echo(f"refused {origin}: {reason}", err=True)
    if len(report.refused) > SHOWN:
        click.echo(f"... and {len(report.refused) - SHOWN} more", err=True)
