/* Programs that root may call and that then go on as the owner of the state directory, so that no
 * file ever ends up with the wrong owner. */
#ifndef VESTAL_CTL_BECOME_H
#define VESTAL_CTL_BECOME_H

#include "base/conf.h"

#include <sys/types.h>

/* Whose files they are. */
struct ctl_owner {
	uid_t uid;
	gid_t gid;
	const char *name; /* NULL: the account has none */
};

/* The owner of the state directory; with_audit_key: of the folder with the audit key, where that is
 * one of its own. Returns: ERR_CONFIG when it is not there. Owns: the work. */
enum err ctl_become_find(struct work *w, const struct conf *conf, int with_audit_key,
	struct ctl_owner *owner) MUST_CHECK;

/* Makes a folder (0700) for the owner; one that is there stays as it is. Returns: ERR_IO. */
enum err ctl_become_make_dir(
	struct work *w, const char *path, const struct ctl_owner *owner) MUST_CHECK;

/*
 * Becomes the owner, with his groups, for good. Called by anybody but root, or when root is the
 * owner, nothing changes. Before it: read the configuration, open the files of the command line,
 * connect to the database. Returns: ERR_BUG when the way back is still open.
 */
enum err ctl_become(struct work *w, const struct ctl_owner *owner) MUST_CHECK;

#endif
