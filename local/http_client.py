"""How requests reach ingest: with curl, as somebody tries it out by hand, else with Python."""

from __future__ import annotations

import functools
import json
import pathlib
import shutil
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from typing import Any

from . import processes
from .http_request import HttpRequest

# Longer than ingest takes for anything.
TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    # Names in any case find theirs.
    headers: Message
    body: str

    def json(self) -> dict[str, Any]:
        """The body, if it is a JSON object; else an empty one."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def send(request: HttpRequest, url: str, directory: pathlib.Path) -> Answer:
    """Sends a request to its path below `url`; `directory` is for what curl writes besides."""
    curl = find_curl()
    url = f"{url}{request.path}"
    return with_curl(curl, request, url, directory) if curl else with_python(request, url)


@functools.cache
def find_curl() -> str | None:
    curl = shutil.which("curl")
    if curl is None:
        processes.say("curl is missing: sending with Python instead ...")
    return curl


def with_curl(curl: str, request: HttpRequest, url: str, directory: pathlib.Path) -> Answer:
    head = directory / "answer-headers"
    command = [
        # Not the caller's ~/.curlrc, and no proxy.
        *[curl, "--disable", "--noproxy", "*", "--silent", "--show-error", "--max-time", str(TIMEOUT_SECONDS)],
        *["--dump-header", str(head), "--request", request.method, url],
        *(word for name, value in request.headers.items() for word in ("--header", f"{name}: {value}")),
        *(["--data-binary", "@-"] if request.body else []),
    ]
    done = subprocess.run(command, input=request.body, capture_output=True, check=False)
    if done.returncode != 0:
        raise processes.StackError(f"{url}: {done.stderr.decode(errors='replace').strip()}")
    # Of several (100 Continue comes before large bodies are sent) the last is the answer's.
    *_, last = head.read_text().replace("\r\n", "\n").strip().split("\n\n")
    status, _, fields = last.partition("\n")
    return Answer(int(status.split()[1]), Parser().parsestr(fields, headersonly=True), done.stdout.decode())


def with_python(request: HttpRequest, url: str) -> Answer:
    prepared = urllib.request.Request(
        url, data=request.body or None, headers=dict(request.headers), method=request.method
    )
    try:
        answer = urllib.request.urlopen(prepared, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        answer = error
    except (urllib.error.URLError, OSError) as error:
        raise processes.StackError(f"{url}: {error}") from None
    with answer:
        return Answer(answer.status, answer.headers, answer.read().decode())
