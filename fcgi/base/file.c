/* Whole files. It decides the order of write, fsync and rename; what stands in the file is the
 * caller's. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
	if (gid != (gid_t)-1 && fchown(fd, (uid_t)-1, gid) < 0)
		return io(w, "chown");
	if (fchmod(fd, mode) < 0)
		return io(w, "chmod");
	return write_all(w, fd, bytes, n);
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

/* Writes the bytes under the temporary name, not flushed yet. */
static enum err write_temporary(struct work *w, int dir_fd, const char *temporary,
	const void *bytes, size_t n, mode_t mode, gid_t gid, int *fd)
{
	enum err err = unlink_if_there(w, dir_fd, temporary);

	if (err)
		return err;
	*fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*fd < 0)
		return io(w, "create");
	err = fill(w, *fd, bytes, n, mode, gid);
	if (err) {
		close(*fd);
		unlinkat(dir_fd, temporary, 0);
	}
	return err;
}

enum err file_replace(struct work *w, int dir_fd, const char *name, const void *bytes, size_t n,
	mode_t mode, gid_t gid)
{
	const char *temporary = temporary_name(w, name);
	int fd = -1;
	enum err err = write_temporary(w, dir_fd, temporary, bytes, n, mode, gid, &fd);

	if (err)
		return err;
	if (fsync(fd) < 0)
		err = io(w, "fsync");
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

/* --- flushing many at once -------------------------------------------------------------------- */

/*
 * The kernel's queue of this process (io_submit(2)), 0 when there is none: its workers do the
 * fsyncs side by side, so that the disk's flushes and the journal's commits are shared. It is never
 * given back, which would take longer than what it saves.
 */
static aio_context_t queue;

static int has_queue(void)
{
	static pid_t owner; /* a child does not inherit it */

	if (owner != getpid()) {
		owner = getpid();
		queue = 0;
		if (syscall(SYS_io_setup, FILE_BATCH_MAX, &queue) < 0)
			queue = 0;
	}
	return queue != 0;
}

/* Hands over as many as the kernel takes, from the first on. Returns how many. */
static size_t submit(const int *fds, size_t n)
{
	struct iocb requests[FILE_BATCH_MAX], *list[FILE_BATCH_MAX];
	size_t taken = 0;
	long more = 1;

	for (size_t i = 0; i < n; i++) {
		requests[i] = (struct iocb){.aio_data = i,
			.aio_lio_opcode = IOCB_CMD_FSYNC,
			.aio_fildes = (uint32_t)fds[i]};
		list[i] = &requests[i];
	}
	while (taken < n && more > 0) {
		more = syscall(SYS_io_submit, queue, (long)(n - taken), list + taken);
		if (more > 0)
			taken += (size_t)more;
	}
	return taken;
}

/* Waits for all that were handed over; what is not known to be durable is a fault. */
static void collect(size_t taken, int *faults)
{
	struct io_event events[FILE_BATCH_MAX];
	size_t done = 0;

	for (size_t i = 0; i < taken; i++)
		faults[i] = EIO;
	while (done < taken) {
		long n = syscall(SYS_io_getevents, queue, 1L, (long)(taken - done), events, NULL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			queue = 0; /* what still comes would be taken for another's */
			return;
		}
		for (long i = 0; i < n; i++)
			faults[events[i].data] = (int)-events[i].res;
		done += (size_t)n;
	}
}

/* faults[i]: 0, or the errno that fsync(fds[i]) would have left. */
static void flush_all(const int *fds, size_t n, int *faults)
{
	size_t taken = n > 1 && has_queue() ? submit(fds, n) : 0;

	collect(taken, faults);
	for (size_t i = taken; i < n; i++)
		faults[i] = fsync(fds[i]) < 0 ? errno : 0;
}

/* --- batches ---------------------------------------------------------------------------------- */

struct batch_entry {
	int fd, dir_fd;
	const char *name, *temporary;
	struct file_outcome *outcome;
};

struct file_batch {
	struct work *w;
	struct batch_entry entries[FILE_BATCH_MAX];
	size_t count;
};

static void take_back(void *handle)
{
	struct file_batch *batch = handle;

	for (size_t i = 0; i < batch->count; i++) {
		close(batch->entries[i].fd);
		unlinkat(batch->entries[i].dir_fd, batch->entries[i].temporary, 0);
	}
	batch->count = 0;
}

struct file_batch *file_batch_new(struct work *w)
{
	struct file_batch *batch = work_alloc(w, sizeof(*batch));

	batch->w = w;
	work_defer(w, take_back, batch);
	return batch;
}

size_t file_batch_count(const struct file_batch *batch)
{
	return batch->count;
}

enum err file_batch_add(struct work *w, struct file_batch *batch, int dir_fd, const char *name,
	const void *bytes, size_t n, mode_t mode, gid_t gid, struct file_outcome *outcome)
{
	struct batch_entry *entry = &batch->entries[batch->count];
	enum err err;

	if (batch->count == FILE_BATCH_MAX)
		return work_cause(w, ERR_BUG, "the batch is full");
	*entry = (struct batch_entry){
		-1, dir_fd, work_strdup(batch->w, name), temporary_name(batch->w, name), outcome};
	*outcome = (struct file_outcome){ERR_IO, "not finished"};
	err = write_temporary(w, dir_fd, entry->temporary, bytes, n, mode, gid, &entry->fd);
	if (!err)
		batch->count++;
	return err;
}

static void fail(
	struct file_batch *batch, const struct batch_entry *entry, const char *step, int fault)
{
	*entry->outcome = (struct file_outcome){
		ERR_IO, work_printf(batch->w, "%s: %s", step, strerrorname_np(fault))};
}

static void put_in_place(struct file_batch *batch, struct batch_entry *entry, int fault)
{
	*entry->outcome = (struct file_outcome){ERR_OK, NULL};
	if (fault)
		fail(batch, entry, "fsync", fault);
	if (close(entry->fd) < 0 && !entry->outcome->err)
		fail(batch, entry, "close", errno);
	if (!entry->outcome->err &&
		renameat(entry->dir_fd, entry->temporary, entry->dir_fd, entry->name) < 0)
		fail(batch, entry, "rename", errno);
	if (entry->outcome->err)
		unlinkat(entry->dir_fd, entry->temporary, 0);
}

static void flush_files(struct file_batch *batch)
{
	int fds[FILE_BATCH_MAX], faults[FILE_BATCH_MAX];

	for (size_t i = 0; i < batch->count; i++)
		fds[i] = batch->entries[i].fd;
	flush_all(fds, batch->count, faults);
	for (size_t i = 0; i < batch->count; i++)
		put_in_place(batch, &batch->entries[i], faults[i]);
}

/* Each directory once, where neighbours share one. */
static void flush_directories(struct file_batch *batch)
{
	int fds[FILE_BATCH_MAX], faults[FILE_BATCH_MAX];
	size_t n = 0, at = 0;

	for (size_t i = 0; i < batch->count; i++)
		if (n == 0 || fds[n - 1] != batch->entries[i].dir_fd)
			fds[n++] = batch->entries[i].dir_fd;
	flush_all(fds, n, faults);
	for (size_t i = 0; i < batch->count; i++) {
		struct batch_entry *entry = &batch->entries[i];

		at += fds[at] != entry->dir_fd;
		if (faults[at] && !entry->outcome->err)
			fail(batch, entry, "fsync", faults[at]);
	}
}

void file_batch_finish(struct file_batch *batch)
{
	flush_files(batch);
	flush_directories(batch);
	batch->count = 0;
}

/* --- reading and removing --------------------------------------------------------------------- */

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
