/*
 * What a probe proves. It decides whose fault it is when nothing was proved: the provider's who
 * gave no answer, or ours who asked something he does not understand.
 */
#include "custody/proof.h"

#include "base/text.h"

static const char *const names[CUSTODY_FOUND_COUNT] = {"proved", "renewed", "scope", "throttled",
	"unanswered", "shut", "fault", "app", "refused", "dead", "unreadable", "expired", "by_row"};

const char *custody_found_name(enum custody_found found)
{
	return names[found];
}

/*
 * An answer of the 300s or 400s that nothing explains is to the question: a wrong address or
 * header, a proxy in between, a redirect. So is a question that did not leave because we must not
 * ask there. Time mends none of them; what a provider says of itself, it does.
 */
static int is_ours(const struct oauth_outcome *outcome, const struct oauth_http_answer *answer)
{
	if (answer->transport == OAUTH_TRANSPORT_CERTIFICATE ||
		text_equal(answer->cause, "address_refused"))
		return 1;
	return answer->transport == OAUTH_TRANSPORT_OK && answer->status >= 300 &&
	       answer->status < 500 && !text_equal(outcome->code, "server_error") &&
	       !text_equal(outcome->code, "temporarily_unavailable");
}

static struct custody_proof of(enum custody_found found, const char *cause)
{
	return (struct custody_proof){.found = found, .says = 1, .cause = cause};
}

void custody_prove_refused(struct custody_proof *proof)
{
	*proof = of(CUSTODY_FOUND_REFUSED, "ambiguous_refusal");
}

/* Only an access token is refused by it, never a grant; but a new one that is refused like the old
 * one is not what is wrong. */
static void refused(const struct custody_proved *proved, struct custody_proof *proof)
{
	if (proved->is_fresh) {
		*proof = of(CUSTODY_FOUND_FAULT, "our_fault");
		return;
	}
	custody_prove_refused(proof);
	if (proved->is_renewable)
		proof->step = CUSTODY_PROOF_RENEW;
	else if (!proved->is_passive && !proved->is_repeated)
		proof->step = CUSTODY_PROOF_REPEAT;
	else if (!proved->is_passive) {
		proof->found = CUSTODY_FOUND_DEAD;
		proof->is_dead = 1;
	}
}

void custody_prove(const struct custody_proved *proved, const struct oauth_outcome *outcome,
	const struct oauth_http_answer *answer, struct custody_proof *proof)
{
	switch (outcome->verdict) {
	case OAUTH_OK:
		*proof = of(proved->is_fresh ? CUSTODY_FOUND_RENEWED : CUSTODY_FOUND_PROVED, NULL);
		proof->is_alive = 1;
		break;
	case OAUTH_SCOPE:
		*proof = of(CUSTODY_FOUND_SCOPE, "scope_missing");
		proof->is_alive = 1;
		break;
	case OAUTH_DEAD:
		refused(proved, proof);
		break;
	case OAUTH_APP:
		*proof = of(CUSTODY_FOUND_APP, "app_credentials");
		break;
	case OAUTH_RATE:
		*proof = (struct custody_proof){.found = CUSTODY_FOUND_THROTTLED};
		break;
	case OAUTH_DEAD_OR_APP:
		*proof = of(CUSTODY_FOUND_FAULT, "our_fault");
		break;
	case OAUTH_RETRY:
		*proof = is_ours(outcome, answer) ? of(CUSTODY_FOUND_FAULT, "our_fault")
						  : of(CUSTODY_FOUND_UNANSWERED, "provider_outage");
		break;
	}
}
