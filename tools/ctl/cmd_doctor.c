/* doctor: whether this installation can work, and what to do where it cannot. It goes on after what
 * failed, as far as that makes sense. */
#include "base/text.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "custody/checkpoint.h"
#include "store/migrate.h"
#include "store/run.h"
#include "store/seal.h"
#include "vault/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define RUN_PERIODS 3
#define SEAL_WARN_PERIODS 2
#define START "let vestal-refresh.timer or cron start vestal-refresh"

enum result { GOOD, WARNING, FAILED };

struct doctor {
	struct ctl *ctl;
	int has_failed;
};

static void say(struct doctor *d, enum result result, const char *check, const char *detail)
{
	static const char *const words[] = {"ok", "warn", "fail"};
	static const enum ctl_tone tones[] = {CTL_GOOD, CTL_DOUBTFUL, CTL_BAD};
	struct ctl_out *out = &d->ctl->out;

	d->has_failed |= result == FAILED;
	if (out->is_json) {
		jout_object(&out->json, NULL);
		jout_text(&out->json, "check", check);
		jout_text(&out->json, "result", words[result]);
		jout_text(&out->json, "detail", detail);
		jout_end_object(&out->json);
		return;
	}
	ctl_out_toned(out, tones[result], words[result]);
	buf_printf(&out->text, "%*s%-16s  %s\n", 6 - (int)strlen(words[result]), "", check, detail);
}

/* The outcome of a step, with what to do when it failed. */
static void judge(
	struct doctor *d, enum err err, const char *check, const char *good, const char *advice)
{
	struct ctl *ctl = d->ctl;

	if (err)
		say(d, FAILED, check,
			advice ? work_printf(ctl->w, "%s; %s", ctl_explain(ctl, err), advice)
			       : ctl_explain(ctl, err));
	else
		say(d, GOOD, check, good);
	work_forgive(ctl->w);
}

/* Tokens die silently where nothing renews them. */
static void check_run(struct doctor *d)
{
	struct ctl *ctl = d->ctl;
	const int64_t period_s = conf_number(&ctl->conf, CONF_refresh_period_s);
	struct store_last_run last;
	const char *text;
	enum err err = store_run_last(ctl->w, ctl->c.db, &last);

	if (err == ERR_NOT_FOUND) {
		say(d, FAILED, "renewal", "no run is recorded; " START);
		return;
	}
	if (err) {
		judge(d, err, "renewal", "", NULL);
		return;
	}
	text = work_printf(
		ctl->w, "the newest run began %lld s ago on %s", (long long)last.age_s, last.host);
	if (last.age_s > RUN_PERIODS * period_s)
		say(d, FAILED, "renewal",
			work_printf(ctl->w, "%s, and refresh_period_s is %lld; " START, text,
				(long long)period_s));
	else if (last.exit_code == 1)
		say(d, WARNING, "renewal",
			work_printf(ctl->w, "%s, and failed; its log says why", text));
	else
		say(d, GOOD, "renewal", text);
}

/* What is not sealed can still be changed unseen. */
static void check_seal(struct doctor *d)
{
	struct ctl *ctl = d->ctl;
	const int64_t period_s = conf_number(&ctl->conf, CONF_refresh_period_s);
	struct store_seal_status status;
	const char *text;
	enum err err = store_seal_status(ctl->w, ctl->c.db, &status);

	if (err) {
		judge(d, err, "audit trail", "", NULL);
		return;
	}
	text = work_printf(ctl->w, "%lld events sealed, %lld wait", (long long)status.size,
		(long long)status.unsealed);
	if (status.oldest_s > SEAL_WARN_PERIODS * period_s)
		say(d, status.oldest_s > RUN_PERIODS * period_s ? FAILED : WARNING, "audit trail",
			work_printf(ctl->w,
				"%s, the oldest for %lld s; let vestal-audit.timer or cron start "
				"vestalctl audit seal",
				text, (long long)status.oldest_s));
	else
		say(d, GOOD, "audit trail", text);
}

static void check_database(struct doctor *d)
{
	struct ctl *ctl = d->ctl;
	enum err err = ctl_open_database(ctl, 1);

	judge(d, err, "database", "reachable", "is the server running, may this account connect?");
	if (err)
		return;
	err = ctl_open_database(ctl, 0);
	judge(d, err, "schema", work_printf(ctl->w, "version %d", STORE_SCHEMA_VERSION), NULL);
	if (err)
		return;
	check_run(d);
	check_seal(d);
}

/* Where the key that signs has an account of its own, only its public half is for us to read. */
static int has_own_account(const struct ctl *ctl, int ring)
{
	return ring == VAULT_RING_AUDIT && *conf_text(&ctl->conf, CONF_audit_key_dir);
}

static void check_public_key(struct doctor *d)
{
	struct ctl *ctl = d->ctl;
	struct vault_publics publics;

	judge(d, custody_checkpoint_publics(ctl->w, &ctl->conf, &publics), "audit.pub",
		"present; the key that signs belongs to another account", NULL);
}

static void check_rings(struct doctor *d)
{
	struct ctl *ctl = d->ctl;

	for (int i = 0; i < VAULT_RING_COUNT; i++) {
		struct vault_keyring *keyring = NULL;
		const char *name = vault_ring_name((enum vault_ring)i);
		enum err err;

		if (has_own_account(ctl, i)) {
			check_public_key(d);
			continue;
		}
		err = vault_keyring_load(ctl->w, conf_text(&ctl->conf, CONF_key_dir),
			VAULT_RING_BIT((enum vault_ring)i), &keyring);

		judge(d, err, work_printf(ctl->w, "key ring %s", name), "present and safe", NULL);
		vault_keyring_free(keyring);
	}
}

static void check_dir(struct doctor *d, const char *check, const char *path)
{
	struct work *w = d->ctl->w;

	if (access(path, W_OK | X_OK) == 0)
		say(d, GOOD, check, work_printf(w, "%s is writable", path));
	else
		say(d, FAILED, check,
			work_printf(w,
				"%s: %s; make it, owned and writable by the service's account",
				path, strerror(errno)));
}

/* Without a spool nothing is renewed: no slot, no request. */
static void check_spool(struct doctor *d)
{
	struct ctl *ctl = d->ctl;
	const char *state_dir = conf_text(&ctl->conf, CONF_state_dir);
	const char *dir = work_printf(ctl->w, "%s/spool", state_dir);
	struct vault_spool_status status;
	enum err err = vault_spool_look(ctl->w, state_dir, &status);

	if (err) {
		judge(d, err, "spool", "", NULL);
		return;
	}
	if (access(dir, F_OK) == 0 && access(dir, W_OK | X_OK) < 0)
		check_dir(d, "spool", dir);
	else if (status.abandoned)
		say(d, WARNING, "spool",
			work_printf(ctl->w,
				"%zu of %zu files are of processes that are gone; the next run "
				"settles them",
				status.abandoned, status.files));
	else
		say(d, GOOD, "spool", work_printf(ctl->w, "%zu files in use", status.files));
}

/* Environment files hold tokens in the clear: they belong into memory. */
static void check_runtime_dir(struct doctor *d)
{
	struct ctl *ctl = d->ctl;
	const char *dir = conf_text(&ctl->conf, CONF_runtime_dir);
	const char *env = work_printf(ctl->w, "%s/env", dir);
	struct statfs info;

	check_dir(d, "runtime_dir", access(env, F_OK) == 0 ? env : dir);
	if (statfs(dir, &info) == 0 && info.f_type != TMPFS_MAGIC && info.f_type != RAMFS_MAGIC)
		say(d, WARNING, "runtime_dir",
			work_printf(ctl->w,
				"%s is on a disk; put it on a tmpfs, for tokens stand "
				"there in the clear",
				dir));
}

static void check_secret_file(struct doctor *d, enum conf_option option)
{
	struct ctl *ctl = d->ctl;
	const char *path = conf_text(&ctl->conf, option), *name = conf_name(option);
	struct stat info;

	if (!*path)
		return;
	if (access(path, R_OK) < 0 || stat(path, &info) < 0)
		say(d, FAILED, name, work_printf(ctl->w, "%s: %s", path, strerror(errno)));
	else if (info.st_mode & (S_IRWXO | S_IWGRP))
		say(d, WARNING, name,
			work_printf(ctl->w, "others may use %s (mode %04o); chmod 0600 %s", path,
				(unsigned)(info.st_mode & 07777), path));
	else
		say(d, GOOD, name, "readable by the service alone");
}

static void check_providers(struct doctor *d)
{
	struct ctl *ctl = d->ctl;
	const struct conf *conf = &ctl->conf;
	struct oauth_faults *faults = work_alloc(ctl->w, sizeof(*faults));
	const struct oauth_providers *providers;

	oauth_faults_init(faults, &ctl->w->arena);
	providers = oauth_providers_load(&ctl->w->arena,
		work_printf(ctl->w, "%s/providers", conf_text(conf, CONF_data_dir)),
		conf_text(conf, CONF_provider_dir), conf_number(conf, CONF_refresh_period_s),
		faults);
	if (providers)
		say(d, GOOD, "providers",
			work_printf(ctl->w, "%zu definitions", oauth_providers_count(providers)));
	for (size_t i = 0; i < faults->count; i++)
		say(d, faults->list[i].warning ? WARNING : FAILED, "providers",
			faults->list[i].text);
}

static void examine(struct doctor *d)
{
	struct ctl *ctl = d->ctl;
	enum err err = ctl_open_conf(ctl);

	judge(d, err, "configuration",
		ctl->conf.file ? ctl->conf.file : "no file; defaults and environment", NULL);
	if (err)
		return;
	check_database(d);
	err = ctl_open_account(ctl, 0);
	if (err) {
		judge(d, err, "account", "", "make it, owned by the service's account");
		return;
	}
	check_rings(d);
	check_dir(d, "state_dir", conf_text(&ctl->conf, CONF_state_dir));
	check_spool(d);
	check_runtime_dir(d);
	check_secret_file(d, CONF_smtp_password_file);
	check_secret_file(d, CONF_webhook_secret_file);
	check_providers(d);
	if (!ctl->is_locked)
		say(d, WARNING, "memory",
			"secrets could be swapped out; raise the limit of locked memory (memlock)");
}

enum err ctl_cmd_doctor(struct ctl *ctl)
{
	struct doctor d = {.ctl = ctl};
	struct jout *j = &ctl->out.json;

	if (ctl->out.is_json) {
		jout_object(j, NULL);
		jout_array(j, "checks");
	}
	examine(&d);
	if (ctl->out.is_json) {
		jout_end_array(j);
		jout_bool(j, "ok", !d.has_failed);
		jout_end_object(j);
	}
	ctl->exit_code = d.has_failed;
	return ERR_OK;
}
