/* provider: the definitions, and whether one is good. */
#include "ctl/cmd.h"
#include "ctl/ctl.h"

#include "base/text.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define STANDARD_INPUT "standard input"

static const char *const rotations[] = {[OAUTH_ROTATION_NEVER] = "never",
	[OAUTH_ROTATION_SOMETIMES] = "sometimes",
	[OAUTH_ROTATION_ALWAYS] = "always"};

static void show_json(struct jout *j, const struct oauth_provider *provider)
{
	jout_object(j, NULL);
	jout_text(j, "name", provider->name);
	jout_text(j, "title", provider->title);
	jout_text(j, "docs", provider->docs);
	jout_text(j, "file", provider->file);
	jout_text(j, "rotation", rotations[provider->rotation]);
	jout_array(j, "datacenters");
	for (size_t i = 0; i < provider->datacenter_count; i++)
		jout_text(j, NULL, provider->datacenters[i].name);
	jout_end_array(j);
	jout_text(j, "defaultDatacenter",
		provider->default_datacenter ? provider->default_datacenter->name : NULL);
	jout_end_object(j);
}

static const char *datacenters_of(struct work *w, const struct oauth_provider *provider)
{
	const char *names = "";

	for (size_t i = 0; i < provider->datacenter_count; i++)
		names = work_printf(
			w, "%s%s%s", names, *names ? "," : "", provider->datacenters[i].name);
	return names;
}

static void show_table(struct ctl *ctl)
{
	static const char *const heads[] = {
		"PROVIDER", "TITLE", "ROTATION", "DATA CENTRES", "FILE", NULL};
	struct ctl_table table;

	ctl_table_begin(&table, &ctl->out, heads, 0);
	for (size_t i = 0; i < oauth_providers_count(ctl->c.providers); i++) {
		const struct oauth_provider *provider = oauth_providers_at(ctl->c.providers, i);

		ctl_table_row(&table, CTL_PLAIN,
			(const char *const[]){provider->name, provider->title,
				rotations[provider->rotation], datacenters_of(ctl->w, provider),
				provider->file});
	}
	ctl_table_end(&table);
}

enum err ctl_cmd_provider_list(struct ctl *ctl)
{
	struct jout *j = &ctl->out.json;

	if (!ctl->out.is_json) {
		show_table(ctl);
		return ERR_OK;
	}
	jout_object(j, NULL);
	jout_array(j, "providers");
	for (size_t i = 0; i < oauth_providers_count(ctl->c.providers); i++)
		show_json(j, oauth_providers_at(ctl->c.providers, i));
	jout_end_array(j);
	jout_end_object(j);
	return ERR_OK;
}

/* --- check ----------------------------------------------------------------------------------- */

static void show_place(struct jout *j, const struct oauth_spot *place)
{
	if (place->line) {
		jout_int(j, "line", place->line);
		jout_int(j, "column", place->column);
		return;
	}
	jout_null(j, "line");
	jout_null(j, "column");
}

static void show_faults_json(
	struct ctl *ctl, const char *file, const struct oauth_faults *faults, int is_good)
{
	struct jout *j = &ctl->out.json;

	jout_object(j, NULL);
	jout_text(j, "file", file);
	jout_bool(j, "ok", is_good);
	jout_array(j, "faults");
	for (size_t i = 0; i < faults->count; i++) {
		jout_object(j, NULL);
		show_place(j, &faults->list[i].place);
		jout_text(j, "key", faults->list[i].key);
		jout_text(j, "reason", faults->list[i].reason);
		jout_text(j, "text", faults->list[i].text);
		jout_bool(j, "warning", faults->list[i].warning);
		jout_end_object(j);
	}
	jout_end_array(j);
	jout_end_object(j);
}

static void show_faults(
	struct ctl *ctl, const char *file, const struct oauth_faults *faults, int is_good)
{
	struct buf *text = &ctl->out.text;

	for (size_t i = 0; i < faults->count; i++) {
		if (faults->list[i].warning)
			ctl_out_toned(&ctl->out, CTL_DOUBTFUL, "warning: ");
		buf_printf(text, "%s\n", faults->list[i].text);
	}
	if (is_good)
		buf_printf(text, "%s: good\n", file);
}

static const struct oauth_provider *load_input(
	struct ctl *ctl, int64_t refresh_period_s, struct oauth_faults *faults)
{
	char *text = work_alloc(ctl->w, OAUTH_PROVIDER_MAX_BYTES + 1);
	size_t n = 0;
	ssize_t got;

	do {
		got = read(STDIN_FILENO, text + n, OAUTH_PROVIDER_MAX_BYTES + 1 - n);
		n += got > 0 ? (size_t)got : 0;
	} while (got > 0 || (got < 0 && errno == EINTR));
	if (got < 0)
		oauth_faults_add(
			faults, STANDARD_INPUT, NULL, "cannot be read (%s)", strerror(errno));
	else if (n > OAUTH_PROVIDER_MAX_BYTES)
		oauth_faults_add(faults, STANDARD_INPUT, NULL, "is longer than 256 KiB");
	else
		return oauth_provider_load_text(
			&ctl->w->arena, STANDARD_INPUT, text, n, refresh_period_s, faults);
	return NULL;
}

enum err ctl_cmd_provider_check(struct ctl *ctl)
{
	struct oauth_faults *faults = work_alloc(ctl->w, sizeof(*faults));
	int64_t refresh_period_s = conf_number(&ctl->conf, CONF_refresh_period_s);
	const char *file = ctl->args->positionals[0];
	int is_good;

	oauth_faults_init(faults, &ctl->w->arena);
	if (text_equal(file, "-")) {
		file = STANDARD_INPUT;
		is_good = load_input(ctl, refresh_period_s, faults) != NULL;
	} else
		is_good = oauth_provider_load(&ctl->w->arena, file, 1, refresh_period_s, faults) !=
			  NULL;
	(ctl->out.is_json ? show_faults_json : show_faults)(ctl, file, faults, is_good);
	ctl->exit_code = is_good ? 0 : 1;
	return ERR_OK;
}
