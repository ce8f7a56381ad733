"""`fhir-server deliverer`: send notifications to subscribers."""

import click

from fhir_server.embedded import instance
from fhir_server.observability import configure_logging
from fhir_server.settings import load_settings
from fhir_server.subscriptions.process import run_deliverer, run_until_signalled


@click.command()
def command() -> None:
    """Send notifications to subscribers. Several processes share the work."""
    settings = instance.resolve(load_settings())
    configure_logging(settings.log_format, settings.log_level)
    run_until_signalled(run_deliverer(settings))
