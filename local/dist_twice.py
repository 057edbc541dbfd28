"""make dist-twice: builds a release in two folders. Equal sources and tools give equal sums."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile

from . import build, dist, entry, processes

VERSION = "0.0.0"


def main() -> int:
    """The arguments are the processors; without one, the processor of this machine."""
    architectures = sys.argv[1:] or [build.architecture()]
    with tempfile.TemporaryDirectory() as temporary:
        # Names of different length, because a path inside a program would also move what follows it.
        sums = [sums_of(pathlib.Path(temporary) / name, architectures) for name in ("one", "another-one")]
    different = sorted(name for name in sums[0] if sums[1].get(name) != sums[0][name])
    if different or sums[0].keys() != sums[1].keys():
        raise processes.StackError(f"the two builds differ in {', '.join(different) or 'their files'}")
    for name, digest in sums[0].items():
        print(f"{digest}  {name}")
    print(f"{len(sums[0])} files of two builds have equal sums.", flush=True)
    return 0


def sums_of(folder: pathlib.Path, architectures: list[str]) -> dict[str, str]:
    """Builds the commit of this checkout in a folder. Returns the sum of each file."""
    subprocess.run(["git", "clone", "--quiet", str(build.ROOT), str(folder)], check=True)
    # The tools are the same for both.
    (folder / ".venv").symlink_to(build.ROOT / ".venv")
    env = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    command = [sys.executable, "-m", "local.dist", VERSION, *architectures]
    if subprocess.run(command, cwd=folder, env=env, check=False).returncode != 0:
        raise processes.StackError(f"the build in {folder} failed, see above")
    lines = (folder / "dist" / f"genesys-replay-{VERSION}" / dist.SUMS).read_text().splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


if __name__ == "__main__":
    entry.run(main)
