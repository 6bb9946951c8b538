/* Sealed copies on disk. It decides their place, their form and that the newest stays; not what
 * they hold. */
#include "vault/copy.h"

#include "base/file.h"
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

static enum err open_folder(
	struct work *w, const char *state_dir, const char *client, int create, int *fd)
{
	int state_fd = -1, copies_fd = -1;
	/* The operator may have the state folder be a link; what is below it is ours and may not.
	 */
	enum err err =
		file_open_dir(w, AT_FDCWD, work_printf(w, "%s/.", state_dir), 0, 0, &state_fd);

	if (!err)
		err = enter(w, state_fd, FOLDER, create, &copies_fd);
	return err ? err : enter(w, copies_fd, client, create, fd);
}

static struct vault_binding binding(const char *client, const char *provider, int64_t generation)
{
	return (struct vault_binding){"copy", client, provider, "copy", generation};
}

static enum err open_copy(struct work *w, const struct vault_keyring *k, const char *client,
	const char *provider, char *bytes, size_t n, int64_t *generation, struct secret **content)
{
	const unsigned char *header = (const unsigned char *)bytes;
	struct vault_binding b;
	struct vault_blob blob;
	uint64_t number = 0;

	if (n < HEADER_BYTES || memcmp(bytes, MAGIC, AT_VERSION) != 0 ||
		header[AT_VERSION] != FORMAT_VERSION)
		return work_cause(w, ERR_SEALED, "not a copy");
	for (int i = AT_GENERATION; i < HEADER_BYTES; i++)
		number = number << 8 | header[i];
	*generation = (int64_t)number;
	b = binding(client, provider, *generation);
	blob = (struct vault_blob){(unsigned char *)bytes + HEADER_BYTES, n - HEADER_BYTES};
	return vault_seal_open(w, k, VAULT_RING_COPY, &b, &blob, content);
}

static enum err read_at(struct work *w, const struct vault_keyring *k, int dir_fd,
	const char *client, const char *provider, int64_t *generation, struct secret **content)
{
	char *bytes;
	size_t n;
	enum err err = file_read(w, dir_fd, file_name(w, provider), FILE_MAX_BYTES, &bytes, &n);

	return err ? err : open_copy(w, k, client, provider, bytes, n, generation, content);
}

static enum err write_at(struct work *w, const struct vault_keyring *k, int dir_fd,
	const char *client, const char *provider, int64_t generation, const struct secret *content)
{
	struct vault_binding b = binding(client, provider, generation);
	struct vault_blob blob;
	unsigned char *bytes;
	enum err err = vault_seal_close(w, k, VAULT_RING_COPY, &b, content, &blob);

	if (err)
		return err;
	bytes = work_alloc(w, HEADER_BYTES + blob.n);
	memcpy(bytes, MAGIC, AT_VERSION);
	bytes[AT_VERSION] = FORMAT_VERSION;
	for (int i = 0; i < HEADER_BYTES - AT_GENERATION; i++)
		bytes[AT_GENERATION + i] = (unsigned char)((uint64_t)generation >> (56 - 8 * i));
	memcpy(bytes + HEADER_BYTES, blob.bytes, blob.n);
	return file_replace(w, dir_fd, file_name(w, provider), bytes, HEADER_BYTES + blob.n,
		FILE_MODE, (gid_t)-1);
}

/*
 * Whether a copy stands that is newer. Its header alone is not believed: a broken one could claim
 * any generation and keep all later copies away.
 */
static enum err look_at_old(struct work *w, const struct vault_keyring *k, int dir_fd,
	const char *client, const char *provider, int64_t generation, int *newer)
{
	struct secret *content;
	struct work own;
	int64_t old = 0;
	enum err err;

	work_begin(&own, work_left_ms(w));
	err = read_at(&own, k, dir_fd, client, provider, &old, &content);
	if (err == ERR_NOT_FOUND || err == ERR_SEALED ||
		(err == ERR_KEY_UNKNOWN && old <= generation))
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

enum err vault_copy_write(struct work *w, const struct vault_keyring *k, const char *state_dir,
	const char *client, const char *provider, int64_t generation, const struct secret *content)
{
	enum err err = check_names(w, client, provider);
	int fd = -1, newer = 0;

	if (!err)
		err = open_folder(w, state_dir, client, 1, &fd);
	/* Between looking and writing nobody else may write: he could bring the newer one. */
	if (!err)
		err = lock(w, fd, LOCK_EX);
	if (err)
		return err;
	err = look_at_old(w, k, fd, client, provider, generation, &newer);
	if (!err && newer)
		err = work_cause(w, ERR_CONFLICT, "there is a newer copy");
	if (!err)
		err = write_at(w, k, fd, client, provider, generation, content);
	flock(fd, LOCK_UN);
	return err;
}

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
