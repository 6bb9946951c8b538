/* The spool's slots. It decides the form of records, what opens as what, and when a slot is in use;
 * not what an intent or an answer says, nor what becomes of them. Files, names and locks are
 * vault/spool_file.c's. */
#include "vault/spool.h"

#include "vault/spool_file.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MAGIC "VSTR"
#define FORMAT_VERSION 1
#define SLOT_BYTES ((size_t)64 * 1024)
#define ANSWER_AT ((size_t)4096)

enum {
	AT_VERSION = 4,
	AT_KIND = 5,
	AT_CONNECTION = 6,
	AT_FENCE = 14,
	AT_GENERATION = 22,
	AT_LENGTH = 30,
	HEADER_BYTES = 34
};

enum kind { INTENT, ANSWER };

static const struct {
	const char *name;
	unsigned char mark;
	size_t at, max_bytes;
} kinds[] = {
	[INTENT] = {"intent", 'I', 0, VAULT_SPOOL_INTENT_MAX_BYTES},
	[ANSWER] = {"answer", 'A', ANSWER_AT, VAULT_SPOOL_ANSWER_MAX_BYTES},
};

#define RECORD_BYTES(plain) (HEADER_BYTES + VAULT_SEAL_OVERHEAD_BYTES + (plain))

_Static_assert(RECORD_BYTES(VAULT_SPOOL_INTENT_MAX_BYTES) <= ANSWER_AT, "an intent has its page");
_Static_assert(ANSWER_AT + RECORD_BYTES(VAULT_SPOOL_ANSWER_MAX_BYTES) <= SLOT_BYTES,
	"an answer has the rest of the slot");

struct slot {
	struct vault_spool_key key;
	int used;
};

struct vault_spool {
	struct work own; /* holds all this, itself too, for longer than the work that asked */
	const struct vault_keyring *keyring;
	struct vault_spool_file file;
	struct slot *slots;
	size_t slot_count, used_count;
	/* A stack, so that slots whose blocks were written before go first. NULL: taken over. */
	uint32_t *free_slots;
	size_t free_count;
	int dirty, broken;
};

/* A record as it stands in the file. */
struct record {
	struct vault_spool_key key; /* as it claims, if it does */
	int is_claimed;
	struct secret *plain;
	enum err err;
};

static enum err io(struct work *w, const char *step)
{
	return work_cause(w, ERR_IO, "%s: %s", step, strerrorname_np(errno));
}

static enum err spool_new(struct work *w, const struct vault_keyring *k, struct vault_spool **spool)
{
	struct work own;

	*spool = NULL;
	if (!vault_keyring_primary(k, VAULT_RING_SPOOL))
		return work_cause(w, ERR_KEY_UNKNOWN, "ring spool not loaded");
	work_begin(&own, 0);
	*spool = work_alloc(&own, sizeof(**spool));
	**spool = (struct vault_spool){.own = own, .keyring = k, .file = VAULT_SPOOL_FILE_NONE};
	return ERR_OK;
}

static void spool_end(struct vault_spool *spool, int remove)
{
	struct work own = spool->own;

	vault_spool_file_close(&spool->file, remove);
	work_end(&own);
}

/* Hands err on; unless it is ERR_OK there is no spool then. */
static enum err end_new(struct vault_spool **spool, enum err err)
{
	if (err && *spool) {
		spool_end(*spool, 0);
		*spool = NULL;
	}
	return err;
}

static void give_slots(struct vault_spool *spool, size_t n)
{
	spool->slots = work_alloc(&spool->own, (n + 1) * sizeof(*spool->slots));
	spool->slot_count = n;
}

static void free_all_slots(struct vault_spool *spool)
{
	size_t n = spool->slot_count;

	spool->free_slots = work_alloc(&spool->own, n * sizeof(*spool->free_slots));
	for (size_t i = 0; i < n; i++)
		spool->free_slots[i] = (uint32_t)(n - 1 - i);
	spool->free_count = n;
}

static size_t place(size_t slot, enum kind kind)
{
	return slot * SLOT_BYTES + kinds[kind].at;
}

static void put_number(unsigned char *out, uint64_t number, int n)
{
	for (int i = n - 1; i >= 0; i--, number >>= 8)
		out[i] = (unsigned char)number;
}

static uint64_t get_number(const unsigned char *in, int n)
{
	uint64_t number = 0;

	for (int i = 0; i < n; i++)
		number = number << 8 | in[i];
	return number;
}

static struct vault_spool_key get_key(const unsigned char *header)
{
	return (struct vault_spool_key){(int64_t)get_number(header + AT_CONNECTION, 8),
		(int64_t)get_number(header + AT_FENCE, 8),
		(int64_t)get_number(header + AT_GENERATION, 8)};
}

static int is_same_key(const struct vault_spool_key *a, const struct vault_spool_key *b)
{
	return a->connection_id == b->connection_id && a->fence == b->fence &&
	       a->generation == b->generation;
}

static int is_record(const unsigned char *header, enum kind kind)
{
	return memcmp(header, MAGIC, AT_VERSION) == 0 && header[AT_VERSION] == FORMAT_VERSION &&
	       header[AT_KIND] == kinds[kind].mark;
}

static int is_zero(const unsigned char *bytes, size_t n)
{
	while (n && !bytes[n - 1])
		n--;
	return n == 0;
}

static struct vault_binding binding(
	struct work *w, enum kind kind, const struct vault_spool_key *key)
{
	const char *column = work_printf(
		w, "%s/%" PRId64 "/%" PRId64, kinds[kind].name, key->connection_id, key->fence);

	return (struct vault_binding){"spool", "", "", column, key->generation};
}

static enum err put(struct work *w, struct vault_spool *spool, size_t slot, enum kind kind,
	const struct vault_spool_key *key, const struct secret *plain)
{
	struct vault_binding b = binding(w, kind, key);
	struct vault_blob blob;
	unsigned char *record;
	enum err err;

	if (secret_len(plain) > kinds[kind].max_bytes)
		return ERR_TOO_LARGE;
	err = vault_seal_close(w, spool->keyring, VAULT_RING_SPOOL, &b, plain, &blob);
	if (err)
		return err;
	record = work_alloc(w, HEADER_BYTES + blob.n);
	memcpy(record, MAGIC, AT_VERSION);
	record[AT_VERSION] = FORMAT_VERSION;
	record[AT_KIND] = kinds[kind].mark;
	put_number(record + AT_CONNECTION, (uint64_t)key->connection_id, 8);
	put_number(record + AT_FENCE, (uint64_t)key->fence, 8);
	put_number(record + AT_GENERATION, (uint64_t)key->generation, 8);
	put_number(record + AT_LENGTH, blob.n, 4);
	memcpy(record + HEADER_BYTES, blob.bytes, blob.n);
	spool->dirty = 1;
	return vault_spool_file_write(
		       &spool->file, record, HEADER_BYTES + blob.n, place(slot, kind)) < 0
		       ? io(w, "write")
		       : ERR_OK;
}

static enum err open_record(struct work *w, const struct vault_spool *spool, size_t slot,
	enum kind kind, const unsigned char *header, struct record *record)
{
	size_t n = get_number(header + AT_LENGTH, 4);
	struct vault_binding b = binding(w, kind, &record->key);
	struct vault_blob blob;

	if (n > VAULT_SEAL_OVERHEAD_BYTES + kinds[kind].max_bytes)
		return ERR_SEALED;
	blob = (struct vault_blob){work_alloc(w, n + 1), n};
	if (vault_spool_file_read(&spool->file, blob.bytes, n, place(slot, kind) + HEADER_BYTES) <
		0)
		return io(w, "read");
	return vault_seal_open(w, spool->keyring, VAULT_RING_SPOOL, &b, &blob, &record->plain);
}

/* Reads a record as what it claims to be. */
static struct record get(
	struct work *w, const struct vault_spool *spool, size_t slot, enum kind kind)
{
	unsigned char header[HEADER_BYTES];
	struct record record = {.err = ERR_SEALED};

	if (vault_spool_file_read(&spool->file, header, sizeof(header), place(slot, kind)) < 0) {
		record.err = io(w, "read");
	} else if (is_zero(header, sizeof(header))) {
		record.err = ERR_NOT_FOUND;
	} else if (is_record(header, kind)) {
		record.key = get_key(header);
		record.is_claimed = 1;
		record.err = open_record(w, spool, slot, kind, header, &record);
	}
	return record;
}

/*
 * Zeroes the intent and the head of the answer. In one write, which goes from front to back: what a
 * kill in its midst leaves is at most an answer, whose replay is harmless, and never an intent that
 * looks as if no answer had come.
 */
static int wipe(const struct vault_spool *spool, size_t slot)
{
	static const unsigned char zeros[ANSWER_AT + HEADER_BYTES];

	return vault_spool_file_write(&spool->file, zeros, sizeof(zeros), place(slot, INTENT));
}

enum err vault_spool_open(struct work *w, const struct vault_keyring *k, const char *state_dir,
	const char *host, size_t slots, struct vault_spool **spool)
{
	enum err err = spool_new(w, k, spool);

	if (!err && (slots < 1 || slots > VAULT_SPOOL_SLOTS_MAX))
		err = work_cause(w, ERR_BUG, "number of slots");
	if (!err)
		err = vault_spool_file_create(
			w, state_dir, host, slots * SLOT_BYTES, &(*spool)->file);
	if (err)
		return end_new(spool, err);
	give_slots(*spool, slots);
	free_all_slots(*spool);
	return ERR_OK;
}

/* Notes which slots are in use; one that cannot be read counts as such. */
static void note_slots(struct vault_spool *spool)
{
	unsigned char intent[HEADER_BYTES], answer[HEADER_BYTES];

	for (size_t i = 0; i < spool->slot_count; i++) {
		struct slot *slot = &spool->slots[i];
		int readable = vault_spool_file_read(&spool->file, intent, sizeof(intent),
				       place(i, INTENT)) == 0 &&
			       vault_spool_file_read(
				       &spool->file, answer, sizeof(answer), place(i, ANSWER)) == 0;

		slot->used = !readable || !is_zero(intent, sizeof(intent)) ||
			     !is_zero(answer, sizeof(answer));
		if (readable && is_record(intent, INTENT))
			slot->key = get_key(intent);
		spool->used_count += (size_t)slot->used;
	}
}

enum err vault_spool_take_over(struct work *w, const struct vault_keyring *k, const char *state_dir,
	struct vault_spool **spool)
{
	enum err err = spool_new(w, k, spool);
	size_t bytes = 0, slots;

	if (!err)
		err = vault_spool_file_take(w, state_dir, &(*spool)->file, &bytes);
	if (err) {
		err = end_new(spool, err);
		return err == ERR_NOT_FOUND ? ERR_OK : err;
	}
	slots = bytes / SLOT_BYTES + (bytes % SLOT_BYTES != 0);
	give_slots(*spool, slots < VAULT_SPOOL_SLOTS_MAX ? slots : VAULT_SPOOL_SLOTS_MAX);
	note_slots(*spool);
	return ERR_OK;
}

const char *vault_spool_name(const struct vault_spool *spool)
{
	return spool->file.name;
}

size_t vault_spool_free(const struct vault_spool *spool)
{
	return spool->free_count;
}

int vault_spool_is_broken(const struct vault_spool *spool)
{
	return spool->broken;
}

static enum err check_whole(struct work *w, const struct vault_spool *spool)
{
	return spool->broken ? work_cause(w, ERR_IO, "spool broken") : ERR_OK;
}

enum err vault_spool_reserve(struct work *w, struct vault_spool *spool,
	const struct vault_spool_key *key, const struct secret *intent, size_t *slot)
{
	enum err err = check_whole(w, spool);
	size_t chosen;

	if (err)
		return err;
	if (!spool->free_count)
		return work_cause(w, ERR_CONFLICT, "no free slot");
	chosen = spool->free_slots[spool->free_count - 1];
	err = put(w, spool, chosen, INTENT, key, intent);
	/* Half an intent says nothing, but to the next one the slot would look in use. */
	if (err == ERR_IO && wipe(spool, chosen) < 0)
		spool->broken = 1;
	if (err)
		return err;
	spool->free_count--;
	spool->used_count++;
	spool->slots[chosen] = (struct slot){*key, 1};
	*slot = chosen;
	return ERR_OK;
}

enum err vault_spool_answer(struct work *w, struct vault_spool *spool, size_t slot,
	const struct vault_spool_key *key, const struct secret *answer)
{
	enum err err = check_whole(w, spool);

	if (err)
		return err;
	if (slot >= spool->slot_count || !spool->slots[slot].used ||
		!is_same_key(&spool->slots[slot].key, key))
		return work_cause(w, ERR_BUG, "the slot is not in use for this key");
	return put(w, spool, slot, ANSWER, key, answer);
}

enum err vault_spool_sync(struct work *w, struct vault_spool *spool)
{
	enum err err = check_whole(w, spool);

	if (err || !spool->dirty)
		return err;
	if (vault_spool_file_sync(&spool->file) < 0) {
		spool->broken = 1;
		return io(w, "fdatasync");
	}
	spool->dirty = 0;
	return ERR_OK;
}

void vault_spool_clear(struct vault_spool *spool, size_t slot)
{
	if (slot >= spool->slot_count || !spool->slots[slot].used)
		return;
	if (wipe(spool, slot) < 0) {
		spool->broken = 1;
		return;
	}
	spool->slots[slot] = (struct slot){0};
	spool->used_count--;
	if (spool->free_slots)
		spool->free_slots[spool->free_count++] = (uint32_t)slot;
}

void vault_spool_close(struct vault_spool *spool)
{
	if (spool)
		spool_end(spool, spool->used_count == 0);
}

/* An answer of an earlier use of the slot is none. One whose key is away is judged by what it
 * claims: should that be altered, it could never open. */
static int is_of_earlier_use(const struct record *intent, const struct record *answer)
{
	return intent->err == ERR_OK && (answer->err == ERR_OK || answer->err == ERR_KEY_UNKNOWN) &&
	       !is_same_key(&intent->key, &answer->key);
}

static int is_fatal(enum err err)
{
	return err == ERR_NO_MEMORY || err == ERR_BUG;
}

static struct vault_spool_key best_key(const struct record *intent, const struct record *answer)
{
	if (intent->err == ERR_OK || (answer->err != ERR_OK && intent->is_claimed))
		return intent->key;
	return answer->key;
}

static enum err visit(struct work *w, const struct vault_spool *spool, size_t slot,
	vault_spool_fn *fn, void *context)
{
	struct record intent = get(w, spool, slot, INTENT), answer = get(w, spool, slot, ANSWER);
	struct vault_spool_entry entry;

	if (is_fatal(intent.err) || is_fatal(answer.err))
		return is_fatal(intent.err) ? intent.err : answer.err;
	if (is_of_earlier_use(&intent, &answer))
		answer = (struct record){.err = ERR_NOT_FOUND};
	entry = (struct vault_spool_entry){slot, best_key(&intent, &answer), intent.plain,
		answer.plain, intent.err, answer.err};
	/* Why a record does not open is in the entry; the work's cause is fn's from now on. */
	work_forgive(w);
	return fn(w, &entry, context);
}

/* Ends an entry's unit of work and hands its error on. */
static enum err end_entry(struct work *own, struct work *w, enum err err)
{
	if (err && own->detail)
		work_fail(w, err, "%s", own->detail);
	if (err && own->cause)
		work_cause(w, err, "%s", own->cause);
	work_end(own);
	return err;
}

enum err vault_spool_each(
	struct work *w, struct vault_spool *spool, vault_spool_fn *fn, void *context)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < spool->slot_count && !err; i++) {
		struct work own;

		if (!spool->slots[i].used)
			continue;
		work_begin(&own, 0);
		own.deadline_ms = w->deadline_ms;
		own.origin = w->origin;
		err = end_entry(&own, w, visit(&own, spool, i, fn, context));
	}
	return err;
}

enum err vault_spool_look(struct work *w, const char *state_dir, struct vault_spool_status *status)
{
	*status = (struct vault_spool_status){0};
	return vault_spool_file_look(w, state_dir, status);
}
