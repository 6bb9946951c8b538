/* config: every setting as it is effective, and where it was set. What could hold a password is
 * never shown, only that it is set. */
#include "ctl/cmd.h"
#include "ctl/ctl.h"

#include <string.h>

/* A connection string may carry a password, an address a user and his. */
static int may_hold_secret(const char *value)
{
	const char *scheme = strstr(value, "://"), *at = scheme ? strchr(scheme + 3, '@') : NULL;

	return strcasestr(value, "password") != NULL ||
	       (at && (size_t)(at - scheme) < 3 + strcspn(scheme + 3, "/?#"));
}

static int is_secret(const struct conf *conf, enum conf_option option)
{
	const char *value = conf_text(conf, option);

	return *value != '/' && may_hold_secret(value); /* a path is never secret itself */
}

static void show_json(struct jout *j, const struct conf *conf, enum conf_option option)
{
	int secret = is_secret(conf, option);

	jout_object(j, NULL);
	jout_text(j, "name", conf_name(option));
	jout_text(j, "value", secret ? NULL : conf_text(conf, option));
	jout_text(j, "origin", conf->origin[option]);
	jout_bool(j, "secret", secret);
	jout_end_object(j);
}

enum err ctl_cmd_config(struct ctl *ctl)
{
	static const char *const heads[] = {"SETTING", "VALUE", "ORIGIN", NULL};
	const struct conf *conf = &ctl->conf;
	struct jout *j = &ctl->out.json;
	struct ctl_table table;

	if (ctl->out.is_json) {
		jout_object(j, NULL);
		jout_array(j, "settings");
		for (int i = 0; i < CONF_COUNT; i++)
			show_json(j, conf, (enum conf_option)i);
		jout_end_array(j);
		jout_end_object(j);
		return ERR_OK;
	}
	ctl_table_begin(&table, &ctl->out, heads, 0);
	for (int i = 0; i < CONF_COUNT; i++)
		ctl_table_row(&table, CTL_PLAIN,
			(const char *const[]){conf_name((enum conf_option)i),
				is_secret(conf, (enum conf_option)i) ? "(set)" : conf->text[i],
				conf->origin[i]});
	ctl_table_end(&table);
	return ERR_OK;
}
