"""Dead letters and webhooks over HTTP: to ingest as a server, and to the deployed function through its URL."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import bridge, checks, http_client, ingest_server, metrics, observation, processes, report, sending
from .http_client import Answer
from .http_scenarios import TO_FUNCTION, TO_SERVER, Exchange
from .observation import Observation, Sent
from .stack import Stack


@dataclasses.dataclass(frozen=True)
class Exchanged:
    """A request with its answer and the log line of ingest about it."""

    exchange: Exchange
    answer: Answer
    line: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Played:
    """All requests, the messages on the queue, and their endings."""

    exchanged: list[Exchanged]
    accepted: list[Sent]
    seen: Observation
    server_lines: list[dict[str, Any]]

    @property
    def events(self) -> list[Sent]:
        """The accepted messages without repetitions."""
        return [one for one in self.accepted if not one.scenario.repeats]


def play(local: Stack, executable: pathlib.Path) -> Played:
    """Sends every request, each after the ending of the one that it repeats, and waits for the endings."""
    processes.say(f"sending {len(TO_SERVER)} requests to ingest as a server, {len(TO_FUNCTION)} to its URL ...")
    for exchange in (*TO_SERVER, *TO_FUNCTION):
        for fault in exchange.faults:
            local.genesys.add_fault(fault(exchange))
        if exchange.subscription != "ACTIVE":
            local.genesys.put_subscription(exchange.request.subscription_id, exchange.subscription)

    exchanged: list[Exchanged] = []
    with ingest_server.running(local, executable) as server:
        for exchange in TO_SERVER:
            if exchange.repeats:
                sending.until_handled(local, accepted(exchanged))
            answer = send(exchange, server.url)
            exchanged.append(Exchanged(exchange, answer, observation.requests(server.lines())[-1]))
    url = bridge.function_url(local.aws, local.outputs["IngestUrl"])
    answers = [send(exchange, url) for exchange in TO_FUNCTION]
    lines = observation.requests(observation.log_lines(local, "IngestLogGroupName"))
    exchanged += [Exchanged(*one) for one in zip(TO_FUNCTION, answers, lines, strict=True)]
    sent = accepted(exchanged)
    return Played(exchanged, sent, sending.until_handled(local, sent), server.lines())


def send(exchange: Exchange, url: str) -> Answer:
    """Sends a request with its signature."""
    return http_client.send(exchange.request, exchange.proof(exchange.request, int(time.time())), url)


def accepted(exchanged: Sequence[Exchanged]) -> list[Sent]:
    """The requests that are messages on the queue now."""
    return [
        Sent(one.exchange, one.line["message_id"])
        for one in exchanged
        if one.exchange.is_accepted and "message_id" in one.line
    ]


def show(played: Played) -> list[str]:
    """Prints the answers and the endings; returns findings."""
    report.heading(
        "Over HTTP",
        note="Signed as Standard Webhooks has it, unless the first column says otherwise.\n"
        "A sender keeps an event until it is accepted.",
    )
    report.table(["request", "status", "answer"], [shown(one) for one in played.exchanged])
    report.heading("The endings of the accepted requests")
    report.endings(played.seen, played.accepted)
    server_requests = metrics.of_requests(observation.requests(played.server_lines))
    return [
        *(f"{one.exchange.name}: {problem}" for one in played.exchanged for problem in check(one)),
        *(problem for one in played.accepted for problem in checks.named(one, checks.one_ending(played.seen, one))),
        *metrics.disagreements("ingest as a server", played.server_lines, server_requests),
    ]


def shown(one: Exchanged) -> list[str]:
    """A request as a row."""
    problem = one.answer.json()
    text = f"{problem['code']}: {problem['detail']}" if "code" in problem else one.answer.body
    headers = [f"{name}: {one.answer.headers[name]}" for name in ("Allow", "Retry-After") if one.answer.headers[name]]
    return [one.exchange.name, str(one.answer.status), "\n".join([report.folded(text, 90), *headers])]


def check(one: Exchanged) -> list[str]:
    """The differences between an exchange and its answer or its log line."""
    exchange, answer, line = one.exchange, one.answer, one.line
    found = answer.json()
    # Of each property the actual and the expected value.
    pairs = {
        "status": (answer.status, exchange.status),
        "content type": (
            answer.headers.get_content_type(),
            "application/json" if exchange.is_accepted else "application/problem+json",
        ),
        "Retry-After": ("Retry-After" in answer.headers, exchange.status == 503),
        "Allow": ("Allow" in answer.headers, exchange.status == 405),
        "status in the log": (line["status"], exchange.status),
        "problem in the log": (line.get("problem"), exchange.code),
        "code": (found.get("code"), exchange.code),
        "status in the answer": (found.get("status"), "accepted" if exchange.is_accepted else exchange.status),
    }
    if exchange.is_accepted and exchange.request.path == "/dead-letter":
        pairs["attempt"] = (found.get("attempt"), exchange.letter.earlier_attempts + 1)
        pairs["messageId"] = (found.get("messageId"), line.get("message_id"))
    # A body that is not an event has the id of its request.
    if exchange.ending.ledger:
        pairs["event_id in the log"] = (line.get("event_id"), exchange.letter.event_id)
    return [
        f"{name} is {actual!r}, expected {expected!r}"
        for name, (actual, expected) in pairs.items()
        if actual != expected
    ]
