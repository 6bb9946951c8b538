// What vestal-refresh --due does, by pg, undici and node:crypto: lease, intent, request, sealed answer, commit,
// distribution. node refresh_node.js --concurrency N; settings come from the environment (peers.py). Prints what it did.
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { Agent, request } from 'undici';
import { distribute } from './distribute.js';
import { Journal } from './journal.js';
import { fingerprint, open, readRing, seal } from './sealed.js';

const { KEY_DIR, PROVIDER_FILE, PG_CONNECTIONS, JOURNAL, STATE_DIR, RUNTIME_DIR, PROGRAM } = process.env;
const concurrency = Number(parseArgs({ options: { concurrency: { type: 'string', default: '50' } } }).values.concurrency);
const provider = JSON.parse(readFileSync(PROVIDER_FILE, 'utf8'));
const datacenter = provider.default_datacenter ?? '';
const tokenUrl = provider.token_url.replace(/\{(\w+)\}/g, (_, word) => provider.datacenters[datacenter][word]);
const tokenRing = readRing(KEY_DIR, 'token'), appRing = readRing(KEY_DIR, 'app'), copyRing = readRing(KEY_DIR, 'copy');
const spoolRing = readRing(KEY_DIR, 'spool');
const stores = { ring: copyRing, stateDir: STATE_DIR, runtimeDir: RUNTIME_DIR, scheme: provider.authorization_scheme };
const CLAIM = 200, BATCH = 50, BATCHES = 8, LEASE_S = 60, TIMEOUT_MS = 20000;
const owner = `${hostname()}:${process.pid}:node`;

const pool = new pg.Pool({
  user: 'vestal_refresher',
  max: Number(PG_CONNECTIONS),
  options: '-c search_path=pg_catalog -c timezone=UTC -c synchronous_commit=on',
});
const dispatcher = new Agent({ connections: concurrency, pipelining: 1, bodyTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS });
const journal = await Journal.open(JOURNAL);

// --- the database

const claimDue = { name: 'claim', text: `
  with due as (
    select id from vestal.connection
    where provider = $1 and datacenter = $2 and not failing and next_refresh_at <= now() and removed_at is null
      and not passive and (lease_until is null or lease_until <= now())
    order by next_refresh_at limit $3 for update skip locked
  )
  update vestal.connection c set fence = c.fence + 1, lease_owner = $4, lease_until = now() + make_interval(secs => $5),
    tried_at = now(), mints = c.mints[greatest(1, cardinality(c.mints) - 30):] || now()
  from due, vestal.token t
  where c.id = due.id and t.connection_id = c.id and t.refresh_sealed is not null
  returning c.id, c.client_id as client, c.fence, t.generation, t.refresh_sealed as sealed, c.datacenter, c.scope` };

const storeRenewed = { name: 'store', text: `
  with answer as (
    select * from jsonb_to_recordset($1::jsonb) as x (id int8, client text, fence int8, generation int8, access_sealed text,
      refresh_sealed text, access_print text, refresh_print text, "tokenType" text, "issuedAt" timestamptz,
      "expiresAt" timestamptz, "apiDomain" text, scope text, next timestamptz)
  ), stored as (
    update vestal.token t set generation = a.generation, access_sealed = decode(a.access_sealed, 'hex'),
      refresh_sealed = decode(a.refresh_sealed, 'hex'), access_fingerprint = a.access_print,
      refresh_fingerprint = a.refresh_print, token_type = a."tokenType", issued_at = a."issuedAt", expires_at = a."expiresAt"
    from answer a where t.connection_id = a.id and t.generation = a.generation - 1
    returning a.*
  ), scheduled as (
    update vestal.connection c set last_generation = s.generation, state = 'live', cause = 'none', failures = 0, refusals = 0,
      ambiguous_at = null, deferred_by = null, last_refreshed_at = now(), last_proved_at = now(),
      api_domain = s."apiDomain", scope = s.scope, next_refresh_at = s.next, overdue_at = s.next + interval '10 minutes',
      lease_owner = null, lease_until = null
    from stored s where c.id = s.id and c.fence = s.fence
    returning c.id
  ), noted as (
    insert into vestal.audit_event (host, program, actor, actor_auth, action, outcome, client_id, provider, connection_id,
      generation, fingerprint, detail_text)
    select $2, $3, $4, 'local', 'token.renewed', 'ok', client, $5, id, generation, access_print,
      json_build_object('why', 'due', 'attempt', fence)::text
    from stored
  )
  select s.id::int4, pg_notify('vestal_token', json_build_object('clientId', client, 'provider', $5::text,
    'generation', generation)::text)::text
  from stored s join scheduled using (id)` };

const noteDistributed = { name: 'distributed', text: `
  update vestal.connection c set copy_generation = s.generation, environment_generation = s.generation
  from unnest($1::int8[], $2::int8[]) s (id, generation) where c.id = s.id` };

async function readApp() {
  const { rows: [row] } = await pool.query(`select oauth_client_id as id, secret_sealed as sealed, generation,
    redirect_uri as "redirectUri", datacenter from vestal.app where provider = $1 and client_id is null`, [provider.name]);
  const column = `client_secret/${row.datacenter}`;
  const place = { purpose: 'app', client: '', provider: provider.name, column, generation: row.generation };
  return { ...row, secret: open(appRing, place, row.sealed).toString() };
}

// --- what is due: claimed in batches, never all at once

const claimed = [];
let claiming, isOver = false;

async function claim() {
  const { rows } = await pool.query({ ...claimDue, values: [provider.name, datacenter, CLAIM, owner, LEASE_S] });
  isOver = rows.length === 0;
  claimed.push(...rows);
}

async function next() {
  while (!claimed.length && !isOver) await (claiming ??= claim().finally(() => { claiming = undefined; }));
  if (claimed.length < CLAIM / 2 && !isOver) claiming ??= claim().finally(() => { claiming = undefined; });
  return claimed.shift();
}

// --- one renewal

const place = (row, column, generation, purpose = 'token') =>
  ({ purpose, client: row.client, provider: provider.name, column, generation });

async function ask(refresh, app) {
  const form = new URLSearchParams(
    { grant_type: 'refresh_token', refresh_token: refresh, client_id: app.id, client_secret: app.secret });
  const { statusCode, body } = await request(tokenUrl, { method: 'POST', dispatcher, body: form.toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' } });
  const answer = await body.json();
  if (statusCode !== 200 || !answer.access_token) throw new Error(`refused: ${statusCode}`);
  return answer;
}

async function renew(row, app) {
  const from = Number(row.generation), generation = from + 1, began = Date.now();
  const kept = open(tokenRing, place(row, 'refresh', from), row.sealed).toString();
  journal.begin();
  await journal.append(JSON.stringify({ intent: { id: row.id, fence: row.fence, from } }));
  const answer = await ask(kept, app);
  const access = answer.access_token, refresh = answer.refresh_token ?? kept;
  const lifetimeMs = (answer.expires_in ?? provider.access_ttl_s) * 1000;
  const marginMs = Math.min(provider.renew_before_s * 1000, lifetimeMs / 3) * (1 + Math.random() / 10);
  const renewed = { id: row.id, client: row.client, provider: provider.name, fence: row.fence, generation, access, refresh,
    datacenter: row.datacenter, tokenType: answer.token_type, issuedAt: new Date(began).toISOString(),
    expiresAt: new Date(began + lifetimeMs).toISOString(), next: new Date(began + lifetimeMs - marginMs).toISOString(),
    apiDomain: answer.api_domain, scope: answer.scope ?? row.scope };
  const sealed = seal(spoolRing, place(row, 'answer', generation, 'spool'), JSON.stringify(renewed));
  await journal.append(sealed.toString('base64'));
  settle(renewed);
  while (settling.size >= BATCHES) await Promise.race(settling);
}

// --- what was answered: stored and distributed in batches

const answered = [], settling = new Set();
let count = 0;

async function storeBatch(rows) {
  const values = rows.map(({ access, refresh, ...row }) => ({ ...row,
    access_sealed: seal(tokenRing, place(row, 'access', row.generation), access).toString('hex'),
    refresh_sealed: seal(tokenRing, place(row, 'refresh', row.generation), refresh).toString('hex'),
    access_print: fingerprint(tokenRing, access), refresh_print: fingerprint(tokenRing, refresh) }));
  const stored = await pool.query({ ...storeRenewed,
    values: [JSON.stringify(values), hostname(), PROGRAM, `program:${PROGRAM}`, provider.name] });
  count += stored.rows.length;
  await journal.settle(rows.length);
  await distribute(stores, rows, app);
  await pool.query({ ...noteDistributed, values: [rows.map(({ id }) => id), rows.map(({ generation }) => generation)] });
}

function settle(row) {
  if (row) answered.push(row);
  if (answered.length < BATCH && row) return;
  const batch = storeBatch(answered.splice(0)).finally(() => settling.delete(batch));
  settling.add(batch);
}

const app = await readApp();
async function lane() {
  for (let row = await next(); row; row = await next()) await renew(row, app);
}
await Promise.all(Array.from({ length: concurrency }, lane));
if (answered.length) settle();
await Promise.all(settling);
await Promise.all([pool.end(), dispatcher.close()]);
console.log(JSON.stringify({ renewed: count }));
