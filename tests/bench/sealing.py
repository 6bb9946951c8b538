"""Vestal's sealed format 1 (fcgi/vault/seal.h), to fill a database by the million; see tests/golden/seal-v1/generate.py."""

import hmac
import json
import os
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def mac(key, data):
    return hmac.digest(key, data, "sha256")


def hkdf(key, salt, info, n):
    extracted, block, out = mac(salt or bytes(32), key), b"", b""
    while len(out) < n:
        block = mac(extracted, block + info + bytes([len(out) // 32 + 1]))
        out += block
    return out[:n]


class Ring:
    def __init__(self, path):
        ring = json.loads(path.read_text())
        self.name, self.primary = ring["ring"], ring["primary"]
        (self.key,) = [bytes.fromhex(key["key"]) for key in ring["keys"] if key["id"] == self.primary]
        self.print_key = hkdf(self.key, b"", b"vestal/fingerprint/v1", 32)

    def seal(self, binding, generation, plain):
        """binding: purpose, client, provider, column."""
        salt, nonce = os.urandom(32), os.urandom(12)
        derived = hkdf(self.key, salt, b"vestal/seal/v1" + self.name.encode(), 64)
        header = b"VSTL\x01\x01" + bytes.fromhex(self.primary) + salt + nonce + derived[32:]
        aad = header + b"".join(struct.pack(">I", len(part)) + part.encode() for part in binding)
        return header + AESGCM(derived[:32]).encrypt(nonce, plain, aad + struct.pack(">QI", generation, 1))

    def fingerprint(self, plain):
        return self.primary + mac(self.print_key, plain).hex()[:32]
