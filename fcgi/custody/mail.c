/*
 * Sending what the outbox holds. It decides how many mails go, what goes together, and when a
 * failed one is tried again; each ends with its row and its audit event in one commit. A process
 * that dies between the server's answer and that commit sends the same mail again, under the same
 * Message-ID.
 */
#include "custody/mail.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/jout.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/letter.h"
#include "custody/mime.h"
#include "store/audit.h"
#include "store/outbox.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define MAIL_MAX_BYTES ((size_t)256 * 1024)
#define PASSWORD_MAX_BYTES 1024
#define DETAIL_MAX_BYTES 4096
#define DIGEST_MAX 500
#define LEASE_S 120 /* longer than a run sends */
#define FIRST_WAIT_S 60
#define LONGEST_WAIT_S 3600
#define REFUSED_MAX 3 /* mails of one run that the server may refuse before it is left alone */
#define OLD_DAYS 5
#define MISSED_PERIODS 3

struct post {
	const struct custody *c;
	struct oauth_smtp server;
	const char *to;
	const char *host; /* of Message-IDs */
};

/* --- the server ------------------------------------------------------------------------------- */

static enum err read_password(struct work *w, const char *path, struct secret **password)
{
	char *bytes = NULL;
	size_t n = 0;

	if (file_read(w, AT_FDCWD, path, PASSWORD_MAX_BYTES, &bytes, &n)) {
		work_forgive(w);
		return work_fail(
			w, ERR_CONFIG, "setting smtp_password_file: %s cannot be read", path);
	}
	while (n && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
		n--;
	if (!n || memchr(bytes, '\0', n))
		return work_fail(
			w, ERR_CONFIG, "setting smtp_password_file: %s holds no password", path);
	*password = secret_new(w, bytes, n);
	secret_wipe(bytes, n);
	return *password ? ERR_OK : work_cause(w, ERR_NO_MEMORY, "secure heap");
}

static enum oauth_starttls starttls_of(const char *word)
{
	return text_equal(word, "off")   ? OAUTH_STARTTLS_OFF
	       : text_equal(word, "try") ? OAUTH_STARTTLS_TRY
					 : OAUTH_STARTTLS_REQUIRE;
}

static void split_recipients(struct work *w, const char *list, struct oauth_smtp *server)
{
	char *rest = work_strdup(w, list), *word;

	while ((word = strsep(&rest, ",")) && server->to_count < OAUTH_SMTP_RECIPIENTS_MAX)
		server->to[server->to_count++] = word + strspn(word, " ");
}

static enum err open_post(struct work *w, const struct custody *c, struct post *post)
{
	const struct conf *conf = c->conf;
	const char *ca_file = conf_text(conf, CONF_smtp_ca_file);
	const char *user = conf_text(conf, CONF_smtp_user);
	const char *host = strstr(conf_text(conf, CONF_public_url), "://");
	struct secret *password = NULL;
	enum err err = *user ? read_password(w, conf_text(conf, CONF_smtp_password_file), &password)
			     : ERR_OK;

	*post = (struct post){.c = c, .to = conf_text(conf, CONF_mail_to)};
	host = host ? host + 3 : "";
	post->host = arena_strndup(&w->arena, host, strcspn(host, "/:@?#[]"));
	if (!*post->host)
		post->host = "vestal";
	post->server = (struct oauth_smtp){.url = conf_text(conf, CONF_smtp_url),
		.starttls = starttls_of(conf_text(conf, CONF_smtp_starttls)),
		.ca_file = *ca_file ? ca_file : NULL,
		.user = *user ? user : NULL,
		.password = password,
		.from = conf_text(conf, CONF_mail_from),
		.total_ms = CUSTODY_MAIL_EACH_MS};
	split_recipients(w, post->to, &post->server);
	return err;
}

static enum err send_letter(struct work *w, const struct post *post,
	const struct custody_letter *letter, const char *id, const char *thread_id,
	struct oauth_smtp_answer *answer)
{
	const struct custody_mime mime = {.from = post->server.from,
		.to = post->to,
		.subject = letter->subject,
		.id = id,
		.thread_id = thread_id,
		.at_s = clock_wall_ms() / 1000,
		.text = letter->text,
		.html = letter->html};
	struct buf buf;

	buf_init(&buf, w, MAIL_MAX_BYTES);
	custody_mime_write(&buf, &mime);
	if (buf.overflow)
		return work_cause(w, ERR_BUG, "a mail is too long");
	return oauth_smtp_send(w, &post->server, buf.data, buf.len, answer);
}

/* --- one mail --------------------------------------------------------------------------------- */

struct mailing {
	const struct store_letter *letters;
	const int64_t *ids;
	size_t n;
	const char *id; /* the Message-ID */
	struct oauth_smtp_answer answer;
	size_t recipients;
};

static const char *id_of(
	struct work *w, const struct post *post, const struct store_letter *letters, size_t n)
{
	if (n == 1)
		return work_printf(w, "<%s.%" PRId64 "@%s>", letters->message_id,
			letters->created_s, post->host);
	return work_printf(w, "<digest-%" PRId64 "-%" PRId64 ".%" PRId64 "@%s>", letters->id,
		letters[n - 1].id, letters->created_s, post->host);
}

static const char *thread_of(
	struct work *w, const struct post *post, const struct store_letter *letters, size_t n)
{
	return n == 1 && letters->incident_id ? work_printf(w, "<incident-%" PRId64 "@%s>",
							letters->incident_id, post->host)
					      : NULL;
}

static const char *detail(struct work *w, const struct mailing *m)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, DETAIL_MAX_BYTES);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	jout_text(&j, "messageId", m->id);
	jout_text(&j, "kind", m->n == 1 ? m->letters->kind : "digest");
	jout_int(&j, "messages", (int64_t)m->n);
	jout_int(&j, "recipients", (int64_t)m->recipients);
	if (m->answer.code)
		jout_int(&j, "code", m->answer.code);
	if (m->n == 1)
		jout_int(&j, "attempt", m->letters->attempts);
	jout_end_object(&j);
	return buf.data;
}

static int64_t wait_s_of(const struct store_letter *letter)
{
	int64_t wait_s = FIRST_WAIT_S;

	for (int64_t i = 1; i < letter->attempts && wait_s < LONGEST_WAIT_S; i++)
		wait_s *= 2;
	return wait_s < LONGEST_WAIT_S ? wait_s : LONGEST_WAIT_S;
}

static const char *error_of(struct work *w, const struct oauth_smtp_answer *answer)
{
	return answer->code ? work_printf(w, "%s_%d", answer->cause, answer->code) : answer->cause;
}

static enum err record(struct work *w, struct store_db *db, void *context)
{
	const struct mailing *m = context;
	const struct store_letter *only = m->n == 1 ? m->letters : NULL;
	int is_sent = m->answer.fate == OAUTH_SMTP_SENT;
	enum err err = is_sent ? store_outbox_sent(w, db, m->ids, m->n, m->id)
			       : store_outbox_failed(w, db, m->ids, m->n, wait_s_of(m->letters),
					 error_of(w, &m->answer));

	return err ? err
		   : store_audit_add(w, db,
			     &(struct store_event){
				     .action = is_sent ? "alert.sent" : "alert.failed",
				     .outcome = is_sent ? "ok" : "error",
				     .client = only ? only->client : NULL,
				     .provider = only ? only->provider : NULL,
				     .connection_id = only ? only->connection_id : 0,
				     .incident_id = only ? only->incident_id : 0,
				     .reason = is_sent ? NULL : error_of(w, &m->answer),
				     .detail_json = detail(w, m)});
}

static void count(
	struct work *w, const struct oauth_smtp_answer *answer, struct custody_mailed *mailed)
{
	if (answer->fate == OAUTH_SMTP_SENT) {
		mailed->sent++;
		return;
	}
	mailed->failed++;
	mailed->cause = work_strdup(w, error_of(w, answer));
	log_event(LOG_WARN, "mail.failed", LOG_TEXT("why", answer->cause),
		LOG_INT("code", answer->code));
}

/* A unit of work of its own for each, so that what went before needs no memory. */
static enum err send_some(struct work *w, const struct post *post,
	const struct store_letter *letters, const int64_t *ids, size_t n,
	struct oauth_smtp_answer *answer)
{
	struct mailing m = {.letters = letters, .ids = ids, .n = n};
	struct custody_letter letter;
	struct work own;
	enum err err;

	work_begin(&own, work_left_ms(w));
	own.origin = w->origin;
	m.id = id_of(&own, post, letters, n);
	m.recipients = post->server.to_count;
	err = custody_letter_write(
		&own, conf_text(post->c->conf, CONF_public_url), letters, n, &letter);
	if (!err)
		err = send_letter(
			&own, post, &letter, m.id, thread_of(&own, post, letters, n), &m.answer);
	if (!err)
		err = store_db_ready(&own, post->c->db);
	if (!err)
		err = store_db_transaction(&own, post->c->db, record, &m);
	if (err)
		work_cause(w, err, "%s", own.cause ? own.cause : err_slug(err));
	*answer = m.answer;
	work_end(&own);
	return err;
}

/* --- a run ------------------------------------------------------------------------------------ */

struct claiming {
	struct store_letter *letters;
	size_t n;
	int is_digest;
};

/* What fits the budget goes one by one. When it is more, all of it goes in one, which is written
 * now and then. */
static enum err claim(struct work *w, struct store_db *db, void *context)
{
	struct claiming *it = context;
	struct store_outbox_state state;
	enum err err = store_outbox_look(w, db, &state);
	int64_t left = CUSTODY_MAIL_BUDGET - state.sent_lately;

	if (err || !state.waiting)
		return err;
	it->is_digest = state.waiting > left && state.waiting > 1;
	if (it->is_digest ? state.had_digest : left <= 0)
		return ERR_OK;
	return store_outbox_claim(
		w, db, it->is_digest ? DIGEST_MAX : left, LEASE_S, &it->letters, &it->n);
}

static enum err send_each(struct work *w, const struct post *post, const struct claiming *it,
	const int64_t *ids, struct custody_mailed *mailed)
{
	size_t step = it->is_digest ? it->n : 1, at = 0, refused = 0;
	enum err err = ERR_OK;

	while (!err && at < it->n && work_left_ms(w) > 0) {
		struct oauth_smtp_answer answer = {0};

		err = send_some(w, post, it->letters + at, ids + at, step, &answer);
		if (err)
			break;
		at += step;
		count(w, &answer, mailed);
		refused += answer.fate != OAUTH_SMTP_SENT;
		if (answer.fate == OAUTH_SMTP_AWAY || refused == REFUSED_MAX)
			break;
	}
	/* after an error the row keeps its lease: nobody knows what became of it */
	if (!err && at < it->n)
		err = store_outbox_release(w, post->c->db, ids + at, it->n - at);
	return err;
}

static enum err send_all(struct work *w, const struct custody *c, struct custody_mailed *mailed)
{
	struct claiming it = {0};
	struct post post;
	int64_t *ids;
	enum err err = open_post(w, c, &post);

	if (!err)
		err = store_db_transaction(w, c->db, claim, &it);
	if (err || !it.n)
		return err;
	ids = work_alloc(w, it.n * sizeof(*ids));
	for (size_t i = 0; i < it.n; i++)
		ids[i] = it.letters[i].id;
	return send_each(w, &post, &it, ids, mailed);
}

enum err custody_mail_run(struct work *w, const struct custody *c, struct custody_mailed *mailed)
{
	int64_t left_ms = work_left_ms(w);
	struct work own;
	enum err err;

	*mailed = (struct custody_mailed){0};
	work_begin(&own, left_ms < CUSTODY_MAIL_RUN_MS ? left_ms : CUSTODY_MAIL_RUN_MS);
	own.origin = w->origin;
	err = store_db_ready(&own, c->db);
	if (!err)
		err = store_outbox_gather(&own, c->db,
			MISSED_PERIODS * conf_number(c->conf, CONF_refresh_period_s), OLD_DAYS);
	if (!err && *conf_text(c->conf, CONF_smtp_url))
		err = send_all(&own, c, mailed);
	mailed->cause = mailed->cause ? work_strdup(w, mailed->cause) : NULL;
	if (err && own.detail)
		work_fail(w, err, "%s", own.detail);
	else if (err)
		work_cause(w, err, "%s", own.cause ? own.cause : err_slug(err));
	work_end(&own);
	return err;
}

/* --- a test ----------------------------------------------------------------------------------- */

enum err custody_mail_test(
	struct work *w, const struct custody *c, struct oauth_smtp_answer *answer)
{
	struct custody_letter letter;
	struct mailing m = {.n = 1};
	struct post post;
	enum err err = *conf_text(c->conf, CONF_smtp_url)
			       ? open_post(w, c, &post)
			       : work_fail(w, ERR_CONFIG,
					 "setting smtp_url is not set: no mail is ever sent");

	if (err)
		return err;
	post.server.all_must_accept = 1;
	m.letters = &(struct store_letter){.kind = "test", .attempts = 1};
	m.id = work_printf(w, "<test-%s@%s>", w->origin.request_id, post.host);
	m.recipients = post.server.to_count;
	custody_letter_test(w, conf_text(c->conf, CONF_public_url), w->origin.actor, &letter);
	err = send_letter(w, &post, &letter, m.id, NULL, answer);
	m.answer = *answer;
	return err ? err
		   : store_audit_add(w, c->db,
			     &(struct store_event){.action = answer->fate == OAUTH_SMTP_SENT
								     ? "alert.sent"
								     : "alert.failed",
				     .outcome = answer->fate == OAUTH_SMTP_SENT ? "ok" : "error",
				     .reason = answer->fate == OAUTH_SMTP_SENT
						       ? NULL
						       : error_of(w, answer),
				     .detail_json = detail(w, &m)});
}
