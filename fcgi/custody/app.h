/* The app of a connection, opened: what a request to a provider is signed with. */
#ifndef VESTAL_CUSTODY_APP_H
#define VESTAL_CUSTODY_APP_H

#include "custody/custody.h"
#include "oauth/token_request.h"
#include "store/app.h"

struct custody_app {
	struct store_app row;
	struct oauth_app oauth;     /* with the secret in the secure heap */
	struct oauth_target target; /* provider, data centre, params */
};

/*
 * The app a client's flow starts with, in the data centre where it is registered: the provider's
 * default where there are several. Returns: ERR_APP_MISSING, ERR_SEALED, ERR_KEY_UNKNOWN,
 * ERR_CONFIG. Owns: the work.
 */
enum err custody_app_find(struct work *w, const struct custody *c,
	const struct oauth_provider *provider, const char *client,
	struct custody_app *app) MUST_CHECK;

/*
 * The app that a flow or a token belongs to, in another data centre of its provider: the app
 * registered there for the same owner, where there is one, else the same credentials. Source:
 * zoho.com/accounts/protocol/oauth/multi-dc.html
 */
enum err custody_app_at(struct work *w, const struct custody *c,
	const struct oauth_provider *provider, int64_t app_id,
	const struct oauth_datacenter *datacenter, struct custody_app *app) MUST_CHECK;

/* Apps that many connections share, each found and opened once. */
struct custody_apps;

/* An empty set. Owns: w; the apps end with it, and only with it. */
struct custody_apps *custody_apps_new(struct work *w);

#define CUSTODY_APPS_MAX 256

/*
 * custody_app_at(), remembered for (app_id, datacenter). What fails is asked for again by the next
 * call. *app lives as long as the set and the work that asks: one beyond CUSTODY_APPS_MAX belongs
 * to w, so that many apps do not fill the secure heap. What changes in the database meanwhile is
 * seen by the next set.
 */
enum err custody_apps_at(struct work *w, const struct custody *c, struct custody_apps *apps,
	const struct oauth_provider *provider, int64_t app_id,
	const struct oauth_datacenter *datacenter, const struct custody_app **app) MUST_CHECK;

/* Seals a client secret and stores the app. The row's sealed secret and generation are filled in.
 */
enum err custody_app_set(struct work *w, const struct custody *c, const char *provider,
	struct store_app *row, const struct secret *client_secret,
	const char *secret_ends_on) MUST_CHECK;

#endif
