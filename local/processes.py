"""Programs of the local stack. Each has its own process group, which is ended by its id."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import IO, Any, TypeVar

T = TypeVar("T")

# Between SIGTERM and SIGKILL.
GRACE_SECONDS = 5.0
POLL_SECONDS = 0.1
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StackError(Exception):
    """A part of the local stack failed. The text names the part and the log."""


def end_on_signals() -> None:
    """Turns Ctrl-C, SIGTERM and SIGHUP into an exception, so that every `with` stops its program.

    Ctrl-C too, because Python ignores it in a process that a shell started in the background.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in ENDING_SIGNALS:
        signal.signal(number, leave)


@contextlib.contextmanager
def running(
    command: Sequence[str], *, env: Mapping[str, str], log: pathlib.Path | None = None, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program, with its output in `log` or on stderr. At the end its whole group has ended."""
    with contextlib.ExitStack() as stack:
        output: IO[Any] = stack.enter_context(log.open("wb")) if log else sys.stderr
        options = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, **options}
        process = subprocess.Popen(command, env=dict(env), start_new_session=True, **options)
        try:
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a program's whole group, because a program may have started others that outlive it."""
    if process.poll() is not None and pathlib.Path(f"/proc/{process.pid}").exists():
        # The id belongs to another program now, so the group is empty.
        return
    # A second Ctrl-C must not interrupt this.
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING_SIGNALS}
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def wait_for(
    name: str,
    probe: Callable[[], T | None],
    *,
    seconds: float,
    process: subprocess.Popen[bytes] | None = None,
    log: pathlib.Path | None = None,
) -> T:
    """Calls `probe` until it returns a value; raises StackError at the deadline, or once `process` has ended."""
    deadline = time.monotonic() + seconds
    while True:
        ended = process is not None and process.poll() is not None
        found = probe()
        if found is not None:
            return found
        if ended:
            raise StackError(f"{name}: the program ended with exit code {process.returncode}{excerpt(log)}")
        if time.monotonic() >= deadline:
            raise StackError(f"{name}: nothing after {seconds:.0f} s{excerpt(log)}")
        time.sleep(POLL_SECONDS)


def excerpt(log: pathlib.Path | None, lines: int = 25) -> str:
    """The end of a log file, as part of a message."""
    if log is None or not log.exists():
        return ""
    tail = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"; the end of {log}:", *(f"    {line}" for line in tail)])


def say(text: str) -> None:
    """Writes progress to stderr, because stdout is for results."""
    print(f"{pathlib.Path(sys.argv[0]).stem}: {text}", file=sys.stderr, flush=True)
