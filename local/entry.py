"""How a program of this directory begins and ends."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable

from . import processes


def run(main: Callable[[], int]) -> None:
    """Runs `main` and ends the process with its exit code; what it started is stopped in every case."""
    processes.end_on_signals()
    # The local stack is not reached through a proxy. The build may need one, so it is not simply forgotten.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(
        filter(None, ["127.0.0.1", os.environ.get("NO_PROXY", "")])
    )
    try:
        check_machine()
        sys.exit(main())
    except processes.StackError as error:
        sys.exit(f"error: {error}")


def check_machine() -> None:
    """Says what is missing before minutes are spent on finding out."""
    if platform.system() != "Linux":
        raise processes.StackError(
            "the function is a Linux program: run this on Linux (a virtual machine, WSL 2 or a dev container will do)"
        )
    if shutil.which("cargo") is None:
        raise processes.StackError("cargo is missing: install Rust (rustup, stable toolchain) and try again")
