/* Whole files. It decides the order of write, fsync and rename; what stands in the file is the
 * caller's. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_fd(void *handle)
{
	close((int)(intptr_t)handle);
}

static enum err io(struct work *w, const char *step)
{
	return work_cause(w, ERR_IO, "%s: %s", step, strerrorname_np(errno));
}

enum err file_open_dir(
	struct work *w, int dir_fd, const char *path, int create, mode_t mode, int *fd)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

	*fd = openat(dir_fd, path, flags);
	if (*fd < 0 && errno == ENOENT && create) {
		if (mkdirat(dir_fd, path, mode) < 0 && errno != EEXIST)
			return io(w, "mkdir");
		if (dir_fd != AT_FDCWD && fsync(dir_fd) < 0)
			return io(w, "fsync");
		*fd = openat(dir_fd, path, flags);
	}
	if (*fd < 0)
		return io(w, "open");
	work_defer(w, close_fd, (void *)(intptr_t)*fd);
	return ERR_OK;
}

static enum err write_all(struct work *w, int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t written = write(fd, bytes, n);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return io(w, "write");
		bytes += written;
		n -= (size_t)written;
	}
	return ERR_OK;
}

static enum err fill(struct work *w, int fd, const void *bytes, size_t n, mode_t mode, gid_t gid)
{
	enum err err;

	if (gid != (gid_t)-1 && fchown(fd, (uid_t)-1, gid) < 0)
		return io(w, "chown");
	if (fchmod(fd, mode) < 0)
		return io(w, "chmod");
	err = write_all(w, fd, bytes, n);
	if (!err && fsync(fd) < 0)
		err = io(w, "fsync");
	return err;
}

static enum err unlink_if_there(struct work *w, int dir_fd, const char *name)
{
	return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? io(w, "unlink") : ERR_OK;
}

/* One name a file: what a kill leaves behind is overwritten by the next writer, or goes with the
 * file itself. */
static const char *temporary_name(struct work *w, const char *name)
{
	return work_printf(w, ".%s.tmp", name);
}

enum err file_replace(struct work *w, int dir_fd, const char *name, const void *bytes, size_t n,
	mode_t mode, gid_t gid)
{
	const char *temporary = temporary_name(w, name);
	enum err err;
	int fd;

	err = unlink_if_there(w, dir_fd, temporary);
	if (err)
		return err;
	fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return io(w, "create");
	err = fill(w, fd, bytes, n, mode, gid);
	if (close(fd) < 0 && !err)
		err = io(w, "close");
	if (!err && renameat(dir_fd, temporary, dir_fd, name) < 0)
		err = io(w, "rename");
	if (err)
		unlinkat(dir_fd, temporary, 0);
	else if (fsync(dir_fd) < 0)
		err = io(w, "fsync");
	return err;
}

static enum err read_all(struct work *w, int fd, size_t max_bytes, char **bytes, size_t *n)
{
	struct stat info;

	if (fstat(fd, &info) < 0)
		return io(w, "stat");
	if (!S_ISREG(info.st_mode))
		return work_cause(w, ERR_IO, "not a regular file");
	if ((uintmax_t)info.st_size > max_bytes)
		return work_cause(w, ERR_IO, "file too large");
	*bytes = work_alloc(w, (size_t)info.st_size + 1);
	*n = 0;
	while (*n < (size_t)info.st_size) {
		ssize_t got = read(fd, *bytes + *n, (size_t)info.st_size - *n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return io(w, "read");
		if (got == 0)
			break;
		*n += (size_t)got;
	}
	return ERR_OK;
}

enum err file_read(
	struct work *w, int dir_fd, const char *name, size_t max_bytes, char **bytes, size_t *n)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	enum err err;

	if (fd < 0)
		return errno == ENOENT ? ERR_NOT_FOUND : io(w, "open");
	err = read_all(w, fd, max_bytes, bytes, n);
	close(fd);
	return err;
}

enum err file_remove(struct work *w, int dir_fd, const char *name)
{
	enum err err = unlink_if_there(w, dir_fd, temporary_name(w, name));

	if (!err)
		err = unlink_if_there(w, dir_fd, name);
	if (!err && fsync(dir_fd) < 0)
		err = io(w, "fsync");
	return err;
}
