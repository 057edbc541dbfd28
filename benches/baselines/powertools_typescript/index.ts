/**
 * The third baseline, the one to beat: the same job with AWS's Powertools for TypeScript, as an
 * expert builds it: all records of a batch at once, persistent connections, one token for all calls, all clients outside the handler.
 *
 * A record that fails for any reason returns to the queue, and its interaction stays marked as retrying; nothing is
 * archived.
 */
import { BatchProcessor, EventType, processPartialResponse } from '@aws-lambda-powertools/batch';
import { IdempotencyConfig, makeIdempotent } from '@aws-lambda-powertools/idempotency';
import { DynamoDBPersistenceLayer } from '@aws-lambda-powertools/idempotency/dynamodb';
import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { Context, SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';

import { fetchConversation, mark, participantOf } from './genesys.js';
import { setting } from './http.js';
import { type Letter, open } from './letter.js';
import { deliver, target } from './target.js';

const logger = new Logger({ serviceName: 'genesys-replay' });
const metrics = new Metrics({ namespace: 'GenesysReplay', serviceName: 'genesys-replay' });
const processor = new BatchProcessor(EventType.SQS);

const config = new IdempotencyConfig({
  // SQS keeps a message for 14 days at most.
  expiresAfterSeconds: 15 * 24 * 3600,
  // Called only if a result was stored before.
  responseHook: () => 'duplicate',
});
const ledger = new DynamoDBPersistenceLayer({
  tableName: setting('IDEMPOTENCY_TABLE_NAME', 'GenesysRetryIdempotency'),
  keyAttr: 'EventId',
  expiryAttr: 'ExpiresAt',
  awsSdkV3Client: new DynamoDBClient({}),
});

/** The first argument is the idempotency key: a key that was replayed is not replayed again. */
const replay = makeIdempotent(
  async (key: string, letter: Letter): Promise<string> => {
    if (letter.interaction === undefined) {
      await deliver(key, letter);
      return 'replayed';
    }
    const participant = participantOf(letter, await fetchConversation(letter.interaction));
    await mark(letter.interaction, participant, letter.attempt, 'retrying');
    await deliver(key, letter);
    await mark(letter.interaction, participant, letter.attempt, 'replay_successful');
    return 'replayed';
  },
  // An explicit prefix, because the default is the function's name, which changes when the bundle is minified.
  { persistenceStore: ledger, config, keyPrefix: 'genesys-replay' },
);

/** Replays one record; an exception puts the record into the list of failed records. */
async function handle(record: SQSRecord): Promise<void> {
  const started = performance.now();
  try {
    const letter = open(record);
    const outcome = await replay(`${letter.eventId}|${target}`, letter);
    metrics.addMetric(outcome === 'duplicate' ? 'Duplicate' : 'Replayed', MetricUnit.Count, 1);
    logger.info('dead letter handled', {
      message_id: record.messageId,
      event_id: letter.eventId,
      interaction_id: letter.interaction,
      outcome,
      duration_ms: Math.round(performance.now() - started),
    });
  } catch (error) {
    metrics.addMetric('Failed', MetricUnit.Count, 1);
    logger.error('dead letter failed', { message_id: record.messageId, error: error as Error });
    throw error;
  }
}

export async function handler(event: SQSEvent, context: Context): Promise<SQSBatchResponse> {
  logger.addContext(context);
  config.registerLambdaContext(context);
  try {
    return await processPartialResponse(event, handle, processor, { context, throwOnFullBatchFailure: false });
  } finally {
    metrics.publishStoredMetrics();
  }
}
