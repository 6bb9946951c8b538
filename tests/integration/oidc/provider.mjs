// panva's oidc-provider on loopback with everything in memory; oidc.py starts it and talks to /__test.
// Settings come from the environment: PORT, CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS (space separated),
// ROTATION (1: a refresh token is used once, and its reuse ends the grant; 0: never replaced).
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const { PORT, CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS, ROTATION } = process.env;
const issuer = `http://127.0.0.1:${PORT}`;

// What the provider remembers. The package's own adapter forgets the oldest beyond a number, which a test would take
// for a revoked token. An opaque token's id is its value.
const store = new Map();
const issued = [];
const requests = [];
const gone = (entry) => entry.until < Date.now();
class Memory {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async upsert(id, payload, seconds) {
    if (['AccessToken', 'RefreshToken', 'AuthorizationCode'].includes(this.model) && !store.has(this.key(id))) {
      issued.push({ kind: this.model, value: id, user: payload.accountId });
    }
    store.set(this.key(id), { model: this.model, payload, until: seconds ? Date.now() + seconds * 1000 : Infinity });
  }
  async find(id) {
    const entry = store.get(this.key(id));
    return entry && !gone(entry) ? entry.payload : undefined;
  }
  async findByUid(uid) {
    return [...store.values()].find((e) => e.model === this.model && !gone(e) && e.payload.uid === uid)?.payload;
  }
  async consume(id) {
    const payload = await this.find(id);
    if (payload) payload.consumed = Math.floor(Date.now() / 1000);
  }
  async destroy(id) { store.delete(this.key(id)); }
  async revokeByGrantId(grantId) {
    for (const [key, entry] of store) if (entry.payload.grantId === grantId) store.delete(key);
  }
}

const jwk = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const provider = new Provider(issuer, {
  adapter: Memory,
  clients: [{
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
    redirect_uris: REDIRECT_URIS.split(' '),
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_basic',
  }],
  jwks: { keys: [{ ...jwk, kid: 'k1', use: 'sig', alg: 'RS256' }] },
  cookies: { keys: [randomBytes(24).toString('hex')] },
  scopes: ['openid', 'offline_access', 'mail', 'calendar'],
  findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  features: { devInteractions: { enabled: true }, introspection: { enabled: true }, revocation: { enabled: true } },
  pkce: { required: () => true },
  rotateRefreshToken: ROTATION === '1',
  issueRefreshToken: async () => true,
  expiresWithSession: async () => false,
  ttl: { AccessToken: 3600, AuthorizationCode: 60, RefreshToken: 86400, IdToken: 3600, Grant: 86400, Session: 3600, Interaction: 600 },
});

// --- the tests' door

let fault = { times: 0 };
const ledger = () => ({
  requests,
  tokens: issued.map(({ kind, value, user }) => {
    const entry = store.get(`${kind}:${value}`);
    const alive = Boolean(entry) && !gone(entry);
    return { kind, value, user, alive, consumed: Boolean(alive && entry.payload.consumed) };
  }),
});
const controls = {
  'GET /__test/ledger': ledger,
  'POST /__test/fault': (body) => { fault = { path: '/token', times: 1, ...body }; return {}; },
  'POST /__test/withdraw': () => { // the user takes back what he granted
    for (const [key, entry] of store) if (entry.model !== 'Client') store.delete(key);
    return {};
  },
};

async function control(ctx, answer) {
  let text = '';
  for await (const chunk of ctx.req) text += chunk;
  ctx.body = answer(text ? JSON.parse(text) : {});
}

function spoil(ctx, f) {
  if (f.mode === 'status') {
    ctx.status = f.status;
    ctx.set(f.headers ?? {});
    ctx.body = f.body ?? '';
  } else {
    ctx.respond = false;
    ctx.req.socket.destroy();
  }
}

// Modes: "status" and "drop_before" keep the request from the provider; "drop_after" hides what it did.
provider.use(async (ctx, next) => {
  const answer = controls[`${ctx.method} ${ctx.path}`];
  if (answer) {
    await control(ctx, answer);
    return;
  }
  const f = fault.times > 0 && ctx.method === 'POST' && ctx.path === fault.path ? fault : undefined;
  const seen = { method: ctx.method, path: ctx.path };
  requests.push(seen);
  if (f) f.times -= 1;
  if (!f || f.mode === 'drop_after') await next();
  Object.assign(seen, { grant: ctx.oidc?.body?.grant_type, verifier: ctx.oidc?.body?.code_verifier, status: ctx.status });
  if (f) spoil(ctx, f);
});
provider.on('server_error', (ctx, error) => console.error(ctx.path, error));

createServer(provider.callback()).listen(Number(PORT), '127.0.0.1', () => console.log(`listening on ${issuer}`));
