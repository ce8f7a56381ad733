"""Runs every process of the server on one machine, and stops them in order.

    MongoDB, Redis  >  api  >  sequencer, deliverer, worker, beat

A process that ends by itself is started again, a bounded number of times. However this one ends,
the others do not outlive it: they are stopped in order, or get SIGTERM from the system when it is
killed, and what is still there at the next start is ended then.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from urllib.error import URLError
from urllib.request import urlopen

from fhir_server.embedded import external, instance, process, stale
from fhir_server.embedded.mongod import Mongod
from fhir_server.embedded.redis import Redis
from fhir_server.operator_error import OperatorError
from fhir_server.settings import PREFIX, Settings

COMMANDS = ("api", "sequencer", "deliverer", "worker", "beat")
"""The commands that run as children, in the order of their start; the first decides readiness."""

STOP_SECONDS = {
    "ready": 1.0,
    "reindex": 1.0,
    "api": 3.0,
    "beat": 1.0,
    "worker": 2.0,
    "deliverer": 2.0,
    "sequencer": 2.0,
    "redis": 1.0,
    "mongod": 5.0,
}
"""The order in which everything stops, and how long each may take before it is killed."""

STOP_ALL_SECONDS = 7.0
"""After this every child that is left gets only a moment, so that all is over within 10 seconds."""

READY_SECONDS = 60.0
RESTARTS_BEFORE_READY = 1
RESTARTS = 5
RESTARTS_WITHIN_SECONDS = 60.0
_POLL_SECONDS = 0.05
_LAST_SECONDS = 0.1
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PROBE_SECONDS = 2.0

Say = Callable[[str], None]
"""Tells the operator one line."""


class _StopRequestedError(Exception):
    """Ctrl-C, SIGTERM or a closed terminal."""


@dataclass(slots=True)
class _Child:
    """A supervised process.

    Attributes:
        restart: starts it again; None for one that is expected to end.
        starts: monotonic instants of the latest restarts.
    """

    process: subprocess.Popen[bytes]
    restart: Callable[[], subprocess.Popen[bytes]] | None
    starts: deque[float] = field(default_factory=lambda: deque(maxlen=RESTARTS))


class Supervisor:
    """One run of the server on one data folder."""

    def __init__(self, settings: Settings, *, say: Say, when_ready: tuple[str, ...] = ()) -> None:
        """Prepares nothing yet.

        Args:
            settings: as read from the environment.
            say: tells the operator what happens beside the `ready:` line.
            when_ready: a command of ours to run once the server is ready, its output on our
                standard output; empty for none.
        """
        self._settings = settings
        self._say = say
        self._when_ready = when_ready
        self._folder = settings.data_dir.absolute()
        self._logs = self._folder / "logs"
        self._mark = secrets.token_hex(16)
        self._children: dict[str, _Child] = {}
        self._mongodb_url = settings.mongodb_url or ""
        self._redis_url = settings.redis_url or ""
        self._ready = False
        self._ready_by = 0.0
        self._stopping = False

    def run(self) -> None:
        """Runs until it is told to stop; then everything has ended.

        Raises:
            OperatorError: it cannot start, or a process keeps failing; everything has ended.
        """
        self._prepare_folder()
        with instance.lock(self._folder), self._signals():
            try:
                self._start()
                self._watch()
            except _StopRequestedError:
                self._say("stopping")
            finally:
                self._stop()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """A request to stop is noted, and obeyed between two steps.

        The handler must not raise: Python may run it where exceptions are swallowed.
        """

        def note(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._stopping = True

        before = {each: signal.signal(each, note) for each in _STOP_SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _prepare_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._logs.mkdir(exist_ok=True)
            probe = self._folder / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as failure:
            raise OperatorError(
                f"cannot write to the data folder {self._folder} ({failure.strerror}); "
                "make it writable, or set FHIR_SERVER_DATA_DIR to another folder"
            ) from failure

    def _start(self) -> None:
        self._take_over()
        settings = self._settings
        if not process.is_free(settings.port, settings.host):
            raise OperatorError(process.taken(settings.host, settings.port))
        self._start_services()
        metrics = self._folder / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir()
        first, *others = COMMANDS
        self._launch(first)
        self._wait_until_ready()
        self._ready = True
        sys.stdout.write(f"ready: {settings.fhir_base}\n")
        sys.stdout.flush()
        if self._when_ready:
            self._children["ready"] = _Child(self._spawn(self._when_ready, None), None)
        # Nothing is lost before they run: what they do is written down with every booking.
        for name in others:
            self._launch(name)

    def _take_over(self) -> None:
        previous = instance.read(self._folder)
        if previous is None:
            return
        ended = stale.take_over(previous)
        if ended:
            self._say(f"ended what an earlier run left behind: {', '.join(ended)}")
        instance.forget(self._folder)

    def _start_services(self) -> None:
        """MongoDB and Redis start side by side; ours are waited for, others are checked."""
        mongod = Mongod(self._folder / "mongod", log=self._logs / "mongod.log", mark=self._marked())
        redis = Redis(self._folder / "redis", log=self._logs / "redis.log", mark=self._marked())
        if self._settings.mongodb_url is None:
            self._children["mongod"] = _Child(mongod.start(), mongod.start)
        if self._settings.redis_url is None:
            self._children["redis"] = _Child(redis.start(), redis.start)
        self._record()
        if self._settings.redis_url is None:
            self._redis_url = redis.wait(self._pause)
        else:
            external.check_redis(self._redis_url)
        if self._settings.mongodb_url is None:
            self._mongodb_url = mongod.wait(self._pause)
        else:
            external.check_mongodb(self._mongodb_url)
        self._record()

    def _launch(self, name: str) -> None:
        def start() -> subprocess.Popen[bytes]:
            return self._spawn((name,), self._logs / f"{name}.log")

        self._children[name] = _Child(start(), start)
        self._record()

    def _spawn(self, arguments: tuple[str, ...], log: Path | None) -> subprocess.Popen[bytes]:
        return process.spawn(
            [sys.executable, "-m", "fhir_server", *arguments], log=log, env=self._environment()
        )

    def _marked(self) -> dict[str, str]:
        return {stale.MARK: self._mark}

    def _environment(self) -> dict[str, str]:
        settings = self._settings
        return {
            # The demo's subscriber listens on this machine; what the operator sets still wins.
            PREFIX + "ALLOW_LOOPBACK_ENDPOINTS": str(settings.demo).lower(),
            **os.environ,
            **self._marked(),
            PREFIX + "DATA_DIR": str(self._folder),
            PREFIX + "MONGODB_URL": self._mongodb_url,
            PREFIX + "REDIS_URL": self._redis_url,
            PREFIX + "BASE_URL": settings.fhir_base,
            "PROMETHEUS_MULTIPROC_DIR": str(self._folder / "metrics"),
            "PYTHONUNBUFFERED": "1",
        }

    def _record(self) -> None:
        described = [
            stale.describe(name, self._children[name].process.pid)
            for name in STOP_SECONDS
            if name in self._children
        ]
        instance.write(
            self._folder,
            instance.Instance(
                mark=self._mark,
                mongodb_url=self._mongodb_url,
                redis_url=self._redis_url,
                base_url=self._settings.fhir_base,
                processes=tuple(each for each in described if each is not None),
            ),
        )

    def _wait_until_ready(self) -> None:
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._settings.host, self._settings.host)  # noqa: S104
        url = f"http://{host}:{self._settings.port}/health/ready"
        self._ready_by = time.monotonic() + READY_SECONDS
        while not _answers(url):
            self._look_after_children()
            if time.monotonic() > self._ready_by:
                raise OperatorError(
                    f"the server was not ready after {READY_SECONDS:.0f} s; read {self._logs}"
                )
            self._pause(_POLL_SECONDS)

    def _watch(self) -> None:
        while True:
            self._look_after_children()
            self._pause(_POLL_SECONDS)

    def _pause(self, seconds: float) -> None:
        """Sleeps, unless it is time to stop."""
        deadline = time.monotonic() + seconds
        while not self._stopping:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _POLL_SECONDS))
        raise _StopRequestedError

    def _look_after_children(self) -> None:
        for name, child in list(self._children.items()):
            code = child.process.poll()
            if code is None:
                continue
            if child.restart is None:
                del self._children[name]
                continue
            log = self._logs / f"{name}.log"
            now = time.monotonic()
            if self._is_hopeless(child, now):
                raise OperatorError(
                    f"{name} keeps ending (code {code}): {process.last_line(log)}; read {log}"
                )
            if self._ready or not self._reindex():
                self._say(f"{name} ended (code {code}) and is started again; its log is {log}")
            # Waits a little longer each time, so that a short outage does not use up the attempts.
            self._pause(min(0.1 * 2 ** len(child.starts), 3.0))
            child.starts.append(now)
            child.process = child.restart()
            self._record()

    def _reindex(self) -> bool:
        """What the API does not start without after a change of the artefacts.

        It takes as long as there are resources to index; only what comes after must be quick.

        Returns:
            Whether it was needed.
        """
        log = self._logs / "reindex.log"
        indexing = self._spawn(("reindex", "--if-needed"), log)
        self._children["reindex"] = _Child(indexing, None)
        self._record()
        # It is silent when there is nothing to do.
        silent, needed = log.stat().st_size, False
        code = None
        while code is None:
            self._pause(_POLL_SECONDS)
            code = indexing.poll()
            if not needed and log.stat().st_size > silent:
                needed = True
                self._say(f"definitions have changed: searches are rebuilt first; see {log}")
        del self._children["reindex"]
        if code:
            raise OperatorError(
                f"the stored resources cannot be indexed (code {code}): "
                f"{process.last_line(log)}; read {log}"
            )
        self._ready_by = time.monotonic() + READY_SECONDS
        return needed

    def _is_hopeless(self, child: _Child, now: float) -> bool:
        if not self._ready:
            # What fails at the start is rarely an accident, and somebody is waiting.
            return len(child.starts) >= RESTARTS_BEFORE_READY
        return len(child.starts) == RESTARTS and now - child.starts[0] < RESTARTS_WITHIN_SECONDS

    def _stop(self) -> None:
        deadline = time.monotonic() + STOP_ALL_SECONDS
        for name, seconds in STOP_SECONDS.items():
            child = self._children.pop(name, None)
            if child is not None:
                left = max(deadline - time.monotonic(), _LAST_SECONDS)
                if not process.end(child.process, seconds=min(seconds, left)):
                    self._say(f"{name} did not stop in time and was killed")
        instance.forget(self._folder)
        shutil.rmtree(self._folder / "metrics", ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=_PROBE_SECONDS) as answer:  # noqa: S310 - http, our own server
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
