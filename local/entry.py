"""The start and the end of the programs of this directory."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable

from . import processes


def run(main: Callable[[], int]) -> None:
    """Runs `main` and exits with its code. Always stops the programs that it started."""
    processes.end_on_signals()
    # No proxy for the local stack; the build may need one, so the variable is not removed.
    hosts = ["127.0.0.1", *filter(None, [os.environ.get("NO_PROXY")])]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(hosts)
    try:
        if platform.system() != "Linux":
            raise processes.StackError("the function is a Linux program\nhint: a virtual machine, WSL 2 or a container")
        if shutil.which("cargo") is None:
            raise processes.StackError("cargo is missing\nhint: install Rust (rustup, stable toolchain)")
        sys.exit(main())
    except processes.StackError as error:
        sys.exit(f"error: {error}")
