// What the two token routes share: the very statements of Vestal (SQL_DIR), its key rings, its answer. Settings come
// from the environment: SOCKET, PGHOST, PGPORT, PGDATABASE, PG_CONNECTIONS, SQL_DIR, KEY_DIR, PROVIDER_FILE.
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import pg from 'pg';
import { open, readRing } from './sealed.js';

const { SQL_DIR, KEY_DIR, PROVIDER_FILE, PG_CONNECTIONS } = process.env;
const provider = JSON.parse(readFileSync(PROVIDER_FILE, 'utf8'));
const ring = readRing(KEY_DIR, 'token');
const pool = new pg.Pool({
  user: 'vestal_worker',
  max: Number(PG_CONNECTIONS),
  idleTimeoutMillis: 0,
  options: '-c search_path=pg_catalog -c timezone=UTC -c synchronous_commit=on',
});
const statement = (name) => ({ name, text: readFileSync(`${SQL_DIR}/${name}.sql`, 'utf8'), rowMode: 'array' });
const findKey = statement('api_key/get');
const readToken = statement('token/read');

// Keys that were good when they were last looked up: the read itself sees whether they still are.
const known = new Map();

// The key, if its secret is right and its scope holds this connection, else undefined.
async function admit(authorization, address, client, mayAssume) {
  const [, id, secret] = /^Bearer vst_([a-z0-9]{12})_([A-Za-z0-9_-]{49})$/.exec(authorization ?? '') ?? [];
  if (!id) return undefined;
  const hash = createHash('sha256').update(secret).digest();
  let key = mayAssume ? known.get(id) : undefined;
  const isAssumed = key !== undefined;
  if (!isAssumed) {
    const { rows: [row] } = await pool.query({ ...findKey, values: [id, address] });
    if (!row) return undefined;
    const [, role, kept, clients, providers] = row;
    key = { role, kept, clients: JSON.parse(clients), providers: JSON.parse(providers) };
  }
  if (!timingSafeEqual(hash, key.kept)) return undefined;
  known.set(id, key);
  const holds = (words, word) => words === null || words.includes(word);
  return ['admin', 'service'].includes(key.role) && holds(key.clients, client) && holds(key.providers, provider.name)
    ? { id, hash, isAssumed } : undefined;
}

const tags = (header) => (header ?? '').split(',').map((tag) => /^\s*(?:W\/)?"([1-9]\d*)"\s*$/.exec(tag)?.[1]).filter(Boolean);

// asked: client, provider, minTtl, and headers by their names in lower case. The answer's status, etag and body.
export async function answer(asked) {
  const { client, minTtl, headers } = asked;
  const address = headers['x-real-ip'];
  if (asked.provider !== provider.name) return { status: 400 };
  const read = async (mayAssume) => {
    const key = await admit(headers.authorization, address, client, mayAssume);
    if (!key) return { status: 401 };
    const { rows: [row] } = await pool.query({ ...readToken, values: [client, provider.name, tags(headers['if-none-match']),
      minTtl ?? 60, minTtl !== undefined, process.env.PROGRAM, headers['x-request-id'], `key:${key.id}`, 'api_key', address,
      headers['user-agent'], hostname(), false, key.isAssumed ? key.id : null, key.isAssumed ? key.hash : null] });
    if (row) return { status: 200, row };
    return key.isAssumed ? read(false) : { status: 404 };
  };
  const { status, row } = await read(true);
  if (status !== 200) return { status };
  const [, generation, sealed, tokenType, expiresAt, secondsLeft, apiDomain, datacenter, degraded, served] = row;
  if (!served) return { status: 503 };
  const etag = `"${generation}"`;
  if (!sealed) return { status: 304, etag };
  const binding = { purpose: 'token', client, provider: provider.name, column: 'access', generation };
  return { status: 200, etag, body: {
    access_token: open(ring, binding, sealed).toString(),
    token_type: tokenType,
    authorization_scheme: provider.authorization_scheme ?? 'Bearer',
    expires_at: expiresAt,
    expires_in: secondsLeft === null ? null : Number(secondsLeft),
    generation: Number(generation),
    api_domain: apiDomain ?? provider.datacenters?.[datacenter]?.api ?? null,
    degraded,
  } };
}

// One line a request, as a worker writes it.
export function note(headers, status, began) {
  process.stderr.write(`${JSON.stringify({ at: new Date().toISOString(), event: 'request.done', request: headers['x-request-id'],
    route: '/api/oauth/token/:clientId', method: 'GET', status, ms: Date.now() - began })}\n`);
}
