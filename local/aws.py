"""The local AWS: ministack, on a free port, in its own folder."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import socket
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3

from . import processes

REGION = "us-east-1"
LOOPBACK = "127.0.0.1"
# ministack's root user. No other credentials are used, so no command here reaches a real account.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
}
STARTS_WITHIN_SECONDS = 60


@dataclass(frozen=True)
class LocalAws:
    """A running local AWS."""

    endpoint: str
    env: Mapping[str, str]

    def client(self, service: str) -> Any:
        """A boto3 client of one of its services."""
        return client(self.endpoint, service)

    def messages(self, queue_url: str) -> list[dict[str, Any]]:
        """The messages of a queue, without receiving them; only ministack has such a call."""
        query = urllib.parse.urlencode({"QueueUrl": queue_url})
        with urllib.request.urlopen(f"{self.endpoint}/_ministack/sqs/messages?{query}", timeout=10) as answer:
            accounts = json.load(answer)["messages"].values()
        queues = (queue for regions in accounts for queues in regions.values() for queue in queues.values())
        return [message for queue in queues for message in queue]


# Creating a client takes longer than most calls.
@functools.cache
def client(endpoint: str, service: str) -> Any:
    return boto3.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    ).client(service, endpoint_url=endpoint)


def sealed_environment(directory: pathlib.Path) -> dict[str, str]:
    """An environment without the caller's AWS profile, proxy and settings of the function.

    ministack passes its own environment on to the function, and unpacks packages into the temporary folder.
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
def running(directory: pathlib.Path, host: str) -> Iterator[LocalAws]:
    """Runs a local AWS on a free port of this address. Its content is lost at the end."""
    log = directory / "ministack.log"
    port = free_port(host)
    endpoint = f"http://{host}:{port}"
    env = sealed_environment(directory) | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": host,
        "MINISTACK_HOST": host,
        "IOT_MTLS_ENABLED": "0",
        # Enforces IAM: the function has the permissions of its role in template.yaml only.
        "AUTH": "true",
        # For the function, which calls the local AWS.
        "AWS_ENDPOINT_URL": endpoint,
    }

    def answers() -> bool | None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2):
            return True
        return None

    with processes.running([str(pathlib.Path(sys.executable).with_name("ministack"))], env=env, log=log) as process:
        processes.wait_for("the local AWS", answers, seconds=STARTS_WITHIN_SECONDS, process=process, log=log)
        yield LocalAws(endpoint, env)


def free_port(host: str = LOOPBACK) -> int:
    """A port of this address that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]
