/*
 * Checkpoints outside the database: state_dir/checkpoints, one file a day (UTC) with all its notes
 * one after another. Whoever turns the database back does not turn these back.
 */
#ifndef VESTAL_CUSTODY_ANCHOR_H
#define VESTAL_CUSTODY_ANCHOR_H

#include "custody/checkpoint.h"
#include "store/seal.h"

/* The newest note that the files hold. */
struct custody_anchor {
	int64_t number, size; /* 0: there is none */
	const char *note, *file;
};

/*
 * Opens the folder, makes it when it is not there and create is set, and waits until nobody else
 * on this host writes it. Returns: ERR_IO; ERR_NOT_FOUND without create. Owns: the work closes *fd.
 */
enum err custody_anchor_open(
	struct work *w, const struct conf *conf, int create, int *fd) MUST_CHECK;

/* Returns: ERR_IO, ERR_CONFLICT for a file that ends with anything but a checkpoint. */
enum err custody_anchor_newest(struct work *w, int fd, struct custody_anchor *newest) MUST_CHECK;

/* Writes all checkpoints of the database after the newest of the files, and logs each. Each file is
 * whole at any moment. Returns: ERR_IO and the database's. */
enum err custody_anchor_write(struct work *w, int fd, struct store_db *db) MUST_CHECK;

/* Every file's content, in the order of their names. Texts end with the call. */
typedef enum err custody_anchor_fn(
	struct work *w, const char *file, const char *bytes, size_t n, void *context);
enum err custody_anchor_each(
	struct work *w, int fd, custody_anchor_fn *fn, void *context) MUST_CHECK;

#endif
