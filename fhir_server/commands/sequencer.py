"""`fhir-server sequencer`: number every committed event for the Subscriptions it concerns."""

import click

from fhir_server.embedded import instance
from fhir_server.observability import configure_logging
from fhir_server.settings import load_settings
from fhir_server.subscriptions.process import run_sequencer, run_until_signalled


@click.command()
def command() -> None:
    """Number every event for the Subscriptions it concerns. A second process stands by."""
    settings = instance.resolve(load_settings())
    configure_logging(settings.log_format, settings.log_level)
    run_until_signalled(run_sequencer(settings))
