"""ingest as a server, beside the stack whose queue it fills."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import observation, processes, stack, stand_in


@dataclass(frozen=True)
class IngestServer:
    """A running server."""

    url: str
    log: pathlib.Path

    def lines(self) -> list[dict[str, Any]]:
        """Its log lines."""
        return observation.parsed(self.log.read_text().splitlines())


@contextlib.contextmanager
def running(local: stack.Stack, executable: pathlib.Path) -> Iterator[IngestServer]:
    """Keeps a server running on a free port; on leaving, it has written its last metrics."""
    log = local.directory / "ingest.log"
    env = {
        **local.aws.env,
        "REPLAY_QUEUE_URL": local.outputs["DeadLetterQueueUrl"],
        "INGEST_SECRET_ID": local.parameters["IngestSecretArn"],
        # The function looks up integrations, as the real API has them.
        "SUBSCRIPTION_CHECK": "eventstreams",
        "GENESYS_API_BASE_URL": local.genesys.url,
        "GENESYS_LOGIN_BASE_URL": local.genesys.url,
        "GENESYS_CLIENT_ID": stand_in.CLIENT_ID,
        "GENESYS_CLIENT_SECRET": stand_in.CLIENT_SECRET,
        "LISTEN_ADDR": "127.0.0.1:0",
    }
    with processes.running([str(executable)], env=env, log=log) as process:

        def listening() -> str | None:
            whole_lines, _, _ = log.read_text().rpartition("\n")
            lines = observation.parsed(whole_lines.splitlines())
            return next((line["address"] for line in lines if line["message"] == "listening"), None)

        try:
            address = processes.wait_for("ingest", listening, seconds=20, process=process)
        except processes.StackError as error:
            raise processes.StackError(f"{error}{processes.excerpt(log)}") from None
        yield IngestServer(f"http://{address}", log)
    if process.returncode != 0:
        raise processes.StackError(f"ingest ended with {process.returncode} after SIGTERM{processes.excerpt(log)}")
