/*
 * From a provider's answer to a probe to what it proves. Pure: the same answer to the same token
 * always means the same. The verdict itself is oauth/outcome.h's; what a person reads of it, the
 * view's.
 */
#ifndef VESTAL_CUSTODY_PROOF_H
#define VESTAL_CUSTODY_PROOF_H

#include "oauth/outcome.h"

/* What became of a connection's check. */
enum custody_found {
	CUSTODY_FOUND_PROVED,
	CUSTODY_FOUND_RENEWED,    /* dead, renewed, and then proved */
	CUSTODY_FOUND_SCOPE,      /* alive, and not allowed what the probe asks for */
	CUSTODY_FOUND_THROTTLED,  /* nothing is known that was not known before */
	CUSTODY_FOUND_UNANSWERED, /* the provider cannot be asked */
	CUSTODY_FOUND_SHUT,       /* not asked: a gate, or others got no answer */
	CUSTODY_FOUND_FAULT,      /* what we ask, or how, is wrong */
	CUSTODY_FOUND_APP,        /* the app's credentials are refused */
	CUSTODY_FOUND_REFUSED,    /* dead, and there is no new one yet */
	CUSTODY_FOUND_DEAD,       /* dead, and only a person can bring another one */
	CUSTODY_FOUND_UNREADABLE, /* what is stored does not open */
	CUSTODY_FOUND_EXPIRED,    /* not asked: its time is over, and its renewal due anyway */
	CUSTODY_FOUND_BY_ROW,     /* not asked: there is nothing that a probe could prove */
	CUSTODY_FOUND_COUNT
};

/* "proved", "renewed", "scope", "throttled", "unanswered", "shut", "fault", "app", "refused",
 * "dead", "unreadable", "expired", "by_row". */
const char *custody_found_name(enum custody_found found);

/* The token that was asked. */
struct custody_proved {
	int is_renewable, is_passive; /* passive: its old owner renews it */
	int is_fresh;                 /* it was renewed because the one before was refused */
	int is_repeated;              /* this very token was refused just before */
};

enum custody_proof_step {
	CUSTODY_PROOF_ENDS,
	CUSTODY_PROOF_RENEW, /* renew it, and ask again */
	CUSTODY_PROOF_REPEAT /* nothing can renew it: ask once more before it is believed */
};

struct custody_proof {
	enum custody_proof_step step;
	enum custody_found found;
	int says;          /* anything that is to be kept */
	const char *cause; /* what it is not proved for; NULL: it is */
	int is_alive, is_dead;
};

/* What an answer proves. */
void custody_prove(const struct custody_proved *proved, const struct oauth_outcome *outcome,
	const struct oauth_http_answer *answer, struct custody_proof *proof);

/* What is left to say when a refused token could not be renewed. */
void custody_prove_refused(struct custody_proof *proof);

#endif
