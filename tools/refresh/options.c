/* THE table of vestal-refresh's options, and its parser. It decides what may stand on the command
 * line; what a run does with it is not its business. */
#include "refresh/options.h"

#include "base/text.h"

#include <stddef.h>
#include <string.h>

enum kind { MODE, FLAG, CLIENT, PROVIDER, NUMBER };

struct row {
	const char *name, *word; /* word stands for the value; NULL: it takes none */
	const char *help;
	enum kind kind;
	size_t at;           /* the member it sets; not of a MODE */
	int64_t least, most; /* of a NUMBER */
	enum refresh_mode mode;
};

#define HELP_COLUMN 20

#define MEMBER(name) offsetof(struct refresh_options, name)

static const struct row rows[] = {
	{.name = "--due",
		.help = "renew what is due; this is the default",
		.kind = MODE,
		.mode = REFRESH_DUE},
	{.name = "--all",
		.help = "renew everything, whatever the schedule says",
		.kind = MODE,
		.mode = REFRESH_ALL},
	{.name = "--check",
		.help = "prove everything, mend what is found dead, and look ahead",
		.kind = MODE,
		.mode = REFRESH_CHECK},
	{.name = "--client",
		.word = "C",
		.help = "of this client only",
		.kind = CLIENT,
		.at = MEMBER(client)},
	{.name = "--provider",
		.word = "P",
		.help = "at this provider only",
		.kind = PROVIDER,
		.at = MEMBER(provider)},
	{.name = "--concurrency",
		.word = "N",
		.help = "renewals or proofs on their way at once; else as renew_concurrency is set",
		.kind = NUMBER,
		.at = MEMBER(concurrency),
		.least = 1,
		.most = 1000},
	{.name = "--deadline",
		.word = "S",
		.help = "begin nothing new after so many seconds",
		.kind = NUMBER,
		.at = MEMBER(deadline_s),
		.least = 1,
		.most = 86400},
	{.name = "--dry-run",
		.help = "show what would happen and why, and change nothing",
		.kind = FLAG,
		.at = MEMBER(is_dry_run)},
	{.name = "--json",
		.help = "one JSON document on standard output",
		.kind = FLAG,
		.at = MEMBER(is_json)},
	{.name = "--help", .help = "this", .kind = FLAG, .at = MEMBER(wants_help)},
	{.name = "--version", .help = "the version", .kind = FLAG, .at = MEMBER(wants_version)},
};

#define ROWS (sizeof(rows) / sizeof(*rows))

struct parser {
	struct work *w;
	char *const *words;
	size_t n, at;
	struct refresh_options *options;
	const char *mode; /* the option that chose it */
	int is_given[ROWS];
};

const char *refresh_mode_name(enum refresh_mode mode)
{
	static const char *const names[] = {
		[REFRESH_DUE] = "due", [REFRESH_ALL] = "all", [REFRESH_CHECK] = "check"};

	return names[mode];
}

/* --- values ---------------------------------------------------------------------------------- */

static void set(struct parser *p, const struct row *row, const void *value, size_t n)
{
	memcpy((char *)p->options + row->at, value, n);
}

static enum err set_mode(struct parser *p, const struct row *row)
{
	if (p->mode)
		return work_fail(
			p->w, ERR_USAGE, "%s and %s exclude each other", p->mode, row->name);
	p->mode = row->name;
	p->options->mode = row->mode;
	return ERR_OK;
}

static enum err set_text(
	struct parser *p, const struct row *row, const char *value, int is_good, const char *fault)
{
	if (!is_good)
		return work_fail(p->w, ERR_USAGE, "%s: %s %s", row->name, value, fault);
	set(p, row, &value, sizeof(value));
	return ERR_OK;
}

static enum err set_number(struct parser *p, const struct row *row, const char *value)
{
	int64_t number = 0;

	if (!text_to_int(value, row->least, row->most, &number))
		return work_fail(p->w, ERR_USAGE, "%s: %s is not a number from %lld to %lld",
			row->name, value, (long long)row->least, (long long)row->most);
	set(p, row, &number, sizeof(number));
	return ERR_OK;
}

static enum err take(struct parser *p, const struct row *row, const char *value)
{
	const int on = 1;

	switch (row->kind) {
	case MODE:
		return set_mode(p, row);
	case FLAG:
		set(p, row, &on, sizeof(on));
		return ERR_OK;
	case CLIENT:
		return set_text(p, row, value, text_is_client_id(value),
			"is not a client id ([A-Za-z0-9][A-Za-z0-9._-]{0,63})");
	case PROVIDER:
		return set_text(p, row, value, text_is_name(value),
			"is not a provider's name ([a-z0-9_]{1,64})");
	case NUMBER:
		return set_number(p, row, value);
	}
	return ERR_BUG;
}

/* --- words ----------------------------------------------------------------------------------- */

static const struct row *find(const char *name, size_t n)
{
	for (size_t i = 0; i < ROWS; i++)
		if (strlen(rows[i].name) == n && strncmp(rows[i].name, name, n) == 0)
			return &rows[i];
	return NULL;
}

/* The value behind the equals sign, or the next word. */
static enum err find_value(
	struct parser *p, const struct row *row, const char *equals, const char **value)
{
	*value = equals ? equals + 1 : NULL;
	if (!row->word)
		return equals ? work_fail(p->w, ERR_USAGE, "%s takes no value", row->name) : ERR_OK;
	if (!equals && p->at < p->n && !text_starts(p->words[p->at], "--"))
		*value = p->words[p->at++];
	if (!*value)
		return work_fail(p->w, ERR_USAGE, "%s needs a value: %s", row->name, row->word);
	if (text_has_control(*value))
		return work_fail(p->w, ERR_USAGE, "%s holds a control character", row->name);
	return ERR_OK;
}

static enum err read_word(struct parser *p, const char *word)
{
	const char *equals = strchr(word, '='), *value = NULL;
	size_t n = equals ? (size_t)(equals - word) : strlen(word);
	const struct row *row = find(word, n);
	enum err err;

	if (text_has_control(word))
		return work_fail(p->w, ERR_USAGE, "an argument holds a control character");
	if (!row && word[0] == '-')
		return work_fail(p->w, ERR_USAGE, "there is no option %.*s", (int)n, word);
	if (!row)
		return work_fail(p->w, ERR_USAGE, "it takes options only, not: %s", word);
	if (p->is_given[row - rows]++)
		return work_fail(p->w, ERR_USAGE, "%s is given twice", row->name);
	err = find_value(p, row, equals, &value);
	return err ? err : take(p, row, value);
}

enum err refresh_options_parse(
	struct work *w, size_t n, char *const *words, struct refresh_options *options)
{
	struct parser p = {.w = w, .words = words, .n = n, .options = options};
	enum err err = ERR_OK;

	*options = (struct refresh_options){.mode = REFRESH_DUE};
	while (!err && p.at < n) {
		const char *word = words[p.at++];

		err = read_word(&p, text_equal(word, "-h") ? "--help" : word);
	}
	return err;
}

/* --- help ------------------------------------------------------------------------------------ */

void refresh_options_usage(struct buf *text)
{
	buf_text(text, "usage: vestal-refresh");
	for (size_t i = 0; i < ROWS; i++) {
		int is_next_mode = rows[i].kind == MODE && i + 1 < ROWS && rows[i + 1].kind == MODE;
		int is_later_mode = rows[i].kind == MODE && i && rows[i - 1].kind == MODE;

		buf_printf(text, "%s%s%s%s%s", is_later_mode ? " | " : " [", rows[i].name,
			rows[i].word ? " " : "", rows[i].word ? rows[i].word : "",
			is_next_mode ? "" : "]");
	}
	buf_char(text, '\n');
}

void refresh_options_help(struct buf *text)
{
	refresh_options_usage(text);
	buf_char(text, '\n');
	for (size_t i = 0; i < ROWS; i++) {
		size_t before = text->len;

		buf_printf(text, "  %s%s%s", rows[i].name, rows[i].word ? " " : "",
			rows[i].word ? rows[i].word : "");
		buf_printf(
			text, "%*s%s\n", HELP_COLUMN - (int)(text->len - before), "", rows[i].help);
	}
	buf_text(text, "\nExit: 0 done, 1 the run failed, 2 done, but a connection needs a person, "
		       "64 bad usage.\n");
}
