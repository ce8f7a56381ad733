"""`fhir-server serve`: every process of the server on this machine."""

import click

from fhir_server.embedded.supervisor import Supervisor
from fhir_server.settings import load_settings


@click.command()
def command() -> None:
    """Run everything: MongoDB, Redis, the API and the background processes.

    MongoDB and Redis are our own unless their URLs are set. Ends with Ctrl-C or SIGTERM.
    """

    def say(line: str) -> None:
        click.echo(f"fhir-server: {line}", err=True)

    Supervisor(load_settings(), say=say, when_ready=("welcome",)).run()
