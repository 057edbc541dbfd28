"""Dead letters and webhooks over HTTP: to ingest as a server, and to the deployed function through its URL."""

from __future__ import annotations

import dataclasses
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
    """A request that was answered."""

    exchange: Exchange
    answer: Answer
    # The line that ingest wrote of it.
    line: Mapping[str, Any]

    @property
    def sent(self) -> Sent:
        """What is on the queue, if it was accepted."""
        return Sent(self.exchange, self.line["message_id"])


@dataclasses.dataclass(frozen=True)
class Played:
    """Everything that was sent, and what could be seen afterwards."""

    exchanged: list[Exchanged]
    seen: Observation
    # All that the server has said.
    server_lines: list[dict[str, Any]]

    @property
    def accepted(self) -> list[Sent]:
        """What is on the queue."""
        return [one.sent for one in self.exchanged if one.exchange.is_accepted and "message_id" in one.line]

    @property
    def events(self) -> list[Sent]:
        """The same without repetitions: what has to end somewhere."""
        return [one for one in self.accepted if not one.scenario.repeats]


def play(local: Stack) -> Played:
    """Sends every request, each when those before it have been handled that it repeats, and waits for the endings."""
    processes.say(
        f"sending {len(TO_SERVER)} requests to ingest as a server, {len(TO_FUNCTION)} to its function URL ..."
    )
    for exchange in (*TO_SERVER, *TO_FUNCTION):
        for fault in exchange.faults:
            local.genesys.add_fault(fault(exchange))
        if exchange.subscription != "ACTIVE":
            local.genesys.put_subscription(exchange.request.subscription_id, exchange.subscription)

    exchanged: list[Exchanged] = []
    with ingest_server.running(local) as server:
        for exchange in TO_SERVER:
            if exchange.repeats:
                until_handled(local, exchanged)
            exchanged.append(Exchanged(exchange, send(exchange, server.url), observation.requests(server.lines())[-1]))
    url = bridge.function_url(local.aws, local.outputs["IngestUrl"])
    answers = [send(exchange, url) for exchange in TO_FUNCTION]
    lines = observation.requests(function_lines(local))
    exchanged += [Exchanged(*one) for one in zip(TO_FUNCTION, answers, lines, strict=True)]
    seen = until_handled(local, exchanged)
    return Played(exchanged, seen, server.lines())


def send(exchange: Exchange, url: str) -> Answer:
    """Sends a request with its signature."""
    return http_client.send(exchange.request, exchange.proof(exchange.request, int(time.time())), url)


def until_handled(local: Stack, exchanged: Sequence[Exchanged]) -> Observation:
    """Waits until everything that was accepted has ended."""
    accepted = Played(list(exchanged), Observation(local), []).accepted
    return sending.until_handled(local, {one.message_id: len(one.scenario.ending.outcomes) for one in accepted})


def function_lines(local: Stack) -> list[dict[str, Any]]:
    """What the deployed function has said."""
    return observation.log_lines(local, "IngestLogGroupName")


def show(played: Played) -> list[str]:
    """Prints the answers and the endings; answers what is not as it must be."""
    report.heading(
        "Over HTTP",
        note="Each signed as Standard Webhooks has it, unless it says otherwise. A sender keeps what is not accepted.",
    )
    report.table(["request", "status", "answer"], [shown_answer(one) for one in played.exchanged])
    report.heading("What became of those that were accepted")
    report.table(
        ["request", "outcome", "Genesys Cloud saw", "target answered", "X-Attempt-Count", "ledger", "archived"],
        [shown_ending(played.seen, one) for one in played.accepted],
    )
    report.heading("What ingest says of them, as a server")
    report.log(observation.requests(played.server_lines))
    return [
        *(f"{one.exchange.name}: {problem}" for one in played.exchanged for problem in check(one)),
        *(problem for one in played.accepted for problem in checks.named(one, checks.one_ending(played.seen, one))),
        *metrics.disagreements(
            "ingest as a server",
            played.server_lines,
            metrics.of_requests(observation.requests(played.server_lines)),
        ),
    ]


def shown_answer(one: Exchanged) -> list[str]:
    problem = one.answer.json()
    text = f"{problem['code']}: {problem['detail']}" if "code" in problem else one.answer.body
    headers = [f"{name}: {one.answer.headers[name]}" for name in ("Allow", "Retry-After") if one.answer.headers[name]]
    return [one.exchange.name, str(one.answer.status), "\n".join([report.folded(text, 90), *headers])]


def shown_ending(seen: Observation, sent: Sent) -> list[str]:
    ending = seen.ending(sent)
    if ending is None:
        return [sent.scenario.name, "no verdict", *[""] * 5]
    return [
        sent.scenario.name,
        " ".join(ending.outcomes),
        " ".join(ending.genesys) or "-",
        " ".join(map(str, ending.target)) or "-",
        " ".join(call["headers"].get("x-attempt-count", "none") for call in seen.deliveries(sent)) or "-",
        ending.ledger or "-",
        "yes" if ending.archived else "-",
    ]


def check(one: Exchanged) -> list[str]:
    """What is wrong with an answer, or with what the log says of it."""
    exchange, answer, line = one.exchange, one.answer, one.line
    found = answer.json()
    expected: dict[str, Any] = {
        "status": exchange.status,
        "content type": "application/json" if exchange.is_accepted else "application/problem+json",
        "Retry-After": exchange.status == 503,
        "Allow": exchange.status == 405,
        "status in the log": exchange.status,
        "problem in the log": exchange.code,
        "code": exchange.code,
        "status in the answer": "accepted" if exchange.is_accepted else exchange.status,
    }
    actual: dict[str, Any] = {
        "status": answer.status,
        "content type": answer.headers.get_content_type(),
        "Retry-After": "Retry-After" in answer.headers,
        "Allow": "Allow" in answer.headers,
        "status in the log": line["status"],
        "problem in the log": line.get("problem"),
        "code": found.get("code"),
        "status in the answer": found.get("status"),
    }
    if exchange.is_accepted and exchange.request.path == "/dead-letter":
        expected |= {"attempt": exchange.letter.earlier_attempts + 1, "messageId": line.get("message_id")}
        actual |= {name: found.get(name) for name in ("attempt", "messageId")}
    # What is no event has the id of its request.
    if exchange.ending.ledger:
        expected["event_id in the log"] = exchange.letter.event_id
        actual["event_id in the log"] = line.get("event_id")
    return [
        f"{what} is {actual[what]!r}, expected {value!r}" for what, value in expected.items() if actual[what] != value
    ]
