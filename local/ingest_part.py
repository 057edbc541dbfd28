"""Dead letters and webhooks over HTTP: to ingest as a server, and to the deployed function through its URL."""

from __future__ import annotations

import contextlib
import json
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import checks, driver, metrics, ministack, processes, report, snapshot, stand_in
from .http_request import Answer
from .http_scenarios import TO_FUNCTION, TO_SERVER, Exchange
from .snapshot import Sent
from .stack import Stack


@dataclass(frozen=True)
class Exchanged:
    """A request with its answer and the log line of ingest about it."""

    exchange: Exchange
    answer: Answer
    line: Mapping[str, Any]


def play(local: Stack, executable: pathlib.Path) -> tuple[list[Sent], list[str]]:
    """Sends every request, prints answers and endings; returns the accepted dead letters and the findings."""
    processes.say(f"sending {len(TO_SERVER)} requests to ingest as a server, {len(TO_FUNCTION)} to its URL ...")
    for exchange in (*TO_SERVER, *TO_FUNCTION):
        for fault in exchange.faults:
            local.genesys.add_fault(fault(exchange))
        if exchange.subscription != "ACTIVE":
            local.genesys.put_subscription(exchange.subscription_id, exchange.subscription)

    exchanged: list[Exchanged] = []
    log = local.directory / "ingest.log"
    with server(local, executable, log) as url:
        for exchange in TO_SERVER:
            if exchange.repeats:
                driver.until_handled(local, accepted(exchanged))
            answer = send(exchange, url)
            exchanged.append(Exchanged(exchange, answer, line_of(log, len(exchanged))))
    url = ministack.function_url(local.aws, local.outputs["IngestUrl"])
    answers = [send(exchange, url) for exchange in TO_FUNCTION]
    lines = snapshot.requests(snapshot.log_lines(local, "IngestLogGroupName"))
    exchanged += [Exchanged(*one) for one in zip(TO_FUNCTION, answers, lines, strict=True)]
    sent = accepted(exchanged)
    seen = driver.until_handled(local, sent)

    report.heading(
        "Over HTTP",
        note="Signed with Standard Webhooks, unless the first column shows a difference.\n"
        "A sender keeps an event until it is accepted.",
    )
    report.table(["request", "status", "answer"], [shown(one.exchange.name, one.answer) for one in exchanged])
    report.heading("The endings of the accepted requests")
    report.endings(seen, sent)
    return sent, [
        *(f"{one.exchange.name}: {problem}" for one in exchanged for problem in check(one)),
        *(problem for one in sent for problem in checks.one_ending(seen, one)),
        *metrics.disagreements("ingest as a server", lines_of(log)),
    ]


@contextlib.contextmanager
def server(local: Stack, executable: pathlib.Path, log: pathlib.Path) -> Iterator[str]:
    """Runs ingest as a server and yields its URL. At the end it has written its last metrics."""
    env = {
        **local.aws.env,
        "REPLAY_QUEUE_URL": local.outputs["DeadLetterQueueUrl"],
        "INGEST_SECRET_ID": local.parameters["IngestSecretArn"],
        # The function checks integrations, because the real API has those.
        "SUBSCRIPTION_CHECK": "eventstreams",
        "GENESYS_API_BASE_URL": local.genesys.url,
        "GENESYS_LOGIN_BASE_URL": local.genesys.url,
        "GENESYS_CLIENT_ID": stand_in.CLIENT_ID,
        "GENESYS_CLIENT_SECRET": stand_in.CLIENT_SECRET,
        "LISTEN_ADDR": "127.0.0.1:0",
    }

    def address() -> str | None:
        return next((line["address"] for line in lines_of(log) if line["message"] == "listening"), None)

    with processes.running([str(executable)], env=env, log=log) as process:
        yield f"http://{processes.wait_for('ingest', address, seconds=20, process=process, log=log)}"
    if process.returncode != 0:
        raise processes.StackError(f"ingest ended with {process.returncode} after SIGTERM{processes.excerpt(log)}")


def lines_of(log: pathlib.Path) -> list[dict[str, Any]]:
    """The complete lines of the server."""
    whole_lines, _, _ = log.read_text().rpartition("\n")
    return snapshot.parsed(whole_lines.splitlines())


def line_of(log: pathlib.Path, number: int) -> Mapping[str, Any]:
    """The line about a request, by its number from 0; waits for it, because a thread of its own writes the lines."""

    def line() -> Mapping[str, Any] | None:
        return next(iter(snapshot.requests(lines_of(log))[number:]), None)

    return processes.wait_for("the line of a request", line, seconds=20)


def send(exchange: Exchange, url: str) -> Answer:
    """Sends a request with its signature."""
    return exchange.request.send(url, exchange.sign(exchange.request, int(time.time())))


def accepted(exchanged: Sequence[Exchanged]) -> list[Sent]:
    """The dead letters on the queue."""
    return [Sent(one.exchange, one.line["message_id"]) for one in exchanged if "message_id" in one.line]


def shown(name: str, answer: Answer) -> list[str]:
    """A request as a row."""
    problem = json.loads(answer.body)
    text = f"{problem['code']}: {problem['detail']}" if "code" in problem else answer.body
    headers = [f"{name}: {answer.headers[name]}" for name in ("Allow", "Retry-After") if name in answer.headers]
    return [name, str(answer.status), "\n".join([report.folded(text, 90), *headers])]


def check(one: Exchanged) -> list[str]:
    """The differences between an exchange and its answer or its log line."""
    exchange, answer, line = one.exchange, one.answer, one.line
    found = json.loads(answer.body)
    is_accepted = exchange.ending is not None
    # Of each property the actual and the expected value.
    pairs = {
        "status": (answer.status, exchange.status),
        "content type": (
            answer.headers.get_content_type(),
            "application/json" if is_accepted else "application/problem+json",
        ),
        "Retry-After": ("Retry-After" in answer.headers, exchange.status == 503),
        "Allow": ("Allow" in answer.headers, exchange.status == 405),
        "status in the log": (line["status"], exchange.status),
        "problem in the log": (line.get("problem"), exchange.code),
        "code": (found.get("code"), exchange.code),
        "status in the answer": (found.get("status"), "accepted" if is_accepted else exchange.status),
        "message_id in the log": ("message_id" in line, is_accepted),
    }
    if is_accepted and exchange.request.path == "/dead-letter":
        pairs["attempt"] = (found.get("attempt"), exchange.letter.earlier_attempts + 1)
        pairs["messageId"] = (found.get("messageId"), line.get("message_id"))
    # A body that is not an event has the id of its request.
    if exchange.ending and exchange.ending.ledger:
        pairs["event_id in the log"] = (line.get("event_id"), exchange.letter.event_id)
    return [
        f"{name} is {actual!r}, expected {expected!r}"
        for name, (actual, expected) in pairs.items()
        if actual != expected
    ]
