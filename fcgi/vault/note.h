/*
 * Signed notes: a few lines of text, and below them a signature by the audit ring's key. A note
 * proves itself to whoever has the public key, and to no program of ours alone.
 * Source: C2SP signed-note and tlog-checkpoint (c2sp.org); RFC 8410 for the public key's file.
 */
#ifndef VESTAL_VAULT_NOTE_H
#define VESTAL_VAULT_NOTE_H

#include "base/buf.h"
#include "vault/keyring.h"

#define VAULT_NOTE_MAX_BYTES ((size_t)4096)

/* Public keys; a note by any of them is believed. */
struct vault_publics {
	unsigned char keys[VAULT_RING_KEYS_MAX][32];
	size_t n;
};

/* A note taken apart. Texts stand where the note did. */
struct vault_note {
	const char *text; /* what is signed, up to and with the newline before the blank line */
	size_t text_n;
	const char *whole; /* with its signature */
	size_t whole_n;
	const char *name;      /* the signer's, as it says */
	const char *signature; /* base64: 4 bytes of the key's hash, and the signature */
	size_t name_n, signature_n;
};

/*
 * Signs text, which ends with a newline and has no blank line, in the name of `name` by the ring's
 * primary key; note becomes text and signature. Returns: ERR_KEY_UNKNOWN, ERR_BUG.
 */
enum err vault_note_sign(struct work *w, const struct vault_keyring *keyring, const char *name,
	const char *text, struct buf *note) MUST_CHECK;

/*
 * The first note of n bytes. Returns 1, or 0 when they do not begin with one. More may follow at
 * whole + whole_n.
 */
int vault_note_take(const char *bytes, size_t n, struct vault_note *note);

/* Whether one of the keys has signed it. */
int vault_note_fits(
	struct work *w, const struct vault_note *note, const struct vault_publics *publics);

/* Adds the public halves of a ring's audit keys that are not there yet. Returns: ERR_BUG,
 * ERR_NO_MEMORY; *added: how many. */
enum err vault_note_publics_of(struct work *w, const struct vault_keyring *keyring,
	struct vault_publics *publics, size_t *added) MUST_CHECK;

/* Reads PEM files of Ed25519 keys, other text between them is skipped. Returns: ERR_KEY_UNSAFE. */
enum err vault_note_publics_parse(
	struct work *w, const char *text, size_t n, struct vault_publics *publics) MUST_CHECK;

/* Writes them as PEM, which openssl reads. */
void vault_note_publics_format(
	struct work *w, const struct vault_publics *publics, struct buf *text);

#endif
