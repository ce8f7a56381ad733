"""`fhir-server api`: the HTTP interface, in `FHIR_SERVER_WORKERS` processes."""

import os
from typing import Any

import click
import uvicorn

from fhir_server.embedded import instance, process
from fhir_server.operator_error import OperatorError
from fhir_server.settings import PREFIX, load_settings

GRACE_SECONDS = 2


def create() -> Any:
    """The ASGI application of one process, which ends when its parent does."""
    process.die_with_parent()
    from fhir_server import app  # noqa: PLC0415 - only the processes that serve need it loaded

    return app.create()


@click.command()
def command() -> None:
    """Serve the FHIR API. Needs the MongoDB and Redis of `serve`, or their URLs in settings."""
    settings = instance.resolve(load_settings())
    if not process.is_free(settings.port, settings.host):
        raise OperatorError(process.taken(settings.host, settings.port))
    # Processes that uvicorn starts read their settings from the environment, as we do.
    for name in ("mongodb_url", "redis_url", "base_url"):
        value = getattr(settings, name)
        if value is not None:
            os.environ[PREFIX + name.upper()] = value
    uvicorn.run(
        "fhir_server.commands.api:create",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        log_level="warning" if settings.log_level == "info" else settings.log_level,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
