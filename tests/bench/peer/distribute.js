// The two stores outside the database, as Vestal keeps them: a sealed copy and an environment file, each durable.
import { mkdir, open, rename } from 'node:fs/promises';
import { seal } from './sealed.js';

async function flush(folder) {
  const handle = await open(folder);
  await handle.sync().finally(() => handle.close());
}

async function write(path, content, mode) {
  const file = await open(path, 'w', mode);
  await file.writeFile(content);
  await file.sync().finally(() => file.close());
}

async function replace(folder, name, content, mode) {
  const path = `${folder}/${name}`;
  try {
    await write(`${path}.new`, content, mode);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await write(`${path}.new`, content, mode);
  }
  await rename(`${path}.new`, path);
}

function copyOf(ring, row, app) {
  const content = JSON.stringify({
    format: 1, client: row.client, clientName: row.client, provider: row.provider, generation: row.generation,
    datacenter: row.datacenter, apiDomain: row.apiDomain, scope: row.scope, kept: {}, tokenType: row.tokenType,
    issuedAt: row.issuedAt, expiresAt: row.expiresAt, accessToken: row.access, refreshToken: row.refresh,
    app: { owner: '', datacenter: app.datacenter, clientId: app.id, clientSecret: app.secret, redirectUri: app.redirectUri,
      params: {} },
  });
  const place = { purpose: 'copy', client: row.client, provider: row.provider, column: 'copy', generation: row.generation };
  const head = Buffer.alloc(13);
  head.write('VSTC\x01', 'latin1');
  head.writeBigUInt64BE(BigInt(row.generation), 5);
  return Buffer.concat([head, seal(ring, place, content)]);
}

function environmentOf(row, scheme) {
  const name = row.provider.toUpperCase();
  return `${name}_ACCESS_TOKEN=${row.access}\n${name}_AUTHORIZATION_SCHEME=${scheme}\n${name}_EXPIRES_AT=${row.expiresAt}\n`
    + `${name}_GENERATION=${row.generation}\n${name}_API_DOMAIN=${row.apiDomain}\n`;
}

export async function distribute({ ring, stateDir, runtimeDir, scheme }, rows, app) {
  await Promise.all(rows.map(async (row) => {
    const folder = `${stateDir}/copies/${row.client}`;
    await replace(folder, `${row.provider}.vst`, copyOf(ring, row, app), 0o600);
    await flush(folder);
    await replace(`${runtimeDir}/env`, `${row.client}.${row.provider}.env`, environmentOf(row, scheme), 0o640);
  }));
  await flush(`${runtimeDir}/env`); // once for all of them
}
