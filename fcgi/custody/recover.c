/*
 * Settling what was left behind. It decides what a slot means when its process is gone: an answer
 * is stored as if it had just come, unless something newer is there; a request without answer is
 * judged as one whose answer was lost.
 */
#include "custody/recover.h"

#include "base/log.h"
#include "base/text.h"
#include "custody/engine.h"
#include "custody/judge.h"
#include "custody/keep.h"
#include "custody/renew.h"
#include "custody/settle.h"
#include "vault/spool.h"

#include <inttypes.h>

#define SPOOLS_MAX 256 /* more in one go are the next one's */
#define CODE_LOST "answer_lost"

struct recovery {
	const struct custody *c;
	struct vault_spool *spool;
	struct custody_recovered *found;
};

static void note(const struct vault_spool_entry *entry, const char *what, const char *why)
{
	log_event(LOG_WARN, "spool.recovered", LOG_INT("connection", entry->key.connection_id),
		LOG_INT("fence", entry->key.fence), LOG_INT("generation", entry->key.generation),
		LOG_TEXT("what", what), LOG_TEXT("why", why));
}

/* --- an answer ------------------------------------------------------------------------------- */

static enum err store_answer(
	struct work *w, const struct recovery *r, const struct vault_spool_entry *entry)
{
	static const char *const words[] = {"stored", "repeated", "superseded", "gone"};
	const struct custody_fresh *one;
	enum store_settled settled;
	struct custody_fresh fresh;
	enum err err = custody_journal_read(w, entry->answer, &fresh);

	if (err == ERR_SEALED) {
		note(entry, "not_an_answer", NULL);
		r->found->left++;
		work_forgive(w);
		return ERR_OK;
	}
	one = &fresh;
	if (!err)
		err = custody_settle_fresh(w, r->c, &one, 1, &settled);
	if (err)
		return err;
	note(entry, words[settled], NULL);
	r->found->stored += settled == STORE_RENEWED;
	vault_spool_clear(r->spool, entry->slot);
	return ERR_OK;
}

/* An override's or an undo's: a token that no renewal brought. */
static enum err store_kept(
	struct work *w, const struct recovery *r, const struct vault_spool_entry *entry)
{
	const char *what = NULL;
	int is_left = 0;
	enum err err = custody_keep_recovered(w, r->c, &entry->key, entry->answer, &is_left, &what);

	if (is_left) {
		note(entry, "left", "a worker's");
		r->found->left++;
		return ERR_OK;
	}
	if (err && (custody_engine_is_away(err) || custody_keep_can_wait(err)))
		return err;
	note(entry, err ? "refused" : what, err ? err_slug(err) : NULL);
	r->found->stored += !err && text_equal(what, "stored");
	work_forgive(w);
	vault_spool_clear(r->spool, entry->slot);
	return ERR_OK;
}

/* --- a request without answer ---------------------------------------------------------------- */

static struct store_claim claim_of(
	const struct store_left *left, const struct vault_spool_entry *entry)
{
	return (struct store_claim){
		.connection_id = entry->key.connection_id,
		.app_id = left->app_id,
		.fence = entry->key.fence,
		.last_generation = left->last_generation,
		.generation = left->generation,
		.client = left->client,
		.provider = left->provider,
		.datacenter = left->datacenter,
		.state = left->state,
		.cause = left->cause,
		.failures = left->failures,
		.refusals = left->refusals,
		.is_ambiguous = left->is_ambiguous,
		.grant_is_over = left->grant_is_over,
		.access_lives = left->access_lives,
	};
}

static enum err write_lost(
	struct work *w, const struct recovery *r, const struct store_claim *claim)
{
	const struct oauth_provider *provider =
		oauth_provider_find(r->c->providers, claim->provider);
	struct custody_judgement j;
	struct custody_trouble trouble;
	const struct custody_trouble *troubles;
	struct store_failed row;
	int counts;

	if (!provider)
		return work_cause(w, ERR_CONFIG, "its definition is gone");
	custody_judge_lost(provider, claim, &j);
	row = (struct store_failed){
		.connection_id = claim->connection_id,
		.fence = claim->fence,
		.from = claim->generation,
		.state = j.state,
		.cause = j.cause,
		.wait_s = j.wait_s,
		.deferred_by = j.deferred_by,
		.refusals = j.refusals,
		.is_ambiguous = j.is_ambiguous,
		.was_asked = 1,
		.code = CODE_LOST,
		.why = "recovery",
	};
	trouble = (struct custody_trouble){claim->connection_id, claim->client, claim->provider,
		j.cause, "the process that renewed it ended before the provider's answer was kept",
		0};
	troubles = j.needs_incident ? &trouble : NULL;
	r->found->ambiguous += (size_t)j.is_ambiguous;
	return custody_settle_failed(w, r->c, &row, &troubles, 1, &counts);
}

/* Only where nobody has gone on since: another claim's outcome says more than this one's silence.
 */
static enum err settle_lost(
	struct work *w, const struct recovery *r, const struct vault_spool_entry *entry)
{
	struct store_left left;
	struct store_claim claim;
	enum err err = store_renewal_left(w, r->c->db, entry->key.connection_id, &left);

	if (!err && left.fence == entry->key.fence && left.generation == entry->key.generation) {
		claim = claim_of(&left, entry);
		err = write_lost(w, r, &claim);
	}
	if (err == ERR_CONNECTION_UNKNOWN) {
		work_forgive(w);
		err = ERR_OK;
	}
	if (err)
		return err;
	note(entry, "without_answer", err_slug(entry->answer_err));
	vault_spool_clear(r->spool, entry->slot);
	return ERR_OK;
}

/* --- spools ---------------------------------------------------------------------------------- */

static int may_come_back(enum err err)
{
	return err == ERR_KEY_UNKNOWN || err == ERR_IO;
}

/* One that cannot be written must not keep the others from it. */
static enum err unless_refused(
	const struct recovery *r, const struct vault_spool_entry *entry, enum err err)
{
	if (!err || custody_engine_is_away(err))
		return err;
	note(entry, "left", err_slug(err));
	r->found->left++;
	return ERR_OK;
}

static enum err settle_entry(struct work *w, const struct vault_spool_entry *entry, void *context)
{
	const struct recovery *r = context;

	w->origin.actor = "system:recovery";
	w->origin.actor_auth = "spool";
	if (entry->answer && entry->key.fence < 0)
		return unless_refused(r, entry, store_kept(w, r, entry));
	if (entry->answer)
		return unless_refused(r, entry, store_answer(w, r, entry));
	if (may_come_back(entry->answer_err) || may_come_back(entry->intent_err)) {
		note(entry, "left", err_slug(entry->answer_err));
		r->found->left++;
		return ERR_OK;
	}
	if (entry->intent)
		return unless_refused(r, entry, settle_lost(w, r, entry));
	/* cleared half, or torn before anything was sent: no request went out without its intent */
	note(entry, "empty", err_slug(entry->intent_err));
	vault_spool_clear(r->spool, entry->slot);
	return ERR_OK;
}

static enum err settle_spool(struct work *w, const struct custody *c, struct vault_spool *spool,
	struct custody_recovered *found)
{
	struct recovery r = {c, spool, found};
	size_t released = 0, left = found->left;
	enum err err = vault_spool_each(w, spool, settle_entry, &r);

	if (!err && found->left == left)
		err = store_renewal_release(w, c->db, vault_spool_name(spool), &released);
	found->released += released;
	return err;
}

static enum err settle_abandoned(
	struct work *w, const struct custody *c, struct custody_recovered *found)
{
	struct vault_spool *spools[SPOOLS_MAX], *spool = NULL;
	size_t n = 0;
	enum err err;

	do {
		err = vault_spool_take_over(
			w, c->keyring, conf_text(c->conf, CONF_state_dir), &spool);
		if (err || !spool)
			break;
		spools[n++] = spool; /* held to the end, lest it is found again */
		found->spools++;
		err = settle_spool(w, c, spool, found);
	} while (!err && n < SPOOLS_MAX);
	while (n)
		vault_spool_close(spools[--n]);
	return err;
}

enum err custody_recover(
	struct work *w, const struct custody *c, struct custody_recovered *recovered)
{
	struct vault_spool *own = custody_renewer_spool(c->renewer);
	enum err err = ERR_OK;

	*recovered = (struct custody_recovered){0};
	if (own)
		err = settle_spool(w, c, own, recovered);
	return err ? err : settle_abandoned(w, c, recovered);
}
