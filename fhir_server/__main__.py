"""The command line: `fhir-server COMMAND`, one module of `fhir_server.commands` for each."""

import importlib
import pkgutil
import sys

import click

from fhir_server import __version__, commands
from fhir_server.embedded.failures import explain

BAD_USAGE = 2
INTERRUPTED = 130


class _Commands(click.Group):
    """Finds `commands/<name>.py` and imports it only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in alphabetical order."""
        del ctx
        modules = pkgutil.iter_modules(commands.__path__)
        return sorted(found.name.replace("_", "-") for found in modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The `command` of the module with that name; None when there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{commands.__name__}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fhir-server")
def cli() -> None:
    """A FHIR R4 server whose reason to exist is appointments.

    Settings come from environment variables that start with FHIR_SERVER_;
    docs/reference/settings.md lists them.
    """


def main() -> None:
    """Runs the command line and ends the process.

    A failure that the operator can put right is one line on standard error and exit code 2; a
    defect of ours is a traceback and exit code 1.
    """
    try:
        outcome = cli.main(prog_name="fhir-server", standalone_mode=False)
    except click.ClickException as refused:
        refused.show()
        sys.exit(BAD_USAGE if isinstance(refused, click.UsageError) else refused.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except Exception as failure:
        message = explain(failure)
        if message is None:
            raise
        click.echo(f"fhir-server: {message}", err=True)
        sys.exit(BAD_USAGE)
    sys.exit(outcome if isinstance(outcome, int) else 0)


if __name__ == "__main__":
    main()
