/* Apps that many connections share: opened once, as long as the set lives, and never too many. */
#include "../support/service.h"

#include "custody/app.h"

#include <string.h>

static const struct oauth_provider *provider_of(struct service *s)
{
	const struct oauth_provider *provider = oauth_provider_find(s->c.providers, "zoho_crm");

	assert_non_null(provider);
	return provider;
}

/* Asks in a unit of work that ends at once. */
static enum err ask(struct service *s, struct custody_apps *apps, int64_t app_id,
	const char *datacenter, const struct custody_app **app)
{
	const struct oauth_provider *provider = provider_of(s);
	struct work w;
	enum err err;

	fake_db_forget();
	work_begin(&w, 1000);
	err = custody_apps_at(&w, &s->c, apps, provider, app_id,
		oauth_provider_datacenter(provider, datacenter), app);
	assert_true(!err || w.cause);
	work_end(&w);
	return err;
}

static void an_app_is_opened_once_and_outlives_who_asked(void **state)
{
	struct service *s = *state;
	const struct custody_app *app = NULL, *again = NULL, *elsewhere = NULL;
	struct custody_apps *apps;
	struct work w;

	service_app(s);
	work_begin(&w, 1000);
	apps = custody_apps_new(&w);
	assert_int_equal(ask(s, apps, 7, "eu", &app), ERR_OK);
	assert_int_equal(fake_db_count(STMT_APP_GET), 1);
	assert_int_equal(ask(s, apps, 7, "eu", &again), ERR_OK);
	assert_int_equal(fake_db_total(), 0);
	assert_ptr_equal(app, again);
	unit_same("secret", secret_reveal(app->oauth.client_secret), SERVICE_APP_SECRET);
	unit_same("client", app->oauth.client_id, "1000.APP");
	unit_same("datacenter", app->target.datacenter->name, "eu");
	/* the same app elsewhere is another */
	assert_int_equal(ask(s, apps, 7, "us", &elsewhere), ERR_OK);
	assert_int_equal(fake_db_count(STMT_APP_AT), 1);
	unit_same("datacenter", elsewhere->target.datacenter->name, "us");
	assert_int_equal(ask(s, apps, 8, "eu", &again), ERR_OK);
	assert_int_equal(fake_db_count(STMT_APP_GET), 1);
	assert_ptr_not_equal(app, again);
	unit_same("datacenter", app->target.datacenter->name, "eu");
	unit_same("secret", secret_reveal(app->oauth.client_secret), SERVICE_APP_SECRET);
	work_end(&w);
}

static void what_fails_is_asked_for_again(void **state)
{
	struct service *s = *state;
	const struct custody_app *app = NULL, *other = NULL;
	struct custody_apps *apps = custody_apps_new(&s->w);

	assert_int_equal(ask(s, apps, 7, "eu", &app), ERR_APP_MISSING);
	assert_null(app);
	service_app(s);
	fake_db_fail(STMT_APP_GET, ERR_DB_TIMEOUT);
	assert_int_equal(ask(s, apps, 7, "eu", &app), ERR_DB_TIMEOUT);
	fake_db_fail(STMT_APP_GET, ERR_OK);
	assert_int_equal(ask(s, apps, 7, "eu", &app), ERR_OK);
	unit_same("secret", secret_reveal(app->oauth.client_secret), SERVICE_APP_SECRET);
	/* and one that opened keeps its place */
	assert_int_equal(ask(s, apps, 8, "eu", &other), ERR_OK);
	assert_ptr_not_equal(app, other);
	assert_int_equal(ask(s, apps, 7, "eu", &other), ERR_OK);
	assert_ptr_equal(app, other);
	assert_int_equal(fake_db_total(), 0);
}

/* The secure heap is small: what is beyond the most is the caller's, and is gone with him. */
static void beyond_the_most_they_are_the_callers(void **state)
{
	struct service *s = *state;
	const struct oauth_provider *provider = provider_of(s);
	const struct custody_app *app = NULL, *again = NULL;
	struct custody_apps *apps = custody_apps_new(&s->w);

	service_app(s);
	for (int64_t id = 1; id <= CUSTODY_APPS_MAX; id++)
		assert_int_equal(ask(s, apps, id, "eu", &app), ERR_OK);
	assert_int_equal(ask(s, apps, CUSTODY_APPS_MAX, "eu", &again), ERR_OK);
	assert_ptr_equal(app, again);
	assert_int_equal(ask(s, apps, 1, "eu", &app), ERR_OK);
	assert_int_equal(fake_db_total(), 0);
	for (int i = 0; i < 2; i++) {
		fake_db_forget();
		assert_int_equal(custody_apps_at(&s->w, &s->c, apps, provider, CUSTODY_APPS_MAX + 1,
					 oauth_provider_datacenter(provider, "eu"), &app),
			ERR_OK);
		assert_int_equal(fake_db_count(STMT_APP_GET), 1);
		unit_same("secret", secret_reveal(app->oauth.client_secret), SERVICE_APP_SECRET);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(an_app_is_opened_once_and_outlives_who_asked),
		SERVICE_TEST(what_fails_is_asked_for_again),
		SERVICE_TEST(beyond_the_most_they_are_the_callers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
