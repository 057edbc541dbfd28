"""The second baseline: the same job with AWS's Powertools for Python, built as its documentation recommends.

Batch processing reports failed records, idempotency on DynamoDB keeps an event from being delivered twice, one session
keeps connections open and retries. A record that fails for any reason returns to the queue, and its
interaction stays marked as retrying; nothing is archived.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import Any

import requests
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function
from aws_lambda_powertools.utilities.typing import LambdaContext
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util import Retry

API = os.environ["GENESYS_API_BASE_URL"]
LOGIN = os.environ["GENESYS_LOGIN_BASE_URL"]
CREDENTIALS = (os.environ["GENESYS_CLIENT_ID"], os.environ["GENESYS_CLIENT_SECRET"])
TARGET = os.environ["REPLAY_TARGET"]
TIMEOUT_SECONDS = (2, 10)
EXPIRY_MARGIN_SECONDS = 60
# Topics of a queue's or a user's conversations: there the conversation is the body's own id.
CONVERSATIONS_OF = ("v2.routing.queues.", "v2.users.")

logger = Logger(service="genesys-replay")
metrics = Metrics(namespace="GenesysReplay", service="genesys-replay")
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
# SQS keeps a message for 14 days at most. The hook is called only if a result was stored before.
idempotency = IdempotencyConfig(
    expires_after_seconds=15 * 24 * 3600, response_hook=lambda _result, _stored: "duplicate"
)
ledger = DynamoDBPersistenceLayer(
    table_name=os.environ.get("IDEMPOTENCY_TABLE_NAME", "GenesysRetryIdempotency"),
    key_attr="EventId",
    expiry_attr="ExpiresAt",
)

session = requests.Session()
retries = Retry(
    total=2,
    backoff_factor=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,
    respect_retry_after_header=True,
    raise_on_status=False,
)
for scheme in ("http://", "https://"):
    session.mount(scheme, HTTPAdapter(max_retries=retries))


@dataclass(frozen=True)
class Letter:
    """The content of a record."""

    key: str
    interaction: str | None
    participant: str | None
    body: str
    attempt: int
    attempts_before: int


class Token(AuthBase):
    """Genesys Cloud's token, fetched if the current one is missing or expires soon."""

    def __init__(self) -> None:
        self.value = ""
        self.expires_at = 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if time.time() > self.expires_at - EXPIRY_MARGIN_SECONDS:
            form = {"grant_type": "client_credentials"}
            answer = session.post(f"{LOGIN}/oauth/token", data=form, auth=CREDENTIALS, timeout=TIMEOUT_SECONDS)
            answer.raise_for_status()
            granted = answer.json()
            self.value = granted["access_token"]
            self.expires_at = time.time() + granted["expires_in"]
        request.headers["Authorization"] = f"Bearer {self.value}"
        return request


token = Token()


@logger.inject_lambda_context
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    idempotency.register_lambda_context(context)
    return process_partial_response(event=event, record_handler=handle, processor=processor, context=context)


def handle(record: SQSRecord) -> None:
    """Replays one record; an exception puts the record into the list of failed records."""
    started = time.perf_counter()
    letter = None
    outcome = "failed"
    try:
        letter = open_record(record)
        outcome = replay(key=letter.key, letter=letter)
    except Exception:
        logger.exception("dead letter failed", message_id=record.message_id, key=letter and letter.key)
        raise
    else:
        logger.info(
            "dead letter handled",
            message_id=record.message_id,
            key=letter.key,
            interaction_id=letter.interaction,
            outcome=outcome,
            duration_ms=round((time.perf_counter() - started) * 1000),
        )
    finally:
        metrics.add_metric(name=outcome.capitalize(), unit=MetricUnit.Count, value=1)


def open_record(record: SQSRecord) -> Letter:
    event = json.loads(record.body)
    event = event if isinstance(event, dict) else {}
    detail = event.get("detail") or {}
    body = detail.get("eventBody") or {}
    topic = detail.get("topicName", "")
    of_others = topic.startswith(CONVERSATIONS_OF) and ".conversations" in topic
    return Letter(
        key=f"{event.get('id', record.message_id)}|{TARGET}",
        interaction=body.get("id" if of_others else "conversationId"),
        participant=body.get("participantId"),
        body=record.body,
        attempt=int(record.attributes.approximate_receive_count),
        attempts_before=int(record.message_attributes.get("RETRY_ATTEMPTS", {}).get("stringValue", 0)),
    )


@idempotent_function(
    data_keyword_argument="key", persistence_store=ledger, config=idempotency, key_prefix="genesys-replay"
)
def replay(*, key: str, letter: Letter) -> str:
    if letter.interaction is None:
        deliver(key, letter)
        return "replayed"
    interaction = f"/api/v2/conversations/{letter.interaction}"
    conversation = genesys("GET", interaction).json()
    marks = f"{interaction}/participants/{participant_of(letter, conversation)}/attributes"
    mark(marks, letter, "retrying")
    deliver(key, letter)
    mark(marks, letter, "replay_successful")
    return "replayed"


def participant_of(letter: Letter, conversation: dict[str, Any]) -> str:
    """The participant to mark: the event's participant if present, else a customer, else the first."""
    participants = conversation["participants"]
    known = [other["id"] for other in participants if other["id"] == letter.participant]
    customers = [other["id"] for other in participants if other["purpose"] in ("customer", "external")]
    return [*known, *customers, participants[0]["id"]][0]


def mark(path: str, letter: Letter, status: str) -> None:
    attributes = {"system.retryAttempt": str(letter.attempt), "system.retryStatus": status}
    genesys("PATCH", path, {"attributes": attributes})


def genesys(method: str, path: str, content: dict[str, Any] | None = None) -> requests.Response:
    """Calls Genesys Cloud, and once more with a fresh token if the current one is refused."""
    answer = session.request(method, f"{API}{path}", json=content, auth=token, timeout=TIMEOUT_SECONDS)
    if answer.status_code == 401:
        token.expires_at = 0.0
        answer = session.request(method, f"{API}{path}", json=content, auth=token, timeout=TIMEOUT_SECONDS)
    answer.raise_for_status()
    return answer


def deliver(key: str, letter: Letter) -> None:
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": key,
        "X-Attempt-Count": str(letter.attempts_before + letter.attempt),
        "X-Resubmit-Source": "genesys-replay",
    }
    answer = session.post(
        TARGET, data=letter.body.encode(), headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
    )
    answer.raise_for_status()
    if answer.is_redirect:
        raise requests.HTTPError(f"the target answered {answer.status_code}", response=answer)
