"""How commands find the running server."""

from pathlib import Path

import pytest

from fhir_server.embedded import instance
from fhir_server.embedded.instance import Instance, Recorded
from fhir_server.operator_error import OperatorError
from fhir_server.settings import Settings

RUN = Instance(
    mark="m",
    mongodb_url="mongodb://127.0.0.1:1/?replicaSet=fhir",
    redis_url="redis://:p@127.0.0.1:2/0",
    base_url="http://127.0.0.1:3/fhir",
    processes=(Recorded("api", 7, 1.5, ("python", "-m", "fhir_server")),),
)


def test_record_is_read_back_and_private(tmp_path: Path) -> None:
    """What was written is read, and nobody else can read it."""
    instance.write(tmp_path, RUN)
    assert instance.read(tmp_path) == RUN
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
    instance.forget(tmp_path)
    assert instance.read(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"processes": []}', '{"processes": [{}]}'])
def test_damaged_record_counts_as_none(content: str, tmp_path: Path) -> None:
    """A half-written file does not stop the next start."""
    (tmp_path / "run.json").write_text(content)
    assert instance.read(tmp_path) is None


def test_running_server_fills_the_gaps(tmp_path: Path) -> None:
    """URLs come from the run; what is set wins."""
    instance.write(tmp_path, RUN)
    settings = Settings(data_dir=tmp_path, redis_url="redis://mine/0")
    with instance.lock(tmp_path):
        found = instance.resolve(settings, check=False)
    assert (found.mongodb_url, found.redis_url) == (RUN.mongodb_url, "redis://mine/0")
    assert found.fhir_base == RUN.base_url


def test_record_of_a_dead_run_is_not_used(tmp_path: Path) -> None:
    """A record without a living `serve` leads nowhere."""
    instance.write(tmp_path, RUN)
    with pytest.raises(OperatorError, match="no server is running"):
        instance.resolve(Settings(data_dir=tmp_path), check=False)


def test_set_mongodb_needs_no_server(tmp_path: Path) -> None:
    """With its URL set, nothing has to run on the data folder."""
    settings = Settings(data_dir=tmp_path / "none", mongodb_url="mongodb://elsewhere/")
    assert instance.resolve(settings, check=False) == settings


def test_folder_has_one_holder(tmp_path: Path) -> None:
    """The second is refused until the first has ended."""
    with instance.lock(tmp_path):
        assert instance.is_running(tmp_path)
        with pytest.raises(OperatorError, match="already running"):
            instance.lock(tmp_path)
    assert not instance.is_running(tmp_path)
    instance.lock(tmp_path).close()
