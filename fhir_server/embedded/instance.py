"""How commands find the server that `fhir-server serve` runs: `run.json` in the data folder."""

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from fhir_server.embedded import external
from fhir_server.operator_error import OperatorError
from fhir_server.settings import Settings

_RUN_FILE = "run.json"
_LOCK_FILE = "serve.lock"
_LOCK_PATIENCE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Recorded:
    """A process of a run, described well enough to know it again.

    Attributes:
        created: seconds since the epoch, as the operating system reports it.
    """

    name: str
    pid: int
    created: float
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """What one run of `serve` writes down.

    Attributes:
        mark: a random word in the environment of every process of the run.
        processes: in the order in which they must be stopped.
    """

    mark: str
    mongodb_url: str
    redis_url: str
    base_url: str
    processes: tuple[Recorded, ...] = field(default=())


def write(folder: Path, instance: Instance) -> None:
    """Records the run; readable by its owner only, because the URLs carry passwords."""
    target = folder / _RUN_FILE
    draft = target.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(instance), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)


def read(folder: Path) -> Instance | None:
    """The recorded run, alive or not; None when there is none or it is not legible."""
    try:
        content = json.loads((folder / _RUN_FILE).read_text("utf-8"))
        processes = tuple(
            Recorded(**{**each, "command": tuple(each["command"])})
            for each in content.pop("processes")
        )
        return Instance(**content, processes=processes)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def forget(folder: Path) -> None:
    """Removes the record, after everything has stopped."""
    (folder / _RUN_FILE).unlink(missing_ok=True)


def lock(folder: Path) -> BinaryIO:
    """Takes the data folder for this process; the system gives it back however the process ends.

    Raises:
        OperatorError: another `serve` has it.
    """
    file = (folder / _LOCK_FILE).open("ab")
    deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                raise OperatorError(
                    f"a server is already running on {folder}; "
                    "stop it, or choose another FHIR_SERVER_DATA_DIR and FHIR_SERVER_PORT"
                ) from None
            time.sleep(0.05)
        else:
            return file


def is_running(folder: Path) -> bool:
    """Whether a `serve` holds the data folder at this moment."""
    try:
        with (folder / _LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def resolve(settings: Settings, *, check: bool = True) -> Settings:
    """The settings with the URLs of MongoDB and Redis, and the base URL, filled in.

    What the environment says wins; the rest comes from the server running on the data folder.

    Args:
        settings: as read from the environment.
        check: whether MongoDB must answer now, as a replica set with a primary.

    Raises:
        OperatorError: nothing is set and no server runs there, or MongoDB is not usable.
    """
    here = read(settings.data_dir) if is_running(settings.data_dir) else None
    if settings.mongodb_url is None and here is None:
        raise OperatorError(
            f"no server is running on {settings.data_dir}; "
            "start it with fhir-server serve, or set FHIR_SERVER_MONGODB_URL"
        )
    if here is not None:
        settings = settings.model_copy(
            update={
                "mongodb_url": settings.mongodb_url or here.mongodb_url,
                "redis_url": settings.redis_url or here.redis_url,
                "base_url": settings.base_url or here.base_url,
            }
        )
    if check and settings.mongodb_url is not None:
        external.check_mongodb(settings.mongodb_url)
    return settings
