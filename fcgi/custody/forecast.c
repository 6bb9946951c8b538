/* The forecast. It decides when a cap is nearly used up, and the words; what ends soon, the
 * statements say. */
#include "custody/forecast.h"

#include "base/text.h"
#include "store/forecast.h"

#include <inttypes.h>

#define DAY_S 86400

struct forecast {
	const struct custody *c;
	custody_warning_fn *fn;
	void *context;
};

static const struct row {
	const char *ends, *what, *subject, *advice;
} rows[] = {
	{"grant", "grant_ends", "the grant", "authorize it again before"},
	{"idle", "idle_ends", "the unused grant", "it must be renewed before"},
	{"secret", "secret_ends", "the app's client secret",
		"set a new one with vestalctl app set before"},
};

static const char *when(struct work *w, int64_t left_s)
{
	if (left_s < 0)
		return "has ended";
	if (left_s < DAY_S)
		return "ends within a day";
	return work_printf(w, "ends in %" PRId64 " days", left_s / DAY_S);
}

static enum err tell_ending(struct work *w, const struct store_ending *ending, void *context)
{
	const struct forecast *f = context;
	struct custody_warning warning = {.provider = ending->provider,
		.client = ending->client,
		.datacenter = ending->datacenter,
		.at = ending->at,
		.left_s = ending->left_s};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (text_equal(rows[i].ends, ending->what)) {
			warning.what = rows[i].what;
			warning.text = work_printf(w, "%s %s: %s", rows[i].subject,
				when(w, ending->left_s), rows[i].advice);
		}
	return warning.what ? f->fn(w, &warning, f->context)
			    : work_cause(w, ERR_BUG, "an end of an unknown kind");
}

/* From four fifths on: two more authorizations, and the provider ends the oldest grant silently. */
static enum err tell_grants(struct work *w, const struct store_grants *grants, void *context)
{
	const struct forecast *f = context;
	const struct oauth_provider *provider =
		oauth_provider_find(f->c->providers, grants->provider);
	const int64_t used = grants->in_use + grants->replaced;
	const int64_t most = provider ? provider->grants_per_user : 0;
	const struct custody_warning warning = {.what = "grants_used",
		.provider = grants->provider,
		.client = grants->client,
		.in_use = grants->in_use,
		.replaced = grants->replaced,
		.most = most,
		.text = work_printf(w,
			"up to %" PRId64 " of %" PRId64 " refresh tokens are used (%" PRId64
			" in use, %" PRId64 " replaced): beyond that the provider ends the oldest",
			used, most, grants->in_use, grants->replaced)};

	if (!most || used * 5 < most * 4)
		return ERR_OK;
	return f->fn(w, &warning, f->context);
}

enum err custody_forecast(struct work *w, const struct custody *c, const char *client,
	const char *provider, custody_warning_fn *fn, void *context)
{
	struct forecast f = {c, fn, context};
	enum err err = store_forecast_ends(w, c->db, client, provider, tell_ending, &f);

	return err ? err : store_forecast_grants(w, c->db, client, provider, tell_grants, &f);
}

void custody_forecast_json(struct jout *j, const struct custody_warning *warning)
{
	jout_object(j, NULL);
	jout_text(j, "what", warning->what);
	jout_text(j, "clientId", warning->client);
	jout_text(j, "provider", warning->provider);
	if (warning->at) {
		jout_text(j, "datacenter", *warning->datacenter ? warning->datacenter : NULL);
		jout_text(j, "at", warning->at);
		jout_int(j, "leftSeconds", warning->left_s);
	} else {
		jout_int(j, "inUse", warning->in_use);
		jout_int(j, "replaced", warning->replaced);
		jout_int(j, "most", warning->most);
	}
	jout_text(j, "text", warning->text);
	jout_end_object(j);
}
