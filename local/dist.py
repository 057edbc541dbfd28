"""make dist: builds a release into dist/."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from . import build, entry, processes
from .release import archive, cross_build, sbom, template
from .release.identity import Identity, identity

DIST = build.ROOT / "dist"
SUMS = "SHA256SUMS"
# The shells with a completion script, and the place of the script in the command's archive.
COMPLETIONS = {
    "bash": "completions/genesys-replay.bash",
    "zsh": "completions/_genesys-replay",
    "fish": "completions/genesys-replay.fish",
}


def main() -> int:
    version, architectures = sys.argv[1], sys.argv[2:]
    check(architectures)
    started = time.monotonic()
    release = identity(version)
    cross_build.prepare(architectures)
    folder = DIST / release.name
    whole = DIST / f"{release.name}.tar.gz"
    # First, so that no file of an earlier build remains after a failed one.
    shutil.rmtree(folder, ignore_errors=True)
    whole.unlink(missing_ok=True)
    folder.mkdir(parents=True)
    executables = {}
    for number, architecture in enumerate(architectures, 1):
        processes.say(f"{release.name} for {architecture} ({number} of {len(architectures)})")
        executables[architecture] = cross_build.programs(architecture, release)
    with tempfile.TemporaryDirectory() as documentation:
        document(executables[build.architecture()][build.OPERATOR], pathlib.Path(documentation))
        for architecture, programs in executables.items():
            add_functions(folder, architecture, programs, release)
            add_command(folder, architecture, programs[build.OPERATOR], pathlib.Path(documentation), release)
            sbom.write(folder, architecture, programs, release)
    for name in ("environment.yaml", "monitoring", "docs", "CHANGELOG.md", "SECURITY.md", "LICENSE"):
        copy(build.ROOT / name, folder / name)
    readme = (build.ROOT / "local/release/README.md").read_text()
    names = {"{version}": release.version, "{release}": release.release, "{rustc}": cross_build.compiler()}
    for name, value in names.items():
        readme = readme.replace(name, value)
    (folder / "README.md").write_text(readme)
    write_sums(folder)
    files = {f"{release.name}/{path.relative_to(folder)}": path for path in files_of(folder)}
    whole.write_bytes(archive.tar(files, release.epoch))
    whole.with_name(f"{whole.name}.sha256").write_text(sum_line(whole, whole.name))
    show(folder, whole, release, time.monotonic() - started)
    return 0


def check(architectures: list[str]) -> None:
    """Raises StackError for processors that this machine cannot build for."""
    unknown = sorted(set(architectures) - set(cross_build.TARGETS))
    if unknown:
        raise processes.StackError(
            f"{', '.join(unknown)}: not a processor of Lambda\nhint: ARCHITECTURES='{' '.join(cross_build.TARGETS)}'"
        )
    if build.architecture() not in architectures:
        raise processes.StackError(
            f"ARCHITECTURES has no {build.architecture()}: this machine runs its command to write the manual pages\n"
            f"hint: ARCHITECTURES='{' '.join([build.architecture(), *architectures])}'"
        )


def add_functions(
    folder: pathlib.Path, architecture: str, programs: dict[str, pathlib.Path], release: Identity
) -> None:
    """Adds the packages of the functions, and the template that names them."""
    for program in build.PROGRAMS.values():
        content = archive.function_package(programs[program], release.epoch)
        (folder / template.package(program, architecture)).write_bytes(content)
    text = template.packaged(build.TEMPLATE.read_text(), architecture, release)
    (folder / template.file_name(architecture)).write_text(text)


def add_command(
    folder: pathlib.Path, architecture: str, command: pathlib.Path, documentation: pathlib.Path, release: Identity
) -> None:
    """Adds an archive with the command, its manual pages and its completions."""
    name = f"{release.name}-linux-{architecture}"
    files = {path.relative_to(documentation): path for path in files_of(documentation)}
    files |= {pathlib.Path(build.OPERATOR): command, pathlib.Path("LICENSE"): build.ROOT / "LICENSE"}
    content = archive.tar({f"{name}/{place}": path for place, path in files.items()}, release.epoch)
    (folder / f"{name}.tar.gz").write_bytes(content)


def document(command: pathlib.Path, folder: pathlib.Path) -> None:
    """Writes the manual pages and completions of the command."""
    for shell, place in COMPLETIONS.items():
        path = folder / place
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(run(command, "completions", shell))
    run(command, "man", "--dir", str(folder / "man/man1"))


def run(command: pathlib.Path, *arguments: str) -> bytes:
    """The output of the command; raises StackError if it fails."""
    done = subprocess.run(
        [str(command), *arguments], capture_output=True, check=False, env=os.environ | {"NO_COLOR": "1"}
    )
    if done.returncode != 0:
        raise processes.StackError(
            f"genesys-replay {' '.join(arguments)} failed: {done.stderr.decode(errors='replace')}"
        )
    return done.stdout


def copy(source: pathlib.Path, place: pathlib.Path) -> None:
    if source.is_dir():
        shutil.copytree(source, place)
    else:
        shutil.copy(source, place)


def files_of(folder: pathlib.Path) -> list[pathlib.Path]:
    """All files below a folder, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def write_sums(folder: pathlib.Path) -> None:
    """Writes the sums of all files of a folder, in the form of `sha256sum`."""
    lines = [sum_line(path, str(path.relative_to(folder))) for path in files_of(folder)]
    (folder / SUMS).write_text("".join(lines))


def sum_line(path: pathlib.Path, name: str) -> str:
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n"


def show(folder: pathlib.Path, whole: pathlib.Path, release: Identity, seconds: float) -> None:
    """Prints the files with their sizes, and each inner folder as one line."""
    print(f"genesys-replay {release.release}, built in {seconds / 60:.0f} min:")
    for path in [*sorted(folder.iterdir()), whole]:
        files = files_of(path) if path.is_dir() else [path]
        size, name = sum(file.stat().st_size for file in files), path.relative_to(build.ROOT)
        print(f"{size:>12,}  {f'{name}/ ({len(files)} files)' if path.is_dir() else name}")
    print(f"\nTo deploy it, see {(folder / 'README.md').relative_to(build.ROOT)}.", flush=True)


if __name__ == "__main__":
    entry.run(main)
