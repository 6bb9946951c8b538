// Vestal's sealed format 1 and its key rings (fcgi/vault/seal.h), by node:crypto.
import {
  createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, randomBytes, timingSafeEqual,
} from 'node:crypto';
import { readFileSync } from 'node:fs';

const PREFIX = Buffer.from('VSTL\x01\x01', 'latin1'); // magic, version, suite
const SALT = 10, NONCE = 42, COMMITMENT = 54, HEADER = 86, TAG = 16;

export function readRing(folder, name) {
  const ring = JSON.parse(readFileSync(`${folder}/${name}.ring`, 'utf8'));
  const keys = new Map();
  for (const { id, status, key } of ring.keys) {
    if (status === 'enabled') keys.set(parseInt(id, 16), createSecretKey(Buffer.from(key, 'hex')));
  }
  const primary = keys.get(parseInt(ring.primary, 16));
  const printKey = hkdfSync('sha256', primary, '', 'vestal/fingerprint/v1', 32);
  return { info: `vestal/seal/v1${name}`, keys, primary, primaryId: ring.primary, printKey: Buffer.from(printKey) };
}

function derive(key, ring, salt) {
  const bytes = Buffer.from(hkdfSync('sha256', key, salt, ring.info, 64));
  return { key: bytes.subarray(0, 32), commitment: bytes.subarray(32) };
}

// The header, then every part of the binding with its length.
function associated(header, { purpose, client, provider, column, generation }) {
  const parts = [header];
  for (const text of [purpose, client, provider, column]) {
    const bytes = Buffer.from(text), length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    parts.push(length, bytes);
  }
  const end = Buffer.alloc(12);
  end.writeBigUInt64BE(BigInt(generation));
  end.writeUInt32BE(1, 8);
  parts.push(end);
  return Buffer.concat(parts);
}

export function open(ring, binding, blob) {
  const header = blob.subarray(0, HEADER);
  const key = ring.keys.get(header.readUInt32BE(6));
  if (!key || !header.subarray(0, 6).equals(PREFIX)) throw new Error('not sealed with a key of this ring');
  const derived = derive(key, ring, header.subarray(SALT, NONCE));
  if (!timingSafeEqual(derived.commitment, header.subarray(COMMITMENT))) throw new Error('sealed: commitment');
  const cipher = createDecipheriv('aes-256-gcm', derived.key, header.subarray(NONCE, COMMITMENT));
  cipher.setAAD(associated(header, binding));
  cipher.setAuthTag(blob.subarray(-TAG));
  return Buffer.concat([cipher.update(blob.subarray(HEADER, -TAG)), cipher.final()]);
}

export function seal(ring, binding, plain) {
  const random = randomBytes(44);
  const derived = derive(ring.primary, ring, random.subarray(0, 32));
  const header = Buffer.concat([PREFIX, Buffer.from(ring.primaryId, 'hex'), random, derived.commitment]);
  const cipher = createCipheriv('aes-256-gcm', derived.key, random.subarray(32));
  cipher.setAAD(associated(header, binding));
  return Buffer.concat([header, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

// By which the audit trail knows a token.
export function fingerprint(ring, secret) {
  return ring.primaryId + createHmac('sha256', ring.printKey).update(secret).digest('hex').slice(0, 32);
}
