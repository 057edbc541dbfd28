"""make dist-twice: builds a release in two folders. Equal sources and tools give equal sums."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile

from . import build, dist, entry, processes
from .release.identity import Identity

RELEASE = Identity("0.0.0", "", 0)


def main() -> int:
    """The arguments are the processors; without one, the processor of this machine."""
    architectures = sys.argv[1:] or [build.architecture()]
    with tempfile.TemporaryDirectory() as temporary:
        # Names of different length, because the length of a path would also move the bytes that follow it.
        folders = [pathlib.Path(temporary) / name for name in ("one", "another-one")]
        for folder in folders:
            subprocess.run(["git", "clone", "--quiet", str(build.ROOT), str(folder)], check=True)
        sums = [sums_of(folder, architectures) for folder in folders]
    names = sums[0].keys() | sums[1].keys()
    different = sorted(name for name in names if sums[0].get(name) != sums[1].get(name))
    if different:
        raise processes.StackError(f"the two builds differ in {', '.join(different)}")
    for name, digest in sums[0].items():
        print(f"{digest}  {name}")
    print(f"{len(names)} files of two builds have equal sums.", flush=True)
    return 0


def sums_of(folder: pathlib.Path, architectures: list[str]) -> dict[str, str]:
    """Builds a release in a clone. Returns the sum of each file."""
    # The tools are the same for both.
    (folder / ".venv").symlink_to(build.ROOT / ".venv")
    env = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    # Another folder with the sources of the crates.
    home = folder.with_name(f"{folder.name}-cargo")
    home.mkdir()
    (home / "registry").symlink_to(pathlib.Path(env.get("CARGO_HOME") or pathlib.Path.home() / ".cargo") / "registry")
    command = [sys.executable, "-m", "local.dist", RELEASE.version, *architectures]
    if subprocess.run(command, cwd=folder, env=env | {"CARGO_HOME": str(home)}, check=False).returncode != 0:
        raise processes.StackError(f"the build in {folder} failed, see above")
    sums = folder / "dist" / RELEASE.name / dist.SUMS
    lines = [
        *sums.read_text().splitlines(),
        *(folder / "dist" / f"{RELEASE.name}.tar.gz.sha256").read_text().splitlines(),
    ]
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


if __name__ == "__main__":
    entry.run(main)
