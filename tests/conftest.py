"""One real MongoDB and one real Redis for the whole run, whatever the number of workers."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pymongo import MongoClient

from fhir_server.embedded.mongod import Mongod
from fhir_server.embedded.redis import Redis
from fhir_server.settings import PREFIX, Settings

_PREFIX = "fhir-server-tests-"
_ROOM = 4 << 30
_MEMORY_FILE_SYSTEM = Path("/dev/shm")

# A developer's own settings must not change what the tests see.
for _name in [name for name in os.environ if name.startswith(PREFIX)]:
    del os.environ[_name]

hypothesis_settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
hypothesis_settings.load_profile("default")


class Services:
    """The servers of a test run, in a folder of their own."""

    def __init__(self) -> None:
        place = _fast_folder()
        _forget_dead_runs(Path(place or tempfile.gettempdir()))
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
        self._mongod = Mongod(
            self.folder / "mongod",
            log=self.folder / "mongod.log",
            cache_gigabytes=0.5,
            fast=True,
        )
        self._redis = Redis(self.folder / "redis", log=self.folder / "redis.log")
        try:
            self._mongod.start()
            self._redis.start()
            self.redis_url = self._redis.wait()
            self.mongodb_url = self._mongod.wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends both and removes their data."""
        self._redis.stop()
        self._mongod.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _forget_dead_runs(place: Path) -> None:
    """Removes the data of runs that were killed, because memory is precious."""
    for folder in place.glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not owner.isdecimal() or not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _fast_folder() -> str | None:
    folder = _MEMORY_FILE_SYSTEM
    usable = folder.is_dir() and os.access(folder, os.W_OK)
    return str(folder) if usable and shutil.disk_usage(folder).free > _ROOM else None


_services = pytest.StashKey[Services]()


def _running(config: pytest.Config) -> Services:
    """The services of this run, started at the first call."""
    if _services not in config.stash:
        config.stash[_services] = Services()
    return config.stash[_services]


class _Distribution:
    """Hooks that only exist when pytest-xdist runs in the controlling process."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: object) -> None:
        """Tells a new worker where the services are."""
        services = _running(node.config)  # type: ignore[attr-defined]
        node.workerinput["mongodb_url"] = services.mongodb_url  # type: ignore[attr-defined]
        node.workerinput["redis_url"] = services.redis_url  # type: ignore[attr-defined]


def pytest_configure(config: pytest.Config) -> None:
    """Registers the hooks for pytest-xdist."""
    config.pluginmanager.register(_Distribution())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends the services after the last test."""
    services = config.stash.get(_services, None)
    if services is not None:
        services.stop()


def _url(config: pytest.Config, name: str) -> str:
    given: dict[str, str] | None = getattr(config, "workerinput", None)
    return given[name] if given is not None else getattr(_running(config), name)


@pytest.fixture(scope="session")
def mongodb_url(pytestconfig: pytest.Config) -> str:
    """The test run's MongoDB, a one-node replica set."""
    return _url(pytestconfig, "mongodb_url")


@pytest.fixture(scope="session")
def redis_url(pytestconfig: pytest.Config) -> str:
    """The test run's Redis, a database of its own for each worker."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return _url(pytestconfig, "redis_url").removesuffix("/0") + f"/{int(worker) % 64}"


@pytest.fixture
def settings(mongodb_url: str, redis_url: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings with databases of their own, which are empty now and dropped afterwards."""
    prefix = "t" + secrets.token_hex(6)
    yield Settings(
        mongodb_url=mongodb_url,
        redis_url=redis_url,
        database_prefix=prefix,
        data_dir=tmp_path,
        allow_loopback_endpoints=True,
        demo=False,
        log_level="error",
    )
    with MongoClient[dict[str, object]](mongodb_url) as client:
        for name in client.list_database_names():
            if name.startswith(f"{prefix}_"):
                client.drop_database(name)
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushdb()
