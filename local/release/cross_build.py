"""Builds the programs of a release for each processor.

cargo-zigbuild links with zig, so no C cross-compiler is needed, and the programs run with an old glibc.
"""

from __future__ import annotations

import os
import pathlib
import shlex
import shutil
import subprocess

from .. import build, processes
from .identity import Identity

# The oldest glibc for the programs: that of RHEL 8. Amazon Linux 2023 has 2.34.
GLIBC = "2.28"
# Lambda's names for the processors, and Rust's.
TARGETS = {"arm64": "aarch64-unknown-linux-gnu", "x86_64": "x86_64-unknown-linux-gnu"}
PROGRAMS = (*build.PROGRAMS.values(), build.OPERATOR)


def prepare(architectures: list[str]) -> None:
    """Installs the standard library of each target; raises StackError if that fails."""
    for architecture in architectures:
        target = TARGETS[architecture]
        if has_standard_library(target):
            continue
        processes.say(f"installing Rust's standard library for {target} ...")
        hint = f"hint: rustup target add {target}"
        if shutil.which("rustup") is None:
            raise processes.StackError(f"Rust's standard library for {target} is missing\n{hint}")
        if subprocess.run(["rustup", "target", "add", target], cwd=build.ROOT, check=False).returncode != 0:
            raise processes.StackError(f"Rust's standard library for {target} was not installed\n{hint}")


def has_standard_library(target: str) -> bool:
    """True if this machine's compiler can build for a target."""
    command = ["rustc", "--print", "target-libdir", "--target", target]
    printed = subprocess.run(command, cwd=build.ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return bool(printed) and any(pathlib.Path(printed).glob("libstd-*"))


def compiler() -> str:
    """The name and version of the compiler: another one gives other programs."""
    return rustc("--version")


def commit_of_compiler() -> str:
    """The commit of the compiler, as in the paths of its standard library."""
    lines = rustc("--version", "--verbose").splitlines()
    return next(line.partition(": ")[2] for line in lines if line.startswith("commit-hash"))


def rustc(*arguments: str) -> str:
    """The output of the compiler."""
    command = ["rustc", *arguments]
    return subprocess.run(command, cwd=build.ROOT, capture_output=True, text=True, check=True).stdout.strip()


def programs(architecture: str, release: Identity) -> dict[str, pathlib.Path]:
    """Builds the programs for one processor and returns their executables by name."""
    target = TARGETS[architecture]
    command = ["cargo", "zigbuild", "--release", "--locked", "--target", f"{target}.{GLIBC}"]
    with build.running(PROGRAMS, command, environment(release)) as building:
        executables = {program: building.wait(program) for program in PROGRAMS}
    for program, path in executables.items():
        # The users of a release need not know it, and it would make each build different.
        if str(pathlib.Path.home()).encode() + b"/" in path.read_bytes():
            raise processes.StackError(f"{program} contains the name of this machine's home folder")
    return executables


def environment(release: Identity) -> dict[str, str]:
    """The variables of a build whose result depends on the sources and the tools only, not on folders or times."""
    registry = pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo") / "registry/src"
    output = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or build.ROOT / "target")
    # The last match counts. With rust-src installed, the standard library would have paths of this machine.
    renamed = {
        build.ROOT: "/genesys-replay",
        output: "/target",
        registry: "/registry",
        pathlib.Path(rustc("--print", "sysroot")) / "lib/rustlib/src/rust": f"/rustc/{commit_of_compiler()}",
    }
    return {
        **os.environ,
        "PATH": f"{build.SAM_TOOLS}:{os.environ['PATH']}",
        "GENESYS_REPLAY_VERSION": release.version,
        "GENESYS_REPLAY_COMMIT": release.commit,
        "SOURCE_DATE_EPOCH": str(release.epoch),
        # Instead of the caller's flags, which would be part of the result.
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(f"--remap-path-prefix={path}={name}" for path, name in renamed.items()),
        "CFLAGS": shlex.join(f"-ffile-prefix-map={path}={name}" for path, name in renamed.items()),
        # Quotes in CFLAGS, for folders with a space.
        "CC_SHELL_ESCAPED_FLAGS": "1",
    }
