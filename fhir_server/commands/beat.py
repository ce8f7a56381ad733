"""`fhir-server beat`: the clock of the housekeeping; run exactly one."""

import click
from celery.signals import setup_logging

from fhir_server.embedded import instance
from fhir_server.observability import configure_logging
from fhir_server.settings import load_settings
from fhir_server.worker import create


@click.command()
def command() -> None:
    """Ask the workers for housekeeping at regular times. Run one such process."""
    settings = instance.resolve(load_settings())
    setup_logging.connect(_keep_logging, weak=False)
    configure_logging(settings.log_format, settings.log_level)
    create(settings).Beat(quiet=True, redirect_stdouts=False).run()


def _keep_logging(**_: object) -> None:
    """Keeps Celery from replacing our logging."""
