"""The version, the commit and the time of a release."""

from __future__ import annotations

import dataclasses
import re
import subprocess

from .. import build, processes

# Semantic Versioning 2.0.0, without build metadata, because the names of files and tags cannot have it.
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?")
COMMIT_DIGITS = 12
# The first time that a zip file can store: 1980-01-01, in seconds since 1970.
ZIP_EPOCH = 315_532_800


@dataclasses.dataclass(frozen=True)
class Identity:
    """The names of one release."""

    version: str
    # The first digits of the commit, followed by -dirty if files have changed since; empty outside a checkout.
    commit: str
    # Seconds since 1970: the time of the commit, so that builds of one commit are equal.
    epoch: int

    @property
    def name(self) -> str:
        """The name of the folder and of the archives."""
        return f"genesys-replay-{self.version}"

    @property
    def release(self) -> str:
        """Version and commit, as in the output of the programs."""
        return f"{self.version} ({self.commit})" if self.commit else self.version


def identity(version: str) -> Identity:
    """The identity of a release of this checkout; raises StackError for a version that is not semantic."""
    if not VERSION.fullmatch(version):
        raise processes.StackError(
            f"VERSION={version} is not a semantic version\nhint: make dist VERSION=0.2.0, without a v and without +"
        )
    commit = git("rev-parse", f"--short={COMMIT_DIGITS}", "HEAD")
    if commit is None:
        processes.say("not a git checkout: the release names no commit")
        return Identity(version, "", ZIP_EPOCH)
    if git("status", "--porcelain"):
        processes.say("files have changed since the commit: the release is marked as -dirty")
        commit += "-dirty"
    return Identity(version, commit, int(git("log", "-1", "--format=%ct") or ZIP_EPOCH))


def git(*arguments: str) -> str | None:
    """The output of a git command; None if git is missing or refuses."""
    try:
        done = subprocess.run(["git", *arguments], cwd=build.ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
