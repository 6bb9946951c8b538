/* A service without its outside. */
#include "service.h"

#include "base/jin.h"
#include "custody/token.h"
#include "custody/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RINGS                                                                                      \
	(VAULT_RING_BIT(VAULT_RING_TOKEN) | VAULT_RING_BIT(VAULT_RING_APP) |                       \
		VAULT_RING_BIT(VAULT_RING_COPY) | VAULT_RING_BIT(VAULT_RING_SESSION))

void service_set(struct service *s, enum conf_option option, const char *text)
{
	s->conf.text[option] = arena_strdup(&s->arena, text);
}

static const char *below(struct service *s, const char *name)
{
	const char *path = arena_printf(&s->arena, "%s/%s", s->dir, name);

	assert_int_equal(mkdir(path, 0700), 0);
	return path;
}

static void settings(struct service *s)
{
	for (int i = 0; i < CONF_COUNT; i++)
		s->conf.text[i] = "";
	service_set(s, CONF_state_dir, below(s, "state"));
	service_set(s, CONF_runtime_dir, below(s, "run"));
	service_set(s, CONF_key_dir, below(s, "keys"));
	s->conf.number[CONF_refresh_period_s] = 300;
	s->conf.number[CONF_provider_timeout_s] = 20;
}

static void keys(struct service *s)
{
	const char *folder = conf_text(&s->conf, CONF_key_dir);
	struct vault_key_info made;

	for (int ring = 0; ring < VAULT_RING_COUNT; ring++)
		if (RINGS & VAULT_RING_BIT(ring))
			assert_int_equal(
				vault_keyring_add(&s->w, folder, (enum vault_ring)ring, &made),
				ERR_OK);
	assert_int_equal(vault_keyring_load(&s->w, folder, RINGS, &s->c.keyring), ERR_OK);
}

int service_begin(void **state)
{
	struct service *s = calloc(1, sizeof(*s));
	struct oauth_faults faults;
	int locked;

	if (!s || secret_init(1 << 20, &locked))
		return -1;
	*state = s;
	jin_init();
	work_begin(&s->w, 60000);
	arena_init(&s->arena, (size_t)16 * 1024 * 1024);
	oauth_faults_init(&faults, &s->arena);
	s->dir = unit_dir();
	settings(s);
	keys(s);
	s->c.conf = &s->conf;
	s->c.environment_gid = (gid_t)-1;
	s->c.providers = oauth_providers_load(
		&s->arena, unit_source(&s->w, "fcgi/oauth/providers"), NULL, 300, &faults);
	s->c.db = fake_db_begin(STORE_WORKER);
	s->w.origin.actor = "key:0123456789ab";
	s->w.origin.actor_auth = "api_key";
	s->w.origin.request_id = "request-1";
	return s->c.providers ? 0 : -1;
}

int service_end(void **state)
{
	struct service *s = *state;

	fake_db_end();
	work_end(&s->w);
	vault_keyring_free(s->c.keyring);
	arena_wipe(&s->arena);
	unit_dir_remove(s->dir);
	free(s);
	return 0;
}

static struct secret *secret_of(struct service *s, const char *text)
{
	struct secret *secret = secret_new(&s->w, text, strlen(text));

	assert_non_null(secret);
	return secret;
}

void service_app(struct service *s)
{
	struct store_app app = {.owner = "",
		.datacenter = "eu",
		.oauth_client_id = "1000.APP",
		.redirect_uri = "https://vestal.example/api/oauth/callback/zoho_crm"};
	const char *sealed;

	FAKE_DB_ROW(STMT_APP_NEXT_GENERATION, "3");
	FAKE_DB_ROW(STMT_APP_SET, "7");
	fake_db_role(STORE_OPERATOR);
	assert_int_equal(custody_app_set(&s->w, &s->c, "zoho_crm", &app,
				 secret_of(s, SERVICE_APP_SECRET), NULL),
		ERR_OK);
	sealed = fake_db_bytea(app.secret_sealed, app.secret_sealed_bytes);
	fake_db_no_rows(STMT_APP_NEXT_GENERATION);
	fake_db_no_rows(STMT_APP_SET);
	fake_db_forget();
	fake_db_role(STORE_WORKER);
	for (int i = 0; i < 2; i++)
		FAKE_DB_ROW(i ? STMT_APP_GET : STMT_APP_FIND, "7", "", "eu", "1000.APP", sealed,
			"3", app.redirect_uri, "{}");
}

const char *service_sealed(
	struct service *s, const char *column, int64_t generation, const char *secret)
{
	const struct custody_token_place place = {"acme", "zoho_crm", column, generation};
	struct store_sealed sealed;
	const char *fingerprint;

	assert_int_equal(custody_token_seal(
				 &s->w, &s->c, &place, secret_of(s, secret), &sealed, &fingerprint),
		ERR_OK);
	return fake_db_bytea(sealed.bytes, sealed.n);
}
