"""Builds, by the messages of cargo."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import unittest

from local import build, processes


def artifact(package: str, *, fresh: bool, executable: str | None = None) -> str:
    """A message of cargo about a crate."""
    crate = {"package_id": package, "target": {"name": "replay"}, "fresh": fresh, "executable": executable}
    return json.dumps({"reason": "compiler-artifact", **crate})


# The build script of "serde" is fresh, its library is not.
CRATES = [artifact("serde", fresh=True), artifact("serde", fresh=False), artifact("url", fresh=True)]
PROGRAM = artifact("genesys-replay", fresh=False, executable="/target/debug/replay")


class Builds(unittest.TestCase):
    """Messages that are read to their end."""

    def build(self, messages: list[str], code: int) -> tuple[build.Build, str]:
        """A build whose cargo writes these messages and ends with this code; and its output."""
        text = "\n".join(messages)
        command = [sys.executable, "-c", f"print({text!r}); raise SystemExit({code})"]
        with (
            contextlib.redirect_stderr(io.StringIO()) as said,
            subprocess.Popen(command, stdout=subprocess.PIPE) as process,
        ):
            found = build.Build(["replay"], process)
            found.reader.join()
        return found, said.getvalue()

    def test_a_package_is_fresh_when_nothing_of_it_was_compiled(self) -> None:
        built, said = self.build([*CRATES, PROGRAM], 0)
        self.assertEqual(str(built.wait("replay")), "/target/debug/replay")
        self.assertRegex(said, r"built replay in \d+ s: 2 crates compiled, 1 fresh\n")

    def test_a_failed_build_is_an_error(self) -> None:
        failed, said = self.build(CRATES, 101)
        with self.assertRaisesRegex(processes.StackError, "replay cannot be built: cargo ended with 101"):
            failed.wait("replay")
        self.assertEqual(said, "")


if __name__ == "__main__":
    unittest.main()
