/** The content of a record. */
import type { SQSRecord } from 'aws-lambda';

export interface Letter {
  eventId: string;
  interaction: string | undefined;
  participant: string | undefined;
  body: string;
  attempt: number;
  attemptsBefore: number;
}

interface EventBridgeEvent {
  id?: string;
  detail?: {
    topicName?: string;
    eventBody?: { id?: string; conversationId?: string; participantId?: string };
  };
}

/** Topics of a queue's or a user's conversations: there the conversation is the body's own id. */
const CONVERSATIONS_OF_OTHERS = /^v2\.(routing\.queues|users)\.[^.]+\.conversations/;

/** @throws SyntaxError if the body is not JSON */
export function open(record: SQSRecord): Letter {
  const event: EventBridgeEvent | null = JSON.parse(record.body);
  const detail = event?.detail;
  const ofOthers = CONVERSATIONS_OF_OTHERS.test(detail?.topicName ?? '');
  return {
    eventId: event?.id ?? record.messageId,
    interaction: ofOthers ? detail?.eventBody?.id : detail?.eventBody?.conversationId,
    participant: detail?.eventBody?.participantId,
    body: record.body,
    attempt: Number(record.attributes.ApproximateReceiveCount),
    attemptsBefore: Number(record.messageAttributes['RETRY_ATTEMPTS']?.stringValue ?? 0),
  };
}
