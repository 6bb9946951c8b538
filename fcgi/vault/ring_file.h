/* Key rings on disk: <key_dir>/<ring>.ring, or a systemd credential of that name. Only what is safe
 * to use is read. */
#ifndef VESTAL_VAULT_RING_FILE_H
#define VESTAL_VAULT_RING_FILE_H

#include "vault/ring.h"

#include <sys/stat.h>

/* What a file looked like when it was read; another stamp means another file. */
struct vault_ring_stamp {
	dev_t dev;
	ino_t ino;
	off_t size_bytes;
	struct timespec changed;
};

/*
 * Opens a folder of key files. Refused when it is not ours or root's, or when others may write to
 * it. Returns: ERR_NOT_FOUND, ERR_KEY_UNSAFE, ERR_IO. Owns: the work closes *fd.
 */
enum err vault_ring_file_dir(struct work *w, const char *dir, int *fd) MUST_CHECK;

/*
 * Reads one ring from an open folder. Refused: links, anything but regular files, another owner
 * than us or root, and whatever group or others may read. Root's credentials may be readable by a
 * group, as systemd makes them. Returns: ERR_NOT_FOUND, ERR_KEY_UNSAFE, ERR_IO, ERR_NO_MEMORY.
 * Owns: the caller (vault_ring_free).
 */
enum err vault_ring_file_read_at(struct work *w, int dir_fd, int is_credential,
	enum vault_ring ring, struct vault_ring_keys *keys,
	struct vault_ring_stamp *stamp) MUST_CHECK;

/*
 * Reads one ring from key_dir or, when it is not there, from $CREDENTIALS_DIRECTORY.
 * Returns: as above, with ERR_KEY_UNKNOWN when it is nowhere. Owns: the caller (vault_ring_free).
 * Source: systemd.exec(5), "Credentials".
 */
enum err vault_ring_file_read(struct work *w, const char *key_dir, enum vault_ring ring,
	struct vault_ring_keys *keys, struct vault_ring_stamp *stamp) MUST_CHECK;

/* Replaces one ring in an open folder. Returns: ERR_IO, ERR_BUG. */
enum err vault_ring_file_write_at(struct work *w, int dir_fd, enum vault_ring ring,
	const struct vault_ring_keys *keys) MUST_CHECK;

/* Whether the file that vault_ring_file_read() would read is another one than that of the stamp. */
int vault_ring_file_changed(struct work *w, const char *key_dir, enum vault_ring ring,
	const struct vault_ring_stamp *stamp);

#endif
