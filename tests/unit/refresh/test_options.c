/* The command line: what it may say, and what is said of what it may not. */
#include "../support/unit.h"

#include "base/file.h"
#include "refresh/options.h"

#include <fcntl.h>
#include <string.h>

#define MANUAL_MAX_BYTES ((size_t)64 * 1024)

#define WORDS_MAX 16

/* Words are parted by one space; "''" is an empty word. */
static enum err parse(struct work *w, const char *line, struct refresh_options *options)
{
	char **words = work_alloc(w, WORDS_MAX * sizeof(*words)), *rest = work_strdup(w, line);
	size_t n = 0;

	for (char *word; rest && *rest && (word = strsep(&rest, " "));)
		words[n++] = strcmp(word, "''") == 0 ? work_strdup(w, "") : word;
	return refresh_options_parse(w, n, words, options);
}

static void good(struct work *w, const char *line, struct refresh_options *options)
{
	if (parse(w, line, options))
		fail_msg("\"%s\" is refused: %s", line, w->detail ? w->detail : "no reason");
}

static void no_words_mean_what_is_due_of_all(void **state)
{
	struct refresh_options options;

	good(*state, "", &options);
	unit_same("mode", refresh_mode_name(options.mode), "due");
	assert_null(options.client);
	assert_null(options.provider);
	assert_int_equal(options.concurrency, 0);
	assert_int_equal(options.deadline_s, 0);
	assert_false(options.is_dry_run || options.is_json || options.wants_help ||
		     options.wants_version);
}

static void each_option_says_its_own(void **state)
{
	struct refresh_options options;

	good(*state,
		"--all --client acme --provider=zoho_crm --concurrency 7 --deadline=9 --dry-run "
		"--json",
		&options);
	unit_same("mode", refresh_mode_name(options.mode), "all");
	unit_same("client", options.client, "acme");
	unit_same("provider", options.provider, "zoho_crm");
	assert_int_equal(options.concurrency, 7);
	assert_int_equal(options.deadline_s, 9);
	assert_true(options.is_dry_run && options.is_json);
	good(*state, "--due", &options);
	unit_same("mode", refresh_mode_name(options.mode), "due");
	good(*state, "--check", &options);
	unit_same("mode", refresh_mode_name(options.mode), "check");
	good(*state, "-h", &options);
	assert_true(options.wants_help && !options.wants_version);
	good(*state, "--version", &options);
	assert_true(options.wants_version && !options.wants_help);
}

static void ranges_end_where_they_say(void **state)
{
	struct refresh_options options;

	good(*state, "--concurrency 1 --deadline 1", &options);
	assert_int_equal(options.concurrency, 1);
	good(*state, "--concurrency 1000 --deadline 86400", &options);
	assert_int_equal(options.concurrency, 1000);
	assert_int_equal(options.deadline_s, 86400);
}

static void bad_lines_are_refused_by_name(void **state)
{
	static const struct {
		const char *line, *said;
	} cases[] = {
		{"--check --due", "--check and --due"},
		{"--alll", "no option --alll"},
		{"--al", "no option --al"},
		{"-x", "no option -x"},
		{"--", "no option --"},
		{"-", "no option -"},
		{"--quiet=1", "no option --quiet"},
		{"acme", "options only, not: acme"},
		{"''", "options only"},
		{"--due --all", "--due and --all exclude each other"},
		{"--all --json --due", "--all and --due exclude each other"},
		{"--due --due", "--due is given twice"},
		{"--client a --client b", "--client is given twice"},
		{"--json --json", "--json is given twice"},
		{"--json=1", "--json takes no value"},
		{"--client", "--client needs a value: C"},
		{"--client --json", "--client needs a value: C"},
		{"--client ''", "--client:  is not a client id"},
		{"--client=", "--client:  is not a client id"},
		{"--client .a", "--client: .a is not a client id"},
		{"--client a/b", "--client: a/b is not a client id"},
		{"--client a\x1b[2J", "--client holds a control character"},
		{"--client=a\x1b[2J", "an argument holds a control character"},
		{"--provider Zoho", "--provider: Zoho is not a provider's name"},
		{"--concurrency 0", "--concurrency: 0 is not a number from 1 to 1000"},
		{"--concurrency 1001", "--concurrency: 1001 is not a number from 1 to 1000"},
		{"--concurrency -1", "--concurrency: -1 is not a number from 1 to 1000"},
		{"--concurrency 5x", "--concurrency: 5x is not a number"},
		{"--concurrency ''", "--concurrency:  is not a number"},
		{"--concurrency=99999999999999999999", "is not a number from 1 to 1000"},
		{"--deadline 0", "--deadline: 0 is not a number from 1 to 86400"},
		{"--deadline 86401", "--deadline: 86401 is not a number from 1 to 86400"},
		{"--deadline 1.5", "--deadline: 1.5 is not a number"},
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct refresh_options options;

		work_forgive(*state);
		assert_int_equal(parse(*state, cases[i].line, &options), ERR_USAGE);
		unit_holds(cases[i].line, ((struct work *)*state)->detail, cases[i].said);
	}
}

static void help_names_every_option(void **state)
{
	struct buf text;

	buf_init(&text, *state, 8192);
	refresh_options_help(&text);
	unit_holds("usage", text.data,
		"usage: vestal-refresh [--due | --all | --check] [--client C] [--provider P] "
		"[--concurrency "
		"N] [--deadline S] [--dry-run] [--json] [--help] [--version]\n");
	unit_holds("row", text.data, "\n  --client C        of this client only\n");
	unit_holds("row", text.data, "\n  --concurrency N   renewals or proofs on their way");
	unit_holds("exit", text.data, "64 bad usage");
}

static void the_manual_knows_every_option(void **state)
{
	struct work *w = *state;
	char *manual = NULL, *plain;
	size_t n = 0, len = 0, known = 0;
	struct buf text;

	assert_int_equal(file_read(w, AT_FDCWD, unit_source(w, "tools/refresh/vestal-refresh.8"),
				 MANUAL_MAX_BYTES, &manual, &n),
		ERR_OK);
	plain = work_alloc(w, n + 1);
	for (const char *at = manual; *at; at++) /* without the escapes of hyphens */
		if (at[0] != '\\' || at[1] != '-')
			plain[len++] = *at;
	buf_init(&text, w, 8192);
	refresh_options_help(&text);
	for (const char *at = text.data; (at = strstr(at, "\n  --")); known++) {
		const char *name = arena_strndup(&w->arena, at + 3, strcspn(at + 3, " \n"));
		const char *bare = work_printf(w, "\n.TP\n.B %s\n", name);
		const char *valued = work_printf(w, "\n.TP\n.BI %s \" ", name);

		if (!strstr(plain, bare) && !strstr(plain, valued))
			fail_msg("%s is not in the manual", name);
		at++;
	}
	assert_int_equal(known, 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(no_words_mean_what_is_due_of_all),
		UNIT_TEST(each_option_says_its_own),
		UNIT_TEST(ranges_end_where_they_say),
		UNIT_TEST(bad_lines_are_refused_by_name),
		UNIT_TEST(help_names_every_option),
		UNIT_TEST(the_manual_knows_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
