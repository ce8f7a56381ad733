"""`fhir-server subscriptions`: how every Subscription stands."""

import asyncio

import click

from fhir_server.embedded import instance
from fhir_server.settings import Settings, load_settings
from fhir_server.store.database import Connection
from fhir_server.store.deliveries import DeliveryLog, Progress

TENANT = "default"
HEADINGS = ("SUBSCRIPTION", "STATUS", "LAST", "DELIVERED", "LAG", "TROUBLE")


@click.command()
def command() -> None:
    """List Subscriptions: status, last number, delivered number and how many events wait."""
    settings = instance.resolve(load_settings())
    found = asyncio.run(_progress(settings))
    if not found:
        click.echo("no Subscription has been written yet")
        return
    rows = [HEADINGS, *(_row(one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


async def _progress(settings: Settings) -> list[Progress]:
    connection = await Connection.open(settings)
    try:
        return await DeliveryLog(connection.tenant(TENANT)).progress()
    finally:
        await connection.close()


def _row(one: Progress) -> tuple[str, ...]:
    trouble = one.trouble
    text = f"{trouble.tries} failures: {trouble.text}" if trouble else ""
    return (
        one.subscription,
        one.status,
        str(one.last),
        str(one.delivered),
        str(one.lag),
        text,
    )
