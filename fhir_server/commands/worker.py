"""`fhir-server worker`: housekeeping, as a Celery worker."""

import os
import threading

import click
from celery.signals import setup_logging, worker_shutting_down

from fhir_server.embedded import instance
from fhir_server.observability import configure_logging
from fhir_server.settings import load_settings
from fhir_server.worker import create

STOP_SECONDS = 4.0


@click.command()
def command() -> None:
    """Do the housekeeping that `beat` asks for. Several processes share the work."""
    settings = instance.resolve(load_settings())
    setup_logging.connect(_keep_logging, weak=False)
    worker_shutting_down.connect(_stop_in_time, weak=False)
    configure_logging(settings.log_format, settings.log_level)
    create(settings).Worker(
        pool="threads",
        concurrency=2,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    ).start()


def _keep_logging(**_: object) -> None:
    """Keeps Celery from replacing our logging."""


def _stop_in_time(**_: object) -> None:
    # A task that is cut off is not acknowledged; it is asked for again anyway.
    deadline = threading.Timer(STOP_SECONDS, os._exit, (0,))
    deadline.daemon = True
    deadline.start()
