/* Apps: the OAuth applications used with providers. Secrets come and go sealed. */
#ifndef VESTAL_STORE_APP_H
#define VESTAL_STORE_APP_H

#include "store/db.h"

struct store_app {
	int64_t id, generation;
	const char *owner;      /* the client it belongs to; "": all clients' */
	const char *datacenter; /* "": the provider has none */
	const char *oauth_client_id, *redirect_uri;
	const char *params_json; /* the words of the definition's `params`; NULL: none */
	const unsigned char *secret_sealed;
	size_t secret_sealed_bytes;
};

/*
 * The app for a client at a provider: his own before the common one, and of several the one of this
 * data centre. Returns: ERR_APP_MISSING.
 */
enum err store_app_find(struct work *w, struct store_db *db, const char *provider,
	const char *client, const char *datacenter, struct store_app *app) MUST_CHECK;

/* The app that an owner ("": all clients) has in a data centre. Returns: ERR_APP_MISSING. */
enum err store_app_at(struct work *w, struct store_db *db, const char *provider, const char *owner,
	const char *datacenter, struct store_app *app) MUST_CHECK;

/* One app by its id. Returns: ERR_APP_MISSING. */
enum err store_app_get(
	struct work *w, struct store_db *db, int64_t id, struct store_app *app) MUST_CHECK;

/* The generation that the next secret of this app is sealed under. client NULL: the common app. */
enum err store_app_next_generation(struct work *w, struct store_db *db, const char *provider,
	const char *client, const char *datacenter, int64_t *generation) MUST_CHECK;

/* Adds an app or replaces it; owner "" is the common one. secret_ends_on: "YYYY-MM-DD" or NULL. */
enum err store_app_set(struct work *w, struct store_db *db, const char *provider,
	const struct store_app *app, const char *secret_ends_on, int64_t *id) MUST_CHECK;

/* An app without its secret, for people to look at. */
struct store_app_entry {
	const char *provider, *owner, *datacenter, *oauth_client_id, *redirect_uri;
	const char *secret_ends_on; /* "YYYY-MM-DD" or NULL */
};

/* All apps in order of provider, owner and data centre. Owns: the work. */
enum err store_app_list(
	struct work *w, struct store_db *db, struct store_app_entry **apps, size_t *n) MUST_CHECK;

#endif
