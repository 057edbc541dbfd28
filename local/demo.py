"""make demo: dead letters through the deployed function, on a local AWS with a stand-in Genesys Cloud."""

from __future__ import annotations

from . import (
    arn_targets,
    build,
    checks,
    driver,
    entry,
    ingest_part,
    monitoring,
    operations,
    outage_part,
    processes,
    report,
    setup_part,
    stack,
)
from .scenarios import SCENARIOS, WAITING
from .snapshot import Observation, Sent


def main() -> int:
    # The second build runs during the first part.
    with (
        stack.directory("demo") as directory,
        stack.running(directory) as first,
        build.running(build.SECOND) as programs,
    ):
        problems = setup_part.show(first, programs.wait(build.OPERATOR))
        sent, more_problems = dead_letters(first)
        problems += more_problems
        replayed = [one for one in sent if one.scenario.ending.outcomes[-1] == "replayed"]
        problems += repetition(first, replayed)
        moved, target_problems = arn_targets.show(first)
        problems += target_problems

        ingest = programs.wait(build.PROGRAMS[build.INGEST])
        local = first.with_ingest(ingest)
        ingested, more = ingest_part.play(local, ingest)
        waiting, still_more = waits(local)
        local, survivors, outage_problems = outage_part.play(local)
        problems += [*more, *still_more, *outage_problems]
        # A repetition is the same event.
        events = [*sent, *(one for one in ingested if not one.scenario.repeats), waiting, *survivors]
        problems += monitoring.show(local, events, Observation(local))
        problems += operations.show(local, moved, programs.wait(build.OPERATOR))
    report.heading("Verdict")
    if problems:
        print("\n".join(problems), flush=True)
        raise processes.StackError(f"{len(problems)} findings, see above")
    count = len(sent) + len(replayed) + len(ingested) + len(survivors) + 1
    print(f"{count} of {count} dead letters ended as expected; nothing was delivered twice.")
    count = len(ingest_part.TO_SERVER) + len(ingest_part.TO_FUNCTION)
    print(f"{count} of {count} requests over HTTP were answered as expected.")
    print("Every event is in one known place; metrics and log lines agree.", flush=True)
    return 0


def dead_letters(local: stack.Stack) -> tuple[list[Sent], list[str]]:
    """Sends every scenario, prints the endings, and returns the findings."""
    for scenario in (*SCENARIOS, WAITING):
        for fault in scenario.faults:
            local.genesys.add_fault(fault(scenario))
    processes.say(f"sending {len(SCENARIOS)} dead letters; the event source mapping invokes the function ...")
    sent = driver.send(local, SCENARIOS)
    seen = driver.until_handled(local, sent)
    report.heading("The endings of the dead letters")
    report.endings(seen, sent)
    return sent, checks.first_round(seen, sent)


def repetition(local: stack.Stack, replayed: list[Sent]) -> list[str]:
    """Sends each replayed event again, prints the outcomes, and returns the findings.

    An event with its own id is sent in a new message, as after a redrive. Without an id, two messages are two events,
    so the same message is delivered again: SQS may deliver any message twice.
    """
    processes.say(f"sending the {len(replayed)} replayed events again ...")
    before = Observation(local)
    new_messages = driver.send(local, [one.scenario for one in replayed if one.letter.event_id])
    same_messages = [one for one in replayed if not one.letter.event_id]
    answer = driver.deliver_once_more(local, same_messages)
    if answer != {"batchItemFailures": []}:
        raise processes.StackError(f"the function answered {answer} to messages it had finished")
    receives = {one.message_id: 1 for one in new_messages} | {one.message_id: 2 for one in same_messages}
    driver.until_logged(local, receives)
    after = Observation(local)
    by_name = {one.scenario.name: one for one in [*new_messages, *same_messages]}
    again = [by_name[one.scenario.name] for one in replayed]
    report.heading("The replayed events once more")
    report.repetitions(after, replayed, again)
    return checks.second_round(before, after, replayed, again)


def waits(local: stack.Stack) -> tuple[Sent, list[str]]:
    """Sends a dead letter for which Genesys Cloud requests a wait of ten minutes. It stays in the queue."""
    processes.say("sending one more, for which Genesys Cloud answers 429 ...")
    [waiting] = driver.send(local, [WAITING])
    seen = driver.until_handled(local, [waiting])
    report.heading("A dead letter that waits")
    report.endings(seen, [waiting])
    return waiting, checks.one_ending(seen, waiting)


if __name__ == "__main__":
    entry.run(main)
