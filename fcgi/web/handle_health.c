/* GET /divine/oauth/health: what the database knows, streamed; no provider is asked. */
#include "base/text.h"
#include "custody/report.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

#include <stdlib.h>
#include <string.h>

struct listing {
	struct web_reply reply;
	int64_t limit, given; /* limit 0: all */
	int64_t total, unhealthy;
	const char *client, *provider; /* of the last report given */
	int more;
	int is_counting; /* a complete list counts itself, and need not wait for it to begin */
};

static const char *const statuses[] = {
	"healthy", "expiring", "expired", "invalid", "missing", "unreachable", "quarantined"};

static enum err check_statuses(struct web_request *r, const struct web_value *asked)
{
	for (size_t i = 0; i < asked->count; i++) {
		size_t known = 0;

		while (known < sizeof(statuses) / sizeof(*statuses) &&
			strcmp(asked->list[i], statuses[known]) != 0)
			known++;
		if (known == sizeof(statuses) / sizeof(*statuses))
			return work_fail_field(
				r->w, "status", "%s is not a status", asked->list[i]);
	}
	return ERR_OK;
}

/* A page's end is "<client>/<provider>"; neither name holds a slash. */
static enum err read_after(struct web_request *r, struct store_report_query *query)
{
	char *after = work_strdup(r->w, web_request_text(r, "after"));
	char *slash = after ? strchr(after, '/') : NULL;

	if (!after)
		return ERR_OK;
	if (slash)
		*slash++ = '\0';
	if (!slash || !text_is_client_id(after) || !text_is_name(slash))
		return work_fail_field(r->w, "after", "is not the end of a page");
	query->after_client = after;
	query->after_provider = slash;
	return ERR_OK;
}

static enum err read_query(
	struct web_request *r, struct store_report_query *query, struct listing *listing)
{
	const struct web_value *status = web_request_value(r, "status");
	enum err err = check_statuses(r, status);

	*query = (struct store_report_query){
		.scope = web_gate_narrow(
			r, web_request_text(r, "clientId"), web_request_text(r, "provider")),
		.statuses = status->list,
		.status_count = status->count};
	listing->limit = web_request_value(r, "limit")->number;
	query->limit = listing->limit ? listing->limit + 1 : 0;
	return err ? err : read_after(r, query);
}

static enum err give(struct work *w, const struct store_report *report, void *context)
{
	struct listing *listing = context;

	if (listing->limit && listing->given == listing->limit) {
		listing->more = 1;
		return ERR_OK;
	}
	if (++listing->given == listing->limit) {
		listing->client = work_strdup(w, report->client);
		listing->provider = work_strdup(w, report->provider);
	}
	listing->total += listing->is_counting;
	listing->unhealthy += listing->is_counting && !text_equal(report->status, "healthy");
	custody_report_json(&listing->reply.json, report);
	return web_reply_flush(&listing->reply);
}

enum err web_handle_health(struct web_request *r)
{
	struct store_report_query query;
	struct listing listing = {.limit = 0};
	struct jout *j = &listing.reply.json;
	enum err err = read_query(r, &query, &listing);

	listing.is_counting = !query.limit && !query.after_client;
	if (!err && !listing.is_counting)
		err = store_report_count(
			r->w, r->c->db, &query, &listing.total, &listing.unhealthy);
	if (err)
		return err;
	web_reply_begin_enveloped(&listing.reply, r);
	jout_array(j, "tokens");
	err = store_report_each(r->w, r->c->db, &query, give, &listing);
	if (err)
		return err;
	jout_end_array(j);
	jout_int(j, "unhealthy", listing.unhealthy);
	jout_int(j, "total", listing.total);
	jout_text(j, "next",
		listing.more ? work_printf(r->w, "%s/%s", listing.client, listing.provider) : NULL);
	return web_reply_end(&listing.reply);
}
