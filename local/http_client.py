"""Requests to ingest over HTTP/1.1."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from . import processes
from .http_request import HttpRequest

# Longer than any answer of ingest takes.
TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: Message
    body: str

    def json(self) -> dict[str, Any]:
        """The body if it is a JSON object, else an empty one."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def send(request: HttpRequest, headers: Mapping[str, str], url: str) -> Answer:
    """Sends a request with more headers to its path below `url`.

    Not with urllib, because it drops the answer to a body that the server does not read to its end.
    """
    parts = urllib.parse.urlsplit(f"{url}{request.path}")
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    with contextlib.closing(connection):
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(request.method, parts.path, request.body or None, {**request.headers, **headers})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode())
        except (http.client.HTTPException, OSError) as error:
            raise processes.StackError(f"{url}: {error}") from None
