"""The local AWS: ministack, on a free port of the loopback interface, in a directory of its own."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3

from . import processes

REGION = "us-east-1"
# ministack's root user. Nothing else is ever used, so no command here can reach a real account.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
}
# Between choosing a free port and listening on it another program may take it.
START_ATTEMPTS = 3


@dataclass(frozen=True)
class LocalAws:
    """A running local AWS."""

    endpoint: str
    env: Mapping[str, str]

    def client(self, service: str) -> Any:
        """A boto3 client of one of its services."""
        return client(self.endpoint, service)

    def messages(self, queue_url: str) -> list[dict[str, Any]]:
        """What a queue holds, without receiving it: an answer that only this local AWS gives."""
        query = urllib.parse.urlencode({"QueueUrl": queue_url})
        with urllib.request.urlopen(f"{self.endpoint}/_ministack/sqs/messages?{query}", timeout=10) as answer:
            accounts = json.load(answer)["messages"].values()
        return [
            message
            for regions in accounts
            for queues in regions.values()
            for queue in queues.values()
            for message in queue
        ]


# Making one takes longer than most calls.
@functools.cache
def client(endpoint: str, service: str) -> Any:
    return boto3.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    ).client(service, endpoint_url=endpoint)


def sealed_environment(directory: pathlib.Path) -> dict[str, str]:
    """An environment without anything of the caller's: no AWS profile, no proxy, no setting of the function.

    ministack hands its own environment on to the function, and unpacks it where temporary files go.
    """
    temporary = directory / "tmp"
    temporary.mkdir(exist_ok=True)
    tools = pathlib.Path(sys.executable).parent
    return {
        "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOME": str(directory),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        **CREDENTIALS,
    }


@contextlib.contextmanager
def running(directory: pathlib.Path) -> Iterator[LocalAws]:
    """Keeps a local AWS running; what it held is gone afterwards."""
    log = directory / "ministack.log"
    for attempt in range(1, START_ATTEMPTS + 1):
        port = free_port()
        endpoint = f"http://127.0.0.1:{port}"
        env = sealed_environment(directory) | {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "IOT_MTLS_ENABLED": "0",
            # Enforces IAM: the function gets the rights of its role in template.yaml and no others.
            "AUTH": "true",
            # Handed on to the function, which finds the local AWS by it.
            "AWS_ENDPOINT_URL": endpoint,
        }
        with processes.running([str(pathlib.Path(sys.executable).with_name("ministack"))], env=env, log=log) as process:
            try:
                processes.wait_for("the local AWS", functools.partial(answers, endpoint), seconds=60, process=process)
            except processes.StackError as error:
                if attempt < START_ATTEMPTS and "already in use" in log.read_text(errors="replace"):
                    continue
                raise processes.StackError(f"{error}{processes.excerpt(log)}") from None
            yield LocalAws(endpoint, env)
            return


def answers(endpoint: str) -> bool | None:
    """True once the local AWS is up."""
    try:
        with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return None


def free_port() -> int:
    """A port of the loopback interface that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
