"""A private MongoDB on this machine: one node, but a replica set, because transactions need one."""

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from fhir_server.embedded import binaries, process
from fhir_server.operator_error import OperatorError

REPLICA_SET = "fhir"
PARAMETERS = (
    # Slow commands are logged with their values, which are data of patients.
    ("--slowms", str(2**31 - 1)),
    # What a killed process was writing stays locked for this long.
    ("--setParameter", "transactionLifetimeLimitSeconds=5"),
)
"""What every MongoDB that is started for this server is told, here or by Compose."""

Pause = Callable[[float], None]
EMPTY: Mapping[str, str] = MappingProxyType({})
_START_SECONDS = 60.0
_POLL_SECONDS = 0.02


class Mongod:
    """One `mongod` and its data folder.

    `start` and `wait` are apart so that several services can start at the same time; `stop` may
    be called at any point and more than once.
    """

    def __init__(
        self,
        folder: Path,
        *,
        log: Path,
        mark: Mapping[str, str] = EMPTY,
        cache_gigabytes: float = 1.0,
        fast: bool = False,
    ) -> None:
        """Prepares nothing yet.

        Args:
            folder: the data folder; made when absent.
            log: the file for mongod's log.
            mark: environment variables by which the process can be known again.
            cache_gigabytes: WiredTiger's cache, at least 0.25.
            fast: for throw-away data: journals less often and keeps no diagnostics.
        """
        self._folder = folder
        self._log = log
        self._mark = mark
        self._cache = cache_gigabytes
        self._fast = fast
        self._port = 0
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The connection string; only after `start`."""
        return f"mongodb://{process.LOOPBACK}:{self._port}/?replicaSet={REPLICA_SET}"

    def start(self) -> subprocess.Popen[bytes]:
        """Launches the process, the second time on the same port as the first.

        Raises:
            OperatorError: no mongod on this machine.
            OSError: the data folder or the log cannot be written.
        """
        binary = binaries.find("mongod")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._port = self._port or process.kept_port(self._folder)
        arguments: list[str | Path] = [
            *(binary, "--dbpath", self._folder, "--replSet", REPLICA_SET),
            *("--bind_ip", process.LOOPBACK, "--port", str(self._port), "--nounixsocket"),
            *("--wiredTigerCacheSizeGB", str(self._cache)),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *(text for pair in PARAMETERS for text in pair),
        ]
        if self._fast:
            arguments += ["--journalCommitInterval", "20"]
        self.child = process.spawn(
            arguments, log=self._log, env=process.plain_environment(self._mark)
        )
        return self.child

    def wait(self, pause: Pause = time.sleep, seconds: float = _START_SECONDS) -> str:
        """Waits until the node is a writable primary, making it one on the first start.

        Args:
            pause: sleeps between two looks, and may raise to give up.
            seconds: the longest wait.

        Returns:
            The connection string.

        Raises:
            OperatorError: mongod ended or did not get ready in time.
        """
        deadline = time.monotonic() + seconds
        client: MongoClient[dict[str, Any]] = MongoClient(
            process.LOOPBACK,
            self._port,
            directConnection=True,
            connectTimeoutMS=1_000,
            serverSelectionTimeoutMS=100,
        )
        with client:
            while not self._is_primary(client):
                self._check_alive()
                if time.monotonic() > deadline:
                    raise OperatorError(
                        f"mongod was not ready after {seconds:.0f} s; read {self._log}"
                    )
                pause(_POLL_SECONDS)
        return self.url

    def _is_primary(self, client: MongoClient[dict[str, Any]]) -> bool:
        try:
            hello = client.admin.command("hello")
            if hello.get("isWritablePrimary"):
                return True
            if "setName" not in hello:
                self._configure(client)
        except (AutoReconnect, OperationFailure):
            # Not listening yet, or still reading the replica set's configuration: asked again.
            return False
        except PyMongoError:
            return False
        return False

    def _configure(self, client: MongoClient[dict[str, Any]]) -> None:
        """Founds the replica set, or tells it that this node's port has changed."""
        member = {"_id": 0, "host": f"{process.LOOPBACK}:{self._port}"}
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure as failure:
            if failure.code != 94:  # NotYetInitialized
                raise
            config = {"_id": REPLICA_SET, "members": [member]}
            client.admin.command("replSetInitiate", config)
            return
        if config["members"][0]["host"] != member["host"]:
            config["members"] = [{**config["members"][0], **member}]
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)

    def _check_alive(self) -> None:
        if self.child is None or self.child.poll() is None:
            return
        output = process.tail(self._log)
        raise binaries.missing_library("mongod", output) or OperatorError(
            f"mongod ended with code {self.child.returncode}; read {self._log}"
        )

    def stop(self, seconds: float = 10.0) -> None:
        """Ends the process; acknowledged writes stay."""
        if self.child is not None:
            process.end(self.child, seconds=seconds)
            self.child = None
