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
from .cross_build import PROGRAMS, TARGETS
from .identity import Identity

SPECIFICATION = "1.5"


def write(folder: pathlib.Path, architecture: str, executables: Mapping[str, pathlib.Path], release: Identity) -> None:
    """Writes the bill of each executable into a folder."""
    packages = compiled(TARGETS[architecture])
    with tempfile.TemporaryDirectory() as copy:
        documents = list_all(pathlib.Path(copy), TARGETS[architecture], release)
    for program, executable in executables.items():
        document = documents[program]
        keep_only(document, packages)
        component = document["metadata"]["component"]
        component["version"] = release.version
        digest = hashlib.sha256(executable.read_bytes()).hexdigest()
        component["hashes"] = [{"alg": "SHA-256", "content": digest}]
        path = folder / f"{program}-{architecture}.cdx.json"
        path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


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
    """The files that describe the packages and their programs to cargo."""
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


def compiled(target: str) -> set[str]:
    """The packages that the programs are built from, each as `name@version`.

    For all programs together, because cargo compiles each package once, with the features that any program needs.
    """
    command = [
        "cargo",
        "tree",
        "--target",
        target,
        "--locked",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]
    command += [word for program in PROGRAMS for word in ("--package", f"genesys-{build.PACKAGES[program]}")]
    listed = subprocess.run(command, cwd=build.ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise processes.StackError(f"cargo tree failed: {listed.stderr}")
    return {"@".join(found.groups()) for found in re.finditer(r"^(\S+) v(\S+)", listed.stdout, re.MULTILINE)}


def keep_only(document: dict[str, Any], packages: set[str]) -> None:
    """Removes the components that are not compiled, or that the program does not depend on."""
    root = document["metadata"]["component"]
    for component in [root, *document["components"]]:
        # The address of a source file is one of this machine.
        component["purl"] = component["purl"].partition("?")[0]
    is_compiled = {one["bom-ref"]: f"{one['name']}@{one['version']}" in packages for one in document["components"]}
    depends_on = {
        one["ref"]: [ref for ref in one.get("dependsOn", []) if is_compiled[ref]] for one in document["dependencies"]
    }
    kept, left = set(), [root["bom-ref"]]
    while left:
        ref = left.pop()
        if ref not in kept:
            kept.add(ref)
            left += depends_on.get(ref, [])
    document["components"] = [one for one in document["components"] if one["bom-ref"] in kept]
    document["dependencies"] = [
        {"ref": ref, "dependsOn": sorted(refs)} for ref, refs in sorted(depends_on.items()) if ref in kept
    ]
