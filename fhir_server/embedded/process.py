"""Child processes that do not outlive us unnoticed."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
LOG_BYTES = 5_000_000
"""A log longer than this is moved to `<name>.log.1` when its process starts."""

_PR_SET_PDEATHSIG = 1


def die_with_parent(signal_number: signal.Signals = signal.SIGTERM) -> None:
    """Asks Linux to send this process a signal when its parent ends; elsewhere does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal_number))


def _before_exec() -> Callable[[], None] | None:
    """What the child does between fork and exec; the library is loaded before the fork."""
    if sys.platform != "linux":
        return None
    library, parent = ctypes.CDLL(None), os.getpid()

    def prepare() -> None:
        library.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def rotate(log: Path) -> None:
    """Moves a long log aside, so that a process starts with room in its log."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_name(log.name + ".1"))


def spawn(
    command: Sequence[str | Path], *, log: Path | None, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Starts a child in a session of its own.

    Its output is appended to `log`; without a log it goes where ours goes.

    The session keeps Ctrl-C in the terminal from the child: the parent stops children in order.
    The child gets SIGTERM when the parent is killed. Call it from the main thread: Linux binds
    that signal to the thread that forks.

    Raises:
        OSError: the program cannot be executed or the log cannot be written.
    """
    with contextlib.ExitStack() as stack:
        output = None
        if log is not None:
            rotate(log)
            output = stack.enter_context(log.open("ab"))
        return subprocess.Popen(  # noqa: S603 - our own commands
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            env=dict(env),
            start_new_session=True,
            preexec_fn=_before_exec(),  # noqa: PLW1509 - one system call, no locks
        )


def plain_environment(mark: Mapping[str, str]) -> dict[str, str]:
    """Our environment without our settings, which are none of MongoDB's or Redis's business."""
    return {k: v for k, v in os.environ.items() if not k.startswith("FHIR_")} | dict(mark)


def end(child: subprocess.Popen[bytes], *, seconds: float) -> bool:
    """Stops a child: SIGTERM, then SIGKILL to its whole session when it takes longer.

    Returns:
        Whether it stopped by itself in time.
    """
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        in_time = False
    else:
        in_time = True
    # Grandchildren that outlived an orderly end are swept too.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    return in_time


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def taken(host: str, port: int) -> str:
    """The plain line for a port that somebody else listens on."""
    return (
        f"port {port} on {host} is taken by another program; "
        "stop that program, or set FHIR_SERVER_PORT to a free port"
    )


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def kept_port(folder: Path) -> int:
    """The port used here before when it is free, else a new one; remembered in `folder/port`."""
    memory = folder / "port"
    try:
        port = int(memory.read_text("ascii"))
    except (FileNotFoundError, ValueError):
        port = 0
    if not (0 < port < 65_536 and is_free(port)):
        port = free_port()
        memory.write_text(f"{port}\n", "ascii")
    return port


def last_line(log: Path) -> str:
    """The last line of a log that says something; of ours, without the name of the program."""
    lines = [line.strip() for line in tail(log).splitlines() if line.strip()]
    return lines[-1].removeprefix("fhir-server: ") if lines else "it said nothing"


def tail(log: Path, characters: int = 4_000) -> str:
    """The end of a log; empty when there is none."""
    try:
        return log.read_text("utf-8", "replace")[-characters:]
    except FileNotFoundError:
        return ""
