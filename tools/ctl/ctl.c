/* The boot of one run. It decides the order of things; commands never change accounts, open files
 * of the caller or connect by themselves. */
#include "ctl/ctl.h"

#include "base/jin.h"
#include "base/log.h"
#include "base/text.h"
#include "ctl/explain.h"
#include "custody/checkpoint.h"
#include "store/audit.h"
#include "store/migrate.h"
#include "store/scope.h"
#include "vault/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECURE_HEAP_BYTES ((size_t)1 << 20)
#define REQUEST_ID_BYTES 16

/* Who called. sudo's word counts only for root, whom nobody else could impersonate. */
static const char *login_of(struct work *w)
{
	const char *name = getuid() == 0 ? getenv("SUDO_USER") : NULL;
	const struct passwd *account;

	if (name && *name && !text_has_control(name))
		return work_strdup(w, name);
	account = getpwuid(getuid());
	return account ? work_strdup(w, account->pw_name)
		       : work_printf(w, "%lu", (unsigned long)getuid());
}

enum err ctl_open_libraries(struct ctl *ctl)
{
	struct work *w = ctl->w;
	unsigned char id[REQUEST_ID_BYTES];
	enum err err = secret_init(SECURE_HEAP_BYTES, &ctl->is_locked);

	log_init("vestalctl", LOG_ERROR);
	jin_init();
	store_audit_init("vestalctl");
	if (!err)
		err = vault_crypto_random_public(id, sizeof(id));
	if (err)
		return err;
	w->origin = (struct origin){.actor = work_printf(w, "operator:%s", login_of(w)),
		.actor_auth = "peer",
		.request_id = text_hex(w, id, sizeof(id))};
	return ERR_OK;
}

/* A schema that is not there yet would be logged statement by statement; the answer says it once.
 */
static void log_less(const struct ctl *ctl, int is_quiet)
{
	int level = custody_log_level(&ctl->boot_conf);

	if (is_quiet && !text_equal(ctl->conf.origin[CONF_log_level], "environment"))
		level = LOG_ERROR + 1;
	log_init("vestalctl", (enum log_level)level);
}

/* The log level of the file is the service's. A person at a terminal wants answers, not events,
 * unless this very call asks for more. */
enum err ctl_open_conf(struct ctl *ctl)
{
	enum err err = conf_load(ctl->w, &ctl->conf);

	if (err)
		return err;
	ctl->boot_conf = ctl->conf;
	if (!text_equal(ctl->conf.origin[CONF_log_level], "environment"))
		ctl->boot_conf.text[CONF_log_level] = "error";
	ctl->c.conf = &ctl->boot_conf;
	log_less(ctl, 0);
	return ERR_OK;
}

/* What is made belongs to the caller, and never takes the place of something. */
static int make_file(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, 0600);
}

static int open_file(struct ctl *ctl, const struct ctl_option_row *option, const char *path)
{
	if (option->is_file != CTL_FILE_NEW)
		return text_equal(path, "-") ? STDIN_FILENO
					     : open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	ctl->manifest = make_file(work_printf(ctl->w, "%s.manifest", path));
	return ctl->manifest < 0 ? -1 : make_file(path);
}

static enum err open_input(struct ctl *ctl)
{
	for (int i = 0; i < CTL_OPT_COUNT; i++) {
		const char *path = ctl_options[i].is_file
					   ? ctl_args_text(ctl->args, (enum ctl_option)i)
					   : NULL;

		if (!path)
			continue;
		ctl->input = open_file(ctl, &ctl_options[i], path);
		if (ctl->input < 0)
			return work_fail(ctl->w, ERR_IO, "%s %s cannot be opened: %s",
				ctl_options[i].name, path, strerror(errno));
		ctl->inputs[i] = ctl->input;
	}
	return ERR_OK;
}

enum err ctl_open_database(struct ctl *ctl, int is_bare)
{
	const struct ctl_command *command = ctl->args->command;
	const int is_sealer = command->needs & CTL_NEED_SEALER;
	enum err err = ERR_OK;

	if (!ctl->c.db)
		err = store_db_new(ctl->w, &ctl->boot_conf,
			is_sealer ? STORE_SEALER : STORE_OPERATOR, &ctl->c.db);
	if (err)
		return err;
	log_less(ctl, 1);
	err = is_bare ? store_db_ready_bare(ctl->w, ctl->c.db) : store_db_ready(ctl->w, ctl->c.db);
	log_less(ctl, 0);
	return err;
}

static enum err open_database(struct ctl *ctl, unsigned needs)
{
	enum err err;

	if (!(needs & (CTL_NEED_DB | CTL_NEED_DB_BARE | CTL_NEED_DB_TRY)))
		return ERR_OK;
	err = ctl_open_database(ctl, (needs & CTL_NEED_DB_BARE) != 0);
	if (err && needs & CTL_NEED_DB_TRY) {
		ctl->db_fault = ctl_explain(ctl, err);
		work_forgive(ctl->w);
		err = ERR_OK;
	}
	return err;
}

/* What has to do with the audit key is done as the account that alone may read it. */
static int needs_audit_key(const struct ctl *ctl)
{
	const struct ctl_args *args = ctl->args;

	return args->command->needs & CTL_NEED_SEALER ||
	       (args->command->needs & CTL_NEED_KEY_DIR && args->positional_count &&
		       vault_ring_by_name(args->positionals[0]) == VAULT_RING_AUDIT);
}

enum err ctl_open_account(struct ctl *ctl, int with_key_dir)
{
	struct ctl_owner owner;
	enum err err;

	if (geteuid() != 0)
		return ERR_OK;
	err = ctl_become_find(ctl->w, &ctl->conf, needs_audit_key(ctl), &owner);
	if (!err && with_key_dir)
		err = ctl_become_make_dir(ctl->w,
			needs_audit_key(ctl) ? custody_checkpoint_key_dir(&ctl->conf)
					     : conf_text(&ctl->conf, CONF_key_dir),
			&owner);
	return err ? err : ctl_become(ctl->w, &owner);
}

/*
 * custody_open() makes a database handle of its own. As the owner it may connect as a worker, for a
 * command that does a worker's work; the operator's own connection is there already, and could not
 * be made any more.
 */
static enum err open_custody(struct ctl *ctl, const struct ctl_command *command)
{
	const int is_worker = (command->needs & CTL_NEED_WORKER) != 0;
	struct custody whole;
	enum err err = custody_open(ctl->w, &ctl->boot_conf, "vestalctl",
		is_worker ? STORE_WORKER : STORE_OPERATOR, command->rings, SECURE_HEAP_BYTES,
		&whole);

	if (err)
		return err;
	if (!is_worker) {
		store_db_free(whole.db);
		whole.db = ctl->c.db;
	}
	ctl->c = whole;
	return is_worker ? store_db_ready(ctl->w, ctl->c.db) : ERR_OK;
}

enum err ctl_open(struct ctl *ctl)
{
	const struct ctl_command *command = ctl->args->command;
	const unsigned needs = command->needs;
	enum err err = ctl_open_libraries(ctl);

	if (!err && needs)
		err = ctl_open_conf(ctl);
	if (!err)
		err = open_input(ctl);
	if (!err)
		err = open_database(ctl, needs);
	if (!err && (needs & ~(unsigned)(CTL_NEED_CONF | CTL_NEED_PROVIDERS) || command->rings))
		err = ctl_open_account(ctl, (needs & CTL_NEED_KEY_DIR) != 0);
	if (!err && (needs & CTL_NEED_PROVIDERS || command->rings))
		err = open_custody(ctl, command);
	return err;
}

void ctl_close(struct ctl *ctl)
{
	if (ctl->c.providers)
		custody_close(&ctl->c);
	else
		store_db_free(ctl->c.db);
	for (int i = 0; i < CTL_OPT_COUNT; i++)
		if (ctl->inputs[i] > STDERR_FILENO)
			close(ctl->inputs[i]);
	if (ctl->manifest > STDERR_FILENO)
		close(ctl->manifest);
	memset(ctl->inputs, 0, sizeof(ctl->inputs));
	ctl->manifest = 0;
	ctl->c = (struct custody){0};
	ctl->input = -1;
}

/* --- telling people -------------------------------------------------------------------------- */

const char *ctl_explain(struct ctl *ctl, enum err err)
{
	return ctl_explain_fault(ctl->w, &ctl->conf, err);
}

void ctl_note(const char *format, ...)
{
	va_list args;

	fputs("vestalctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

enum err ctl_bad_option(
	struct ctl *ctl, enum ctl_option option, const char *value, const char *fault)
{
	return work_fail(ctl->w, ERR_USAGE, "%s: %s %s", ctl_options[option].name, value, fault);
}

enum err ctl_no_client(struct ctl *ctl, const char *what, const char *client)
{
	return work_fail(ctl->w, ERR_CLIENT_UNKNOWN,
		"%s: there is no client %s; vestalctl client add %s adds it", what, client, client);
}

enum err ctl_find_provider(
	struct ctl *ctl, const char *name, const struct oauth_provider **provider)
{
	*provider = oauth_provider_find(ctl->c.providers, name);
	return *provider ? ERR_OK
			 : work_fail(ctl->w, ERR_USAGE,
				   "PROVIDER: %s is not a known provider; "
				   "vestalctl provider list shows them",
				   name);
}

enum err ctl_check_client(struct ctl *ctl, const char *client)
{
	return text_is_client_id(client) ? ERR_OK
					 : work_fail(ctl->w, ERR_USAGE,
						   "CLIENT: %s is not a client id "
						   "([A-Za-z0-9][A-Za-z0-9._-]{0,63})",
						   client);
}

enum err ctl_words(struct ctl *ctl, const char *json, const char **words)
{
	const char *const *list = NULL;
	struct buf text;
	size_t n = 0;
	enum err err = store_scope_words(ctl->w, json, &list, &n);

	*words = NULL;
	if (err || !list)
		return err;
	buf_init(&text, ctl->w, strlen(json));
	for (size_t i = 0; i < n; i++) {
		buf_text(&text, i ? "," : "");
		buf_text(&text, list[i]);
	}
	*words = text.data;
	return ERR_OK;
}
