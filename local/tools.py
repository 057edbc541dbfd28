"""Installs the pinned tools of local/requirements-*.txt, each file into a private environment under .venv/.

Runs on the system's Python with nothing installed. An environment that already fits its file is left alone.
"""

from __future__ import annotations

import concurrent.futures
import fcntl
import hashlib
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venv"
OLDEST_PYTHON = (3, 10)


class SetupError(Exception):
    """Says what is missing on this machine."""


def main() -> None:
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            f"Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed, this is {sys.version.split()[0]}"
        )
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / ".lock").open("w") as lock:
        # Two runs that start side by side on a fresh clone install once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(ensure, ("aws", "sam")))


def ensure(name: str) -> None:
    """Makes `.venv/<name>` what its requirements file says."""
    requirements = pathlib.Path(__file__).with_name(f"requirements-{name}.txt")
    directory = ENVIRONMENTS / name
    stamp = directory / ".installed"
    fingerprint = fingerprint_of(requirements, directory)
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    say(f"installing the tools of {requirements.relative_to(ROOT)} into {directory.relative_to(ROOT)} ...")
    started = time.monotonic()
    run(
        [sys.executable, "-m", "venv", "--clear", str(directory)],
        "python3 -m venv failed (on Debian: install python3-venv)",
    )
    # Without --no-compile pip spends as long on compiling modules nobody imports as on everything else.
    pip = [
        str(directory / "bin/python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    run([*pip, "--requirement", str(requirements)], f"pip could not install {requirements.relative_to(ROOT)}")
    stamp.write_text(fingerprint)
    say(f"{directory.relative_to(ROOT)} is ready after {time.monotonic() - started:.0f} s")


def fingerprint_of(requirements: pathlib.Path, directory: pathlib.Path) -> str:
    """Changes with the pins, with Python, and when the checkout moves, since environments hold absolute paths."""
    facts = (requirements.read_text(), sys.version, sys.executable, str(directory))
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


def run(command: list[str], complaint: str) -> None:
    if subprocess.run(command, check=False).returncode != 0:
        raise SetupError(complaint)


def say(text: str) -> None:
    print(f"tools: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit(f"tools: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
