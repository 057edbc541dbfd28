/** Genesys Cloud's API. */
import { type Answer, send, setting } from './http.js';
import type { Letter } from './letter.js';

const API = setting('GENESYS_API_BASE_URL');
const LOGIN = setting('GENESYS_LOGIN_BASE_URL');
const BASIC = Buffer.from(`${setting('GENESYS_CLIENT_ID')}:${setting('GENESYS_CLIENT_SECRET')}`).toString('base64');
const EXPIRY_MARGIN_MS = 60_000;

interface Conversation {
  participants: { id: string; purpose: string }[];
}

/** The `Authorization` of all calls, or the one request for it that is in flight. */
let token: Promise<string> | undefined;
let renewAt = 0;

export async function fetchConversation(id: string): Promise<Conversation> {
  const { body } = await call('GET', `/api/v2/conversations/${encodeURIComponent(id)}`);
  return JSON.parse(body) as Conversation;
}

/** The participant to mark: the event's participant if present, else a customer, else the first. */
export function participantOf(letter: Letter, { participants }: Conversation): string {
  const participant =
    participants.find(({ id }) => id === letter.participant) ??
    participants.find(({ purpose }) => purpose === 'customer' || purpose === 'external') ??
    participants[0];
  if (participant === undefined) {
    throw new Error('the conversation has no participants');
  }
  return participant.id;
}

export async function mark(id: string, participant: string, attempt: number, status: string): Promise<void> {
  const path = `/api/v2/conversations/${encodeURIComponent(id)}/participants/${encodeURIComponent(participant)}/attributes`;
  const attributes = { 'system.retryAttempt': String(attempt), 'system.retryStatus': status };
  await call('PATCH', path, JSON.stringify({ attributes }));
}

/** Calls Genesys Cloud, and once more with a fresh token if the current one is refused. */
async function call(method: string, path: string, content?: string): Promise<Answer> {
  const used = currentToken();
  let answer = await sendWith(await used, method, path, content);
  if (answer.status === 401) {
    // Unless another record has done so already.
    if (token === used) {
      token = undefined;
    }
    answer = await sendWith(await currentToken(), method, path, content);
  }
  if (answer.status >= 300) {
    throw new Error(`Genesys Cloud answered ${answer.status} to ${method} ${path}`);
  }
  return answer;
}

function sendWith(authorization: string, method: string, path: string, content?: string): Promise<Answer> {
  return send(method, `${API}${path}`, { authorization, 'content-type': 'application/json' }, content);
}

function currentToken(): Promise<string> {
  if (token === undefined || Date.now() > renewAt) {
    renewAt = Infinity;
    token = fetchToken();
  }
  return token;
}

async function fetchToken(): Promise<string> {
  try {
    const headers = { authorization: `Basic ${BASIC}`, 'content-type': 'application/x-www-form-urlencoded' };
    const { status, body } = await send('POST', `${LOGIN}/oauth/token`, headers, 'grant_type=client_credentials');
    if (status >= 300) {
      throw new Error(`Genesys Cloud answered ${status} to the request for a token`);
    }
    const granted = JSON.parse(body) as { access_token: string; expires_in: number };
    renewAt = Date.now() + granted.expires_in * 1_000 - EXPIRY_MARGIN_MS;
    return `Bearer ${granted.access_token}`;
  } catch (error) {
    token = undefined;
    throw error;
  }
}
