/** HTTP for all calls: persistent connections, and retries when the server is busy. */
import http from 'node:http';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

const ATTEMPTS = 3;
const TIMEOUT_MS = 10_000;
const BACKOFF_MS = 500;
const BUSY = [429, 500, 502, 503, 504];

const clients = {
  'http:': { request: http.request, agent: new http.Agent({ keepAlive: true }) },
  'https:': { request: https.request, agent: new https.Agent({ keepAlive: true }) },
};

export interface Answer {
  status: number;
  retryAfter: string | undefined;
  body: string;
}

/**
 * Sends a request up to three times. Waits as long as Retry-After requires, otherwise longer each time.
 *
 * @throws an Error if the last attempt got no answer; an answer is returned with any status
 */
export async function send(method: string, url: string, headers: http.OutgoingHttpHeaders, body?: string): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    let retryAfter: string | undefined;
    try {
      const answer = await sendOnce(method, url, headers, body);
      if (attempt === ATTEMPTS || !BUSY.includes(answer.status)) {
        return answer;
      }
      retryAfter = answer.retryAfter;
    } catch (error) {
      if (attempt === ATTEMPTS) {
        throw error;
      }
    }
    await sleep(Number(retryAfter) * 1_000 || BACKOFF_MS * 2 ** (attempt - 1));
  }
}

function sendOnce(method: string, url: string, headers: http.OutgoingHttpHeaders, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { protocol } = new URL(url);
    const { request, agent } = clients[protocol === 'https:' ? 'https:' : 'http:'];
    const outgoing = request(url, { method, agent, headers, timeout: TIMEOUT_MS }, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8');
      incoming.on('data', (chunk: string) => (text += chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        resolve({ status: incoming.statusCode ?? 0, retryAfter: incoming.headers['retry-after'], body: text });
      });
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer after ${TIMEOUT_MS} ms`)));
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** A setting from the environment. */
export function setting(name: string, otherwise?: string): string {
  const value = process.env[name] ?? otherwise;
  if (value === undefined) {
    throw new Error(`${name} is not set`);
  }
  return value;
}
