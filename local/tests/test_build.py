"""The progress and the end of builds, from cargo's messages."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import unittest
from collections.abc import Iterator
from typing import Any

from local import build, processes


def artifact(package: str, *, fresh: bool, executable: str | None = None) -> dict[str, Any]:
    """A message of cargo."""
    target = {"name": "replay"}
    return {
        "reason": "compiler-artifact",
        "package_id": package,
        "target": target,
        "fresh": fresh,
        "executable": executable,
    }


# The build script of "serde" is fresh, its library is not.
MESSAGES = [
    artifact("serde", fresh=True),
    artifact("serde", fresh=False),
    artifact("url", fresh=True),
    artifact("genesys-replay", fresh=False, executable="/target/debug/replay"),
    {"reason": "build-finished", "success": True},
]


class Builds(unittest.TestCase):
    """Messages that are read to their end."""

    @contextlib.contextmanager
    def build(self, messages: list[dict[str, Any]], code: int) -> Iterator[tuple[build.Build, io.StringIO]]:
        """A build whose cargo writes these messages and ends with this exit code."""
        text = "\n".join(map(json.dumps, messages))
        command = [sys.executable, "-c", f"print({text!r}); raise SystemExit({code})"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            running = build.Build(["replay"], process)
            with contextlib.redirect_stderr(io.StringIO()) as said:
                running.reader.start()
                running.reader.join()
                yield running, said

    def test_a_package_is_fresh_when_nothing_of_it_was_compiled(self) -> None:
        with self.build(MESSAGES, 0) as (running, said):
            self.assertEqual(str(running.wait("replay")), "/target/debug/replay")
            self.assertRegex(said.getvalue(), r"built replay in \d+ s: 2 crates compiled, 1 fresh\n")

    def test_a_failed_build_is_an_error(self) -> None:
        with self.build(MESSAGES[:3], 101) as (running, said):
            with self.assertRaisesRegex(processes.StackError, "replay cannot be built: cargo ended with 101"):
                running.wait("replay")
            self.assertEqual(said.getvalue(), "")


if __name__ == "__main__":
    unittest.main()
