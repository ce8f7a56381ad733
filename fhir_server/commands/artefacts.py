"""`fhir-server artefacts`: look after the files that say what the server offers."""

from pathlib import Path

import click

from fhir_server.definitions.artefact import ArtefactErrors
from fhir_server.definitions.loader import load


@click.group()
def command() -> None:
    """Look after the artefact files in profiles/, capability/ and subscriptions/."""


@command.command()
@click.argument(
    "root", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.pass_context
def check(context: click.Context, root: Path | None) -> None:
    """Tell everything that is wrong with the artefacts, one line each.

    ROOT holds the three folders; without it those that this installation would serve are checked.
    Ends with exit code 2 when there is any defect.
    """
    try:
        registry = load(root)
    except ArtefactErrors as errors:
        for defect in errors.defects:
            click.echo(defect, err=True)
        context.exit(2)
    parameters = sum(len(one.search_parameters) for one in registry.types.values())
    click.echo(
        f"artefacts: {len(registry.types)} types, {parameters} search parameters, "
        f"{len(registry.operations)} operations, {len(registry.compartments)} compartments; "
        f"hash {registry.artefact_hash[:12]}"
    )
