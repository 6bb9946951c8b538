/* What the spool's tests share. */
#include "spool_support.h"

#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_BYTES ((size_t)9000)
#define ANSWER_TAIL '#'

char *spool_state_dir, *spool_key_dir;
struct vault_keyring *spool_keyring;
struct spool_faults spool_faults;

static pid_t test_pid;

int spool_setup(void **state)
{
	struct work w;

	(void)state;
	test_pid = getpid();
	spool_faults = (struct spool_faults){0};
	work_begin(&w, SUPPORT_BUDGET_MS);
	spool_state_dir = support_dir();
	spool_key_dir = support_dir();
	support_one_key(spool_key_dir, "spool", "0a0b0c0d");
	spool_keyring = support_load(&w, spool_key_dir, VAULT_RING_BIT(VAULT_RING_SPOOL));
	work_end(&w);
	return 0;
}

int spool_teardown(void **state)
{
	(void)state;
	spool_faults = (struct spool_faults){0};
	vault_keyring_free(spool_keyring);
	support_remove(spool_state_dir);
	support_remove(spool_key_dir);
	return 0;
}

void spool_must(int holds, const char *what, const char *file, int line)
{
	if (holds)
		return;
	if (getpid() == test_pid) {
		print_error("not so: %s\n", what);
		_fail(file, line);
	}
	fprintf(stderr, "child: %s:%d: not so: %s\n", file, line, what);
	_exit(1);
}

struct vault_spool *spool_make(size_t slots)
{
	struct vault_spool *spool = NULL;
	struct work w;

	work_begin(&w, SUPPORT_BUDGET_MS);
	SPOOL_MUST(vault_spool_open(&w, spool_keyring, spool_state_dir, SPOOL_HOST, slots,
			   &spool) == ERR_OK);
	work_end(&w);
	return spool;
}

struct vault_spool *spool_take(void)
{
	struct vault_spool *spool = NULL;
	struct work w;

	work_begin(&w, SUPPORT_BUDGET_MS);
	SPOOL_MUST(vault_spool_take_over(&w, spool_keyring, spool_state_dir, &spool) == ERR_OK);
	work_end(&w);
	return spool;
}

void spool_sync(struct vault_spool *spool)
{
	struct work w;

	work_begin(&w, SUPPORT_BUDGET_MS);
	SPOOL_MUST(vault_spool_sync(&w, spool) == ERR_OK);
	work_end(&w);
}

struct vault_spool_key spool_key(int number)
{
	return (struct vault_spool_key){number, INT64_C(0x100000000) + number, 7 * number};
}

#define INTENT_TEXT "canary intent "
#define ANSWER_TEXT "canary answer "

static struct secret *intent_of(struct work *w, int number)
{
	return support_secret(w, work_printf(w, INTENT_TEXT "%d", number));
}

static struct secret *answer_of(struct work *w, int number)
{
	struct secret *secret = secret_new(w, NULL, ANSWER_BYTES);
	int n;

	SPOOL_MUST(secret);
	memset(secret_fill(secret), ANSWER_TAIL, ANSWER_BYTES);
	n = snprintf((char *)secret_fill(secret), ANSWER_BYTES, ANSWER_TEXT "%d", number);
	secret_fill(secret)[n] = ANSWER_TAIL;
	return secret;
}

size_t spool_reserve(struct vault_spool *spool, int number)
{
	struct vault_spool_key key = spool_key(number);
	size_t slot = SIZE_MAX;
	struct work w;

	work_begin(&w, SUPPORT_BUDGET_MS);
	SPOOL_MUST(vault_spool_reserve(&w, spool, &key, intent_of(&w, number), &slot) == ERR_OK);
	work_end(&w);
	return slot;
}

void spool_answer(struct vault_spool *spool, size_t slot, int number)
{
	struct vault_spool_key key = spool_key(number);
	struct work w;

	work_begin(&w, SUPPORT_BUDGET_MS);
	SPOOL_MUST(vault_spool_answer(&w, spool, slot, &key, answer_of(&w, number)) == ERR_OK);
	work_end(&w);
}

static int number_of_key(const struct vault_spool_key *key)
{
	struct vault_spool_key ours = spool_key((int)key->connection_id);

	if (!key->connection_id && !key->fence && !key->generation)
		return 0;
	return key->connection_id == ours.connection_id && key->fence == ours.fence &&
			       key->generation == ours.generation
		       ? (int)key->connection_id
		       : -1;
}

/* The number of a text, which must be the whole text of that number. */
static int number_of(struct work *w, const struct secret *secret, const char *prefix,
	struct secret *(*text_of)(struct work *w, int number))
{
	int number;

	if (!secret)
		return 0;
	if (!text_starts(secret_reveal(secret), prefix))
		return -1;
	number = (int)strtol(secret_reveal(secret) + strlen(prefix), NULL, 10);
	return secret_equal(secret, text_of(w, number)) ? number : -1;
}

static enum err see(struct work *w, const struct vault_spool_entry *entry, void *context)
{
	struct spool_seen *seen = context;

	SPOOL_MUST(seen->n < SPOOL_SEEN_MAX);
	SPOOL_MUST((entry->intent != NULL) == (entry->intent_err == ERR_OK));
	SPOOL_MUST((entry->answer != NULL) == (entry->answer_err == ERR_OK));
	seen->entries[seen->n++] = (struct spool_seen_entry){
		.slot = entry->slot,
		.key = number_of_key(&entry->key),
		.intent = number_of(w, entry->intent, INTENT_TEXT, intent_of),
		.answer = number_of(w, entry->answer, ANSWER_TEXT, answer_of),
		.intent_err = entry->intent_err,
		.answer_err = entry->answer_err,
	};
	return ERR_OK;
}

struct spool_seen spool_seen(struct vault_spool *spool)
{
	struct spool_seen seen = {0};
	struct work w;

	work_begin(&w, SUPPORT_BUDGET_MS);
	SPOOL_MUST(vault_spool_each(&w, spool, see, &seen) == ERR_OK);
	work_end(&w);
	return seen;
}

void spool_assert_one(struct vault_spool *spool, int key, int intent, int answer)
{
	struct spool_seen seen = spool_seen(spool);

	SPOOL_MUST(seen.n == 1);
	SPOOL_MUST(seen.entries[0].key == key);
	SPOOL_MUST(seen.entries[0].intent == intent);
	SPOOL_MUST(seen.entries[0].answer == answer);
}

const char *spool_path(char path[512], const char *name)
{
	snprintf(path, 512, "%s/spool%s%s", spool_state_dir, name[0] ? "/" : "", name);
	return path;
}

size_t spool_names(void)
{
	char path[512];
	DIR *dir = opendir(spool_path(path, ""));
	size_t n = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

char *spool_load(struct work *w, const char *name, size_t *n)
{
	char path[512];

	return support_read(w, spool_path(path, ""), name, n);
}

void spool_store(const char *name, const void *bytes, size_t n)
{
	char path[512];

	support_write(spool_path(path, ""), name, bytes, n, 0600);
}

const char *spool_abandon(char name[VAULT_SPOOL_NAME_MAX_BYTES], int n)
{
	struct vault_spool *spool = spool_make((size_t)n);

	for (int i = 0; i < n; i++) {
		size_t slot = spool_reserve(spool, i + 1);

		SPOOL_MUST(slot == (size_t)i);
		spool_answer(spool, slot, i + 1);
	}
	spool_sync(spool);
	snprintf(name, VAULT_SPOOL_NAME_MAX_BYTES, "%s", vault_spool_name(spool));
	vault_spool_close(spool);
	return name;
}

void spool_in_child(void (*child)(void))
{
	int status = -1;
	pid_t pid = fork();

	SPOOL_MUST(pid >= 0);
	if (pid == 0) {
		child();
		_exit(0);
	}
	SPOOL_MUST(waitpid(pid, &status, 0) == pid);
	SPOOL_MUST(status == 0);
}

/* Opening must fail as trouble of the disk, with its cause, and leave no file behind. */
void spool_must_not_open(size_t slots, const char *cause)
{
	struct vault_spool *spool;
	struct work w;
	enum err err;

	work_begin(&w, SUPPORT_BUDGET_MS);
	err = vault_spool_open(&w, spool_keyring, spool_state_dir, SPOOL_HOST, slots, &spool);
	SPOOL_MUST(err == ERR_IO);
	SPOOL_MUST(spool == NULL);
	SPOOL_MUST(w.cause != NULL);
	if (!text_equal(w.cause, cause))
		print_error("cause %s, expected %s\n", w.cause, cause);
	SPOOL_MUST(text_equal(w.cause, cause));
	work_end(&w);
}

enum err spool_look(struct vault_spool_status *status)
{
	struct work w;
	enum err err;

	work_begin(&w, SUPPORT_BUDGET_MS);
	err = vault_spool_look(&w, spool_state_dir, status);
	work_end(&w);
	return err;
}

void spool_assert_look(size_t files, size_t abandoned)
{
	struct vault_spool_status status;

	SPOOL_MUST(spool_look(&status) == ERR_OK);
	SPOOL_MUST(status.files == files);
	SPOOL_MUST(status.abandoned == abandoned);
}

enum err spool_try_take(struct vault_spool **spool)
{
	struct work w;
	enum err err;

	work_begin(&w, SUPPORT_BUDGET_MS);
	err = vault_spool_take_over(&w, spool_keyring, spool_state_dir, spool);
	work_end(&w);
	return err;
}

/* Counts a call; whether it has to fail. A call that is to be the last does not return. */
static int fails(int is_removal)
{
	struct spool_faults *f = &spool_faults;

	if (f->fault == SPOOL_FAULT_NONE ||
		(is_removal && (f->fault == SPOOL_FAULT_ERROR || f->fault == SPOOL_FAULT_SHORT)))
		return 0;
	if (++f->calls != f->at)
		return 0;
	if (f->fault == SPOOL_FAULT_KILL_BEFORE)
		raise(SIGKILL);
	errno = f->error;
	return f->fault == SPOOL_FAULT_ERROR || f->fault == SPOOL_FAULT_SHORT;
}

static void ends(void)
{
	const struct spool_faults *f = &spool_faults;

	if (f->calls == f->at &&
		(f->fault == SPOOL_FAULT_KILL_AFTER || f->fault == SPOOL_FAULT_KILL_AMID))
		raise(SIGKILL);
}

#define WRAPPED(type, name, parameters, arguments, is_removal)                                     \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		type result = fails(is_removal) ? -1 : __real_##name arguments;                    \
		ends();                                                                            \
		return result;                                                                     \
	}

WRAPPED(int, fsync, (int fd), (fd), 0)
WRAPPED(int, fchmod, (int fd, mode_t mode), (fd, mode), 0)
WRAPPED(int, mkdirat, (int fd, const char *name, mode_t mode), (fd, name, mode), 0)
WRAPPED(int, unlinkat, (int fd, const char *name, int flags), (fd, name, flags), 1)
WRAPPED(int, renameat, (int from_fd, const char *from, int to_fd, const char *to),
	(from_fd, from, to_fd, to), 0)

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	int result;

	spool_faults.syncs++;
	result = fails(0) ? -1 : __real_fdatasync(fd);
	ends();
	return result;
}

int __real_posix_fallocate(int fd, off_t at, off_t n);
int __wrap_posix_fallocate(int fd, off_t at, off_t n);
int __wrap_posix_fallocate(int fd, off_t at, off_t n)
{
	int result = fails(0) ? errno : __real_posix_fallocate(fd, at, n);

	ends();
	return result;
}

ssize_t __real_pwrite(int fd, const void *bytes, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t n, off_t at)
{
	const struct spool_faults *f = &spool_faults;
	int chosen;
	ssize_t result;

	if (fails(0)) {
		if (f->fault == SPOOL_FAULT_SHORT)
			(void)!__real_pwrite(fd, bytes, n / 2, at);
		errno = f->error;
		return -1;
	}
	chosen = f->fault != SPOOL_FAULT_NONE && f->calls == f->at;
	result = __real_pwrite(
		fd, bytes, chosen && f->fault == SPOOL_FAULT_KILL_AMID ? n / 2 : n, at);
	ends();
	return result;
}

int __real_openat(int dir_fd, const char *name, int flags, ...);
int __wrap_openat(int dir_fd, const char *name, int flags, ...);
int __wrap_openat(int dir_fd, const char *name, int flags, ...)
{
	/* Every call of ours has a mode, or does not need one. */
	int result = fails(0) ? -1 : __real_openat(dir_fd, name, flags, 0600);

	if (result >= 0 && spool_faults.opened)
		spool_faults.opened(dir_fd, name);
	ends();
	return result;
}

static int is_unreadable(off_t at)
{
	spool_faults.reads++;
	errno = spool_faults.read_error;
	return spool_faults.read_error && at >= SPOOL_AT_SLOTS;
}

ssize_t __real_pread(int fd, void *bytes, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *bytes, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *bytes, size_t n, off_t at)
{
	return is_unreadable(at) ? -1 : __real_pread(fd, bytes, n, at);
}

/* What a fortified build calls in its place. */
ssize_t __wrap___pread_chk(int fd, void *bytes, size_t n, off_t at, size_t room);
ssize_t __wrap___pread_chk(int fd, void *bytes, size_t n, off_t at, size_t room)
{
	if (n > room)
		abort();
	return is_unreadable(at) ? -1 : __real_pread(fd, bytes, n, at);
}

uid_t __real_geteuid(void);
uid_t __wrap_geteuid(void);
uid_t __wrap_geteuid(void)
{
	return __real_geteuid() + (uid_t)(spool_faults.other_user != 0);
}
