/* What the spool's tests share: a state folder with a keyring, slots that are told by a number, and
 * a disk that fails, or a process that dies, at a chosen system call. */
#ifndef VESTAL_TESTS_UNIT_VAULT_SPOOL_SUPPORT_H
#define VESTAL_TESTS_UNIT_VAULT_SPOOL_SUPPORT_H

#include "support.h"

#include "vault/spool.h"

#define SPOOL_HOST "host-a"
#define SPOOL_SEEN_MAX 64
#define SPOOL_TEXT_BYTES 128

/* The layout on disk, written down a second time. */
enum {
	SPOOL_AT_SLOTS = 4096,
	SPOOL_SLOT_BYTES = 65536,
	SPOOL_AT_ANSWER = 4096,
	SPOOL_AT_KEY = 6,
	SPOOL_AT_BLOB = 34,
	SPOOL_AT_KEY_ID = SPOOL_AT_BLOB + 6,
	SPOOL_OVERHEAD = SPOOL_AT_BLOB + 102
};

extern char *spool_state_dir, *spool_key_dir;
extern struct vault_keyring *spool_keyring;

/* A state folder of its own, and a keyring with the spool ring. */
int spool_setup(void **state);
int spool_teardown(void **state);

/* Ends the test, or the child of a test with exit code 1. */
#define SPOOL_MUST(holds) spool_must((holds) != 0, #holds, __FILE__, __LINE__)
void spool_must(int holds, const char *what, const char *file, int line);

/* These must work. spool_take() returns NULL when there is none to take over. */
struct vault_spool *spool_make(size_t slots);
struct vault_spool *spool_take(void);
void spool_sync(struct vault_spool *spool);

/* Everything about the renewal `number` follows from its number: its key, and its texts, of which
 * the answer's is longer than a page. */
struct vault_spool_key spool_key(int number);
size_t spool_reserve(struct vault_spool *spool, int number);
void spool_answer(struct vault_spool *spool, size_t slot, int number);

/* What vault_spool_each() tells, in numbers: of an intent or answer that opened, its number. */
struct spool_seen {
	size_t n;
	struct spool_seen_entry {
		size_t slot;
		int key;            /* the number, 0 for no key, -1 for one that is none of ours */
		int intent, answer; /* the number, 0 for NULL, -1 for text that is none of ours */
		enum err intent_err, answer_err;
	} entries[SPOOL_SEEN_MAX];
};
struct spool_seen spool_seen(struct vault_spool *spool);

/* One slot is in use, and it says this. */
void spool_assert_one(struct vault_spool *spool, int key, int intent, int answer);

/* The path below the state folder, of the spool's folder when name is "". */
const char *spool_path(char path[512], const char *name);

/* How many names there are in the spool's folder, also the dotted; 0 without a folder. */
size_t spool_names(void);

/* The spool's file, as bytes, read and written behind its back. */
char *spool_load(struct work *w, const char *name, size_t *n);
void spool_store(const char *name, const void *bytes, size_t n);

/* Leaves behind a file, held by nobody, with the renewals 1 to n in its slots 0 to n - 1, all
 * answered. Returns its name. */
const char *spool_abandon(char name[VAULT_SPOOL_NAME_MAX_BYTES], int n);

/* Opening must fail as trouble of the disk, with this cause, and give no spool. */
void spool_must_not_open(size_t slots, const char *cause);

/* These may fail. */
enum err spool_try_take(struct vault_spool **spool);
enum err spool_look(struct vault_spool_status *status);

/* Looking works, and counts this. */
void spool_assert_look(size_t files, size_t abandoned);

/* Runs child in a process of its own, which must exit 0. */
void spool_in_child(void (*child)(void));

/* What happens at the at-th call from now on that opens, makes, writes, syncs, renames or removes
 * a file. */
enum spool_fault {
	SPOOL_FAULT_NONE,
	SPOOL_FAULT_ERROR, /* it fails; removing is not counted */
	SPOOL_FAULT_SHORT, /* as above, but a write has written half before */
	SPOOL_FAULT_KILL_BEFORE,
	SPOOL_FAULT_KILL_AMID, /* a write has written half */
	SPOOL_FAULT_KILL_AFTER
};
struct spool_faults {
	enum spool_fault fault;
	int at, error;
	int calls, syncs, reads; /* counted: all calls, fdatasync alone, reads */
	int read_error;          /* every read behind the file's header fails, unless 0 */
	void (*opened)(int dir_fd, const char *name); /* called after a file was opened */
	int other_user;
};
extern struct spool_faults spool_faults;

#endif
