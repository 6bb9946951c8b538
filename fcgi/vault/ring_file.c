/* Key rings on disk. It decides which files are safe to use; what stands in them is vault/ring.h's.
 */
#include "vault/ring_file.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OTHERS_MAY_WRITE (S_IWGRP | S_IWOTH)
#define OTHERS_MAY_ANYTHING (S_IRWXG | S_IRWXO)

static void close_fd(void *handle)
{
	close((int)(intptr_t)handle);
}

static int is_ours(const struct stat *info)
{
	return info->st_uid == geteuid() || info->st_uid == 0;
}

static enum err io(struct work *w, const char *name, const char *step)
{
	return work_fail(w, ERR_IO, "%s: %s failed (%s)", name, step, strerrorname_np(errno));
}

enum err vault_ring_file_dir(struct work *w, const char *dir, int *fd)
{
	struct stat info;

	*fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return errno == ENOENT ? ERR_NOT_FOUND : io(w, "the key folder", "open");
	work_defer(w, close_fd, (void *)(intptr_t)*fd);
	if (fstat(*fd, &info) < 0)
		return io(w, "the key folder", "stat");
	if (!is_ours(&info))
		return work_fail(w, ERR_KEY_UNSAFE, "the key folder belongs to another user");
	if (info.st_mode & OTHERS_MAY_WRITE)
		return work_fail(w, ERR_KEY_UNSAFE,
			"the key folder can be written to by others (mode %04o)",
			(unsigned)(info.st_mode & 07777));
	return ERR_OK;
}

static const char *file_name(struct work *w, enum vault_ring ring)
{
	return work_printf(w, "%s.ring", vault_ring_name(ring));
}

static enum err check_safe(
	struct work *w, const char *name, int is_credential, const struct stat *info)
{
	mode_t forbidden = OTHERS_MAY_ANYTHING;

	/* The group bits of a credential are the mask of the list that lets our user, and nobody
	 * else, read it. */
	if (is_credential && info->st_uid == 0)
		forbidden &= ~(mode_t)S_IRGRP;
	if (!S_ISREG(info->st_mode))
		return work_fail(w, ERR_KEY_UNSAFE, "%s: it is not a regular file", name);
	if (!is_ours(info))
		return work_fail(w, ERR_KEY_UNSAFE, "%s: it belongs to another user", name);
	if (info->st_mode & forbidden)
		return work_fail(w, ERR_KEY_UNSAFE,
			"%s: others than its owner may use it (mode %04o, expected 0600)", name,
			(unsigned)(info->st_mode & 07777));
	if (info->st_size > (off_t)VAULT_RING_TEXT_MAX_BYTES)
		return work_fail(w, ERR_KEY_UNSAFE, "%s: it is too large for a key ring", name);
	return ERR_OK;
}

static enum err read_text(struct work *w, const char *name, int fd, char *text, size_t *n)
{
	ssize_t got = 1;

	*n = 0;
	while (got && *n < VAULT_RING_TEXT_MAX_BYTES) {
		got = read(fd, text + *n, VAULT_RING_TEXT_MAX_BYTES - *n);
		if (got < 0 && errno != EINTR)
			return io(w, name, "read");
		if (got > 0)
			*n += (size_t)got;
	}
	return ERR_OK;
}

static struct vault_ring_stamp stamp_of(const struct stat *info)
{
	return (struct vault_ring_stamp){info->st_dev, info->st_ino, info->st_size, info->st_ctim};
}

enum err vault_ring_file_read_at(struct work *w, int dir_fd, int is_credential,
	enum vault_ring ring, struct vault_ring_keys *keys, struct vault_ring_stamp *stamp)
{
	const char *name = file_name(w, ring);
	char *text = work_alloc(w, VAULT_RING_TEXT_MAX_BYTES);
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat info;
	enum err err;
	size_t n;

	if (fd < 0 && errno == ELOOP)
		return work_fail(w, ERR_KEY_UNSAFE, "%s: it is a symbolic link", name);
	if (fd < 0)
		return errno == ENOENT ? ERR_NOT_FOUND : io(w, name, "open");
	work_defer(w, close_fd, (void *)(intptr_t)fd);
	if (fstat(fd, &info) < 0)
		return io(w, name, "stat");
	err = check_safe(w, name, is_credential, &info);
	if (!err)
		err = read_text(w, name, fd, text, &n);
	if (err)
		return err;
	*stamp = stamp_of(&info);
	return vault_ring_parse(w, ring, text, n, keys);
}

static const char *credentials_dir(void)
{
	return secure_getenv("CREDENTIALS_DIRECTORY");
}

static enum err read_from(struct work *w, const char *dir, int is_credential, enum vault_ring ring,
	struct vault_ring_keys *keys, struct vault_ring_stamp *stamp)
{
	int fd;
	enum err err = vault_ring_file_dir(w, dir, &fd);

	return err ? err : vault_ring_file_read_at(w, fd, is_credential, ring, keys, stamp);
}

enum err vault_ring_file_read(struct work *w, const char *key_dir, enum vault_ring ring,
	struct vault_ring_keys *keys, struct vault_ring_stamp *stamp)
{
	enum err err = read_from(w, key_dir, 0, ring, keys, stamp);

	if (err == ERR_NOT_FOUND && credentials_dir())
		err = read_from(w, credentials_dir(), 1, ring, keys, stamp);
	if (err == ERR_NOT_FOUND)
		return work_fail(w, ERR_KEY_UNKNOWN,
			"%s: there is no such key ring; vestalctl key add %s makes it",
			file_name(w, ring), vault_ring_name(ring));
	return err;
}

enum err vault_ring_file_write_at(
	struct work *w, int dir_fd, enum vault_ring ring, const struct vault_ring_keys *keys)
{
	struct buf text;
	enum err err;

	buf_init(&text, w, VAULT_RING_TEXT_MAX_BYTES);
	err = vault_ring_format(w, ring, keys, &text);
	if (err)
		return err;
	return file_replace(w, dir_fd, file_name(w, ring), text.data, text.len, 0600, (gid_t)-1);
}

static int look(struct work *w, const char *dir, enum vault_ring ring, struct stat *info)
{
	return lstat(work_printf(w, "%s/%s", dir, file_name(w, ring)), info) == 0;
}

int vault_ring_file_changed(struct work *w, const char *key_dir, enum vault_ring ring,
	const struct vault_ring_stamp *stamp)
{
	struct stat info;

	if (!look(w, key_dir, ring, &info) &&
		(!credentials_dir() || !look(w, credentials_dir(), ring, &info)))
		return 1;
	return info.st_dev != stamp->dev || info.st_ino != stamp->ino ||
	       info.st_size != stamp->size_bytes || info.st_ctim.tv_sec != stamp->changed.tv_sec ||
	       info.st_ctim.tv_nsec != stamp->changed.tv_nsec;
}
