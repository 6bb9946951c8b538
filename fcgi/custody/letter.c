/*
 * The words of mails. It decides how each kind is put; text and HTML say the same. What people have
 * written themselves is quoted without addresses in it, so that no mail of ours leads elsewhere.
 */
#include "custody/letter.h"

#include "base/buf.h"
#include "base/jin.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

#define PART_MAX_BYTES ((size_t)64 * 1024)
#define FACTS_MAX 16
#define LINES_MAX 100
#define QUOTE_MAX_BYTES 500
#define PREFIX "[Vestal] "

struct fact {
	const char *label, *value;
};

struct draft {
	struct work *w;
	const struct store_letter *about;
	json_t *payload;
	const char *subject, *lead, *todo, *link;
	struct fact facts[FACTS_MAX];
	size_t fact_count;
	const char *lines[LINES_MAX];
	size_t line_count;
};

/* --- words ------------------------------------------------------------------------------------ */

struct word {
	const char *name, *text;
};

static const struct word causes[] = {
	{"none", "a person is at work on it"},
	{"ambiguous_refusal", "many grants were refused at once"},
	{"sealed_unreadable", "what is stored cannot be opened"},
	{"user_revoked", "the grant was taken back at the provider"},
	{"grant_expired", "the grant has ended"},
	{"app_credentials", "the provider refuses the app's credentials"},
	{"wrong_datacenter", "it lives in another data centre"},
	{"scope_missing", "a permission is missing"},
	{"provider_outage", "the provider cannot be asked"},
	{"rate_limited", "the provider takes no more requests for now"},
	{"ambiguous_rotation", "an answer was lost, and the refresh token may be spent"},
	{"never_connected", "it was never connected"},
	{"removed", "the token was removed"},
	{"our_fault", "something is wrong on our side"},
};

static const struct word todos[] = {
	{"none", "Nothing: this is for your information."},
	{"wait", "Nothing for now: Vestal goes on trying, and says when it is over."},
	{"reauthorize",
		"Connect it again: sign in on the page below and start an authorization from "
		"there."},
	{"fix_app", "Look up the app's client id and secret at the provider, then tell Vestal: "
		    "vestalctl app set. All its connections come back by themselves."},
	{"ask_tenant", "Ask the client for the missing permission, then connect it again."},
	{"investigate", "Look into the host: vestalctl doctor, and Vestal's log."},
};

static const char *text_of(const struct word *words, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (text_equal(words[i].name, name))
			return words[i].text;
	return name ? name : "";
}

#define TEXT_OF(words, name) text_of(words, sizeof(words) / sizeof(*(words)), name)

static const char *duration(struct work *w, int64_t s)
{
	if (s < 60)
		return work_printf(w, "%" PRId64 " s", s);
	if (s < 3600)
		return work_printf(w, "%" PRId64 " min", s / 60);
	if (s < 86400)
		return work_printf(w, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
	return work_printf(w, "%" PRId64 " d %" PRId64 " h", s / 86400, s / 3600 % 24);
}

/* "2026-01-31T12:00:00.000Z" for people: "2026-01-31 12:00 UTC". */
static const char *moment(struct work *w, const char *at)
{
	return at && strlen(at) >= 16 ? work_printf(w, "%.10s %.5s UTC", at, at + 11) : NULL;
}

/* What people wrote, on one line, without addresses of pages. */
static const char *quoted(struct work *w, const char *text)
{
	char *rest, *word;
	struct buf buf;

	if (!text)
		return NULL;
	buf_init(&buf, w, 2 * QUOTE_MAX_BYTES + 64);
	rest = work_strdup(w, text);
	for (char *c = rest; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	while ((word = strsep(&rest, " "))) {
		if (!*word)
			continue;
		if (buf.len)
			buf_char(&buf, ' ');
		buf_text(&buf, strstr(word, "://") ? "(an address, left out)" : word);
	}
	return buf.len ? buf.data : NULL;
}

static void fact(struct draft *d, const char *label, const char *value)
{
	if (value && *value && d->fact_count < FACTS_MAX)
		d->facts[d->fact_count++] = (struct fact){label, value};
}

static void line(struct draft *d, const char *text)
{
	if (d->line_count < LINES_MAX)
		d->lines[d->line_count++] = text;
}

static int64_t number_in(const json_t *payload, const char *name)
{
	return json_integer_value(json_object_get(payload, name));
}

static const char *text_in(const json_t *payload, const char *name)
{
	const char *text = json_string_value(json_object_get(payload, name));

	return text ? text : "";
}

/* --- kinds ------------------------------------------------------------------------------------ */

/* Whom or what a message is about. */
static const char *subject_of(struct work *w, const struct store_letter *about)
{
	const char *name = quoted(w, about->client_name);

	if (about->client && name && !text_equal(name, about->client))
		return work_printf(w, "%s of %s (%s)", about->provider, about->client, name);
	if (about->client)
		return work_printf(w, "%s of %s", about->provider, about->client);
	return work_printf(w, "%s%s%s%s%s", about->is_of_app ? "the app at " : "",
		about->provider ? about->provider : "?",
		about->datacenter && *about->datacenter ? " (" : "",
		about->datacenter ? about->datacenter : "",
		about->datacenter && *about->datacenter ? ")" : "");
}

/* A store that lags behind is ours to mend, and nobody is without a token for it. */
static const char *cause_of(const struct store_letter *about)
{
	return text_equal(about->cause, "our_fault") && about->reason &&
			       strstr(about->reason, "store")
		       ? "a store is out of date"
		       : TEXT_OF(causes, about->cause);
}

static void incident_facts(struct draft *d)
{
	const struct store_letter *about = d->about;
	struct work *w = d->w;

	fact(d, "Client", about->client);
	fact(d, "Provider", about->provider);
	fact(d, "Data centre", about->datacenter);
	fact(d, "Cause", cause_of(about));
	fact(d, "Said", quoted(w, about->reason));
	if (!text_equal(about->owner, "none"))
		fact(d, "Whose turn", about->owner);
	if (about->children)
		fact(d, "Connections", work_printf(w, "%" PRId64, about->children));
	fact(d, "Since", moment(w, about->opened_at));
	fact(d, "No live token since", moment(w, about->impact_start));
	fact(d, "Taken on by", about->acknowledged_by);
	if (about->flaps)
		fact(d, "Came back", work_printf(w, "%" PRId64 " times", about->flaps));
	fact(d, "Incident", work_printf(w, "%" PRId64, about->incident_id));
}

static void opened(struct draft *d)
{
	const struct store_letter *about = d->about;
	const char *of = subject_of(d->w, about);
	int is_again = number_in(d->payload, "flaps") > 0;

	d->subject = work_printf(d->w, "%s: %s%s", of, cause_of(about), is_again ? ", again" : "");
	d->lead = work_printf(d->w, "Trouble with %s: %s.%s", of, cause_of(about),
		is_again ? " It was over for a short while only." : "");
	d->todo = TEXT_OF(todos, about->action);
	incident_facts(d);
}

static void reminder(struct draft *d)
{
	const struct store_letter *about = d->about;
	const char *of = subject_of(d->w, about);

	d->subject = work_printf(d->w, "Still open: %s: %s", of, cause_of(about));
	d->lead = work_printf(d->w, "The trouble with %s is not over: %s.", of, cause_of(about));
	d->todo = TEXT_OF(todos, about->action);
	incident_facts(d);
}

static void resolved(struct draft *d)
{
	const struct store_letter *about = d->about;
	const char *of = subject_of(d->w, about);
	const char *took = duration(d->w, number_in(d->payload, "recoverySeconds"));

	d->subject = work_printf(d->w, "Recovered: %s, after %s", of, took);
	d->lead = work_printf(d->w,
		about->client ? "%s works again: a live token is proved and distributed."
			      : "%s works again.",
		of);
	d->todo = TEXT_OF(todos, "none");
	fact(d, "Took", took);
	incident_facts(d);
	fact(d, "Over since", moment(d->w, about->resolved_at));
	fact(d, "Ended by", about->resolved_by);
}

static void grant_ends(struct draft *d)
{
	const struct store_letter *about = d->about;
	const char *of = subject_of(d->w, about);
	const char *at = moment(d->w, text_in(d->payload, "endsAt"));
	int64_t days = number_in(d->payload, "days");

	d->subject = work_printf(d->w, "%s: its grant ends within %" PRId64 " %s", of, days,
		days == 1 ? "day" : "days");
	d->lead = work_printf(d->w, "The grant of %s ends, and no renewal can move its end.", of);
	d->todo = TEXT_OF(todos, "reauthorize");
	fact(d, "Client", about->client);
	fact(d, "Provider", about->provider);
	fact(d, "Ends", at);
}

static void missed(struct draft *d)
{
	d->subject = "the refresher did not run for a while";
	d->lead = "Runs of the refresher were missed; while none runs, tokens run out.";
	d->todo = "Look at its timer or cron on the host: vestalctl doctor.";
	fact(d, "Last run before", moment(d->w, text_in(d->payload, "before")));
	fact(d, "Runs again since", moment(d->w, text_in(d->payload, "startedAt")));
	fact(d, "Host", text_in(d->payload, "host"));
}

static void summary(struct draft *d)
{
	const json_t *lines = json_object_get(d->payload, "lines");
	int64_t total = number_in(d->payload, "total");

	d->subject = work_printf(d->w, "today: %" PRId64 " %s not healthy", total,
		total == 1 ? "connection is" : "connections are");
	d->lead = "These connections are not healthy today:";
	d->todo = "See the page below for what helps each of them.";
	for (size_t i = 0; i < json_array_size(lines); i++) {
		const json_t *one = json_array_get(lines, i);

		line(d, work_printf(d->w, "%s of %s: %s, %s", text_in(one, "provider"),
				text_in(one, "clientId"), text_in(one, "status"),
				TEXT_OF(causes, text_in(one, "cause"))));
	}
	if ((size_t)total > d->line_count)
		line(d, work_printf(d->w, "and %" PRId64 " more", total - (int64_t)d->line_count));
}

static const struct kind {
	const char *name;
	void (*compose)(struct draft *d);
} kinds[] = {
	{"incident.opened", opened},
	{"incident.reminder", reminder},
	{"incident.resolved", resolved},
	{"grant.ends", grant_ends},
	{"refresher.missed", missed},
	{"summary", summary},
};

static enum err compose(struct draft *d)
{
	const char *payload = d->about->payload_json;

	d->payload = jin_parse(d->w, payload, strlen(payload));
	d->link = d->about->incident_id
			  ? work_printf(d->w, "/admin/#incident-%" PRId64, d->about->incident_id)
			  : "/admin/";
	for (size_t i = 0; d->payload && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (text_equal(kinds[i].name, d->about->kind)) {
			kinds[i].compose(d);
			return ERR_OK;
		}
	return work_cause(d->w, ERR_DB, "an outbox row that nobody can put into words");
}

static enum err digest(
	struct work *w, const struct store_letter *letters, size_t n, struct draft *d)
{
	enum err err = ERR_OK;

	d->subject = work_printf(w, "%zu messages in one", n);
	d->lead = "More happened than is told one by one:";
	d->todo = "See the page below for each of them.";
	d->link = "/admin/";
	for (size_t i = 0; !err && i < n; i++) {
		struct draft one = {.w = w, .about = &letters[i]};

		err = compose(&one);
		if (!err && i < LINES_MAX - 1)
			line(d, one.subject);
	}
	if (n > LINES_MAX - 1)
		line(d, work_printf(w, "and %zu more", n - (LINES_MAX - 1)));
	return err;
}

/* --- both parts ------------------------------------------------------------------------------- */

static const char *as_text(const struct draft *d, const char *public_url)
{
	struct buf buf;

	buf_init(&buf, d->w, PART_MAX_BYTES);
	buf_printf(&buf, "%s\n\n", d->lead);
	for (size_t i = 0; i < d->fact_count; i++)
		buf_printf(&buf, "%s: %s\n", d->facts[i].label, d->facts[i].value);
	for (size_t i = 0; i < d->line_count; i++)
		buf_printf(&buf, "- %s\n", d->lines[i]);
	buf_printf(&buf, "\nWhat to do: %s\n\n%s%s\n", d->todo, public_url, d->link);
	return buf.data;
}

static void element(struct buf *buf, const char *before, const char *text, const char *after)
{
	buf_text(buf, before);
	text_html_escape(buf, text);
	buf_text(buf, after);
}

static const char *as_html(const struct draft *d, const char *public_url)
{
	const char *url = work_printf(d->w, "%s%s", public_url, d->link);
	struct buf buf;

	buf_init(&buf, d->w, PART_MAX_BYTES);
	buf_text(&buf, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		       "<meta name=\"viewport\" content=\"width=device-width\"></head>\n"
		       "<body style=\"font:16px/1.5 sans-serif;max-width:36em;margin:0 auto;"
		       "padding:1em\">\n");
	element(&buf, "<p><strong>", d->lead, "</strong></p>\n");
	if (d->fact_count)
		buf_text(&buf, "<table style=\"border-spacing:0 .3em\">\n");
	for (size_t i = 0; i < d->fact_count; i++) {
		element(&buf, "<tr><td style=\"padding-right:1em;vertical-align:top;color:#555\">",
			d->facts[i].label, "</td><td>");
		element(&buf, "", d->facts[i].value, "</td></tr>\n");
	}
	if (d->fact_count)
		buf_text(&buf, "</table>\n");
	if (d->line_count)
		buf_text(&buf, "<ul>\n");
	for (size_t i = 0; i < d->line_count; i++)
		element(&buf, "<li>", d->lines[i], "</li>\n");
	if (d->line_count)
		buf_text(&buf, "</ul>\n");
	element(&buf, "<p>What to do: ", d->todo, "</p>\n");
	element(&buf, "<p><a href=\"", url, "\">");
	element(&buf, "", url, "</a></p>\n</body></html>\n");
	return buf.data;
}

static void finish(struct draft *d, const char *public_url, struct custody_letter *letter)
{
	*letter = (struct custody_letter){work_printf(d->w, PREFIX "%s", d->subject),
		as_text(d, public_url), as_html(d, public_url)};
}

enum err custody_letter_write(struct work *w, const char *public_url,
	const struct store_letter *letters, size_t n, struct custody_letter *letter)
{
	struct draft d = {.w = w, .about = letters};
	enum err err = n == 1 ? compose(&d) : digest(w, letters, n, &d);

	if (!err)
		finish(&d, public_url, letter);
	return err;
}

void custody_letter_test(
	struct work *w, const char *public_url, const char *who, struct custody_letter *letter)
{
	struct draft d = {.w = w,
		.subject = "a test",
		.lead = "This is a test: alerts of Vestal arrive here.",
		.todo = TEXT_OF(todos, "none"),
		.link = "/admin/"};

	fact(&d, "Asked for by", who);
	finish(&d, public_url, letter);
}
