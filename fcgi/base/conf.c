/* Reading and checking the settings. It decides what a value may look like, not what it is for. */
#include "base/conf.h"

#include "base/net.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 8192
#define INSTALLED_FILE VESTAL_CONF_DIR "/vestal.conf"

extern char **environ;

#define MAILBOXES_MAX 20

enum conf_type { TEXT, PATH, URL, NUMBER, NETWORKS, SERVER, MAILBOX, MAILBOXES, WORD };

struct option {
	const char *name, *fallback, *help;
	enum conf_type type;
	int64_t least, most;
};

static const struct option options[CONF_COUNT] = {
#define OPTION(name, type, fallback, least, most, help)                                            \
	[CONF_##name] = {#name, fallback, help, type, least, most},
#include "base/option.def"
#undef OPTION
};

/* What tools/up writes into its env file besides settings, so that the file can be sourced before
 * any program. */
static const char *const not_settings[] = {"VESTAL_CONF", "VESTAL_URL", "VESTAL_ADMIN_KEY",
	"VESTAL_BIN", "VESTAL_LOG_DIR", "VESTAL_SOCKETS", "VESTAL_SIM_URL", "VESTAL_LONG"};

const char *conf_text(const struct conf *conf, enum conf_option option)
{
	return conf->text[option];
}

int64_t conf_number(const struct conf *conf, enum conf_option option)
{
	return conf->number[option];
}

const char *conf_name(enum conf_option option)
{
	return options[option].name;
}

const char *conf_help(enum conf_option option)
{
	return options[option].help;
}

static int find(const char *name)
{
	for (int i = 0; i < CONF_COUNT; i++)
		if (strcmp(options[i].name, name) == 0)
			return i;
	return -1;
}

static int is_one_of(const char *words, const char *value)
{
	const char *at = strchr(words, ':');
	size_t n = strlen(value);

	if (strchr(value, ' '))
		return 0;
	while (at && n && (at = strstr(at, value))) {
		if (at[-1] == ' ' && (at[n] == ' ' || !at[n]))
			return 1;
		at += n;
	}
	return 0;
}

/* The address of a mail server, and nothing that would become a path or a password. */
static int is_server(const char *value)
{
	const char *host = text_starts(value, "smtp://")    ? value + 7
			   : text_starts(value, "smtps://") ? value + 8
							    : "";
	size_t n = strcspn(host, *host == '[' ? "]" : ":");
	int64_t port;

	if (*host == '[' && host[n++] != ']')
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)host[i]) &&
			!strchr(*host == '[' ? "[]:." : ".-", host[i]))
			return 0;
	return n && (!host[n] || (host[n] == ':' && text_to_int(host + n + 1, 1, 65535, &port)));
}

static int are_mailboxes(struct work *w, const char *value)
{
	char *rest = work_strdup(w, value), *word;
	size_t n = 0;

	while ((word = strsep(&rest, ",")))
		if (!text_is_mailbox(word + strspn(word, " ")) || ++n > MAILBOXES_MAX)
			return 0;
	return 1;
}

/* NULL when the value is good, else its fault. */
static const char *fault_of(
	struct work *w, const struct option *option, const char *value, int64_t *number)
{
	if (text_has_control(value))
		return "holds a control character";
	switch (option->type) {
	case TEXT:
		return NULL;
	case PATH:
		return *value && *value != '/' ? "is not an absolute path" : NULL;
	case URL:
		return *value && !text_starts(value, "http://") && !text_starts(value, "https://")
			       ? "is not an http or https address"
			       : NULL;
	case NUMBER:
		return text_to_int(value, option->least, option->most, number)
			       ? NULL
			       : work_printf(w, "is not a whole number from %lld to %lld",
					 (long long)option->least, (long long)option->most);
	case NETWORKS:
		return net_is_list(value) ? NULL : "is not a comma separated list of networks";
	case SERVER:
		return *value && !is_server(value)
			       ? "is not smtp://host or smtps://host, perhaps with a port"
			       : NULL;
	case MAILBOX:
		return *value && !text_is_mailbox(value) ? "is not a mail address" : NULL;
	case MAILBOXES:
		return *value && !are_mailboxes(w, value)
			       ? "is not a comma separated list of mail addresses"
			       : NULL;
	case WORD:
		return is_one_of(option->help, value)
			       ? NULL
			       : work_printf(w, "is not one of%s", strchr(option->help, ':') + 1);
	}
	return "has no type";
}

static enum err set(struct work *w, struct conf *conf, int i, const char *value, const char *origin)
{
	const char *fault = fault_of(w, &options[i], value, &conf->number[i]);

	if (fault)
		return work_fail(
			w, ERR_CONFIG, "setting %s %s (set in %s)", options[i].name, fault, origin);
	conf->text[i] = work_strdup(w, value);
	conf->origin[i] = origin;
	return ERR_OK;
}

static char *trim(char *text)
{
	size_t n;

	while (isspace((unsigned char)*text))
		text++;
	n = strlen(text);
	while (n && isspace((unsigned char)text[n - 1]))
		text[--n] = '\0';
	return text;
}

static enum err read_line(struct work *w, struct conf *conf, char *line, const char *origin)
{
	char *name = trim(line), *equals = strchr(name, '=');
	int i;

	if (!*name || *name == '#')
		return ERR_OK;
	if (!equals)
		return work_fail(w, ERR_CONFIG, "a line must be `name = value` (%s)", origin);
	*equals = '\0';
	name = trim(name);
	i = find(name);
	if (i < 0)
		return work_fail(w, ERR_CONFIG, "setting %s is unknown (set in %s)", name, origin);
	return set(w, conf, i, trim(equals + 1), origin);
}

static enum err read_file(struct work *w, struct conf *conf, const char *path, int must_exist)
{
	char line[LINE_MAX_BYTES];
	FILE *file = fopen(path, "re");
	enum err err = ERR_OK;
	int number = 0;

	if (!file && errno == ENOENT && !must_exist)
		return ERR_OK;
	if (!file)
		return work_fail(w, ERR_CONFIG, "the configuration file %s cannot be read: %s",
			path, strerror(errno));
	conf->file = work_strdup(w, path);
	while (!err && fgets(line, sizeof(line), file)) {
		const char *origin = work_printf(w, "%s:%d", path, ++number);

		/* The rest of a line that is cut must not be read as one of its own. */
		err = strchr(line, '\n') || feof(file)
			      ? read_line(w, conf, line, origin)
			      : work_fail(w, ERR_CONFIG, "a line is too long or holds a NUL (%s)",
					origin);
	}
	if (!err && ferror(file))
		err = work_fail(w, ERR_CONFIG, "the configuration file %s cannot be read", path);
	fclose(file);
	return err;
}

static int is_setting(const char *variable, size_t name_bytes)
{
	if (!text_starts(variable, "VESTAL_"))
		return 0;
	for (size_t i = 0; i < sizeof(not_settings) / sizeof(*not_settings); i++)
		if (strlen(not_settings[i]) == name_bytes &&
			strncmp(variable, not_settings[i], name_bytes) == 0)
			return 0;
	return 1;
}

static enum err read_environment(struct work *w, struct conf *conf)
{
	enum err err = ERR_OK;

	for (char **variable = environ; !err && *variable; variable++) {
		const char *equals = strchr(*variable, '=');
		char *name;
		int i;

		if (!equals || !is_setting(*variable, (size_t)(equals - *variable)))
			continue;
		name = arena_strndup(&w->arena, *variable + 7, (size_t)(equals - *variable) - 7);
		for (char *c = name; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		i = find(name);
		err = i < 0 ? work_fail(w, ERR_CONFIG,
				      "setting %s is unknown (set in the environment)", name)
			    : set(w, conf, i, equals + 1, "environment");
	}
	return err;
}

static enum err needs(
	struct work *w, const struct conf *conf, enum conf_option option, enum conf_option other)
{
	if (!*conf->text[option] || *conf->text[other])
		return ERR_OK;
	return work_fail(w, ERR_CONFIG, "setting %s is missing: %s needs it (set in %s)",
		options[other].name, options[option].name, conf->origin[option]);
}

static int is_here(const char *host)
{
	static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (text_starts(host, names[i]) &&
			(!host[strlen(names[i])] || host[strlen(names[i])] == ':'))
			return 1;
	return 0;
}

/* A password goes over no line that others can read. */
static enum err check_login(struct work *w, const struct conf *conf)
{
	const char *url = conf->text[CONF_smtp_url];

	if (!*conf->text[CONF_smtp_user] || !text_starts(url, "smtp://") ||
		strcmp(conf->text[CONF_smtp_starttls], "require") == 0 ||
		is_here(url + strlen("smtp://")))
		return ERR_OK;
	return work_fail(w, ERR_CONFIG,
		"setting smtp_starttls must be require where smtp_user logs in (set in %s)",
		conf->origin[CONF_smtp_starttls]);
}

static enum err check_mail(struct work *w, const struct conf *conf)
{
	enum err err = needs(w, conf, CONF_smtp_url, CONF_mail_from);

	if (!err)
		err = needs(w, conf, CONF_smtp_url, CONF_mail_to);
	if (!err)
		err = needs(w, conf, CONF_smtp_user, CONF_smtp_password_file);
	if (!err)
		err = needs(w, conf, CONF_smtp_password_file, CONF_smtp_user);
	return err ? err : check_login(w, conf);
}

/* What one setting cannot know of another. */
static enum err check_together(struct work *w, const struct conf *conf)
{
	if (conf->number[CONF_lease_s] <= conf->number[CONF_provider_timeout_s])
		return work_fail(w, ERR_CONFIG,
			"setting lease_s must be larger than provider_timeout_s, which is %lld "
			"(set in %s)",
			(long long)conf->number[CONF_provider_timeout_s],
			conf->origin[CONF_lease_s]);
	if (*conf->text[CONF_default_client] && !text_is_client_id(conf->text[CONF_default_client]))
		return work_fail(w, ERR_CONFIG,
			"setting default_client is not a client id (set in %s)",
			conf->origin[CONF_default_client]);
	return check_mail(w, conf);
}

enum err conf_load(struct work *w, struct conf *conf)
{
	const char *path = getenv("VESTAL_CONF");
	enum err err = ERR_OK;

	memset(conf, 0, sizeof(*conf));
	for (int i = 0; !err && i < CONF_COUNT; i++)
		err = set(w, conf, i, options[i].fallback, "default");
	if (!err)
		err = read_file(w, conf, path && *path ? path : INSTALLED_FILE, path && *path);
	if (!err)
		err = read_environment(w, conf);
	return err ? err : check_together(w, conf);
}
