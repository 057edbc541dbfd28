"""Installs the pinned tools of local/requirements-*.txt, each file into a private environment under .venv/.

Runs on the system's Python with nothing installed. An environment that already fits its file is left alone.
Called with "dynamodb-local" it installs Amazon's DynamoDB Local instead, for the tests of the ledger.
"""

from __future__ import annotations

import base64
import concurrent.futures
import fcntl
import hashlib
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venv"
OLDEST_PYTHON = (3, 10)

# The package in which AWS itself hands out DynamoDB Local (1.25.1), and the hash of its archive.
DYNAMODB_LOCAL = "amplify-dynamodb-simulator@2.9.30"
DYNAMODB_LOCAL_SHA512 = "xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="


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
        if sys.argv[1:] == ["dynamodb-local"]:
            ensure_dynamodb_local()
            return
        if sys.argv[1:]:
            raise SetupError(f"there is no tool {' '.join(sys.argv[1:])!r}, only 'dynamodb-local'")
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


def ensure_dynamodb_local() -> None:
    """Makes `.venv/dynamodb-local` what the package carries.

    Whoever installs it accepts Amazon's licence, which permits its use to holders of an AWS account only and forbids to
    hand it on. So it is not installed unasked, and never becomes part of this repository.
    """
    directory = ENVIRONMENTS / "dynamodb-local"
    stamp = directory / ".installed"
    for tool in ("java", "npm"):
        if shutil.which(tool) is None:
            raise SetupError(f"DYNAMODB_LOCAL=1 needs {tool}, which is not installed")
    if stamp.exists() and stamp.read_text() == DYNAMODB_LOCAL_SHA512:
        return
    say(f"installing Amazon's DynamoDB Local into {directory.relative_to(ROOT)} ...")
    shutil.rmtree(directory, ignore_errors=True)
    with tempfile.TemporaryDirectory() as download:
        # "npm pack" fetches the archive and runs nothing of it.
        npm = ["npm", "pack", DYNAMODB_LOCAL, "--ignore-scripts", "--silent", "--pack-destination", download]
        run(npm, f"npm could not fetch {DYNAMODB_LOCAL}", stdout=subprocess.DEVNULL)
        (package,) = pathlib.Path(download).iterdir()
        if base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode() != DYNAMODB_LOCAL_SHA512:
            raise SetupError(f"{DYNAMODB_LOCAL} is not what it was when it was pinned")
        unpack(package, "package/emulator", directory)
    stamp.write_text(DYNAMODB_LOCAL_SHA512)
    say(f"its licence is {(directory / 'LICENSE.txt').relative_to(ROOT)}: it asks for an AWS account")


def unpack(package: pathlib.Path, folder: str, directory: pathlib.Path) -> None:
    """Writes the files below `folder` of a package whose content is known."""
    with tarfile.open(package) as archive:
        for member in archive:
            path = pathlib.PurePosixPath(member.name)
            content = archive.extractfile(member)
            if content is not None and path.is_relative_to(folder):
                target = directory / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())


def fingerprint_of(requirements: pathlib.Path, directory: pathlib.Path) -> str:
    """Changes with the pins, with Python, and when the checkout moves, since environments hold absolute paths."""
    facts = (requirements.read_text(), sys.version, sys.executable, str(directory))
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


def run(command: list[str], complaint: str, stdout: int | None = None) -> None:
    if subprocess.run(command, check=False, stdout=stdout).returncode != 0:
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
