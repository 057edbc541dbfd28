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

CLIENT_ID, CLIENT_SECRET = "demo-client", "demo-secret"


@dataclass(frozen=True)
class StandIn:
    """A running stand-in."""

    url: str

    def calls(self) -> list[dict[str, Any]]:
        """Its requests in order of arrival; see `Call` in tests/stand-in."""
        return json.loads(self._control("GET", "calls"))

    def clear_calls(self) -> None:
        """Forgets its requests."""
        self._control("DELETE", "calls")

    def add_fault(self, fault: Mapping[str, Any]) -> None:
        """Adds a fault; see `Fault` in tests/stand-in."""
        self._control("POST", "faults", fault)

    def clear_faults(self) -> None:
        """Ends every fault."""
        self._control("DELETE", "faults")

    def put_subscription(self, subscription_id: str, status: str) -> None:
        """Gives a subscription a status; the default is ACTIVE."""
        self._control("PUT", f"subscriptions/{subscription_id}", {"status": status})

    def _control(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> bytes:
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self.url}/_stand-in/{path}", data=body, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()


@contextlib.contextmanager
def running(executable: pathlib.Path, directory: pathlib.Path, env: Mapping[str, str], host: str) -> Iterator[StandIn]:
    """Runs a stand-in on a free port of this address."""
    log = directory / "stand-in.log"
    client = ["--client-id", CLIENT_ID, "--client-secret", CLIENT_SECRET]
    command = [str(executable), "--host", host, "--port", "0", *client]
    with processes.running(command, env=env, log=log) as process:

        def listening() -> str | None:
            line, newline, _ = log.read_text().partition("\n")
            return json.loads(line)["url"] if newline else None

        yield StandIn(processes.wait_for("the stand-in Genesys Cloud", listening, seconds=20, process=process, log=log))
