"""Builds the programs of the local stack: cargo's dev profile, in the ordinary target folder.

`make test` shares these builds. A release build is optimised, shares nothing and takes minutes longer.
Run as a program, it builds the programs of the demo's begin, while make installs the tools.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from . import entry, processes

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "template.yaml"
# The folder of the runs: their logs and packages.
WORKSPACE = ROOT / ".local"
# The tools of aws-sam-cli and cargo-lambda.
SAM_TOOLS = ROOT / ".venv/sam/bin"
# Lambda's names for the processors.
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}
# The functions' names in the template, with their programs.
REPLAY, INGEST = "ReplayFunction", "IngestFunction"
PROGRAMS = {REPLAY: "replay", INGEST: "ingest"}
STAND_IN, OPERATOR = "genesys-stand-in", "genesys-replay"

# The programs of every local stack. The demo builds the operator's command with them, and ingest while it runs.
FIRST = (PROGRAMS[REPLAY], STAND_IN)
SECOND = (PROGRAMS[INGEST], OPERATOR)
# The packages of the programs, after "genesys-".
PACKAGES = {"replay": "replay-lambda", "ingest": "replay-ingest", STAND_IN: "stand-in", OPERATOR: "replay-cli"}
PROGRESS_SECONDS = 10.0


class Build:
    """A running build, known by the messages of cargo."""

    def __init__(self, programs: Sequence[str], process: subprocess.Popen[bytes]) -> None:
        self.name = " and ".join(programs)
        # Counted in another thread, because cargo waits while another cargo downloads.
        self.crates = 0
        threading.Thread(target=lambda: setattr(self, "crates", crates(programs)), daemon=True).start()
        self.process = process
        self.executables: dict[str, pathlib.Path] = {}
        # By package: false once one of its crates was compiled.
        self.fresh: dict[str, bool] = {}
        self.started = time.monotonic()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for message in map(json.loads, self.process.stdout or ()):
            if message["reason"] == "compiler-artifact":
                package = message["package_id"]
                self.fresh[package] = self.fresh.get(package, True) and message["fresh"]
                if message["executable"]:
                    self.executables[message["target"]["name"]] = pathlib.Path(message["executable"])
        if self.process.wait() == 0:
            fresh, seconds = sum(self.fresh.values()), time.monotonic() - self.started
            processes.say(
                f"built {self.name} in {seconds:.0f} s: {len(self.fresh) - fresh} crates compiled, {fresh} fresh"
            )

    def wait(self, program: str) -> pathlib.Path:
        """Waits for a program, shows progress, and returns its executable; raises StackError if the build fails."""
        is_terminal = sys.stderr.isatty()
        shown_at = time.monotonic()
        while program not in self.executables and self.reader.is_alive():
            time.sleep(processes.POLL_SECONDS)
            if is_terminal or time.monotonic() - shown_at >= PROGRESS_SECONDS:
                shown_at = time.monotonic()
                done = len(self.fresh)
                text = f"building {self.name}: {done} of {max(self.crates, done) or '?'} crates"
                if not done:
                    text += " (cargo downloads, or waits for another build)"
                # In a terminal each progress line erases the previous one.
                processes.say(f"{text}\x1b[K\x1b[1A\r" if is_terminal else text)
        if program not in self.executables:
            raise processes.StackError(f"{self.name} cannot be built: cargo ended with {self.process.wait()}")
        return self.executables[program]


@contextlib.contextmanager
def running(
    programs: Sequence[str],
    # The whole workspace, so that all builds have one set of features and share their crates.
    command: Sequence[str] = ("cargo", "build", "--workspace"),
    env: Mapping[str, str] = os.environ,
) -> Iterator[Build]:
    """Builds programs in the background. The build has ended at the end of the block."""
    selected = [word for program in programs for word in ("--bin", program)]
    # Quiet, because `wait` shows the progress. Cargo still shows errors.
    command = [*command, *selected, "--quiet", "--message-format", "json-render-diagnostics"]
    processes.say(f"building {' and '.join(programs)} ...")
    with processes.running(command, env=env, cwd=ROOT, stdout=subprocess.PIPE) as process:
        yield Build(programs, process)


def crates(programs: Sequence[str]) -> int:
    """The number of packages of programs."""
    packages = [word for program in programs for word in ("--package", f"genesys-{PACKAGES[program]}")]
    command = ["cargo", "tree", *packages, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return len({re.sub(r" \(.*", "", line) for line in listed.stdout.splitlines() if line})


def architecture() -> str:
    """This machine's processor, because the local AWS runs the function on it."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise processes.StackError(f"Lambda has no processors of the kind {machine}")
    return ARCHITECTURES[machine]


def main() -> int:
    programs = (*FIRST, OPERATOR)
    with running(programs) as build:
        for program in programs:
            build.wait(program)
        build.reader.join()
    return 0


if __name__ == "__main__":
    entry.run(main)
