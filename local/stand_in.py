"""The stand-in Genesys Cloud and HTTP target (tests/stand-in), through its control API."""

from __future__ import annotations

import contextlib
import json
import pathlib
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import processes

CLIENT_ID = "demo-client"
CLIENT_SECRET = "demo-secret"


@dataclass(frozen=True)
class StandIn:
    """A running stand-in."""

    url: str

    def calls(self) -> list[dict[str, Any]]:
        """Every request it received, in order of arrival; see `Call` in tests/stand-in."""
        return json.loads(self._control("GET", "calls"))

    def add_fault(self, fault: Mapping[str, Any]) -> None:
        """Makes it misbehave; see `Fault` in tests/stand-in."""
        self._control("POST", "faults", json.dumps(fault).encode())

    def clear_faults(self) -> None:
        """Ends every fault."""
        self._control("DELETE", "faults")

    def replace_faults(self, fault: Mapping[str, Any]) -> None:
        """Makes it misbehave in this way and no other."""
        self.clear_faults()
        self.add_fault(fault)

    def put_subscription(self, subscription_id: str, status: str) -> None:
        """Gives a subscription a status; one that nobody gave any is ACTIVE."""
        self._control("PUT", f"subscriptions/{subscription_id}", json.dumps({"status": status}).encode())

    def _control(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.url}/_stand-in/{path}", data=body, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()


@contextlib.contextmanager
def running(executable: pathlib.Path, directory: pathlib.Path, env: Mapping[str, str]) -> Iterator[StandIn]:
    """Keeps a stand-in running on a free port of the loopback interface."""
    log = directory / "stand-in.log"
    command = [str(executable), "--port", "0", "--client-id", CLIENT_ID, "--client-secret", CLIENT_SECRET]
    with processes.running(command, env=env, log=log) as process:

        def listening() -> str | None:
            line, newline, _ = log.read_text().partition("\n")
            return json.loads(line)["url"] if newline else None

        yield StandIn(processes.wait_for("the stand-in Genesys Cloud", listening, seconds=20, process=process))
