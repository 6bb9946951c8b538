/* Definitions: what is refused, what is read, where requests go. */
#include "fixture.h"

#include "base/text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REFRESH_PERIOD_S 300

static const char good[] =
	"{\"name\":\"good\",\"authorize_url\":\"{accounts}/auth\",\"token_url\":\"{accounts}/"
	"token\","
	"\"revoke_url\":\"{accounts}/revoke\","
	"\"datacenters\":{\"us\":{\"accounts\":\"https://a.example\",\"api\":\"https://"
	"b.example\"},"
	"\"eu\":{\"accounts\":\"https://a.example.eu\",\"api\":\"https://b.example.eu\"}},"
	"\"default_datacenter\":\"us\",\"scopes\":[\"read\"],\"params\":[\"tenant\"],"
	"\"rotation\":\"never\",\"access_ttl_s\":3600,\"renew_before_s\":600}";

struct folder {
	char path[64];
};

static void folder_make(struct folder *folder)
{
	strcpy(folder->path, "/tmp/vestal-provider-XXXXXX");
	assert_non_null(mkdtemp(folder->path));
}

static const char *folder_write(struct fixture *f, const struct folder *folder, const char *name,
	const char *text, size_t n)
{
	const char *path = arena_printf(&f->arena, "%s/%s", folder->path, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
	return path;
}

static void folder_remove(struct fixture *f, const struct folder *folder)
{
	const char *command = arena_printf(&f->arena, "rm -r '%s'", folder->path);

	assert_int_equal(system(command), 0);
}

/* The good definition with the members of patch; null takes one away. */
static char *patched(const char *patch)
{
	json_t *definition = json_loads(good, 0, NULL), *changes = json_loads(patch, 0, NULL),
	       *value;
	const char *name;
	char *text;

	if (!definition || !changes)
		fail_msg("bad patch %s", patch);
	json_object_foreach(changes, name, value)
	{
		if (json_is_null(value))
			json_object_del(definition, name);
		else
			json_object_set(definition, name, value);
	}
	text = json_dumps(definition, 0);
	json_decref(definition);
	json_decref(changes);
	return text;
}

static const struct oauth_provider *load_text(struct fixture *f, const struct folder *folder,
	const char *text, size_t n, struct oauth_faults *faults)
{
	const char *path = folder_write(f, folder, "good.json", text, n);

	oauth_faults_init(faults, &f->arena);
	return oauth_provider_load(&f->arena, path, 1, REFRESH_PERIOD_S, faults);
}

static int has_fault(const struct oauth_faults *faults, const char *part)
{
	for (size_t i = 0; i < faults->count; i++)
		if (strstr(faults->list[i].text, part))
			return 1;
	return 0;
}

struct refusal {
	const char *patch, *fault;
};

static const struct refusal refusals[] = {
	{"{\"colour\":\"red\"}", ": colour: is not known"},
	{"{\"revoke\":{\"verb\":\"POST\"}}", ": revoke.verb: is not known"},
	{"{\"name\":null}", ": name: is missing"},
	{"{\"token_url\":null}", ": token_url: is missing"},
	{"{\"authorize_url\":null}", ": authorize_url: is missing"},
	{"{\"scopes\":null}", ": scopes: is missing"},
	{"{\"rotation\":null}", ": rotation: is missing"},
	{"{\"access_ttl_s\":null}", ": access_ttl_s: is missing"},
	{"{\"renew_before_s\":null}", ": renew_before_s: is missing"},
	{"{\"name\":\"Good\"}", ": name: is no name"},
	{"{\"name\":7}", ": name: is not a text"},
	{"{\"title\":\"\"}", ": title: is empty"},
	{"{\"title\":\"a\\u0007b\"}", ": title: has a control character"},
	{"{\"pkce\":\"yes\"}", ": pkce: is neither true nor false"},
	{"{\"access_ttl_s\":\"3600\"}", ": access_ttl_s: is not a whole number"},
	{"{\"access_ttl_s\":3600.5}", ": access_ttl_s: is not a whole number"},
	{"{\"access_ttl_s\":0}", ": access_ttl_s: is not between 1 and"},
	{"{\"confirm_dead_s\":-1}", ": confirm_dead_s: is not between 0 and 86400"},
	{"{\"rotation\":\"maybe\"}", ": rotation: is none of: never, sometimes, always"},
	{"{\"client_auth\":\"none\"}", ": client_auth: is none of: post, basic, basic_raw"},
	{"{\"scopes\":\"read\"}", ": scopes: is not a list"},
	{"{\"scopes\":[\"read\",7]}", ": scopes[1]: is not a text"},
	{"{\"scopes\":[\"read\",\"read\"]}", ": scopes[1]: is there twice"},
	{"{\"scopes\":[\"re ad\"]}", ": scopes[0]: has a byte"},
	{"{\"scopes\":[\"re,ad\"],\"scope_separator\":\",\"}", ": scopes[0]: holds the separator"},
	{"{\"scope_separator\":\"-----\"}", ": scope_separator: is longer"},
	{"{\"token_url\":\"http://a.example/token\"}", ": token_url: is plain http"},
	{"{\"token_url\":\"http://a.example/token\",\"allow_loopback_http\":true}",
		": token_url: is plain http"},
	{"{\"token_url\":\"http://127.0.0.1/token\"}", ": token_url: is plain http"},
	{"{\"token_url\":\"http://localhost/token\"}", ": token_url: is plain http"},
	{"{\"token_url\":\"http://localhost.evil.example/t\",\"allow_loopback_http\":true}",
		"is plain http"},
	{"{\"token_url\":\"http://127.evil.example/t\",\"allow_loopback_http\":true}",
		"is plain http"},
	{"{\"token_url\":\"ftp://a.example/token\"}", ": token_url: begins with neither"},
	{"{\"token_url\":\"https://user@a.example/token\"}", ": token_url: has user information"},
	{"{\"token_url\":\"https://u:p@a.example/token\"}", ": token_url: has user information"},
	{"{\"token_url\":\"https://a.example/token#x\"}", ": token_url: has a fragment"},
	{"{\"token_url\":\"https://a.example./token\"}", ": token_url: has a bad host"},
	{"{\"token_url\":\"https://A.example/token\"}", ": token_url: has a bad host"},
	{"{\"token_url\":\"https://a..example/token\"}", ": token_url: has a bad host"},
	{"{\"token_url\":\"https:///token\"}", ": token_url: has no host"},
	{"{\"token_url\":\"https://a.example:0/token\"}", ": token_url: has a bad port"},
	{"{\"token_url\":\"https://a.example:65536/token\"}", ": token_url: has a bad port"},
	{"{\"token_url\":\"https://2130706433/token\"}", ": token_url: has a bad IPv4"},
	{"{\"token_url\":\"https://0x7f.1/token\"}", ": token_url: has a bad IPv4"},
	{"{\"token_url\":\"https://[::g]/token\"}", ": token_url: has a bad IPv6"},
	{"{\"token_url\":\"https://10.0.0.1/token\"}",
		": token_url: is at a private or reserved address, where no request goes"},
	{"{\"token_url\":\"https://172.16.0.1/token\"}", ": token_url: is at a private"},
	{"{\"token_url\":\"https://192.168.1.1:8443/token\"}", ": token_url: is at a private"},
	{"{\"token_url\":\"https://169.254.169.254/token\"}", ": token_url: is at a private"},
	{"{\"token_url\":\"https://100.64.0.1/token\"}", ": token_url: is at a private"},
	{"{\"token_url\":\"https://0.0.0.0/token\"}", ": token_url: is at a private"},
	{"{\"token_url\":\"https://[fe80::1]/token\"}", ": token_url: is at a private"},
	{"{\"token_url\":\"https://[fd00::1]/token\"}", ": token_url: is at a private"},
	{"{\"token_url\":\"https://[::ffff:10.0.0.1]/token\"}", ": token_url: is at a private"},
	{"{\"token_url\":\"https://10.0.0.1/token\",\"allow_loopback_http\":true}",
		": token_url: is at a private"},
	{"{\"datacenters\":{\"us\":{\"accounts\":\"https://192.168.1.1\"}}}",
		": datacenters.us.accounts: is at a private"},
	{"{\"probe\":{\"url\":\"https://10.0.0.1/me\",\"expect\":\"/id\"}}",
		": probe.url: is at a private"},
	{"{\"token_url\":\"https://a.example/to ken\"}", ": token_url: has a character"},
	{"{\"token_url\":\"https://a.example\\\\@evil/\"}", ": token_url: has a character"},
	{"{\"token_url\":\"https://a.example/%2\"}", ": token_url: has a bad percent escape"},
	{"{\"token_url\":\"{account}/token\"}", ": token_url: has a word that neither"},
	{"{\"token_url\":\"{accounts/token\"}", ": token_url: has a brace"},
	{"{\"token_url\":\"https://a.example/}\"}", ": token_url: has a brace"},
	{"{\"revoke_url\":\"{api_domain}/revoke\"}", ": revoke_url: has a word that neither"},
	{"{\"probe\":{\"url\":\"http://a.example/me\",\"expect\":\"/id\"}}",
		": probe.url: is plain http"},
	{"{\"probe\":{\"url\":\"https://a.example/me\"}}", ": probe.expect: is missing"},
	{"{\"probe\":{\"url\":\"https://a.example/me\",\"expect\":\"id\"}}",
		": probe.expect: is no JSON pointer"},
	{"{\"probe\":\"https://a.example/me\"}", ": probe: is not an object"},
	{"{\"identity\":{\"url\":\"https://a.example/me\",\"pointer\":\"/a~2\"}}",
		": identity.pointer: is no JSON pointer"},
	{"{\"response\":{\"scope\":\"\"}}", ": response.scope: is empty"},
	{"{\"datacenters\":{}}", ": datacenters: is not an object of 1 to 100"},
	{"{\"datacenters\":{\"US\":{\"accounts\":\"https://a.example\"}}}",
		": datacenters.US: is no name"},
	{"{\"datacenters\":{\"us\":{\"accounts\":\"https://a.example/x\"}}}",
		": datacenters.us.accounts: has more than scheme, host and port"},
	{"{\"datacenters\":{\"us\":{\"accounts\":\"http://a.example\"}}}",
		": datacenters.us.accounts: is plain http"},
	{"{\"datacenters\":{\"us\":{\"accounts\":\"https://a.example\"},\"eu\":{\"api\":\"https://"
	 "b.example\"}}}",
		": token_url: has a word that neither the data centre nor params know (data centre "
		"eu)"},
	{"{\"default_datacenter\":\"mars\"}", ": default_datacenter: is not in datacenters"},
	{"{\"default_datacenter\":null}", ": default_datacenter: is missing"},
	{"{\"params\":[\"accounts\"]}", ": datacenters.us.accounts: is a word of params too"},
	{"{\"params\":[\"client_id\"]}", ": params[0]: always is the app's"},
	{"{\"datacenters\":{\"us\":{\"accounts\":\"https://a.example\",\"client_id\":\"https://"
	 "a.example\"}}}",
		": datacenters.us.client_id: is a word that always is the app's"},
	{"{\"params\":[\"Tenant\"]}", ": params[0]: is no name"},
	{"{\"datacenters\":null,\"default_datacenter\":null,\"token_url\":\"https://a.example/t\","
	 "\"authorize_url\":\"https://a.example/"
	 "a\",\"revoke_url\":null,\"callback_datacenter\":{\"server\":\"s\"}}",
		": callback_datacenter: means nothing without datacenters"},
	{"{\"callback_datacenter\":{\"location\":\"state\"}}",
		": callback_datacenter: names a parameter"},
	{"{\"callback_keep\":[\"code\"]}", ": callback_keep[0]: names a parameter"},
	{"{\"issuer\":\"http://a.example\"}", ": issuer: is plain http"},
	{"{\"require_iss\":true}", ": require_iss: means nothing without issuer"},
	{"{\"authorize_params\":{\"state\":\"x\"}}",
		": authorize_params.state: is set by the flow"},
	{"{\"authorize_params\":{\"a\":1}}", ": authorize_params.a: is not a text"},
	{"{\"authorization_scheme\":\"Bear er\"}", ": authorization_scheme: is no word"},
	{"{\"headers\":{\"Authorization\":\"x\"}}",
		": headers.Authorization: is set by the request"},
	{"{\"headers\":{\"a b\":\"x\"}}", ": headers.a b: is a name that no header has"},
	{"{\"headers\":{\"X-A\":\"x\\r\\ny\"}}", ": headers.X-A: has a control character"},
	{"{\"api_domains\":[\"*.com\"]}", ": api_domains[0]: is no host"},
	{"{\"api_domains\":[\"a.*.example\"]}", ": api_domains[0]: is no host"},
	{"{\"api_domains\":[\"https://a.example\"]}", ": api_domains[0]: is no host"},
	{"{\"api_domains\":[\"10.0.0.1\"]}", ": api_domains[0]: is no host"},
	{"{\"datacenters\":{\"us\":{\"accounts\":\"https://"
	 "a.example\"}},\"response\":{\"api_domain\":\"/a\"}}",
		": response.api_domain: is never believed"},
	{"{\"renew_before_s\":300}", ": renew_before_s: is not larger than refresh_period_s, 300"},
	{"{\"renew_before_s\":3600}", ": renew_before_s: is not smaller than access_ttl_s"},
	{"{\"mint_quota\":{\"count\":10}}", ": mint_quota.window_s: is missing"},
	{"{\"revoke_url\":null,\"revoke\":{}}", ": revoke: means nothing without revoke_url"},
	{"{\"revoke\":{\"method\":\"GET\"}}", ": revoke.method: is none of: POST, DELETE"},
	{"{\"verdicts\":{}}", ": verdicts: is not a list"},
	{"{\"verdicts\":[{\"at\":\"token\",\"status\":400,\"verdict\":\"bad\"}]}",
		": verdicts[0].verdict: is none of"},
	{"{\"verdicts\":[{\"at\":\"moon\",\"status\":400,\"verdict\":\"ok\"}]}",
		": verdicts[0].at: is none of"},
	{"{\"verdicts\":[{\"at\":\"token\",\"grant\":\"x\",\"status\":400,\"verdict\":\"ok\"}]}",
		": verdicts[0].grant: is none of"},
	{"{\"verdicts\":[{\"at\":\"probe\",\"grant\":\"code\",\"status\":400,\"verdict\":\"ok\"}]}",
		": verdicts[0]: has a grant"},
	{"{\"verdicts\":[{\"at\":\"token\",\"status\":99,\"verdict\":\"ok\"}]}",
		": verdicts[0].status: is not between"},
	{"{\"verdicts\":[{\"at\":\"token\",\"status\":[],\"verdict\":\"ok\"}]}",
		": verdicts[0].status: is not a list"},
	{"{\"verdicts\":[{\"at\":\"token\",\"status\":[400,\"401\"],\"verdict\":\"ok\"}]}",
		": verdicts[0].status: is not a whole"},
	{"{\"verdicts\":[{\"at\":\"token\",\"pointer\":\"error\",\"verdict\":\"ok\"}]}",
		": verdicts[0].pointer: is no JSON"},
	{"{\"verdicts\":[{\"at\":\"token\",\"status\":400,\"equals\":\"x\",\"verdict\":\"ok\"}]}",
		": verdicts[0]: has equals"},
	{"{\"verdicts\":[{\"at\":\"token\",\"pointer\":\"/a\",\"equals\":[],\"verdict\":\"ok\"}]}",
		": verdicts[0].equals: is not a text"},
	{"{\"verdicts\":[{\"at\":\"token\",\"body\":\"full\",\"verdict\":\"ok\"}]}",
		": verdicts[0].body: can only be"},
	{"{\"verdicts\":[{\"at\":\"token\",\"body\":\"empty\",\"pointer\":\"/"
	 "a\",\"verdict\":\"ok\"}]}",
		": verdicts[0]: wants an empty"},
	{"{\"verdicts\":[{\"at\":\"token\",\"verdict\":\"ok\"}]}",
		": verdicts[0]: has no condition"},
	{"{\"verdicts\":[{\"status\":400,\"verdict\":\"ok\"}]}", ": verdicts[0].at: is missing"},
	{"{\"verdicts\":[{\"at\":\"token\",\"status\":400}]}", ": verdicts[0].verdict: is missing"},
};

static void test_each_fault_is_refused_and_named(void **state)
{
	struct fixture *f = *state;
	struct oauth_faults faults;
	struct folder folder;

	folder_make(&folder);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		char *text = patched(refusals[i].patch);

		if (load_text(f, &folder, text, strlen(text), &faults))
			fail_msg("%s was accepted", refusals[i].patch);
		if (!has_fault(&faults, refusals[i].fault))
			fail_msg("%s: %s", refusals[i].patch,
				faults.count ? faults.list[0].text : "no fault");
		free(text);
	}
	folder_remove(f, &folder);
}

static void test_all_faults_of_a_file_are_collected(void **state)
{
	struct fixture *f = *state;
	char *text = patched(
		"{\"pkce\":1,\"rotation\":\"x\",\"colour\":1,\"access_ttl_s\":-1,\"scopes\":null}");
	struct oauth_faults faults;
	struct folder folder;

	folder_make(&folder);
	assert_null(load_text(f, &folder, text, strlen(text), &faults));
	assert_int_equal(faults.errors, 5);
	free(text);
	text = patched(
		"{\"renew_before_s\":300,\"token_url\":\"http://a.example\",\"require_iss\":true}");
	assert_null(load_text(f, &folder, text, strlen(text), &faults));
	assert_int_equal(faults.errors, 3);
	free(text);
	text = patched("{\"token_url\":\"{account}/token\"}");
	assert_null(load_text(f, &folder, text, strlen(text), &faults));
	/* the word is missing in both data centres */
	assert_int_equal(faults.errors, 2);
	free(text);
	folder_remove(f, &folder);
}

/* What a person gets wrong at once, and all that is said of it: reading's faults, the check's, and
 * nothing that only follows from a member that could not be read. */
static const struct {
	const char *patch;
	const char *faults[4];
} heaps[] = {
	{"{\"colour\":\"red\",\"introspect_url\":\"http://a.example/i\",\"renew_before_s\":7200,"
	 "\"datacenters\":{\"us\":{\"accounts\":\"https://a.example\"}}}",
		{": colour: is not known", ": introspect_url: is plain http",
			": renew_before_s: is not smaller than access_ttl_s"}},
	{"{\"datacenters\":7,\"callback_datacenter\":{\"server\":\"s\"},\"response\":{\"api_"
	 "domain\":"
	 "\"/a\"},\"probe\":{\"url\":\"http://a.example/me\",\"expect\":\"/id\"}}",
		{": datacenters: is not an object", ": probe.url: is plain http"}},
	{"{\"datacenters\":{\"us\":{\"accounts\":7},\"eu\":{\"accounts\":\"https://b.example\"}},"
	 "\"callback_datacenter\":{\"server\":\"s\"},\"revoke_url\":\"{account}/revoke\"}",
		{": datacenters.us.accounts: is not a text",
			": revoke_url: has a word that neither the data centre nor params know "
			"(data centre eu)"}},
	{"{\"datacenters\":{\"us\":[]}}", {": datacenters.us: is not an object"}},
	{"{\"params\":[7],\"revoke_url\":\"{accounts}/{tenant}\"}", {": params[0]: is not a text"}},
	{"{\"params\":\"tenant\",\"revoke_url\":\"{accounts}/{tenant}\",\"scopes\":[\"a b\"]}",
		{": params: is not a list", ": scopes[0]: has a byte"}},
	{"{\"issuer\":7,\"require_iss\":true}", {": issuer: is not a text"}},
	{"{\"issuer\":7}", {": issuer: is not a text"}},
	{"{\"revoke_url\":7,\"revoke\":{}}", {": revoke_url: is not a text"}},
	{"{\"scope_separator\":7,\"authorization_scheme\":\"\"}",
		{": scope_separator: is not a text", ": authorization_scheme: is empty"}},
	{"{\"default_datacenter\":\"US\"}", {": default_datacenter: is no name"}},
	{"{\"access_ttl_s\":\"1h\"}", {": access_ttl_s: is not a whole number"}},
	{"{\"access_ttl_s\":null,\"renew_before_s\":300}",
		{": access_ttl_s: is missing", ": renew_before_s: is not larger than"}},
	{"{\"renew_before_s\":null}", {": renew_before_s: is missing"}},
	{"{\"expires\":\"no\",\"renew_before_s\":7200}", {": expires: is neither true nor false"}},
	{"{\"allow_loopback_http\":1,\"datacenters\":{\"us\":{\"accounts\":\"http://localhost\"}}}",
		{": allow_loopback_http: is neither true nor false"}},
	{"{\"api_domains\":[7],\"datacenters\":{\"us\":{\"accounts\":\"https://a.example\"}},"
	 "\"response\":{\"api_domain\":\"/a\"}}",
		{": api_domains[0]: is not a text"}},
	{"{\"headers\":{\"X-A\":7,\"Host\":\"a\"},\"authorize_params\":{\"\":\"x\",\"state\":\"x\"}"
	 "}",
		{": headers.X-A: is not a text", ": headers.Host: is set by the request",
			": authorize_params: has a name that is empty",
			": authorize_params.state: is set by the flow"}},
	{"{\"verdicts\":[{\"at\":\"token\",\"pointer\":\"error\",\"equals\":\"x\",\"verdict\":"
	 "\"ok\"},"
	 "{\"at\":\"token\",\"stat\":400,\"verdict\":\"ok\"},{\"at\":\"token\",\"verdict\":\"ok\"}]"
	 "}",
		{": verdicts[0].pointer: is no JSON", ": verdicts[1].stat: is not known",
			": verdicts[2]: has no condition"}},
};

static void test_nothing_is_said_of_what_could_not_be_read(void **state)
{
	struct fixture *f = *state;
	struct oauth_faults faults;
	struct folder folder;

	folder_make(&folder);
	for (size_t i = 0; i < sizeof(heaps) / sizeof(heaps[0]); i++) {
		char *text = patched(heaps[i].patch);
		size_t n = 0;

		assert_null(load_text(f, &folder, text, strlen(text), &faults));
		for (; n < 4 && heaps[i].faults[n]; n++)
			if (!has_fault(&faults, heaps[i].faults[n]))
				fail_msg("%s lacks \"%s\"", heaps[i].patch, heaps[i].faults[n]);
		if (faults.count != n)
			fail_msg("%s: %zu faults, the last: %s", heaps[i].patch, faults.count,
				faults.list[faults.count - 1].text);
		free(text);
	}
	folder_remove(f, &folder);
}

static void test_a_definition_need_not_be_a_file(void **state)
{
	struct fixture *f = *state;
	const struct oauth_provider *p;
	struct oauth_faults faults;
	char *bad = patched("{\"colour\":1}");

	oauth_faults_init(&faults, &f->arena);
	p = oauth_provider_load_text(
		&f->arena, "standard input", good, strlen(good), REFRESH_PERIOD_S, &faults);
	assert_non_null(p);
	assert_string_equal(p->file, "standard input");
	assert_null(oauth_provider_load_text(
		&f->arena, "standard input", bad, strlen(bad), REFRESH_PERIOD_S, &faults));
	assert_true(has_fault(&faults, ": colour: is not known"));
	free(bad);
}

static void test_texts_that_are_no_json_name_the_line(void **state)
{
	static const struct refusal texts[] = {
		{"{\n\"name\": \"good\",\n\"name\": \"good\"}", "good.json:3:6: duplicate"},
		{"{\n\n\n\"name\"}", "good.json:4:"},
		{"", "good.json:1:"},
		{"[]", "good.json: is not a JSON object"},
		{"{\"name\":\"\xff\"}", "good.json:1:"},
	};
	struct fixture *f = *state;
	struct oauth_faults faults;
	struct folder folder;

	folder_make(&folder);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_null(load_text(f, &folder, texts[i].patch, strlen(texts[i].patch), &faults));
		if (!has_fault(&faults, texts[i].fault))
			fail_msg("%zu: %s", i, faults.count ? faults.list[0].text : "no fault");
	}
	folder_remove(f, &folder);
}

/* A definition as people write it, and what is said of it: each fault by its place and key. */
static const char broken[] = "{\n"
			     "  \"name\": \"broken\",\n"
			     "  \"docs\": \"\",\n"
			     "  \"colour\": \"red\",\n"
			     "  \"authorize_url\": \"http://a.example/auth\",\n"
			     "  \"token_url\": \"https://a.example/token\", \"pkce\": \"yes\",\n"
			     "  \"scopes\": [\n"
			     "    \"read\",\n"
			     "    \"a b\"\n"
			     "  ],\n"
			     "  \"headers\": {\n"
			     "    \"X-A.b\": \"\",\n"
			     "    \"Host\": \"a\"\n"
			     "  },\n"
			     "  \"rot\\u0061tion\": \"maybe\",\n"
			     "  \"access_ttl_s\": 1200,\n"
			     "  \"renew_before_s\": 300,\n"
			     "  \"mint_quota\": {\"count\": 10},\n"
			     "  \"probe\": {\n"
			     "    \"expect\": \"id\",\n"
			     "    \"url\": \"https://10.0.0.1/\xc3\xa9\"\n"
			     "  },\n"
			     "  \"verdicts\": [\n"
			     "    {\"at\": \"token\", \"status\": 400, \"verdict\": \"dead\"},\n"
			     "    {\"at\": \"moon\", \"status\": 400,\n"
			     "     \"verdict\": [\"dead\"]},\n"
			     "    {\"at\": \"token\", \"verdict\": \"dead\"}\n"
			     "  ]\n"
			     "}\n";

static const char *const places[] = {
	"docs 3:3 is empty",
	"colour 4:3 is not known",
	"authorize_url 5:3 is plain http",
	"pkce 6:43 is neither true nor false",
	"scopes[1] 9:5 has a byte",
	"headers.X-A.b 12:5 is empty",
	"headers.Host 13:5 is set by the request",
	"rotation 15:3 is none of",
	"renew_before_s 17:3 is not larger than refresh_period_s",
	"mint_quota.window_s 18:3 is missing",
	"probe.expect 20:5 is no JSON pointer",
	"probe.url 21:5 has a character",
	"verdicts[1].at 25:6 is none of",
	"verdicts[1].verdict 26:6 is none of",
	"verdicts[2] 27:5 has no condition",
};

static void test_each_fault_is_told_by_line_column_and_key(void **state)
{
	const size_t count = sizeof(places) / sizeof(places[0]);
	struct fixture *f = *state;
	struct oauth_faults faults;

	oauth_faults_init(&faults, &f->arena);
	assert_null(oauth_provider_load_text(
		&f->arena, "x.json", broken, strlen(broken), REFRESH_PERIOD_S, &faults));
	for (size_t i = 0; i < faults.count; i++) {
		const struct oauth_fault *fault = &faults.list[i];
		const char *seen =
			arena_printf(&f->arena, "%s %d:%d %s", fault->key ? fault->key : "",
				fault->place.line, fault->place.column, fault->reason);
		size_t k = 0;

		while (k < count && !text_starts(seen, places[k]))
			k++;
		if (k == count)
			fail_msg("said and not expected: %s", seen);
		assert_string_equal(fault->text,
			arena_printf(&f->arena, "x.json:%d:%d: %s: %s", fault->place.line,
				fault->place.column, fault->key, fault->reason));
	}
	assert_int_equal(faults.count, count);
}

static void test_a_name_that_is_there_twice_hides_no_other_fault(void **state)
{
	static const char text[] = "{\"name\": \"good\",\n"
				   " \"name\": 7,\n"
				   " \"scopes\": 8}";
	struct fixture *f = *state;
	struct oauth_faults faults;

	oauth_faults_init(&faults, &f->arena);
	assert_null(oauth_provider_load_text(
		&f->arena, "x.json", text, strlen(text), REFRESH_PERIOD_S, &faults));
	assert_true(has_fault(&faults, "x.json:2:7: duplicate object key"));
	assert_true(has_fault(&faults, "x.json:2:2: name: is not a text"));
	assert_true(has_fault(&faults, "x.json:3:2: scopes: is not a list"));
	assert_true(has_fault(&faults, "x.json:1:1: token_url: is missing"));
}

static void test_files_that_cannot_be_definitions(void **state)
{
	struct fixture *f = *state;
	size_t n = OAUTH_PROVIDER_MAX_BYTES + 1;
	char *huge = arena_alloc(&f->arena, n);
	struct oauth_faults faults;
	struct folder folder;

	folder_make(&folder);
	memset(huge, ' ', n);
	assert_null(load_text(f, &folder, huge, n, &faults));
	assert_true(has_fault(&faults, "is no regular file of at most 256 KiB"));
	assert_null(oauth_provider_load(&f->arena, folder.path, 1, REFRESH_PERIOD_S, &faults));
	assert_null(
		oauth_provider_load(&f->arena, "/nonexistent.json", 1, REFRESH_PERIOD_S, &faults));
	assert_true(has_fault(&faults, "/nonexistent.json: cannot be read"));
	folder_remove(f, &folder);
}

static void test_defaults_are_those_of_the_contract(void **state)
{
	struct fixture *f = *state;
	const struct oauth_provider *p;
	struct oauth_faults faults;
	struct folder folder;

	folder_make(&folder);
	p = load_text(f, &folder, good, strlen(good), &faults);
	assert_non_null(p);
	assert_int_equal(faults.count, 0);
	assert_string_equal(p->title, "good");
	assert_string_equal(p->scope_separator, " ");
	assert_string_equal(p->authorization_scheme, "Bearer");
	assert_int_equal(p->client_auth, OAUTH_CLIENT_AUTH_POST);
	assert_int_equal(p->revoke.auth, OAUTH_CLIENT_AUTH_POST);
	assert_string_equal(p->revoke.field, "token");
	assert_true(p->pkce);
	assert_true(p->expires);
	assert_false(p->require_iss);
	assert_int_equal(p->confirm_dead_s, 0);
	assert_int_equal(p->mint_quota.count, 0);
	assert_string_equal(p->default_datacenter->name, "us");
	folder_remove(f, &folder);
}

static void test_margin_beyond_a_third_of_the_life_warns(void **state)
{
	struct fixture *f = *state;
	char *text = patched("{\"renew_before_s\":1201}");
	struct oauth_faults faults;
	struct folder folder;

	folder_make(&folder);
	assert_non_null(load_text(f, &folder, text, strlen(text), &faults));
	assert_int_equal(faults.errors, 0);
	assert_int_equal(faults.count, 1);
	assert_true(faults.list[0].warning);
	assert_true(has_fault(&faults, "renew_before_s: is more than a third of access_ttl_s"));
	free(text);
	folder_remove(f, &folder);
}

static void test_operators_file_of_the_same_name_wins(void **state)
{
	struct fixture *f = *state;
	struct folder builtin, own;
	struct oauth_providers *providers;
	struct oauth_faults faults;
	char *other = patched("{\"name\":\"other\"}"), *titled = patched("{\"title\":\"Mine\"}");

	folder_make(&builtin);
	folder_make(&own);
	folder_write(f, &builtin, "other.json", other, strlen(other));
	folder_write(f, &builtin, "good.json", "broken", 6);
	folder_write(f, &builtin, "README.md", "no definition", 13);
	folder_write(f, &own, "good.json", titled, strlen(titled));
	folder_write(f, &own, ".good.json.tmp", "half", 4);
	oauth_faults_init(&faults, &f->arena);
	providers =
		oauth_providers_load(&f->arena, builtin.path, own.path, REFRESH_PERIOD_S, &faults);
	assert_non_null(providers);
	assert_int_equal(oauth_providers_count(providers), 2);
	assert_string_equal(oauth_providers_at(providers, 0)->name, "good");
	assert_string_equal(oauth_providers_at(providers, 0)->title, "Mine");
	assert_string_equal(oauth_providers_at(providers, 1)->name, "other");
	assert_null(oauth_providers_at(providers, 2));
	assert_null(oauth_provider_find(providers, "nobody"));

	/* without the operator's, the broken built-in one is fatal */
	assert_null(oauth_providers_load(
		&f->arena, builtin.path, "/nonexistent", REFRESH_PERIOD_S, &faults));
	assert_true(has_fault(&faults, "good.json:1:"));
	free(other);
	free(titled);
	folder_remove(f, &builtin);
	folder_remove(f, &own);
}

static void test_a_file_is_called_after_its_provider(void **state)
{
	struct fixture *f = *state;
	struct oauth_faults faults;
	struct folder folder;

	folder_make(&folder);
	folder_write(f, &folder, "better.json", good, strlen(good));
	folder_write(f, &folder, "Bad Name.json", good, strlen(good));
	oauth_faults_init(&faults, &f->arena);
	assert_null(oauth_providers_load(&f->arena, folder.path, NULL, REFRESH_PERIOD_S, &faults));
	assert_int_equal(faults.errors, 2);
	assert_true(
		has_fault(&faults, "better.json:1:2: name: is not what the file is called after"));
	folder_remove(f, &folder);
}

static void test_zoho_definitions_hold_the_table_of_data_centres(void **state)
{
	static const struct {
		const char *name, *accounts, *api, *calendar;
	} table[] = {
		{"us", "https://accounts.zoho.com", "https://www.zohoapis.com",
			"https://calendar.zoho.com"},
		{"eu", "https://accounts.zoho.eu", "https://www.zohoapis.eu",
			"https://calendar.zoho.eu"},
		{"in", "https://accounts.zoho.in", "https://www.zohoapis.in",
			"https://calendar.zoho.in"},
		{"au", "https://accounts.zoho.com.au", "https://www.zohoapis.com.au",
			"https://calendar.zoho.com.au"},
		{"jp", "https://accounts.zoho.jp", "https://www.zohoapis.jp",
			"https://calendar.zoho.jp"},
		{"ca", "https://accounts.zohocloud.ca", "https://www.zohoapis.ca",
			"https://calendar.zohocloud.ca"},
		{"sa", "https://accounts.zoho.sa", "https://www.zohoapis.sa",
			"https://calendar.zoho.sa"},
		{"cn", "https://accounts.zoho.com.cn", "https://www.zohoapis.com.cn",
			"https://calendar.zoho.com.cn"},
		{"uk", "https://accounts.zoho.uk", "https://www.zohoapis.uk",
			"https://calendar.zoho.uk"},
		{"ae", "https://accounts.zoho.ae", "https://www.zohoapis.ae",
			"https://calendar.zoho.ae"},
	};
	const struct oauth_provider *crm = fixture_provider(*state, "zoho_crm");
	const struct oauth_provider *calendar = fixture_provider(*state, "zoho_calendar");
	size_t n = sizeof(table) / sizeof(table[0]);

	assert_int_equal(crm->datacenter_count, n);
	assert_int_equal(calendar->datacenter_count, n);
	for (size_t i = 0; i < n; i++) {
		const struct oauth_datacenter *dc = oauth_provider_datacenter(crm, table[i].name);

		assert_non_null(dc);
		assert_string_equal(oauth_datacenter_host(dc, "accounts"), table[i].accounts);
		assert_string_equal(oauth_datacenter_host(dc, "api"), table[i].api);
		dc = oauth_provider_datacenter(calendar, table[i].name);
		assert_string_equal(oauth_datacenter_host(dc, "accounts"), table[i].accounts);
		assert_string_equal(oauth_datacenter_host(dc, "api"), table[i].calendar);
	}
	assert_null(oauth_provider_datacenter(crm, "mars"));
	assert_int_equal(crm->rotation, OAUTH_ROTATION_NEVER);
	assert_int_equal(crm->confirm_dead_s, 120);
	assert_int_equal(crm->mint_quota.count, 10);
	assert_int_equal(crm->mint_quota.window_s, 600);
	assert_int_equal(crm->revoke.auth, OAUTH_CLIENT_AUTH_NONE);
}

static void test_templates_are_filled_from_data_centre_and_params(void **state)
{
	struct fixture *f = *state;
	const struct oauth_provider *entra = fixture_provider(f, "entra");
	struct oauth_pair tenant = {"tenant", "contoso.example"};
	struct oauth_target target = {.provider = entra,
		.datacenter = oauth_provider_datacenter(entra, "usgov"),
		.params = {&tenant, 1}};
	static const char *const bad[] = {
		"", "a/b", "a@b", "..", "a?b", "a#b", "{x}", "a b", "a%2f"};
	char *url, *origin;

	assert_int_equal(oauth_provider_url(&f->w, &target, entra->token_url, &url), ERR_OK);
	assert_string_equal(
		url, "https://login.microsoftonline.us/contoso.example/oauth2/v2.0/token");
	assert_int_equal(oauth_provider_origin(&f->w, &target, entra->token_url, &origin), ERR_OK);
	assert_string_equal(origin, "https://login.microsoftonline.us");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		tenant.value = bad[i];
		assert_int_equal(
			oauth_provider_url(&f->w, &target, entra->token_url, &url), ERR_CONFIG);
	}
	target.params.count = 0;
	assert_int_equal(oauth_provider_url(&f->w, &target, entra->token_url, &url), ERR_CONFIG);
}

static void test_the_client_id_is_a_word_of_every_template(void **state)
{
	struct fixture *f = *state;
	const struct oauth_provider *github = fixture_provider(f, "github");
	struct oauth_target target = {.provider = github, .client_id = "Iv1.8a61f9b3"};
	char *url;

	assert_int_equal(oauth_provider_url(&f->w, &target, github->revoke_url, &url), ERR_OK);
	assert_string_equal(url, "https://api.github.com/applications/Iv1.8a61f9b3/token");
	target.client_id = "../user";
	assert_int_equal(oauth_provider_url(&f->w, &target, github->revoke_url, &url), ERR_CONFIG);
	target.client_id = NULL;
	assert_int_equal(oauth_provider_url(&f->w, &target, github->revoke_url, &url), ERR_CONFIG);
}

/* What each of the built-in ones needs said besides its addresses: how its tokens live and end. */
static const struct {
	const char *name;
	enum oauth_rotation rotation;
	enum oauth_client_auth client_auth;
	int64_t access_ttl_s, reuse_grace_s, idle_ttl_s, grant_ttl_s, grants_per_user;
} lives[] = {
	{"entra", OAUTH_ROTATION_ALWAYS, OAUTH_CLIENT_AUTH_POST, 3600, 90 * 86400, 90 * 86400, 0,
		0},
	{"github", OAUTH_ROTATION_ALWAYS, OAUTH_CLIENT_AUTH_POST, 28800, 0, 0, 15811200, 0},
	{"google", OAUTH_ROTATION_NEVER, OAUTH_CLIENT_AUTH_POST, 3600, 0, 180 * 86400, 0, 100},
	{"hubspot", OAUTH_ROTATION_NEVER, OAUTH_CLIENT_AUTH_POST, 1800, 0, 0, 0, 0},
	{"quickbooks", OAUTH_ROTATION_SOMETIMES, OAUTH_CLIENT_AUTH_BASIC, 3600, 0, 100 * 86400,
		INT64_C(5) * 365 * 86400, 0},
	{"salesforce", OAUTH_ROTATION_SOMETIMES, OAUTH_CLIENT_AUTH_POST, 7200, 0, 0, 0, 5},
	{"slack", OAUTH_ROTATION_ALWAYS, OAUTH_CLIENT_AUTH_BASIC, 43200, 0, 0, 0, 0},
	{"xero", OAUTH_ROTATION_ALWAYS, OAUTH_CLIENT_AUTH_BASIC, 1800, 1800, 60 * 86400, 0, 0},
	{"zoho_calendar", OAUTH_ROTATION_NEVER, OAUTH_CLIENT_AUTH_POST, 3600, 0, 0, 0, 20},
	{"zoho_crm", OAUTH_ROTATION_NEVER, OAUTH_CLIENT_AUTH_POST, 3600, 0, 0, 0, 20},
};

static void test_built_in_definitions_say_how_tokens_live(void **state)
{
	const size_t count = sizeof(lives) / sizeof(lives[0]);
	struct fixture *f = *state;
	const struct oauth_providers *builtin;
	struct oauth_faults faults;

	oauth_faults_init(&faults, &f->arena);
	builtin = oauth_providers_load(&f->arena, fixture_path(f, "fcgi/oauth/providers"), NULL,
		REFRESH_PERIOD_S, &faults);
	assert_non_null(builtin);
	assert_int_equal(faults.count, 0);
	assert_int_equal(oauth_providers_count(builtin), count);
	for (size_t i = 0; i < count; i++) {
		const struct oauth_provider *p = oauth_providers_at(builtin, i);

		assert_string_equal(p->name, lives[i].name);
		assert_non_null(p->docs);
		assert_string_not_equal(p->title, p->name);
		assert_int_equal(p->rotation, lives[i].rotation);
		assert_int_equal(p->client_auth, lives[i].client_auth);
		assert_int_equal(p->access_ttl_s, lives[i].access_ttl_s);
		assert_int_equal(p->reuse_grace_s, lives[i].reuse_grace_s);
		assert_int_equal(p->idle_ttl_s, lives[i].idle_ttl_s);
		assert_int_equal(p->grant_ttl_s, lives[i].grant_ttl_s);
		assert_int_equal(p->grants_per_user, lives[i].grants_per_user);
		assert_non_null(p->identity.url);
	}
}

static void test_the_probe_goes_to_an_allowed_api_domain_only(void **state)
{
	struct fixture *f = *state;
	const struct oauth_provider *crm = fixture_provider(f, "zoho_crm");
	struct oauth_target target = {
		.provider = crm, .datacenter = oauth_provider_datacenter(crm, "eu")};
	struct oauth_provider provider = *crm;
	const char *pattern = "*.zohoapis.eu";
	char *url;

	target.api_domain = "https://www.zohoapis.eu";
	assert_int_equal(oauth_provider_url(&f->w, &target, crm->probe.url, &url), ERR_OK);
	assert_string_equal(url, "https://www.zohoapis.eu/crm/v8/users?type=CurrentUser");
	provider.api_domains = (struct oauth_words){&pattern, 1};
	target.provider = &provider;
	target.api_domain = "https://sandbox.zohoapis.eu";
	assert_int_equal(oauth_provider_url(&f->w, &target, crm->probe.url, &url), ERR_OK);
	assert_string_equal(url, "https://sandbox.zohoapis.eu/crm/v8/users?type=CurrentUser");
	target.api_domain = "https://evil.example";
	assert_int_equal(oauth_provider_url(&f->w, &target, crm->probe.url, &url), ERR_OK);
	assert_string_equal(url, "https://www.zohoapis.eu/crm/v8/users?type=CurrentUser");
}

static void test_api_domains_are_matched_exactly(void **state)
{
	static const char *const refused[] = {"https://www.zohoapis.com",
		"https://www.zohoapis.eu/", "https://www.zohoapis.eu.evil.example",
		"https://www.zohoapis.eu@evil.example", "http://www.zohoapis.eu",
		"https://www.zohoapis.eu:8443", "https://www.zohoapis.eu.",
		"https://WWW.zohoapis.eu", "https://10.0.0.1", "", "www.zohoapis.eu"};
	static const char *const matched[] = {
		"https://eu1.api.example", "https://a.b.api.example", "https://fixed.example"};
	static const char *const missed[] = {"https://api.example", "https://xapi.example",
		"https://.api.example", "https://eu1.api.example:444", "http://eu1.api.example",
		"https://x.fixed.example", "https://eu1.api.example.evil.example",
		"https://eu1.api.example/x", "https://u@eu1.api.example"};
	const struct oauth_provider *crm = fixture_provider(*state, "zoho_crm");
	const struct oauth_provider *probed = fixture_provider(*state, "probed");
	const struct oauth_datacenter *eu = oauth_provider_datacenter(crm, "eu");

	assert_true(oauth_provider_allows_api_domain(crm, eu, "https://www.zohoapis.eu"));
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_false(oauth_provider_allows_api_domain(crm, eu, refused[i]));
	for (size_t i = 0; i < sizeof(matched) / sizeof(matched[0]); i++)
		assert_true(oauth_provider_allows_api_domain(probed, NULL, matched[i]));
	for (size_t i = 0; i < sizeof(missed) / sizeof(missed[0]); i++)
		assert_false(oauth_provider_allows_api_domain(probed, NULL, missed[i]));
}

static void test_loopback_http_is_allowed_where_the_definition_says_so(void **state)
{
	static const char *const hosts[] = {"http://127.0.0.1:8900", "http://127.0.0.10:8900",
		"http://localhost:8900", "http://[::1]:8900"};
	struct fixture *f = *state;
	struct oauth_faults faults;
	struct folder folder;

	folder_make(&folder);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		char *text = patched(arena_printf(&f->arena,
			"{\"allow_loopback_http\":true,\"datacenters\":{\"us\":{\"accounts\":\"%"
			"s\"}}}",
			hosts[i]));

		if (!load_text(f, &folder, text, strlen(text), &faults))
			fail_msg("%s: %s", hosts[i], faults.list[0].text);
		free(text);
	}
	folder_remove(f, &folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_each_fault_is_refused_and_named),
		TEST(test_all_faults_of_a_file_are_collected),
		TEST(test_nothing_is_said_of_what_could_not_be_read),
		TEST(test_a_definition_need_not_be_a_file),
		TEST(test_texts_that_are_no_json_name_the_line),
		TEST(test_each_fault_is_told_by_line_column_and_key),
		TEST(test_a_name_that_is_there_twice_hides_no_other_fault),
		TEST(test_files_that_cannot_be_definitions),
		TEST(test_defaults_are_those_of_the_contract),
		TEST(test_margin_beyond_a_third_of_the_life_warns),
		TEST(test_operators_file_of_the_same_name_wins),
		TEST(test_a_file_is_called_after_its_provider),
		TEST(test_zoho_definitions_hold_the_table_of_data_centres),
		TEST(test_templates_are_filled_from_data_centre_and_params),
		TEST(test_the_client_id_is_a_word_of_every_template),
		TEST(test_built_in_definitions_say_how_tokens_live),
		TEST(test_the_probe_goes_to_an_allowed_api_domain_only),
		TEST(test_api_domains_are_matched_exactly),
		TEST(test_loopback_http_is_allowed_where_the_definition_says_so),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
