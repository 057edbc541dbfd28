/** The target of replayed events. */
import { send, setting } from './http.js';
import type { Letter } from './letter.js';

export const target = setting('REPLAY_TARGET');

/** Delivers the unchanged body of the message; redirects are not followed. */
export async function deliver(key: string, letter: Letter): Promise<void> {
  const headers = {
    'content-type': 'application/json',
    'idempotency-key': key,
    'x-attempt-count': String(letter.attemptsBefore + letter.attempt),
    'x-resubmit-source': 'genesys-replay',
  };
  const { status } = await send('POST', target, headers, letter.body);
  if (status >= 300) {
    throw new Error(`the target answered ${status}`);
  }
}
