"""A software bill of materials (SBOM) for each program, in CycloneDX's JSON.

cargo-cyclonedx lists all optional dependencies of Cargo.lock. Those that are not built into the program are removed
here, because each would be a false finding of a vulnerability scanner.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any

from .. import build, processes
from .cross_build import TARGETS
from .identity import Identity

SPECIFICATION = "1.5"


def write(
    folder: pathlib.Path, architecture: str, executables: Mapping[str, pathlib.Path], release: Identity
) -> dict[str, pathlib.Path]:
    """Writes the bill of each executable into a folder. Returns the files by program."""
    written = {}
    with tempfile.TemporaryDirectory() as copy:
        documents = list_all(pathlib.Path(copy), TARGETS[architecture], release)
    for program, executable in executables.items():
        document = documents[program]
        keep_only(document, built_in(program, TARGETS[architecture]))
        component = document["metadata"]["component"]
        component["version"] = release.version
        digest = hashlib.sha256(executable.read_bytes()).hexdigest()
        component["hashes"] = [{"alg": "SHA-256", "content": digest}]
        path = folder / f"{program}-{architecture}.cdx.json"
        path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
        written[program] = path
    return written


def list_all(copy: pathlib.Path, target: str, release: Identity) -> dict[str, Any]:
    """The documents of all programs. Made in a copy of the sources, because the tool writes beside each Cargo.toml.

    The variable CARGO_CYCLONEDX has the path of the tool.
    """
    for manifest in [build.ROOT / "Cargo.lock", *sources()]:
        place = copy / manifest.relative_to(build.ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(manifest.read_bytes())
    command = [os.environ["CARGO_CYCLONEDX"], "cyclonedx", "-qq"]
    command += ["--format", "json", "--spec-version", SPECIFICATION, "--describe", "binaries", "--no-build-deps"]
    command += ["--target", target, "--manifest-path", str(copy / "Cargo.toml")]
    env = os.environ | {"SOURCE_DATE_EPOCH": str(release.epoch)}
    if subprocess.run(command, env=env, check=False).returncode != 0:
        raise processes.StackError("cargo-cyclonedx failed, see above")
    found = {path.name.removesuffix("_bin.cdx.json"): path for path in copy.glob("**/*_bin.cdx.json")}
    # Folders of this machine are not part of the release.
    return {
        program: json.loads(path.read_text().replace(f"file://{copy.resolve()}", "file:///genesys-replay"))
        for program, path in found.items()
    }


def sources() -> list[pathlib.Path]:
    """The files from which cargo knows the packages and their programs."""
    listed = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"],
        cwd=build.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        raise processes.StackError(f"cargo metadata failed: {listed.stderr}")
    paths = [build.ROOT / "Cargo.toml"]
    for package in json.loads(listed.stdout)["packages"]:
        paths += [
            pathlib.Path(package["manifest_path"]),
            *(pathlib.Path(one["src_path"]) for one in package["targets"]),
        ]
    return paths


def built_in(program: str, target: str) -> set[str]:
    """The packages that a program is built from, each as `name@version`."""
    command = ["cargo", "tree", "--package", f"genesys-{build.PACKAGES[program]}", "--target", target, "--locked"]
    command += ["--edges", "normal", "--prefix", "none", "--format", "{p}"]
    listed = subprocess.run(command, cwd=build.ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise processes.StackError(f"cargo tree failed: {listed.stderr}")
    return {"@".join(found.groups()) for found in re.finditer(r"^(\S+) v(\S+)", listed.stdout, re.MULTILINE)}


def keep_only(document: dict[str, Any], packages: set[str]) -> None:
    """Removes all other packages from a document."""
    removed = set()
    for component in document["components"]:
        # The address of a source file is one of this machine.
        component["purl"] = component["purl"].partition("?")[0]
        if f"{component['name']}@{component['version']}" not in packages:
            removed.add(component["bom-ref"])
    document["components"] = [one for one in document["components"] if one["bom-ref"] not in removed]
    document["dependencies"] = [
        one | ({"dependsOn": sorted(set(one["dependsOn"]) - removed)} if "dependsOn" in one else {})
        for one in document["dependencies"]
        if one["ref"] not in removed
    ]
    component = document["metadata"]["component"]
    component["purl"] = component["purl"].partition("?")[0]
