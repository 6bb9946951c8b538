/* Shared by the tests of fcgi/oauth. */
#include "fixture.h"

#include "base/jin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *fixture_path(struct fixture *f, const char *path)
{
	const char *srcdir = getenv("srcdir");

	return arena_printf(&f->arena, "%s/%s", srcdir ? srcdir : ".", path);
}

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int locked;

	if (!f || secret_init(1 << 20, &locked))
		return -1;
	jin_init();
	arena_init(&f->arena, (size_t)16 * 1024 * 1024);
	oauth_faults_init(&f->faults, &f->arena);
	f->providers = oauth_providers_load(&f->arena, fixture_path(f, "fcgi/oauth/providers"),
		fixture_path(f, "tests/unit/oauth/providers"), 300, &f->faults);
	for (size_t i = 0; i < f->faults.count; i++)
		fprintf(stderr, "%s\n", f->faults.list[i].text);
	*state = f;
	return f->providers ? 0 : -1;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	arena_wipe(&f->arena);
	free(f);
	return 0;
}

int fixture_begin(void **state)
{
	struct fixture *f = *state;

	work_begin(&f->w, 10000);
	return 0;
}

int fixture_end(void **state)
{
	struct fixture *f = *state;

	work_end(&f->w);
	return 0;
}

const struct oauth_provider *fixture_provider(struct fixture *f, const char *name)
{
	const struct oauth_provider *provider = oauth_provider_find(f->providers, name);

	if (!provider)
		fail_msg("no provider %s", name);
	return provider;
}

struct secret *fixture_secret(struct fixture *f, const char *text)
{
	struct secret *secret = secret_new(&f->w, text, strlen(text));

	assert_non_null(secret);
	return secret;
}

int fixture_holds(const struct secret *secret, const char *text)
{
	return secret && secret_len(secret) == strlen(text) &&
	       memcmp(secret_reveal(secret), text, strlen(text)) == 0;
}

struct oauth_http_answer fixture_answer(
	struct fixture *f, int status, const char *content_type, const char *body, size_t n)
{
	struct oauth_http_answer answer = {.status = status, .content_type = content_type};

	buf_init(&answer.body, &f->w, OAUTH_HTTP_BODY_MAX_BYTES);
	buf_add(&answer.body, body, n);
	return answer;
}
