/*
 * The spool: this host's journal of renewals. Before a provider is asked, the sealed intent is
 * durable in a slot (no slot, no request); the sealed answer is durable in the same slot before the
 * database is told; what a process leaves behind when it dies is taken over by whoever comes next.
 * What intents and answers say is the caller's.
 *
 * A process has a file of its own, <state_dir>/spool/<name>, held by a lock that ends with the
 * process. State folders are not shared between hosts, so the lock alone says who lives. A lock
 * passes on to a forked child: a spool is opened by the process that uses it, after its last fork.
 *
 * Format 1: a header page ("VSTS" | version 1), then slots of 64 KiB. A slot holds an intent in its
 * first page and an answer from its second on. Either is
 *   "VSTR" | version 1 | kind, 'I' or 'A' | connection id (8) | fence (8) | generation (8) |
 * length of the blob (4) | a blob of the spool ring, bound to kind, connection id, fence and
 * generation. All numbers are big endian. So one that is torn, altered or left over from an earlier
 * use of the slot is never taken for what it is not. The number of slots follows from the length of
 * the file, for a damaged header must not cost the slots behind it.
 */
#ifndef VESTAL_VAULT_SPOOL_H
#define VESTAL_VAULT_SPOOL_H

#include "vault/seal.h"

/* Plain bytes. An answer may be two tokens of 16 KiB, escaped as JSON, and more. */
#define VAULT_SPOOL_INTENT_MAX_BYTES ((size_t)3500)
#define VAULT_SPOOL_ANSWER_MAX_BYTES ((size_t)56 * 1024)
#define VAULT_SPOOL_NAME_MAX_BYTES 128 /* with its NUL */
#define VAULT_SPOOL_SLOTS_MAX ((size_t)65536)

struct vault_spool;

/* What a slot is for; authenticated with its content. Used once: a new try has a new fence. */
struct vault_spool_key {
	int64_t connection_id, fence, generation;
};

/*
 * Makes a new file of 1 to VAULT_SPOOL_SLOTS_MAX slots; their space is reserved, file and name are
 * durable. The keyring has to outlive the spool. Returns: ERR_IO (missing, full, read-only, a link,
 * another's: see the cause) and nothing is left behind; ERR_KEY_UNKNOWN (the spool ring is not
 * loaded), ERR_BUG. Owns: the caller (vault_spool_close).
 */
enum err vault_spool_open(struct work *w, const struct vault_keyring *k, const char *state_dir,
	const char *host, size_t slots, struct vault_spool **spool) MUST_CHECK;

/*
 * Takes over one file whose process is gone, and removes what a kill left of files half made.
 * *spool is NULL when there is none. It gives no slots, but those in use can be answered and
 * cleared. Closed with slots in use it may be had again at once: whoever goes through all files
 * holds on to such a spool until there is none left. A file of a later format stays where it is.
 * Returns: ERR_IO (also when nothing but files that cannot be opened is left), ERR_KEY_UNKNOWN (the
 * spool ring is not loaded). Owns: the caller (vault_spool_close).
 */
enum err vault_spool_take_over(struct work *w, const struct vault_keyring *k, const char *state_dir,
	struct vault_spool **spool) MUST_CHECK;

/*
 * The file's name, [A-Za-z0-9._-]+, made of host, process id and 16 random hex digits and never
 * used twice: also the owner of the leases that stand behind the slots. Lives as long as the spool.
 */
const char *vault_spool_name(const struct vault_spool *spool);

/*
 * Writes an intent into a free slot; durable after vault_spool_sync(). Returns: ERR_CONFLICT (no
 * slot is free), ERR_TOO_LARGE, ERR_IO, ERR_KEY_UNKNOWN, ERR_BUG; the slot is free then.
 */
enum err vault_spool_reserve(struct work *w, struct vault_spool *spool,
	const struct vault_spool_key *key, const struct secret *intent, size_t *slot) MUST_CHECK;

/*
 * Writes the answer to a slot's intent; durable after vault_spool_sync(). Returns: ERR_TOO_LARGE,
 * ERR_IO, ERR_KEY_UNKNOWN, ERR_BUG (also when the slot is not in use for this key).
 */
enum err vault_spool_answer(struct work *w, struct vault_spool *spool, size_t slot,
	const struct vault_spool_key *key, const struct secret *answer) MUST_CHECK;

/*
 * Makes durable what was written since the last time; no system call when that is nothing. After
 * one failure nobody knows what is on the disk, and asking again would claim success: the spool is
 * broken for good, and reserve, answer and sync return ERR_IO from then on. Returns: ERR_IO.
 */
enum err vault_spool_sync(struct work *w, struct vault_spool *spool) MUST_CHECK;

/*
 * Frees a slot; one that is free is fine. Not durable by itself: a slot that comes back after a
 * power cut is harmless to replay. When it cannot be written, the slot stays in use and the spool
 * is broken.
 */
void vault_spool_clear(struct vault_spool *spool, size_t slot);

/* How many intents can be reserved; of a spool taken over, none. */
size_t vault_spool_free(const struct vault_spool *spool);

int vault_spool_is_broken(const struct vault_spool *spool);

/* Closes; the file is removed when no slot is in use, else it stays for the next one. NULL is fine.
 */
void vault_spool_close(struct vault_spool *spool);

/*
 * A slot in use. For each side: ERR_OK and its content, or NULL and why:
 *   ERR_NOT_FOUND    none is there: no answer came, or it belongs to an earlier use of the slot; no
 *                    intent: a kill met the slot while it was cleared;
 *   ERR_SEALED       it is torn or was altered; nothing will ever open it;
 *   ERR_KEY_UNKNOWN  its key is away or disabled. It may come back: leave the slot in use;
 *   ERR_IO           the disk does not give it. Leave the slot in use.
 * An answer opens without its intent. The key is proved when either is there; otherwise it is only
 * what the slot claims (all 0: nothing), good for a log and nothing else.
 */
struct vault_spool_entry {
	size_t slot;
	struct vault_spool_key key;
	struct secret *intent, *answer;
	enum err intent_err, answer_err;
};

/* w: the entry's own unit of work, which ends when this returns. It may clear the entry's slot. */
typedef enum err vault_spool_fn(
	struct work *w, const struct vault_spool_entry *entry, void *context);

/*
 * Calls fn for every slot in use. Its first error ends this and is returned, with detail and cause;
 * else: ERR_NO_MEMORY, ERR_BUG.
 */
enum err vault_spool_each(
	struct work *w, struct vault_spool *spool, vault_spool_fn *fn, void *context) MUST_CHECK;

/* The spool's files on this host, and how many of them nobody holds. */
struct vault_spool_status {
	size_t files, abandoned;
};

/* Looks without touching or locking anything. No folder yet: no files. Returns: ERR_IO. */
enum err vault_spool_look(
	struct work *w, const char *state_dir, struct vault_spool_status *status) MUST_CHECK;

#endif
