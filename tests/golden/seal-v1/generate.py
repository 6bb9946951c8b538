#!/usr/bin/python3
"""Writes the golden files of sealing format 1 into its own folder, from the written format and not from our C code.

Every later version must read these files, so they are made once and never again; this stays as the proof that a second
implementation of the format agrees. Needs python3-cryptography. The keys are for these files alone.
"""
import hashlib
import hmac
import json
import pathlib
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = pathlib.Path(__file__).resolve().parent


def fixed(label: str, n: int) -> bytes:
    return hashlib.sha256(f"vestal golden {label}".encode()).digest()[:n]


def mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf(key: bytes, salt: bytes, info: bytes, n: int) -> bytes:
    prk, block, out = mac(salt or bytes(32), key), b"", b""
    while len(out) < n:
        block = mac(prk, block + info + bytes([len(out) // 32 + 1]))
        out += block
    return out[:n]


def ring(name: str, primary: str, keys: list[tuple[str, str]]) -> dict[str, bytes]:
    entries, text = [], f"vestal-ring-1\n{name}\n{primary}\n"
    for number, (key_id, status) in enumerate(keys):
        entry = {"id": key_id, "status": status, "created": f"2026-01-0{number + 1}T12:00:00.000Z"}
        if status != "destroyed":
            entry["key"] = fixed(f"key {name} {key_id}", 32).hex()
        entries.append(entry)
        text += f"{key_id} {status} {entry['created']} {entry.get('key', '-')}\n"
    known = {e["id"]: bytes.fromhex(e["key"]) for e in entries if "key" in e}
    tag = mac(hkdf(known[primary], b"", b"vestal/ring-mac/v1", 32), text.encode())
    whole = {"format": "vestal-ring-1", "ring": name, "primary": primary, "keys": entries, "mac": tag.hex()}
    (HERE / f"{name}.ring").write_text(json.dumps(whole, separators=(",", ":")) + "\n")
    return known


def seal(name: str, key_id: str, key: bytes, binding: list[str], generation: int, plain: bytes) -> bytes:
    label = f"{name} {key_id} {binding} {generation} {len(plain)}"
    salt, nonce = fixed("salt " + label, 32), fixed("nonce " + label, 12)
    derived = hkdf(key, salt, b"vestal/seal/v1" + name.encode(), 64)
    header = b"VSTL" + bytes([1, 1]) + bytes.fromhex(key_id) + salt + nonce + derived[32:]
    aad = header + b"".join(struct.pack(">I", len(part)) + part.encode() for part in binding)
    aad += struct.pack(">QI", generation, 1)
    return header + AESGCM(derived[:32]).encrypt(nonce, plain, aad)


def line(*parts: str) -> str:
    return " ".join(part or "-" for part in parts) + "\n"


def main() -> None:
    token = ring("token", "7a11c0de", [("00000001", "destroyed"), ("7a11c0de", "enabled"),
                                       ("fffffffe", "enabled"), ("0badc0de", "disabled")])
    app = ring("app", "a9900001", [("a9900001", "enabled")])
    copy = ring("copy", "c0900001", [("c0900001", "enabled")])
    refresh = b"1000.8f2e6f0c7d5b4a39c1d2e3f405162738.9a8b7c6d5e4f30211203f4e5d6c7b8a9"
    blobs = "# ring purpose client provider column generation plain blob: bytes in hex, \"-\" is empty\n"
    for name, keys, key_id, binding, generation, plain in [
            ("token", token, "7a11c0de", ["token", "acme", "zoho_crm", "refresh_token"], 1, refresh),
            ("token", token, "7a11c0de", ["token", "acme", "zoho_crm", "access_token"], 2**40 + 3, refresh[::-1]),
            ("token", token, "fffffffe", ["token", "a.b-c_D9", "zoho_calendar", "access_token"], 2**63 - 1, b""),
            ("token", token, "fffffffe", ["history", "acme", "zoho_crm", "refresh_token"], 0, bytes(range(256))),
            ("app", app, "a9900001", ["app", "", "zoho_crm", "client_secret"], 0, b"golden client secret")]:
        blob = seal(name, key_id, keys[key_id], binding, generation, plain)
        blobs += line(name, *binding, str(generation), plain.hex(), blob.hex())
    (HERE / "blobs.txt").write_text(blobs)

    content = b'{"clientId":"acme","provider":"zoho_crm","generation":42}'
    blob = seal("copy", "c0900001", copy["c0900001"], ["copy", "acme", "zoho_crm", "copy"], 42, content)
    file = b"VSTC" + bytes([1]) + struct.pack(">Q", 42) + blob
    (HERE / "copy.txt").write_text("# client provider generation content file\n" +
                                   line("acme", "zoho_crm", "42", content.hex(), file.hex()))

    prints = "# secret fingerprint\n"
    for key_id in ("7a11c0de", "fffffffe"):
        key = hkdf(token[key_id], b"", b"vestal/fingerprint/v1", 32)
        for secret in (refresh, b""):
            prints += line(secret.hex(), key_id + mac(key, secret).hex()[:32])
    (HERE / "fingerprints.txt").write_text(prints)


if __name__ == "__main__":
    main()
