/* Importing: tokens that were kept elsewhere until now, one connection at a time. */
#ifndef VESTAL_CUSTODY_IMPORT_H
#define VESTAL_CUSTODY_IMPORT_H

#include "custody/distribute.h"

/* Apps that the provider refused or throttled at an entry before: no other token of theirs is tried
 * by the same run. All 0 at first. */
struct custody_import_stops {
	struct custody_import_stop {
		int64_t app_id;
		const struct oauth_datacenter *datacenter; /* NULL: the provider has none */
		const char *finding;                       /* a literal */
	} of[32];
	size_t n;
};

struct custody_import {
	const char *client, *provider;
	const char *datacenter;          /* NULL: not said, which is well where there is one */
	const char *scope;               /* NULL: as the answer says */
	struct secret *refresh, *access; /* one of them may be NULL */
	int64_t expires_in_s;            /* of the access token, from now on; 0: not known */
	int is_passive; /* its old owner still renews it: nothing that might replace it is tried */
	int may_create; /* the client and the connection are made where they are not there */
	int is_dry_run; /* only tries */
	struct custody_import_stops *stops; /* of the run; what this entry meets is added */
	/* answered */
	int64_t generation;
	const char *status;
	const char *finding; /* of a refusal, a closed word */
	struct custody_persisted persisted;
};

/*
 * What can be said of an entry without asking anybody. Returns: ERR_INPUT with its fields and their
 * faults.
 */
enum err custody_import_check(
	struct work *w, const struct custody *c, const struct custody_import *import) MUST_CHECK;

/*
 * Tries the tokens at the provider, and only then stores what proved as a new generation; one that
 * was there goes into history. A refresh token is tried by a refresh, unless its provider would
 * replace it and that must not be (passive, or a dry run): then the access token is, by the probe.
 * Nothing is tried by an app that one of asked->stops names: ERR_RENEWAL_DEFERRED.
 * Returns: as custody_import_check(); ERR_CLIENT_UNKNOWN, ERR_CONNECTION_UNKNOWN, ERR_APP_MISSING,
 * ERR_CANNOT_TRY and what custody_trial() and custody_keep() do.
 */
enum err custody_import(
	struct work *w, const struct custody *c, struct custody_import *import) MUST_CHECK;

/*
 * Takes over a passive token: from now on it is renewed here. Returns: ERR_CLIENT_UNKNOWN,
 * ERR_CONNECTION_UNKNOWN, ERR_CONFLICT (there is no passive token), ERR_INPUT (provider).
 */
enum err custody_import_activate(struct work *w, const struct custody *c, const char *client,
	const char *provider) MUST_CHECK;

#endif
