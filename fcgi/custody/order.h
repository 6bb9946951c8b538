/* Renewals that somebody orders: a service whose token the provider refused, an administrator. */
#ifndef VESTAL_CUSTODY_ORDER_H
#define VESTAL_CUSTODY_ORDER_H

#include "custody/place.h"

struct custody_order {
	const char *client, *provider;
	const struct custody_places *places;
	int64_t reported; /* the generation that was refused; of custody_order_rejected() */
	/* answered */
	int64_t generation; /* the token's now */
	int renewed;        /* another one took the place of the one that was meant */
	const char *status; /* of custody_order_refresh() */
};

/*
 * The provider refused the reported token: renews it once, however many report it. A report of one
 * that was replaced before is answered with what there is. Returns: ERR_CLIENT_UNKNOWN,
 * ERR_CONNECTION_UNKNOWN, ERR_INPUT (a generation there never was), ERR_REAUTHORIZATION_REQUIRED,
 * ERR_TOKEN_UNAVAILABLE (with the time to come back), ERR_SEALED, and what custody_renew_one()
 * does.
 */
enum err custody_order_rejected(
	struct work *w, const struct custody *c, struct custody_order *order) MUST_CHECK;

/*
 * Renews whichever token is there, now. Returns: as above, but for ERR_INPUT and
 * ERR_TOKEN_UNAVAILABLE; ERR_RENEWAL_DEFERRED (not asked, or not believed yet),
 * ERR_PROVIDER_UNAVAILABLE (asked in vain), ERR_TOKEN_REFUSED (the app's credentials are refused).
 */
enum err custody_order_refresh(
	struct work *w, const struct custody *c, struct custody_order *order) MUST_CHECK;

#endif
