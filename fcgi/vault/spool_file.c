/* Files of the spool. It decides their names, their locks and when they come and go; it does not
 * know what stands in them. */
#include "vault/spool_file.h"

#include "base/file.h"
#include "base/text.h"
#include "vault/crypto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "VSTS"
#define FORMAT_VERSION 1
#define FOLDER "spool"
#define SUFFIX ".spool"
#define FOLDER_MODE 0700
#define FILE_MODE 0600
#define OTHERS_MAY_WRITE (S_IWGRP | S_IWOTH)
#define HOST_MAX_BYTES 64
#define RANDOM_BYTES 8

enum { AT_VERSION = 4, HEADER_USED_BYTES };

_Static_assert(1 + HOST_MAX_BYTES + sizeof(".4294967295.") + 2 * RANDOM_BYTES + sizeof(SUFFIX) <=
		       VAULT_SPOOL_NAME_MAX_BYTES,
	"every name is short enough, also with a dot before it");

static enum err io(struct work *w, const char *step)
{
	return work_cause(w, ERR_IO, "%s: %s", step, strerrorname_np(errno));
}

static enum err check_folder(struct work *w, int fd)
{
	struct stat info;

	if (fstat(fd, &info) < 0)
		return io(w, "stat");
	if (info.st_uid != geteuid())
		return work_cause(w, ERR_IO, "spool: wrong owner");
	if (info.st_mode & OTHERS_MAY_WRITE)
		return work_cause(w, ERR_IO, "spool: others may write");
	return ERR_OK;
}

/* Opens the folder, for longer than the work. ERR_NOT_FOUND when it is not there and not to be
 * made. */
static enum err open_folder(struct work *w, const char *state_dir, int make, int *fd)
{
	int state_fd = -1, spool_fd = -1;
	struct stat info;
	/* The operator may have the state folder be a link; what is below it is ours and may not.
	 */
	enum err err =
		file_open_dir(w, AT_FDCWD, work_printf(w, "%s/.", state_dir), 0, 0, &state_fd);

	if (err)
		return err;
	if (!make && fstatat(state_fd, FOLDER, &info, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return ERR_NOT_FOUND;
	err = file_open_dir(w, state_fd, FOLDER, make, FOLDER_MODE, &spool_fd);
	if (!err)
		err = check_folder(w, spool_fd);
	if (err)
		return err;
	*fd = fcntl(spool_fd, F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? io(w, "dup") : ERR_OK;
}

static int is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

static int is_spool_name(const char *name)
{
	size_t n = strlen(name), suffix = strlen(SUFFIX);

	if (name[0] == '.' || n <= suffix || n >= VAULT_SPOOL_NAME_MAX_BYTES ||
		!text_equal(name + n - suffix, SUFFIX))
		return 0;
	while (n && is_name_char(name[n - 1]))
		n--;
	return n == 0;
}

static int is_regular(int dir_fd, const char *name)
{
	struct stat info;

	return fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode);
}

static int open_named(int dir_fd, const char *name, int flags)
{
	return openat(dir_fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, FILE_MODE);
}

/*
 * The lock belongs to the open file: it ends with the process, closing the same file opened a
 * second time does not end it, and whether somebody has it can be asked without taking it, so that
 * a monitor never stands in the way of who takes over.
 */
static int try_lock(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static int is_locked(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int lock_folder(int dir_fd, int how)
{
	int done;

	do
		done = flock(dir_fd, how);
	while (done < 0 && errno == EINTR);
	return done;
}

/* Whether the name still is this file: between opening and locking it another may have removed it.
 */
static int is_named(int dir_fd, const char *name, int fd)
{
	struct stat named, opened;

	return fstatat(dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &opened) == 0 &&
	       named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

/* Calls visit for every name in the folder until it returns 1. */
static enum err scan(struct work *w, int dir_fd,
	int (*visit)(int dir_fd, const char *name, void *context), void *context)
{
	/* Not a duplicate: that would share its place in the folder with the original. */
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	enum err err = ERR_OK;

	if (!dir) {
		err = io(w, "open");
		if (fd >= 0)
			close(fd);
		return err;
	}
	do {
		errno = 0;
		entry = readdir(dir);
		if (!entry && errno)
			err = io(w, "readdir");
	} while (entry && !visit(dir_fd, entry->d_name, context));
	closedir(dir);
	return err;
}

static int write_at(int fd, const void *bytes, size_t n, size_t at)
{
	const char *from = bytes;

	while (n) {
		ssize_t done = pwrite(fd, from, n, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		from += done;
		at += (size_t)done;
		n -= (size_t)done;
	}
	return 0;
}

static int read_at(int fd, void *bytes, size_t n, size_t at)
{
	char *to = bytes;

	memset(bytes, 0, n);
	while (n) {
		ssize_t done = pread(fd, to, n, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		if (done == 0)
			break;
		to += done;
		at += (size_t)done;
		n -= (size_t)done;
	}
	return 0;
}

int vault_spool_file_write(
	const struct vault_spool_file *file, const void *bytes, size_t n, size_t at)
{
	return write_at(file->fd, bytes, n, VAULT_SPOOL_FILE_HEADER_BYTES + at);
}

int vault_spool_file_read(const struct vault_spool_file *file, void *bytes, size_t n, size_t at)
{
	return read_at(file->fd, bytes, n, VAULT_SPOOL_FILE_HEADER_BYTES + at);
}

int vault_spool_file_sync(const struct vault_spool_file *file)
{
	return fdatasync(file->fd);
}

static void let_go(struct vault_spool_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

void vault_spool_file_close(struct vault_spool_file *file, int remove)
{
	if (remove && file->fd >= 0)
		unlinkat(file->dir_fd, file->name, 0);
	let_go(file);
	if (file->dir_fd >= 0)
		close(file->dir_fd);
	file->dir_fd = -1;
}

static enum err name_file(struct work *w, const char *host, struct vault_spool_file *file)
{
	unsigned char salt[RANDOM_BYTES];
	char *sane = work_printf(w, "%.*s", HOST_MAX_BYTES, host[0] ? host : "host");
	enum err err = vault_crypto_random_public(salt, sizeof(salt));

	if (err)
		return work_cause(w, err, "random");
	for (char *c = sane; *c; c++)
		if (!is_name_char(*c) || (c == sane && *c == '.'))
			*c = '_';
	snprintf(file->name, sizeof(file->name), "%s.%ld.%s" SUFFIX, sane, (long)getpid(),
		text_hex(w, salt, sizeof(salt)));
	return ERR_OK;
}

static enum err fill(struct work *w, int fd, size_t bytes)
{
	static const unsigned char header[HEADER_USED_BYTES] = {'V', 'S', 'T', 'S', FORMAT_VERSION};
	int error;

	if (fchmod(fd, FILE_MODE) < 0)
		return io(w, "chmod");
	do
		error = posix_fallocate(fd, 0, (off_t)(VAULT_SPOOL_FILE_HEADER_BYTES + bytes));
	while (error == EINTR);
	errno = error;
	if (error)
		return io(w, "allocate");
	if (write_at(fd, header, sizeof(header), 0) < 0)
		return io(w, "write");
	return fsync(fd) < 0 ? io(w, "fsync") : ERR_OK;
}

static enum err publish(struct work *w, const struct vault_spool_file *file, const char *temporary)
{
	enum err err;

	if (renameat(file->dir_fd, temporary, file->dir_fd, file->name) < 0)
		return io(w, "rename");
	if (fsync(file->dir_fd) == 0)
		return ERR_OK;
	err = io(w, "fsync");
	unlinkat(file->dir_fd, file->name, 0);
	return err;
}

/*
 * Makes the file under a temporary name, locked. Sweepers have to keep out of the folder meanwhile:
 * for a moment it looks like what a kill left behind.
 */
static enum err make(struct work *w, struct vault_spool_file *file, const char *temporary)
{
	enum err err = ERR_OK;

	if (lock_folder(file->dir_fd, LOCK_SH) < 0)
		return io(w, "lock");
	file->fd = open_named(file->dir_fd, temporary, O_RDWR | O_CREAT | O_EXCL);
	if (file->fd < 0)
		err = io(w, "create");
	else if (!try_lock(file->fd))
		err = io(w, "lock");
	lock_folder(file->dir_fd, LOCK_UN);
	return err;
}

/* None is ever seen under its own name that is not whole and locked. */
enum err vault_spool_file_create(struct work *w, const char *state_dir, const char *host,
	size_t bytes, struct vault_spool_file *file)
{
	enum err err = open_folder(w, state_dir, 1, &file->dir_fd);
	const char *temporary;

	if (!err)
		err = name_file(w, host, file);
	if (err)
		return err;
	temporary = work_printf(w, ".%s", file->name);
	err = make(w, file, temporary);
	if (!err)
		err = fill(w, file->fd, bytes);
	if (!err)
		err = publish(w, file, temporary);
	if (err && file->fd >= 0)
		unlinkat(file->dir_fd, temporary, 0);
	return err;
}

static int is_of_later_format(int fd)
{
	unsigned char header[HEADER_USED_BYTES];

	return read_at(fd, header, sizeof(header), 0) == 0 &&
	       memcmp(header, MAGIC, AT_VERSION) == 0 && header[AT_VERSION] > FORMAT_VERSION;
}

/* Removes what a kill left of a file half made; when somebody makes one just now, the next time. */
static void sweep(int dir_fd, const char *name)
{
	int fd;

	if (lock_folder(dir_fd, LOCK_EX | LOCK_NB) < 0)
		return;
	fd = open_named(dir_fd, name, O_RDWR);
	if (fd >= 0 && try_lock(fd))
		unlinkat(dir_fd, name, 0);
	if (fd >= 0)
		close(fd);
	lock_folder(dir_fd, LOCK_UN);
}

struct search {
	struct vault_spool_file *file;
	int error; /* the errno of a file that cannot be opened */
};

static int take_named(int dir_fd, const char *name, struct search *search)
{
	struct vault_spool_file *file = search->file;

	file->fd = open_named(dir_fd, name, O_RDWR);
	if (file->fd < 0) {
		search->error = errno == ENOENT ? search->error : errno;
		return 0;
	}
	if (!try_lock(file->fd) || !is_named(dir_fd, name, file->fd) ||
		is_of_later_format(file->fd)) {
		let_go(file);
		return 0;
	}
	snprintf(file->name, sizeof(file->name), "%s", name);
	return 1;
}

static int take_or_sweep(int dir_fd, const char *name, void *context)
{
	int is_temporary = name[0] == '.';

	if (!is_spool_name(name + is_temporary) || !is_regular(dir_fd, name))
		return 0;
	if (!is_temporary)
		return take_named(dir_fd, name, context);
	sweep(dir_fd, name);
	return 0;
}

static enum err measure(struct work *w, const struct vault_spool_file *file, size_t *bytes)
{
	struct stat info;

	if (fstat(file->fd, &info) < 0)
		return io(w, "stat");
	*bytes = (size_t)info.st_size;
	*bytes -= *bytes < VAULT_SPOOL_FILE_HEADER_BYTES ? *bytes : VAULT_SPOOL_FILE_HEADER_BYTES;
	return ERR_OK;
}

enum err vault_spool_file_take(
	struct work *w, const char *state_dir, struct vault_spool_file *file, size_t *bytes)
{
	struct search search = {file, 0};
	enum err err = open_folder(w, state_dir, 0, &file->dir_fd);

	if (!err)
		err = scan(w, file->dir_fd, take_or_sweep, &search);
	if (err)
		return err;
	if (file->fd >= 0)
		return measure(w, file, bytes);
	errno = search.error;
	return search.error ? io(w, "open") : ERR_NOT_FOUND;
}

static int count(int dir_fd, const char *name, void *context)
{
	struct vault_spool_status *status = context;
	int fd;

	if (!is_spool_name(name) || !is_regular(dir_fd, name))
		return 0;
	fd = open_named(dir_fd, name, O_RDONLY);
	if (fd < 0 && errno == ENOENT)
		return 0;
	status->files++;
	status->abandoned += fd < 0 || !is_locked(fd);
	if (fd >= 0)
		close(fd);
	return 0;
}

enum err vault_spool_file_look(
	struct work *w, const char *state_dir, struct vault_spool_status *status)
{
	int fd = -1;
	enum err err = open_folder(w, state_dir, 0, &fd);

	if (err)
		return err == ERR_NOT_FOUND ? ERR_OK : err;
	err = scan(w, fd, count, status);
	close(fd);
	return err;
}
