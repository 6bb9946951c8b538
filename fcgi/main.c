/*
 * vestal-fcgi: one FastCGI worker of a pool. Boot, then one request after the other, until a signal
 * ends it between two. Without a database it starts all the same and says so in its answers;
 * without keys or with a bad configuration it does not.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/caller.h"
#include "custody/place.h"
#include "custody/renew.h"
#include "web/accept.h"
#include "web/gate.h"
#include "web/reply.h"
#include "web/route.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RINGS                                                                                      \
	(VAULT_RING_BIT(VAULT_RING_TOKEN) | VAULT_RING_BIT(VAULT_RING_APP) |                       \
		VAULT_RING_BIT(VAULT_RING_COPY) | VAULT_RING_BIT(VAULT_RING_SESSION))
#define FAST_MS 12000
#define SPARE_MS 15000 /* beside what providers may take */
#define WORKERS 4
#define WORKERS_MOST 100000

struct options {
	enum web_pool pool;
	size_t workers; /* of the pool, on this host */
};

/* What all requests of this worker have in common. */
struct serving {
	struct custody c;
	struct custody_places places;
	int64_t budget_ms;
	int renews;
};

static const char *const pools[] = {
	[WEB_POOL_FAST] = "fast", [WEB_POOL_PROVIDER] = "provider", [WEB_POOL_FLOW] = "flow"};

static enum err serve(struct web_request *r, const char **allow)
{
	enum err err = web_request_begin(r);

	if (!err)
		err = web_route_match(r, allow);
	if (!err && !(r->route->callers & WEB_BY_MONITOR))
		err = store_db_ready(r->w, r->c->db);
	if (!err)
		err = web_gate_admit(r);
	if (!err)
		err = web_request_read_fields(r);
	if (!err)
		err = r->route->handle(r);
	return err ? web_gate_confirm(r, err) : ERR_OK;
}

static void note(const struct web_request *r, enum err err)
{
	int is_trouble = err_status(err) >= 500 && err != ERR_RENEWAL_NEEDED;

	log_event(is_trouble ? LOG_WARN : LOG_INFO, "request.done",
		LOG_TEXT("request", r->w->origin.request_id),
		LOG_TEXT("route", r->route ? r->route->pattern : "none"),
		LOG_TEXT("method", r->raw.method), LOG_INT("status", r->status),
		LOG_INT("ms", clock_monotonic_ms() - r->began_ms),
		LOG_TEXT("actor", r->w->origin.actor),
		LOG_TEXT("error", err ? err_slug(err) : NULL),
		LOG_TEXT("why", err ? r->w->cause : NULL));
}

/* One unit of work: everything a request allocated, opened or revealed is gone when this returns.
 */
static void work_one(const struct serving *s)
{
	struct work w;
	struct web_request r = {.w = &w, .c = &s->c, .places = s->renews ? &s->places : NULL};
	const char *allow = NULL;
	int was_begun;
	enum err err;

	work_begin(&w, s->budget_ms);
	if (web_accept_read(&w, &r.raw) == WEB_ACCEPTED) {
		r.began_ms = clock_monotonic_ms();
		/* a key that was disabled meanwhile opens nothing any more */
		vault_keyring_reload_if_changed(s->c.keyring);
		w.deadline_ms = r.began_ms + s->budget_ms;
		web_gate_origin(&r);
		err = serve(&r, &allow);
		was_begun = r.status != 0;
		if (err && !was_begun)
			web_reply_error(&r, err, allow);
		if (err && was_begun)
			web_accept_abort(); /* a list that broke off must not look whole */
		else
			web_accept_finish();
		note(&r, err);
	}
	work_end(&w);
}

static int take_pool(const char *name, struct options *options)
{
	for (int pool = 0; pool < 3; pool++)
		if (text_equal(pools[pool], name)) {
			options->pool = (enum web_pool)pool;
			return 1;
		}
	return 0;
}

static int take_workers(const char *text, struct options *options)
{
	int64_t workers;

	if (!text_to_int(text, 1, WORKERS_MOST, &workers))
		return 0;
	options->workers = (size_t)workers;
	return 1;
}

static struct options read_options(int argc, char **argv)
{
	static const struct option known[] = {{"pool", required_argument, NULL, 'p'},
		{"workers", required_argument, NULL, 'w'}, {"version", no_argument, NULL, 'V'},
		{0}};
	struct options options = {WEB_POOL_FAST, WORKERS};
	int option, is_good = 1;

	while (is_good && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'V') {
			puts("vestal-fcgi " VESTAL_VERSION);
			exit(0);
		}
		is_good = (option == 'p' && take_pool(optarg, &options)) ||
			  (option == 'w' && take_workers(optarg, &options));
	}
	if (is_good && optind == argc)
		return options;
	fputs("usage: vestal-fcgi [--pool fast|provider|flow] [--workers N] [--version], the "
	      "listening socket on standard input\n",
		stderr);
	exit(64);
}

static enum err boot(
	struct work *w, struct conf *conf, const struct options *options, struct serving *s)
{
	unsigned rings = RINGS;
	const char *fault = web_route_fault();
	enum err err = conf_load(w, conf);

	s->renews = options->pool == WEB_POOL_PROVIDER;
	s->places = custody_places_of(options->workers);
	if (s->renews)
		rings |= VAULT_RING_BIT(VAULT_RING_SPOOL);
	if (!err && fault)
		err = work_fail(w, ERR_BUG, "route table: %s", fault);
	if (!err)
		err = custody_open(w, conf, "vestal-fcgi", STORE_WORKER, rings,
			s->renews ? CUSTODY_HEAP_BYTES : CUSTODY_HEAP_BYTES / 2, &s->c);
	if (!err)
		s->c.callers = custody_callers_new(w);
	if (!err && s->renews) {
		s->c.renewer = custody_renewer_new(&s->c, 1);
		err = s->c.renewer ? ERR_OK : ERR_NO_MEMORY;
	}
	if (err)
		return err;
	s->budget_ms = options->pool == WEB_POOL_FAST
			       ? FAST_MS
			       : 2000 * conf_number(conf, CONF_provider_timeout_s) + SPARE_MS;
	return web_accept_init(w);
}

int main(int argc, char **argv)
{
	const struct options options = read_options(argc, argv);
	enum web_accepted next;
	struct work w;
	struct conf conf;
	struct serving s = {0};
	enum err err;

	work_begin(&w, FAST_MS);
	err = boot(&w, &conf, &options, &s);
	if (err) {
		fprintf(stderr, "vestal-fcgi: %s\n", w.detail ? w.detail : err_title(err));
		return err_exit_code(err);
	}
	log_event(LOG_INFO, "worker.started", LOG_TEXT("pool", pools[options.pool]));
	while ((next = web_accept_wait()) != WEB_STOPPED)
		if (next == WEB_ACCEPTED)
			work_one(&s);
	log_event(LOG_INFO, "worker.ended", LOG_TEXT("pool", pools[options.pool]));
	custody_renewer_free(s.c.renewer);
	custody_close(&s.c);
	work_end(&w);
	return 0;
}
