"""make demo: dead letters through the deployed function, on a local AWS with a stand-in Genesys Cloud."""

from __future__ import annotations

from . import by_arn, checks, entry, figures, processes, report, sending, stack
from .observation import Observation, Sent
from .scenarios import SCENARIOS


def main() -> int:
    with stack.directory("demo") as directory, stack.running(directory) as local:
        for scenario in SCENARIOS:
            for fault in scenario.faults:
                local.genesys.add_fault(fault(scenario))

        processes.say(f"sending {len(SCENARIOS)} dead letters; the event source mapping invokes the function ...")
        sent = sending.send(local, SCENARIOS)
        first = sending.until_handled(local, {one.message_id: len(one.scenario.ending.outcomes) for one in sent})
        problems = checks.first_round(first, sent)

        replayed = [one for one in sent if one.scenario.ending.outcomes[-1] == "replayed"]
        processes.say(f"sending the {len(replayed)} replayed events again ...")
        again = repeat(local, replayed)
        second = Observation(local)
        problems += checks.second_round(first, second, replayed, again)

        report.heading("What became of the dead letters")
        report.endings(first, sent)
        report.heading("The replayed events once more")
        report.repetitions(second, replayed, again)
        problems += by_arn.show(local)
        problems += figures.show(local)
        report.heading("The function's log lines, from CloudWatch Logs")
        report.log(second.log_lines)
        return verdict(problems, checked=len(sent) + len(replayed))


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


def verdict(problems: list[str], checked: int) -> int:
    """Says plainly how it went; raises StackError when something was not as expected."""
    report.heading("Verdict")
    if problems:
        print("\n".join(problems), flush=True)
        raise processes.StackError(f"{len(problems)} findings, see above")
    print(f"{checked} of {checked} dead letters ended as expected; nothing was delivered twice.", flush=True)
    return 0


if __name__ == "__main__":
    entry.run(main)
