"""Builds what the local stack runs: the functions as they are deployed, and the stand-in Genesys Cloud."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import platform
import subprocess
from collections.abc import Iterator

from . import aws, processes

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAM_BIN = ROOT / ".venv/sam/bin"
# What runs leave behind while they work: their logs, the built function, the lock.
WORKSPACE = ROOT / ".local"
# Lambda's names for the processors this can run on.
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}
# The functions' names in the template.
REPLAY, INGEST = "ReplayFunction", "IngestFunction"
# A section of samconfig.toml that nobody has: `sam deploy --guided` may have written the file for a real account.
NO_SAM_CONFIG = ["--config-env", "genesys-replay-local"]


def architecture() -> str:
    """This machine's processor, since the local AWS runs the function on it."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise processes.StackError(f"Lambda has no processors of the kind {machine}")
    return ARCHITECTURES[machine]


def functions(directory: pathlib.Path) -> pathlib.Path:
    """Builds the functions with `sam build` and returns the template that names the results."""
    env = build_environment() | aws.CREDENTIALS | {"SAM_CLI_TELEMETRY": "0"}
    # What sam runs. It would keep cargo's progress and errors to itself for minutes; so it finds the work done.
    compile_it = ["cargo", "lambda", "build", "--release", *processor(), "--bin", "replay", "--bin", "ingest"]
    output = directory / "build"
    package_it = [
        *[str(SAM_BIN / "sam"), "build", "--template-file", str(ROOT / "template.yaml"), "--build-dir", str(output)],
        *["--parameter-overrides", f"Architecture={architecture()}", *NO_SAM_CONFIG],
    ]
    with one_at_a_time():
        processes.run(compile_it, env=env)
        processes.run(package_it, env=env, log=directory / "build.log")
    return output / "template.yaml"


def command() -> pathlib.Path:
    """Builds the operator's command and returns its executable."""
    # Beside the functions, so that what they have in common is built once.
    compile_it = ["cargo", "lambda", "build", "--release", *processor(), "--features", "cli", "--bin", "genesys-replay"]
    with one_at_a_time():
        processes.run(compile_it, env=build_environment())
    return pathlib.Path(quick_build()["CARGO_TARGET_DIR"]) / "lambda/genesys-replay/bootstrap"


def executable(template: pathlib.Path, function: str) -> pathlib.Path:
    """The program of a function of the built template."""
    return template.parent / function / "bootstrap"


def processor() -> list[str]:
    """What cargo-lambda has to be told of this machine."""
    return ["--arm64"] if architecture() == "arm64" else []


def build_environment() -> dict[str, str]:
    """The caller's environment, since cargo needs it, with the tools of .venv/sam before all others."""
    path = f"{SAM_BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return os.environ | quick_build() | {"PATH": path}


def quick_build() -> dict[str, str]:
    """The release profile without its optimisations, which take most of the time of a first build.

    The result has a place of its own, so that it and a build for a real account do not undo each other.
    """
    return {
        "CARGO_PROFILE_RELEASE_LTO": "off",
        "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
        "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0",
        "CARGO_TARGET_DIR": str(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "local"),
    }


def stand_in() -> pathlib.Path:
    """Builds the stand-in Genesys Cloud and returns its executable."""
    command = [
        "cargo",
        "build",
        "--quiet",
        "--package",
        "genesys-stand-in",
        "--message-format",
        "json-render-diagnostics",
    ]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if built.returncode != 0:
        raise processes.StackError("the stand-in Genesys Cloud does not build")
    messages = map(json.loads, built.stdout.splitlines())
    return next(pathlib.Path(message["executable"]) for message in messages if message.get("executable"))


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Lets runs that stand side by side take turns: cargo-lambda puts every build in the same place."""
    with (WORKSPACE / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            processes.say("waiting for another run's build ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
