"""The first baseline: the function of the tutorial, in plain Python with requests and boto3.

The design is unchanged, with its losses and duplicates: sequential records, one connection per HTTP call, a lookup of
the message before the replay and a write after it, no stop when the table does not answer, sleeps in the function,
skipped records that cannot be read, and an answer that makes SQS delete failed messages. Repaired are only the faults
that prevented a run: the real paths of Genesys Cloud, a missing delivery, and a time that boto3 can store.
"""

from __future__ import annotations

import json
import logging
import os
import random
import time
from typing import Any

import boto3
import requests

API = os.environ["GENESYS_API_BASE_URL"]
LOGIN = os.environ["GENESYS_LOGIN_BASE_URL"]
CREDENTIALS = (os.environ["GENESYS_CLIENT_ID"], os.environ["GENESYS_CLIENT_SECRET"])
TARGET = os.environ["REPLAY_TARGET"]
ATTEMPTS = 3
TIMEOUT_SECONDS = 20
EXPIRY_MARGIN_SECONDS = 60

table = boto3.resource("dynamodb").Table(os.environ.get("IDEMPOTENCY_TABLE_NAME", "GenesysRetryIdempotency"))
token: dict[str, Any] = {"value": "", "expires_at": 0.0}

logger = logging.getLogger()
logger.setLevel(logging.INFO)


class BusyError(Exception):
    """An answer worth another attempt: 429 or 500, and no other."""


def lambda_handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    bearer = {"Authorization": f"Bearer {current_token()}"}
    letters = [letter for record in event.get("Records", []) if (letter := open_record(record))]
    replayed = sum(replay(letter, bearer) for letter in letters)
    logger.info("%d of %d dead letters replayed", replayed, len(letters))
    return {"statusCode": 200, "body": json.dumps({"processed": replayed, "failed": len(letters) - replayed})}


def current_token() -> str:
    if time.time() > token["expires_at"] - EXPIRY_MARGIN_SECONDS:
        form = {"grant_type": "client_credentials"}
        answer = requests.post(f"{LOGIN}/oauth/token", data=form, auth=CREDENTIALS, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        granted = answer.json()
        token.update(value=granted["access_token"], expires_at=time.time() + granted["expires_in"])
    return token["value"]


def open_record(record: dict[str, Any]) -> dict[str, Any] | None:
    """The needed fields of a record; None for a record that is not JSON or has no interaction."""
    try:
        event = json.loads(record["body"])
        detail = event.get("detail", event)
        body = detail.get("eventBody", {})
        interaction = body.get("conversationId") or detail.get("interactionId")
    except (ValueError, AttributeError) as error:
        logger.error("message %s cannot be read: %s", record["messageId"], error)
        return None
    if not interaction:
        logger.warning("message %s has no interaction", record["messageId"])
        return None
    return {
        "message_id": record["messageId"],
        "event_id": event.get("id", record["messageId"]),
        "interaction": interaction,
        "participant": body.get("participantId"),
        "body": record["body"],
    }


def replay(letter: dict[str, Any], bearer: dict[str, str]) -> bool:
    """True if the event is replayed, now or earlier."""
    if already_done(letter):
        logger.info("message %s was replayed before", letter["message_id"])
        return True
    interaction = f"{API}/api/v2/conversations/{letter['interaction']}"
    try:
        answer = requests.get(interaction, headers=bearer, timeout=TIMEOUT_SECONDS)
        check(answer)
        marks = f"{interaction}/participants/{participant_of(letter, answer.json())}/attributes"
    except Exception:
        logger.exception("interaction %s cannot be fetched", letter["interaction"])
        return False

    for attempt in range(1, ATTEMPTS + 1):
        try:
            mark(marks, bearer, attempt, "retrying")
            deliver(letter, attempt)
            mark(marks, bearer, attempt, "replay_successful")
            table.put_item(Item={"EventId": letter["message_id"], "ProcessedAt": int(time.time())})
        except BusyError as error:  # noqa: PERF203
            delay = backoff(attempt)
            logger.warning("attempt %d: %s, waiting %.1f s", attempt, error, delay)
            time.sleep(delay)
        except Exception:
            logger.exception("interaction %s cannot be replayed", letter["interaction"])
            mark(marks, bearer, attempt, "replay_failed")
            return False
        else:
            logger.info("interaction %s was replayed at attempt %d", letter["interaction"], attempt)
            return True
    logger.error("no attempt is left for interaction %s", letter["interaction"])
    mark(marks, bearer, ATTEMPTS, "exhausted_retries")
    return False


def already_done(letter: dict[str, Any]) -> bool:
    try:
        return "Item" in table.get_item(Key={"EventId": letter["message_id"]})
    except Exception:
        logger.exception("the table does not answer; continuing")
        return False


def participant_of(letter: dict[str, Any], conversation: dict[str, Any]) -> str:
    """The participant to mark: the event's participant if present, else a customer, else the first."""
    participants = conversation["participants"]
    known = [other["id"] for other in participants if other["id"] == letter["participant"]]
    customers = [other["id"] for other in participants if other["purpose"] in ("customer", "external")]
    return [*known, *customers, participants[0]["id"]][0]


def mark(url: str, bearer: dict[str, str], attempt: int, status: str) -> None:
    attributes = {"system.retryAttempt": str(attempt), "system.retryStatus": status}
    check(requests.patch(url, json={"attributes": attributes}, headers=bearer, timeout=TIMEOUT_SECONDS))


def deliver(letter: dict[str, Any], attempt: int) -> None:
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": f"{letter['event_id']}|{TARGET}",
        "X-Attempt-Count": str(attempt),
        "X-Resubmit-Source": "genesys-replay",
    }
    check(requests.post(TARGET, data=letter["body"].encode(), headers=headers, timeout=TIMEOUT_SECONDS))


def check(answer: requests.Response) -> None:
    if answer.status_code in (429, 500):
        raise BusyError(f"{answer.url} answered {answer.status_code}")
    answer.raise_for_status()


def backoff(attempt: int) -> float:
    """The seconds to sleep: 2, 4, 8, up to a minute, plus at most a tenth."""
    return min(2.0**attempt, 60.0) * random.uniform(1.0, 1.1)
