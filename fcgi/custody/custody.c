/* Putting the parts together at the start of a program. It decides what is fatal then: everything
 * but the database. */
#include "custody/custody.h"

#include "base/jin.h"
#include "base/log.h"
#include "base/text.h"
#include "store/audit.h"

#include <grp.h>
#include <string.h>

int custody_log_level(const struct conf *conf)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};

	for (int level = LOG_DEBUG; level <= LOG_ERROR; level++)
		if (text_equal(conf_text(conf, CONF_log_level), names[level]))
			return level;
	return LOG_INFO;
}

static enum err load_providers(
	struct work *boot, const struct conf *conf, struct oauth_providers **providers)
{
	const char *builtin = work_printf(boot, "%s/providers", conf_text(conf, CONF_data_dir));
	struct oauth_faults *faults = work_alloc(boot, sizeof(*faults));

	oauth_faults_init(faults, &boot->arena);
	*providers = oauth_providers_load(&boot->arena, builtin, conf_text(conf, CONF_provider_dir),
		conf_number(conf, CONF_refresh_period_s), faults);
	for (size_t i = 0; *providers && i < faults->count; i++)
		log_event(LOG_WARN, "provider.doubtful", LOG_TEXT("what", faults->list[i].text));
	if (*providers)
		return ERR_OK;
	return work_fail(boot, ERR_CONFIG, "provider definitions: %s",
		faults->count ? faults->list[0].text : "none could be read");
}

static enum err find_group(struct work *boot, const struct conf *conf, gid_t *gid)
{
	const char *name = conf_text(conf, CONF_environment_group);
	const struct group *group = *name ? getgrnam(name) : NULL;

	*gid = group ? group->gr_gid : (gid_t)-1;
	if (*name && !group)
		return work_fail(boot, ERR_CONFIG,
			"setting environment_group: there is no group %s (set in %s)", name,
			conf->origin[CONF_environment_group]);
	return ERR_OK;
}

static enum err open_libraries(struct work *boot, const struct conf *conf, struct custody *c)
{
	const char *ca_file = conf_text(conf, CONF_ca_file);
	enum err err = oauth_http_init();

	if (err)
		return work_fail(boot, err, "libcurl could not be started");
	c->http = oauth_http_new(*ca_file ? ca_file : NULL);
	return c->http ? ERR_OK : ERR_NO_MEMORY;
}

enum err custody_open(struct work *boot, const struct conf *conf, const char *program,
	enum store_role role, unsigned rings, size_t heap_bytes, struct custody *c)
{
	int locked = 0;
	enum err err = secret_init(heap_bytes, &locked);

	*c = (struct custody){.conf = conf, .role = role};
	log_init(program, (enum log_level)custody_log_level(conf));
	jin_init();
	store_audit_init(program);
	if (!err && !locked)
		log_event(LOG_WARN, "secrets.not_locked",
			LOG_TEXT("why", "the limit of locked memory is too low"));
	if (!err)
		err = vault_keyring_load(boot, conf_text(conf, CONF_key_dir), rings, &c->keyring);
	if (!err)
		err = load_providers(boot, conf, &c->providers);
	if (!err)
		err = find_group(boot, conf, &c->environment_gid);
	if (!err)
		err = open_libraries(boot, conf, c);
	if (!err)
		err = store_db_new(boot, conf, role, &c->db);
	if (err)
		custody_close(c);
	return err;
}

void custody_close(struct custody *c)
{
	store_db_free(c->db);
	oauth_http_free(c->http);
	vault_keyring_free(c->keyring);
	oauth_http_cleanup();
	memset(c, 0, sizeof(*c));
}

enum err custody_provider(struct work *w, const struct custody *c, const char *name,
	const struct oauth_provider **provider)
{
	*provider = oauth_provider_find(c->providers, name);
	return *provider ? ERR_OK : work_fail_field(w, "provider", "is not a known provider");
}
