"""make demo: dead letters through the deployed function, on a local AWS with a stand-in Genesys Cloud."""

from __future__ import annotations

from dataclasses import dataclass

from . import (
    by_arn,
    by_operator,
    checks,
    entry,
    monitoring,
    over_http,
    processes,
    report,
    sending,
    stack,
)
from .observation import Observation, Sent
from .scenarios import SCENARIOS, WAITING


@dataclass(frozen=True)
class Rounds:
    """What was sent, and what could be seen after each round."""

    sent: list[Sent]
    first: Observation
    # Those that were replayed, once as they came first and once as they came again.
    replayed: list[Sent]
    again: list[Sent]
    second: Observation
    # Those that came over HTTP.
    over_http: over_http.Played
    # The one that is not finished.
    waiting: Sent
    last: Observation


def main() -> int:
    with stack.directory("demo") as directory, stack.running(directory) as local:
        rounds = play(local)
        problems = [
            *checks.first_round(rounds.first, rounds.sent),
            *checks.second_round(rounds.first, rounds.second, rounds.replayed, rounds.again),
            *checks.named(rounds.waiting, checks.one_ending(rounds.last, rounds.waiting)),
        ]
        report.heading("What became of the dead letters")
        report.endings([*((rounds.first, one) for one in rounds.sent), (rounds.last, rounds.waiting)])
        report.heading("The replayed events once more")
        report.repetitions(rounds.second, rounds.replayed, rounds.again)
        problems += over_http.show(rounds.over_http)
        events = [*rounds.sent, *rounds.over_http.events, rounds.waiting]
        problems += monitoring.show(local, events, rounds.last)
        problems += by_arn.show(local)
        problems += by_operator.show(local)
        report.heading(
            "The function's log lines, from CloudWatch Logs", note="Lines that hold only metrics are left out."
        )
        report.log(rounds.last.log_lines)
        return verdict(problems, rounds)


def play(local: stack.Stack) -> Rounds:
    """Sends everything and waits until it has been handled."""
    for scenario in (*SCENARIOS, WAITING):
        for fault in scenario.faults:
            local.genesys.add_fault(fault(scenario))

    processes.say(f"sending {len(SCENARIOS)} dead letters; the event source mapping invokes the function ...")
    sent = sending.send(local, SCENARIOS)
    first = sending.until_handled(local, {one.message_id: len(one.scenario.ending.outcomes) for one in sent})

    replayed = [one for one in sent if one.scenario.ending.outcomes[-1] == "replayed"]
    processes.say(f"sending the {len(replayed)} replayed events again ...")
    again = repeat(local, replayed)
    second = Observation(local)

    requests = over_http.play(local)

    processes.say("sending one more, for which Genesys Cloud has no time now ...")
    [waiting] = sending.send(local, [WAITING])
    last = sending.until_handled(local, {waiting.message_id: len(WAITING.ending.outcomes)})
    return Rounds(sent, first, replayed, again, second, requests, waiting, last)


def repeat(local: stack.Stack, replayed: list[Sent]) -> list[Sent]:
    """Sends each event again and waits for the verdicts; in the order of `replayed`.

    An event with an id of its own comes in a new message, as after a redrive. Without one, two messages are two
    events, so it is the same message that comes again, as SQS may deliver any message twice.
    """
    with_id = [one for one in replayed if one.letter.event_id]
    without_id = [one for one in replayed if not one.letter.event_id]
    new_messages = sending.send(local, [one.scenario for one in with_id])
    answer = sending.deliver_once_more(local, without_id)
    if answer != {"batchItemFailures": []}:
        raise processes.StackError(f"the function answered {answer} to messages it had finished")
    once = {one.message_id: 1 for one in new_messages}
    twice = {one.message_id: 2 for one in without_id}
    sending.until_handled(local, once | twice)
    by_scenario = {one.scenario.name: one for one in [*new_messages, *without_id]}
    return [by_scenario[one.scenario.name] for one in replayed]


def verdict(problems: list[str], rounds: Rounds) -> int:
    """Says plainly how it went; raises StackError when something was not as expected."""
    report.heading("Verdict")
    if problems:
        print("\n".join(problems), flush=True)
        raise processes.StackError(f"{len(problems)} findings, see above")
    letters = len(rounds.sent) + len(rounds.replayed) + len(rounds.over_http.accepted) + 1
    requests = len(rounds.over_http.exchanged)
    print(f"{letters} of {letters} dead letters ended as expected; nothing was delivered twice.")
    print(f"{requests} of {requests} requests over HTTP were answered as expected.")
    print("Every event is in one known place; metrics and log lines agree.", flush=True)
    return 0


if __name__ == "__main__":
    entry.run(main)
