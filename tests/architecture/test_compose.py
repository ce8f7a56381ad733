"""docker-compose.yml is legal and runs what this version can run."""

import itertools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from fhir_server.__main__ import cli
from fhir_server.embedded.mongod import PARAMETERS
from fhir_server.embedded.supervisor import COMMANDS
from fhir_server.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return content


def test_structure_is_legal(compose: dict[str, Any]) -> None:
    """Compose itself accepts the file where it is installed; elsewhere our own schema does."""
    schema = json.loads(Path(__file__).with_name("compose.schema.json").read_text("utf-8"))
    jsonschema.validate(compose, schema)
    docker = shutil.which("docker")
    if (
        docker
        and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0
    ):
        subprocess.run([docker, "compose", "config", "--quiet"], cwd=ROOT, check=True)


def test_every_process_runs_as_a_service(compose: dict[str, Any]) -> None:
    """What `serve` starts as children, compose starts as services, by commands that exist."""
    ours = {name: each for name, each in compose["services"].items() if "build" in each}
    assert {tuple(each["command"]) for each in ours.values()} == {(name,) for name in COMMANDS}
    assert set(COMMANDS) <= set(cli.list_commands(None))  # type: ignore[arg-type]


def test_services_depend_on_services_and_volumes_that_exist(compose: dict[str, Any]) -> None:
    """Every name that is referred to is defined."""
    for service in compose["services"].values():
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        named = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert named <= set(compose["volumes"])


def test_database_keeps_patients_out_of_its_log_and_gives_up_locks(
    compose: dict[str, Any],
) -> None:
    """As the one that `serve` starts: nothing that depends on which way is chosen."""
    command = compose["services"]["mongodb"]["command"]
    for pair in PARAMETERS:
        assert pair in itertools.pairwise(command)


def test_environment_holds_settings_only(compose: dict[str, Any]) -> None:
    """Every variable is a setting, with a legal value."""
    environment = compose["services"]["api"]["environment"]
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(environment) <= known
    Settings.model_validate({k.removeprefix(PREFIX).lower(): v for k, v in environment.items()})
