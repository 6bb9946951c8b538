/* The settings: who wins, and that a bad one is named with its fault and its place. */
#include "../support/unit.h"

#include "base/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static char *dir;
static char file[256];
static struct conf conf;

static void write_file(const char *text, size_t n)
{
	FILE *out = fopen(file, "w");

	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, n, out), n);
	assert_int_equal(fclose(out), 0);
}

static enum err load(struct work *w, const char *text)
{
	work_forgive(w);
	write_file(text, strlen(text));
	return conf_load(w, &conf);
}

static void without_a_word_the_defaults_hold(void **state)
{
	assert_int_equal(load(*state, "# nothing\n\n   \n"), ERR_OK);
	assert_string_equal(conf_text(&conf, CONF_public_url), "http://localhost:8080");
	assert_int_equal(conf_number(&conf, CONF_lease_s), 60);
	assert_int_equal(conf_number(&conf, CONF_provider_timeout_s), 20);
	assert_string_equal(conf_text(&conf, CONF_default_client), "");
	assert_string_equal(conf.origin[CONF_lease_s], "default");
	for (int i = 0; i < CONF_COUNT; i++) {
		assert_non_null(conf_text(&conf, (enum conf_option)i));
		assert_true(*conf_name((enum conf_option)i) && *conf_help((enum conf_option)i));
	}
}

static void the_environment_wins_over_the_file(void **state)
{
	setenv("VESTAL_LEASE_S", "90", 1);
	assert_int_equal(load(*state, "lease_s = 70\n  log_level=debug\t\r\n"
				      "database =  a = b  \nmail_to=\n"),
		ERR_OK);
	assert_int_equal(conf_number(&conf, CONF_lease_s), 90);
	assert_string_equal(conf.origin[CONF_lease_s], "environment");
	assert_string_equal(conf_text(&conf, CONF_log_level), "debug");
	unit_holds("origin", conf.origin[CONF_log_level], "vestal.conf:2");
	assert_string_equal(conf_text(&conf, CONF_database), "a = b");
	assert_string_equal(conf_text(&conf, CONF_mail_to), "");
	assert_string_equal(conf.file, file);
}

static void the_last_line_of_a_setting_counts(void **state)
{
	assert_int_equal(load(*state, "lease_s = 70\nlease_s = 80"), ERR_OK);
	assert_int_equal(conf_number(&conf, CONF_lease_s), 80);
}

static void networks_are_taken_as_they_are_written(void **state)
{
	assert_int_equal(load(*state, "monitor_networks = 10.0.0.0/8, ::1,192.0.2.1\n"
				      "trusted_proxies =\n"),
		ERR_OK);
	assert_string_equal(conf_text(&conf, CONF_monitor_networks), "10.0.0.0/8, ::1,192.0.2.1");
	assert_string_equal(conf_text(&conf, CONF_trusted_proxies), "");
}

static void what_up_writes_beside_settings_is_none(void **state)
{
	static const char *const others[] = {"VESTAL_URL", "VESTAL_ADMIN_KEY", "VESTAL_BIN",
		"VESTAL_LOG_DIR", "VESTAL_SOCKETS", "VESTAL_SIM_URL"};

	for (size_t i = 0; i < UNIT_COUNT(others); i++)
		setenv(others[i], "x", 1);
	assert_int_equal(load(*state, ""), ERR_OK);
	setenv("VESTAL_URLS", "x", 1);
	assert_int_equal(load(*state, ""), ERR_CONFIG);
	unit_holds("detail", ((struct work *)*state)->detail, "urls");
	unsetenv("VESTAL_URLS");
	setenv("VESTAL_UR", "x", 1);
	assert_int_equal(load(*state, ""), ERR_CONFIG);
	unit_holds("detail", ((struct work *)*state)->detail, "setting ur ");
}

static void a_bad_line_is_named_with_its_fault_and_place(void **state)
{
	static const struct {
		const char *line, *name, *fault;
	} cases[] = {
		{"lease_z = 1", "lease_z", "unknown"},
		{"LEASE_S = 61", "LEASE_S", "unknown"},
		{"= 1", "setting", "unknown"},
		{"lease_s", "vestal.conf:3", "name = value"},
		{"lease_s =", "lease_s", "whole number from 2 to 3600"},
		{"lease_s = 61s", "lease_s", "whole number"},
		{"lease_s = 1", "lease_s", "from 2 to 3600"},
		{"lease_s = 3601", "lease_s", "from 2 to 3600"},
		{"lease_s = 99999999999999999999", "lease_s", "whole number"},
		{"key_dir = keys", "key_dir", "absolute path"},
		{"webhook_url = ftp://x", "webhook_url", "http or https"},
		{"public_url = localhost", "public_url", "http or https"},
		{"log_level = verbose", "log_level", "not one of debug info warn error"},
		{"log_level =", "log_level", "not one of"},
		{"log_level = warn error", "log_level", "not one of"},
		{"smtp_starttls = requir", "smtp_starttls", "not one of"},
		{"smtp_starttls = quire", "smtp_starttls", "not one of"},
		{"smtp_starttls = STARTTLS", "smtp_starttls", "not one of"},
		{"mail_from = a\x01z", "mail_from", "control character"},
		{"mail_from = \xff", "mail_from", "control character"},
		{"mail_from = a", "mail_from", "not a mail address"},
		{"mail_from = a@", "mail_from", "not a mail address"},
		{"mail_from = @b", "mail_from", "not a mail address"},
		{"mail_from = a.@b", "mail_from", "not a mail address"},
		{"mail_from = a@b..c", "mail_from", "not a mail address"},
		{"mail_from = a@b@c", "mail_from", "not a mail address"},
		{"mail_from = <a@b>", "mail_from", "not a mail address"},
		{"mail_to = a@b, ,c@d", "mail_to", "list of mail addresses"},
		{"smtp_url = mail.example", "smtp_url", "not smtp://host"},
		{"smtp_url = smtp://", "smtp_url", "not smtp://host"},
		{"smtp_url = smtp://a:65536", "smtp_url", "not smtp://host"},
		{"smtp_url = smtp://a@b", "smtp_url", "not smtp://host"},
		{"smtp_url = smtps://[::1", "smtp_url", "not smtp://host"},
		{"monitor_networks = 10.0.0.0/8, x", "monitor_networks", "list of networks"},
		{"monitor_networks = 10.0.0.0/33", "monitor_networks", "list of networks"},
		{"monitor_networks = all", "monitor_networks", "list of networks"},
		{"trusted_proxies = localhost", "trusted_proxies", "list of networks"},
		{"trusted_proxies = 10.0.0.0/8; ::1", "trusted_proxies", "list of networks"},
		{"default_client = no/client", "default_client", "not a client id"},
		{"lease_s = 20", "lease_s", "larger than provider_timeout_s, which is 20"},
		{"provider_timeout_s = 60", "lease_s", "larger"},
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct work *w = *state;

		assert_int_equal(
			load(w, work_printf(w, "# 1\n# 2\n%s\n", cases[i].line)), ERR_CONFIG);
		unit_holds(cases[i].line, w->detail, cases[i].name);
		unit_holds(cases[i].line, w->detail, cases[i].fault);
		if (!strstr(cases[i].fault, "larger"))
			unit_holds(cases[i].line, w->detail, "vestal.conf:3");
	}
}

static void a_bad_variable_is_named_too(void **state)
{
	struct work *w = *state;

	setenv("VESTAL_RENEW_CONCURRENCY", "0", 1);
	assert_int_equal(load(w, "renew_concurrency = 7\n"), ERR_CONFIG);
	unit_holds("detail", w->detail, "renew_concurrency");
	unit_holds("detail", w->detail, "from 1 to 1000");
	unit_holds("detail", w->detail, "environment");
}

/* What does not fit into a line must not become a line of its own. */
static void a_line_without_end_is_refused(void **state)
{
	static const char *const starts[] = {"#", "mail_to = "};
	struct work *w = *state;

	for (size_t i = 0; i < UNIT_COUNT(starts); i++)
		for (int length = 8000; length < 8400; length++) {
			char *text = work_alloc(w, 10000);

			memset(text, 'x', (size_t)length);
			memcpy(text, starts[i], strlen(starts[i]));
			strcpy(text + length, "log_level = debug\n");
			if (load(w, text))
				unit_holds("detail", w->detail, "vestal.conf:1");
			else
				assert_string_equal(conf_text(&conf, CONF_log_level), "info");
		}
	work_forgive(w);
	write_file("log_level = warn\0 and more\n", 27);
	assert_int_equal(conf_load(w, &conf), ERR_CONFIG);
}

static void a_named_file_must_be_there(void **state)
{
	struct work *w = *state;

	setenv("VESTAL_CONF", "/nonexistent/vestal.conf", 1);
	assert_int_equal(conf_load(w, &conf), ERR_CONFIG);
	unit_holds("detail", w->detail, "/nonexistent/vestal.conf");
	work_forgive(w);
	setenv("VESTAL_CONF", dir, 1);
	assert_int_equal(conf_load(w, &conf), ERR_CONFIG);
	unit_holds("detail", w->detail, "cannot be read");
}

static void clear_environment(void)
{
	for (char **variable = environ; *variable;) {
		char name[64];

		if (strncmp(*variable, "VESTAL_", 7) != 0) {
			variable++;
			continue;
		}
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*variable, "="), *variable);
		assert_int_equal(unsetenv(name), 0);
	}
}

static int setup(void **state)
{
	clear_environment();
	dir = unit_dir();
	snprintf(file, sizeof(file), "%s/vestal.conf", dir);
	setenv("VESTAL_CONF", file, 1);
	return unit_begin(state);
}

static int teardown(void **state)
{
	unit_dir_remove(dir);
	return unit_end(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_a_word_the_defaults_hold),
		TEST(the_environment_wins_over_the_file),
		TEST(the_last_line_of_a_setting_counts),
		TEST(networks_are_taken_as_they_are_written),
		TEST(what_up_writes_beside_settings_is_none),
		TEST(a_bad_line_is_named_with_its_fault_and_place),
		TEST(a_bad_variable_is_named_too),
		TEST(a_line_without_end_is_refused),
		TEST(a_named_file_must_be_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
