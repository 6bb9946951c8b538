/*
 * vestal-refresh: the renewal run, started by cron or a timer, or by a person. It takes the options
 * apart, becomes the owner of the state directory, brings up what a run needs, and says how it
 * ended.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "ctl/become.h"
#include "refresh/plan.h"
#include "refresh/run.h"
#include "refresh/stop.h"
#include "store/client.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define RINGS                                                                                      \
	(VAULT_RING_BIT(VAULT_RING_TOKEN) | VAULT_RING_BIT(VAULT_RING_APP) |                       \
		VAULT_RING_BIT(VAULT_RING_COPY) | VAULT_RING_BIT(VAULT_RING_SPOOL))
#define BUDGET_MS ((int64_t)7 * 86400 * 1000) /* what ends a run is its deadline, not this */
#define HELP_MAX_BYTES 8192
#define FILES_SPARE 64

struct program {
	struct work *w;
	struct refresh_options options;
	struct conf conf;      /* as it is set */
	struct conf boot_conf; /* the same, but quieter for a person */
	struct custody c;
	struct refresh_output output;
	int64_t began_ms; /* on the monotonic clock */
	int exit_code;
};

/* Events of the service would tear the progress line, and a person wants answers, unless this very
 * call asks for more. */
static enum err open_conf(struct program *p)
{
	enum err err = conf_load(p->w, &p->conf);

	p->boot_conf = p->conf;
	if (!err && isatty(STDERR_FILENO) &&
		!text_equal(p->conf.origin[CONF_log_level], "environment"))
		p->boot_conf.text[CONF_log_level] = "error";
	if (!err)
		log_init("vestal-refresh", (enum log_level)custody_log_level(&p->boot_conf));
	return err;
}

/*
 * Before anything is touched, the database included: only the owner's account may be its refresher,
 * and a connection that is lost on the way has to be made anew by the same. libpq looks for files
 * in the home of whoever it is.
 */
static enum err become_owner(struct program *p)
{
	const struct passwd *account;
	struct ctl_owner owner;
	enum err err;

	if (geteuid() != 0)
		return ERR_OK;
	err = ctl_become_find(p->w, &p->conf, 0, &owner);
	if (!err)
		err = ctl_become(p->w, &owner);
	account = getpwuid(geteuid());
	if (!err && (account ? setenv("HOME", account->pw_dir, 1) : unsetenv("HOME")) < 0)
		err = ERR_NO_MEMORY;
	return err;
}

static enum err check_provider(struct program *p)
{
	const char *name = p->options.provider;

	if (!name || oauth_provider_find(p->c.providers, name))
		return ERR_OK;
	return work_fail(p->w, ERR_USAGE,
		"--provider: %s is not a known provider; vestalctl provider list shows them", name);
}

static enum err check_client(struct program *p)
{
	const char *client = p->options.client, *name = NULL;
	enum err err = ERR_OK;

	if (client)
		err = store_client_get(p->w, p->c.db, client, &name);
	if (err != ERR_CLIENT_UNKNOWN)
		return err;
	return work_fail(p->w, ERR_USAGE, "--client: there is no client %s", client);
}

/* Each renewal on its way has a connection, and as many again may be kept for the next ones. */
static void allow_files(int64_t concurrency)
{
	const rlim_t wanted = 2 * (rlim_t)concurrency + FILES_SPARE;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < wanted)
		log_event(LOG_WARN, "files.limited", LOG_INT("limit", (int64_t)limit.rlim_cur));
}

static enum err open_all(struct program *p)
{
	struct refresh_options *options = &p->options;
	enum err err = open_conf(p);

	if (!err)
		err = become_owner(p);
	if (err)
		return err;
	if (!options->concurrency)
		options->concurrency = conf_number(&p->conf, CONF_renew_concurrency);
	allow_files(options->concurrency);
	err = custody_open(p->w, &p->boot_conf, "vestal-refresh", STORE_REFRESHER,
		options->is_dry_run ? 0 : RINGS, refresh_run_heap_bytes(options->concurrency),
		&p->c);
	if (!err)
		err = check_provider(p);
	if (!err)
		err = store_db_ready(p->w, p->c.db);
	return err ? err : check_client(p);
}

static enum err run(struct program *p)
{
	struct refresh_result result;
	enum err err;

	p->c.renewer = custody_renewer_new(&p->c, (size_t)p->options.concurrency);
	if (!p->c.renewer)
		return ERR_NO_MEMORY;
	refresh_output_begin(&p->output, p->options.is_json);
	refresh_run(
		p->w, &p->c, &p->options, p->began_ms, refresh_stop_flag(), &p->output, &result);
	err = refresh_output_end(p->w, &p->output, &result);
	p->exit_code = refresh_summary_exit_code(result.err ? result.err : err, &result.need);
	if (result.err)
		fprintf(stderr, "vestal-refresh: %s\n", result.why);
	refresh_output_free(&p->output);
	return err;
}

static enum err say(struct work *w, void (*compose)(struct buf *text))
{
	struct ctl_out out;

	ctl_out_begin(&out, w, 0);
	compose(&out.text);
	return ctl_out_end(w, &out);
}

static void version(struct buf *text)
{
	buf_text(text, "vestal-refresh " VESTAL_VERSION "\n");
}

static enum err act(struct program *p)
{
	enum err err;

	if (p->options.wants_help)
		return say(p->w, refresh_options_help);
	if (p->options.wants_version)
		return say(p->w, version);
	err = refresh_stop_install();
	if (!err)
		err = open_all(p);
	if (err)
		return err;
	return p->options.is_dry_run ? refresh_plan(p->w, &p->c, &p->options, &p->exit_code)
				     : run(p);
}

static void complain(struct program *p, enum err err)
{
	struct buf usage;

	fprintf(stderr, "vestal-refresh: %s\n", refresh_run_explain(p->w, &p->conf, err));
	if (err != ERR_USAGE)
		return;
	buf_init(&usage, p->w, HELP_MAX_BYTES);
	refresh_options_usage(&usage);
	fputs(usage.data, stderr);
}

int main(int argc, char **argv)
{
	const struct store_need none = {0};
	struct work w;
	struct program p = {.w = &w, .began_ms = clock_monotonic_ms()};
	enum err err;

	work_begin(&w, BUDGET_MS);
	err = refresh_options_parse(&w, argc > 1 ? (size_t)argc - 1 : 0, argv + 1, &p.options);
	if (!err)
		err = act(&p);
	if (err) {
		complain(&p, err);
		p.exit_code = refresh_summary_exit_code(err, &none);
	}
	custody_renewer_free(p.c.renewer);
	if (p.c.conf)
		custody_close(&p.c);
	work_end(&w);
	return p.exit_code;
}
