/* From root to the owner of the state directory. It decides as whom a program goes on, not when. */
#include "ctl/become.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum err ctl_become_find(
	struct work *w, const struct conf *conf, int with_audit_key, struct ctl_owner *owner)
{
	const enum conf_option option = with_audit_key && *conf_text(conf, CONF_audit_key_dir)
						? CONF_audit_key_dir
						: CONF_state_dir;
	const char *dir = conf_text(conf, option);
	const struct passwd *account;
	struct stat info;

	if (stat(dir, &info) < 0 || !S_ISDIR(info.st_mode))
		return work_fail(w, ERR_CONFIG,
			"setting %s: %s is not a folder, so it is not known as whom to go "
			"on (set in %s)",
			conf_name(option), dir, conf->origin[option]);
	account = getpwuid(info.st_uid);
	*owner = (struct ctl_owner){.uid = info.st_uid,
		.gid = account ? account->pw_gid : info.st_gid,
		.name = account ? work_strdup(w, account->pw_name) : NULL};
	return ERR_OK;
}

static enum err io(struct work *w, const char *path, const char *step)
{
	return work_fail(w, ERR_IO, "%s: %s failed (%s)", path, step, strerror(errno));
}

enum err ctl_become_make_dir(struct work *w, const char *path, const struct ctl_owner *owner)
{
	enum err err = ERR_OK;
	int fd;

	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? ERR_OK : io(w, path, "making the folder");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return io(w, path, "opening the folder");
	if (fchown(fd, owner->uid, owner->gid) < 0)
		err = io(w, path, "giving the folder away");
	close(fd);
	return err;
}

enum err ctl_become(struct work *w, const struct ctl_owner *owner)
{
	int done;

	if (geteuid() != 0 || owner->uid == 0)
		return ERR_OK;
	done = owner->name ? initgroups(owner->name, owner->gid) : setgroups(1, &owner->gid);
	if (done < 0 || setgid(owner->gid) < 0 || setuid(owner->uid) < 0)
		return work_fail(w, ERR_IO,
			"the owner of the state directory (uid %lu) cannot be "
			"become: %s",
			(unsigned long)owner->uid, strerror(errno));
	if (setuid(0) == 0 || geteuid() != owner->uid || getegid() != owner->gid)
		return work_fail(w, ERR_BUG, "root's rights could not be given up");
	return ERR_OK;
}
