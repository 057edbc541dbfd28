"""Docker for `sam local invoke`: its bridge, its image, and a program for the image."""

from __future__ import annotations

import ipaddress
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess

from . import build, processes

# The image that sam builds on for provided.al2023.
IMAGE = "public.ecr.aws/lambda/provided:al2023"
# The version of the C library in this image.
IMAGE_GLIBC = (2, 34)
HINT = "hint: start Docker, or omit THROUGH=docker, which uses AWS's emulator without Docker"


def bridge_address() -> str:
    """The address of this machine on Docker's bridge, at which a container reaches this machine."""
    try:
        [network] = json.loads(output("docker", "network", "inspect", "bridge"))
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise processes.StackError(f"Docker does not answer: {problem(error)}\n{HINT}") from error
    [config, *_] = network["IPAM"]["Config"]
    # Without a setting, Docker takes the first address of its network.
    address = config.get("Gateway") or str(next(ipaddress.ip_network(config["Subnet"]).hosts()))
    try:
        with socket.socket() as probe:
            probe.bind((address, 0))
    except OSError as error:
        raise processes.StackError(
            f"Docker's bridge {address} is not an address of this machine: {error}\n"
            "hint: Docker must run on this machine, not in a virtual machine"
        ) from error
    return address


def has_image() -> bool:
    """Returns true if the image is on this machine. Otherwise sam pulls it."""
    return subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode == 0


def package(executable: pathlib.Path, program: str, directory: pathlib.Path) -> pathlib.Path:
    """A folder with the program as `bootstrap`, built for the C library of the image."""
    if required_glibc(executable) > IMAGE_GLIBC:
        executable = built_for_the_image(program)
    folder = directory / program
    folder.mkdir()
    try:
        # A link, because a debug build is large.
        os.link(executable, folder / "bootstrap")
    except OSError:
        # The builds are on another file system.
        shutil.copy2(executable, folder / "bootstrap")
    return folder


def required_glibc(executable: pathlib.Path) -> tuple[int, int]:
    """The version of the C library that a program needs."""
    versions = re.findall(rb"GLIBC_(\d+)\.(\d+)", executable.read_bytes())
    return max(((int(major), int(minor)) for major, minor in versions), default=(0, 0))


def built_for_the_image(program: str) -> pathlib.Path:
    """Builds a program with cargo-lambda, because this machine's C library is newer than the image's."""
    processes.say(f"building {program} for AWS's image ...")
    env = {**os.environ, "PATH": f"{build.SAM_TOOLS}{os.pathsep}{os.environ['PATH']}"}
    arm = ["--arm64"] if build.architecture() == "arm64" else []
    command = ["cargo", "lambda", "build", "--package", f"genesys-{build.PACKAGES[program]}", "--bin", program, *arm]
    if subprocess.run(command, cwd=build.ROOT, env=env, check=False).returncode:
        raise processes.StackError(f"cargo-lambda cannot build {program}")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", build.ROOT / "target"))
    return target / "lambda" / program / "bootstrap"


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def problem(error: Exception) -> str:
    """The last line that the program printed, or the error."""
    lines = (getattr(error, "stderr", None) or "").strip().splitlines()
    return lines[-1] if lines else str(error)
