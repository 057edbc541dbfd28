"""make invoke: its end, and the program for Docker."""

from __future__ import annotations

import pathlib
import tempfile
import unittest

from local import docker, invoke, processes


class Invocations(unittest.TestCase):
    """The end of an invocation, by its answer and log lines."""

    def check(self, answer: object, *lines: dict[str, str]) -> None:
        """Checks an invocation of the replay function with these log lines."""
        with tempfile.NamedTemporaryFile() as log:
            invoke.check(answer, "batchItemFailures", lines, pathlib.Path(log.name))

    def test_handled_dead_letters_are_a_success(self) -> None:
        for outcome in ("replayed", "archived", "duplicate"):
            self.check({"batchItemFailures": []}, {"message": "dead letter handled", "outcome": outcome})
        self.check({"batchItemFailures": [], "statusCode": 422}, {"problem": "INGEST_EVENT_EMPTY"})

    def test_unreached_upstream_is_an_error(self) -> None:
        for outcome, code in (
            ("deferred", "LEDGER_UNAVAILABLE"),
            ("deferred", "TARGET_MISCONFIGURED"),
            ("not_attempted", "BREAKER_OPEN"),
        ):
            with self.assertRaisesRegex(processes.StackError, f"did not reach its upstreams: {code}"):
                self.check({"batchItemFailures": []}, {"failure_code": code, "outcome": outcome})
        with self.assertRaisesRegex(processes.StackError, "status 503"):
            self.check({"batchItemFailures": [], "statusCode": 503})

    def test_answer_without_the_member_is_an_error(self) -> None:
        for answer in ({"errorType": "x"}, None, "text"):
            with self.assertRaisesRegex(processes.StackError, "the function failed"):
                self.check(answer)


class Glibc(unittest.TestCase):
    """The version of the C library that a program needs."""

    def required(self, content: bytes) -> tuple[int, int]:
        """The version for a program with this content."""
        with tempfile.NamedTemporaryFile() as program:
            program.write(content)
            program.flush()
            return docker.required_glibc(pathlib.Path(program.name))

    def test_highest_version_is_required(self) -> None:
        self.assertEqual(self.required(b"\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.17\0"), (2, 34))
        self.assertEqual(self.required(b"a static program"), (0, 0))
        self.assertGreater(self.required(b"GLIBC_2.38"), docker.IMAGE_GLIBC)


if __name__ == "__main__":
    unittest.main()
