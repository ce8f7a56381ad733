"""A private Redis on this machine: append-only on disk, and never throwing anything away."""

import secrets
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from fhir_server.embedded import binaries, process
from fhir_server.embedded.mongod import EMPTY, Pause
from fhir_server.operator_error import OperatorError

_START_SECONDS = 60.0
_POLL_SECONDS = 0.02


class Redis:
    """One `redis-server` and its data folder; used like `Mongod`."""

    def __init__(self, folder: Path, *, log: Path, mark: Mapping[str, str] = EMPTY) -> None:
        """Prepares nothing yet.

        Args:
            folder: the data folder; made when absent.
            log: the file for Redis's log.
            mark: environment variables by which the process can be known again.
        """
        self._folder = folder
        self._log = log
        self._port = 0
        self._mark = mark
        self._password = secrets.token_urlsafe(24)
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of database 0, with its password; only after `start`."""
        return f"redis://:{self._password}@{process.LOOPBACK}:{self._port}/0"

    def start(self) -> subprocess.Popen[bytes]:
        """Launches the process, the second time on the same port as the first.

        Raises:
            OperatorError: no redis-server on this machine.
            OSError: the data folder or the log cannot be written.
        """
        binary = binaries.find("redis-server")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._port = self._port or process.kept_port(self._folder)
        # In a file, because everybody on the machine can read a command line.
        configuration = self._folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"bind {process.LOOPBACK}\nport {self._port}\nrequirepass {self._password}\n"
            f'dir "{self._folder.resolve()}"\nappendonly yes\nappendfsync everysec\n'
            'save ""\nmaxmemory-policy noeviction\ndatabases 64\ndaemonize no\n',
            "utf-8",
        )
        self.child = process.spawn(
            [binary, configuration], log=self._log, env=process.plain_environment(self._mark)
        )
        return self.child

    def wait(self, pause: Pause = time.sleep, seconds: float = _START_SECONDS) -> str:
        """Waits until Redis has loaded its data and answers.

        Args:
            pause: sleeps between two looks, and may raise to give up.
            seconds: the longest wait.

        Returns:
            The URL.

        Raises:
            OperatorError: Redis ended or did not get ready in time.
        """
        deadline = time.monotonic() + seconds
        while not self._answers():
            if self.child is not None and self.child.poll() is not None:
                raise binaries.missing_library("redis-server", process.tail(self._log)) or (
                    OperatorError(
                        f"redis-server ended with code {self.child.returncode}; read {self._log}"
                    )
                )
            if time.monotonic() > deadline:
                raise OperatorError(
                    f"redis-server was not ready after {seconds:.0f} s; read {self._log}"
                )
            pause(_POLL_SECONDS)
        return self.url

    def _answers(self) -> bool:
        request = f"AUTH {self._password}\r\nPING\r\n".encode()
        try:
            with socket.create_connection((process.LOOPBACK, self._port), 1.0) as connection:
                connection.sendall(request)
                answer = b""
                while answer.count(b"\r\n") < 2:
                    part = connection.recv(256)
                    if not part:
                        return False
                    answer += part
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"

    def stop(self, seconds: float = 10.0) -> None:
        """Ends the process after it has written its data."""
        if self.child is not None:
            process.end(self.child, seconds=seconds)
            self.child = None
