/* Sealed copies on disk. It decides their place, their form and that the newest stays; not what
 * they hold. */
#include "vault/copy.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define MAGIC "VSTC"
#define FORMAT_VERSION 1
#define FOLDER "copies"
#define FOLDER_MODE 0700
#define FILE_MODE 0600

enum { AT_VERSION = 4, AT_GENERATION = 5, HEADER_BYTES = 13 };

#define FILE_MAX_BYTES (HEADER_BYTES + VAULT_SEAL_OVERHEAD_BYTES + VAULT_SEAL_PLAIN_MAX_BYTES)

static enum err check_names(struct work *w, const char *client, const char *provider)
{
	return text_is_client_id(client) && text_is_name(provider)
		       ? ERR_OK
		       : work_fail(w, ERR_INPUT, "no copy can have this client or provider");
}

static const char *file_name(struct work *w, const char *provider)
{
	return work_printf(w, "%s.vst", provider);
}

static int is_missing(int dir_fd, const char *name)
{
	struct stat info;

	return fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

/* Opens a folder below another; ERR_NOT_FOUND when it is not there and not to be made. */
static enum err enter(struct work *w, int dir_fd, const char *name, int create, int *fd)
{
	if (!create && is_missing(dir_fd, name))
		return ERR_NOT_FOUND;
	return file_open_dir(w, dir_fd, name, create, FOLDER_MODE, fd);
}

static enum err open_copies(struct work *w, const char *state_dir, int create, int *fd)
{
	int state_fd = -1;
	/* The operator may have the state folder be a link; what is below it is ours and may not.
	 */
	enum err err =
		file_open_dir(w, AT_FDCWD, work_printf(w, "%s/.", state_dir), 0, 0, &state_fd);

	return err ? err : enter(w, state_fd, FOLDER, create, fd);
}

static enum err open_folder(
	struct work *w, const char *state_dir, const char *client, int create, int *fd)
{
	int copies_fd = -1;
	enum err err = open_copies(w, state_dir, create, &copies_fd);

	return err ? err : enter(w, copies_fd, client, create, fd);
}

static struct vault_binding binding(const char *client, const char *provider, int64_t generation)
{
	return (struct vault_binding){"copy", client, provider, "copy", generation};
}

static enum err read_header(struct work *w, const char *bytes, size_t n, int64_t *generation)
{
	const unsigned char *header = (const unsigned char *)bytes;
	uint64_t number = 0;

	if (n < HEADER_BYTES || memcmp(bytes, MAGIC, AT_VERSION) != 0 ||
		header[AT_VERSION] != FORMAT_VERSION)
		return work_cause(w, ERR_SEALED, "not a copy");
	for (int i = AT_GENERATION; i < HEADER_BYTES; i++)
		number = number << 8 | header[i];
	*generation = (int64_t)number;
	return ERR_OK;
}

static enum err open_copy(struct work *w, const struct vault_keyring *k, const char *client,
	const char *provider, char *bytes, size_t n, int64_t generation, struct secret **content)
{
	struct vault_binding b = binding(client, provider, generation);
	struct vault_blob blob = {(unsigned char *)bytes + HEADER_BYTES, n - HEADER_BYTES};

	return vault_seal_open(w, k, VAULT_RING_COPY, &b, &blob, content);
}

static enum err read_at(struct work *w, const struct vault_keyring *k, int dir_fd,
	const char *client, const char *provider, int64_t *generation, struct secret **content)
{
	char *bytes;
	size_t n;
	enum err err = file_read(w, dir_fd, file_name(w, provider), FILE_MAX_BYTES, &bytes, &n);

	if (!err)
		err = read_header(w, bytes, n, generation);
	return err ? err : open_copy(w, k, client, provider, bytes, n, *generation, content);
}

static enum err seal_copy(struct work *w, const struct vault_keyring *k, const char *client,
	const char *provider, int64_t generation, const struct secret *content,
	struct vault_blob *file)
{
	struct vault_binding b = binding(client, provider, generation);
	struct vault_blob blob;
	enum err err = vault_seal_close(w, k, VAULT_RING_COPY, &b, content, &blob);

	if (err)
		return err;
	*file = (struct vault_blob){work_alloc(w, HEADER_BYTES + blob.n), HEADER_BYTES + blob.n};
	memcpy(file->bytes, MAGIC, AT_VERSION);
	file->bytes[AT_VERSION] = FORMAT_VERSION;
	for (int i = 0; i < HEADER_BYTES - AT_GENERATION; i++)
		file->bytes[AT_GENERATION + i] =
			(unsigned char)((uint64_t)generation >> (56 - 8 * i));
	memcpy(file->bytes + HEADER_BYTES, blob.bytes, blob.n);
	return ERR_OK;
}

/*
 * Whether a copy stands that is newer. Its header alone is not believed when it says so: a broken
 * one could claim any generation and keep all later copies away. One that claims to be older is
 * replaced, whatever else it is.
 */
static enum err look_at_old(struct work *w, const struct vault_keyring *k, int dir_fd,
	const char *client, const char *provider, int64_t generation, int *newer)
{
	struct secret *content;
	struct work own;
	int64_t old = 0;
	char *bytes;
	size_t n;
	enum err err;

	work_begin(&own, work_left_ms(w));
	err = file_read(&own, dir_fd, file_name(&own, provider), FILE_MAX_BYTES, &bytes, &n);
	if (!err)
		err = read_header(&own, bytes, n, &old);
	if (!err && old > generation)
		err = open_copy(&own, k, client, provider, bytes, n, old, &content);
	if (err == ERR_NOT_FOUND || err == ERR_SEALED)
		err = ERR_OK;
	else
		*newer = old > generation;
	if (err)
		work_cause(w, err, "old copy: %s", own.cause ? own.cause : err_slug(err));
	work_end(&own);
	return err;
}

static enum err lock(struct work *w, int fd, int how)
{
	int done;

	do
		done = flock(fd, how);
	while (done < 0 && errno == EINTR);
	return done < 0 ? work_cause(w, ERR_IO, "flock: %s", strerrorname_np(errno)) : ERR_OK;
}

/* What is to stand in the file; the folder is locked. */
static enum err prepare(struct work *w, const struct vault_keyring *k, int dir_fd,
	const char *client, const char *provider, int64_t generation, const struct secret *content,
	struct vault_blob *file)
{
	int newer = 0;
	enum err err = look_at_old(w, k, dir_fd, client, provider, generation, &newer);

	if (!err && newer)
		err = work_cause(w, ERR_CONFLICT, "there is a newer copy");
	return err ? err : seal_copy(w, k, client, provider, generation, content, file);
}

enum err vault_copy_write(struct work *w, const struct vault_keyring *k, const char *state_dir,
	const char *client, const char *provider, int64_t generation, const struct secret *content)
{
	enum err err = check_names(w, client, provider);
	struct vault_blob file;
	int fd = -1;

	if (!err)
		err = open_folder(w, state_dir, client, 1, &fd);
	/* Between looking and writing nobody else may write: he could bring the newer one. */
	if (!err)
		err = lock(w, fd, LOCK_EX);
	if (err)
		return err;
	err = prepare(w, k, fd, client, provider, generation, content, &file);
	if (!err)
		err = file_replace(
			w, fd, file_name(w, provider), file.bytes, file.n, FILE_MODE, (gid_t)-1);
	flock(fd, LOCK_UN);
	return err;
}

/* --- many ------------------------------------------------------------------------------------- */

struct vault_copy_batch {
	const struct vault_keyring *k;
	const char *state_dir;
	struct file_batch *files;
	struct work folders; /* locked; it begins anew when they are finished */
	int copies_fd, fd;   /* -1: not open; the last client's */
	const char *client;  /* the last one; NULL: there is none */
};

static void begin_folders(struct vault_copy_batch *batch)
{
	work_begin(&batch->folders, 0);
	batch->client = NULL;
	batch->copies_fd = batch->fd = -1;
}

static void end_folders(void *handle)
{
	struct vault_copy_batch *batch = handle;

	work_end(&batch->folders);
}

struct vault_copy_batch *vault_copy_batch_new(
	struct work *w, const struct vault_keyring *k, const char *state_dir)
{
	struct vault_copy_batch *batch = work_alloc(w, sizeof(*batch));

	batch->k = k;
	batch->state_dir = work_strdup(w, state_dir);
	begin_folders(batch);
	work_defer(w, end_folders, batch);
	batch->files = file_batch_new(w); /* ends before the folders do */
	return batch;
}

/*
 * Opens and locks a client's folder. Whoever holds several got them in order, so that two never
 * wait for each other.
 */
static enum err lock_folder(struct work *w, struct vault_copy_batch *batch, const char *client)
{
	struct work *folders = &batch->folders;
	int fd = -1;
	enum err err = batch->copies_fd >= 0
			       ? ERR_OK
			       : open_copies(folders, batch->state_dir, 1, &batch->copies_fd);

	if (!err)
		err = enter(folders, batch->copies_fd, client, 1, &fd);
	if (!err)
		err = lock(folders, fd, LOCK_EX);
	if (err) {
		work_cause(w, err, "%s", folders->cause ? folders->cause : err_slug(err));
		work_forgive(folders);
		return err;
	}
	batch->client = work_strdup(folders, client);
	batch->fd = fd;
	return ERR_OK;
}

enum err vault_copy_batch_add(struct work *w, struct vault_copy_batch *batch, const char *client,
	const char *provider, int64_t generation, const struct secret *content,
	struct file_outcome *outcome)
{
	enum err err = check_names(w, client, provider);
	struct vault_blob file;

	if (err)
		return err;
	if (file_batch_count(batch->files) == FILE_BATCH_MAX ||
		(batch->client && strcmp(client, batch->client) < 0))
		vault_copy_batch_finish(batch);
	if (!text_equal(client, batch->client))
		err = lock_folder(w, batch, client);
	if (!err)
		err = prepare(w, batch->k, batch->fd, client, provider, generation, content, &file);
	if (err)
		return err;
	return file_batch_add(w, batch->files, batch->fd, file_name(w, provider), file.bytes,
		file.n, FILE_MODE, (gid_t)-1, outcome);
}

void vault_copy_batch_finish(struct vault_copy_batch *batch)
{
	file_batch_finish(batch->files);
	work_end(&batch->folders);
	begin_folders(batch);
}

/* --- reading and removing --------------------------------------------------------------------- */

enum err vault_copy_read(struct work *w, const struct vault_keyring *k, const char *state_dir,
	const char *client, const char *provider, int64_t *generation, struct secret **content)
{
	enum err err = check_names(w, client, provider);
	int fd = -1;

	*content = NULL;
	*generation = 0;
	if (!err)
		err = open_folder(w, state_dir, client, 0, &fd);
	return err ? err : read_at(w, k, fd, client, provider, generation, content);
}

enum err vault_copy_remove(
	struct work *w, const char *state_dir, const char *client, const char *provider)
{
	enum err err = check_names(w, client, provider);
	int fd = -1;

	if (!err)
		err = open_folder(w, state_dir, client, 0, &fd);
	if (err == ERR_NOT_FOUND)
		return ERR_OK;
	return err ? err : file_remove(w, fd, file_name(w, provider));
}
