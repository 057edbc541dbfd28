"""make release-notes: prints the section of a version in CHANGELOG.md, and refuses a version that is not prepared."""

from __future__ import annotations

import re
import sys

from . import build, processes

WORKSPACE_VERSION = re.compile(r'^\[workspace\.package\]\nversion = "([^"]+)"', re.MULTILINE)


def main() -> int:
    [version] = sys.argv[1:]
    found = WORKSPACE_VERSION.search((build.ROOT / "Cargo.toml").read_text())
    if found is None or found[1] != version:
        raise processes.StackError(
            f"Cargo.toml has version {found and found[1]}, not {version}\nhint: raise the version in Cargo.toml first"
        )
    print(notes((build.ROOT / "CHANGELOG.md").read_text(), version), flush=True)
    return 0


def notes(changelog: str, version: str) -> str:
    """The section of a version, without its heading; raises StackError if it is missing or empty."""
    section = re.search(rf"^## {re.escape(version)}(?: [^\n]*)?\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    text = section[1].strip() if section else ""
    if not text:
        raise processes.StackError(f"CHANGELOG.md has no section {version}\nhint: rename its section Unreleased")
    return text


if __name__ == "__main__":
    try:
        sys.exit(main())
    except processes.StackError as error:
        sys.exit(f"error: {error}")
