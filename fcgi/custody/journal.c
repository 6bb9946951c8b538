/*
 * The text of an intent and of an answer. It decides what it takes to finish a renewal when nothing
 * else is left of it: everything that the commit needs.
 */
#include "custody/journal.h"

#include "base/jin.h"
#include "base/jout.h"

#include <string.h>

#define INTENT_MAX_BYTES ((size_t)3000)
#define ANSWER_MAX_BYTES ((size_t)56 * 1024)

static enum err finish(struct work *w, struct buf *buf, struct secret **text)
{
	*text = buf->overflow ? NULL : secret_new(w, buf->data, buf->len);
	if (buf->overflow)
		return work_cause(w, ERR_TOO_LARGE, "the journal's entry is too large");
	buf_clear(buf);
	return *text ? ERR_OK : work_cause(w, ERR_NO_MEMORY, "the secure heap is full");
}

enum err custody_journal_intent(
	struct work *w, const struct store_claim *claim, const char *why, struct secret **intent)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, INTENT_MAX_BYTES);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	jout_text(&j, "client", claim->client);
	jout_text(&j, "provider", claim->provider);
	jout_text(&j, "claimedAt", claim->claimed_at);
	jout_text(&j, "why", why);
	jout_end_object(&j);
	return finish(w, &buf, intent);
}

enum err custody_journal_answer(
	struct work *w, const struct custody_fresh *fresh, struct secret **answer)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, ANSWER_MAX_BYTES);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	jout_int(&j, "connection", fresh->connection_id);
	jout_int(&j, "fence", fresh->fence);
	jout_int(&j, "from", fresh->from);
	jout_int(&j, "to", fresh->to);
	jout_text(&j, "client", fresh->client);
	jout_text(&j, "provider", fresh->provider);
	jout_text(&j, "access", secret_reveal(fresh->access));
	jout_text(&j, "refresh", secret_reveal(fresh->refresh));
	jout_text(&j, "tokenType", fresh->token_type);
	jout_int(&j, "lifetime", fresh->lifetime_s);
	jout_int(&j, "refreshLifetime", fresh->refresh_lifetime_s);
	jout_int(&j, "idleTtl", fresh->idle_ttl_s);
	jout_text(&j, "askedAt", fresh->asked_at);
	jout_text(&j, "apiDomain", fresh->api_domain);
	jout_text(&j, "scope", fresh->scope);
	jout_text(&j, "scopeIs", fresh->scope_is);
	jout_int(&j, "margin", fresh->margin_s);
	jout_int(&j, "late", fresh->late_s);
	jout_text(&j, "why", fresh->why);
	jout_end_object(&j);
	return finish(w, &buf, answer);
}

static int64_t number(const json_t *root, const char *name)
{
	return json_integer_value(json_object_get(root, name));
}

/* Copied: jansson's strings end with the root, which the caller's work owns, but a text's life
 * should not hang on that. */
static const char *text(struct work *w, const json_t *root, const char *name)
{
	const char *value = json_string_value(json_object_get(root, name));

	return value ? work_strdup(w, value) : NULL;
}

static struct secret *hidden(struct work *w, const json_t *root, const char *name)
{
	const json_t *value = json_object_get(root, name);

	return json_is_string(value)
		       ? secret_new(w, json_string_value(value), json_string_length(value))
		       : NULL;
}

enum err custody_journal_read(
	struct work *w, const struct secret *answer, struct custody_fresh *fresh)
{
	const json_t *root = jin_parse(w, secret_reveal(answer), secret_len(answer));

	*fresh = (struct custody_fresh){
		.connection_id = number(root, "connection"),
		.fence = number(root, "fence"),
		.from = number(root, "from"),
		.to = number(root, "to"),
		.client = text(w, root, "client"),
		.provider = text(w, root, "provider"),
		.access = hidden(w, root, "access"),
		.refresh = hidden(w, root, "refresh"),
		.token_type = text(w, root, "tokenType"),
		.lifetime_s = number(root, "lifetime"),
		.refresh_lifetime_s = number(root, "refreshLifetime"),
		.idle_ttl_s = number(root, "idleTtl"),
		.asked_at = text(w, root, "askedAt"),
		.api_domain = text(w, root, "apiDomain"),
		.scope = text(w, root, "scope"),
		.scope_is = text(w, root, "scopeIs"),
		.margin_s = number(root, "margin"),
		.late_s = number(root, "late"),
		.why = text(w, root, "why"),
	};
	if (!fresh->client || !fresh->provider || !fresh->token_type || !fresh->asked_at ||
		!fresh->scope_is || !fresh->why || fresh->from < 1 || fresh->to <= fresh->from)
		return work_cause(w, ERR_SEALED, "not an answer of a renewal");
	return fresh->access && fresh->refresh
		       ? ERR_OK
		       : work_cause(w, ERR_NO_MEMORY, "the secure heap is full");
}
