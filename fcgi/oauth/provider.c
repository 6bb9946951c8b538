/* The loaded definitions. It decides which files count; what is in them is read and checked
 * elsewhere. */
#include "oauth/provider.h"

#include "base/text.h"
#include "oauth/provider_check.h"
#include "oauth/provider_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROVIDERS_MAX 200

struct oauth_providers {
	const struct oauth_provider *items[PROVIDERS_MAX];
	size_t count;
};

/* The file's bytes, or NULL after saying why not. */
static char *read_file(
	struct arena *arena, const char *path, size_t *n, struct oauth_faults *faults)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	struct stat st;
	ssize_t got;

	if (fd < 0 || fstat(fd, &st) != 0)
		oauth_faults_add(faults, path, NULL, "cannot be read (%s)", strerror(errno));
	else if (!S_ISREG(st.st_mode) || st.st_size > (off_t)OAUTH_PROVIDER_MAX_BYTES)
		oauth_faults_add(faults, path, NULL, "is no regular file of at most 256 KiB");
	else {
		text = arena_alloc(arena, (size_t)st.st_size + 1);
		while ((got = read(fd, text + *n, (size_t)st.st_size - *n)) > 0)
			*n += (size_t)got;
		if (got < 0) {
			oauth_faults_add(
				faults, path, NULL, "cannot be read (%s)", strerror(errno));
			text = NULL;
		}
	}
	if (fd >= 0)
		close(fd);
	return text;
}

/* The provider a path is called after, or NULL when the file is called after none. */
static const char *stem(struct arena *arena, const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	size_t n = strlen(base);
	char *name;

	if (n < 6 || !text_equal(base + n - 5, ".json"))
		return NULL;
	name = arena_strndup(arena, base, n - 5);
	return text_is_name(name) ? name : NULL;
}

/* Source: the FNV-1a hash, ietf.org/archive/id/draft-eastlake-fnv-17. */
static const char *version_of(struct arena *arena, const char *text, size_t n)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	return arena_printf(arena, "%016" PRIx64, hash);
}

/* The JSON of a text, or NULL after saying why it is none. jansson ends at the first name that is
 * there twice: it is said, and the rest is read all the same. */
static json_t *parse(const char *file, const char *text, size_t n, struct oauth_faults *faults)
{
	json_error_t error;
	json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);

	if (root)
		return root;
	oauth_faults_add_at(
		faults, file, (struct oauth_spot){error.line, error.column}, error.text);
	return json_error_code(&error) == json_error_duplicate_key ? json_loadb(text, n, 0, &error)
								   : NULL;
}

/* What could be read of a definition, checked; NULL when it is no JSON object. */
static struct oauth_provider *load_text(struct arena *arena, const char *file, const char *text,
	size_t n, int64_t refresh_period_s, struct oauth_faults *faults)
{
	struct oauth_provider *provider = arena_alloc(arena, sizeof(*provider));
	size_t before = faults->count;
	json_t *root = parse(file, text, n, faults);

	faults->source = text;
	faults->source_n = n;
	if (!root)
		return NULL;
	if (!json_is_object(root)) {
		oauth_faults_add(faults, file, NULL, "is not a JSON object");
		json_decref(root);
		return NULL;
	}
	oauth_provider_read(arena, file, root, faults, provider);
	provider->version = version_of(arena, text, n);
	json_decref(root);
	oauth_provider_check(arena, refresh_period_s, faults, before, provider);
	return provider;
}

const struct oauth_provider *oauth_provider_load_text(struct arena *arena, const char *file,
	const char *text, size_t n, int64_t refresh_period_s, struct oauth_faults *faults)
{
	size_t before = faults->errors;
	const struct oauth_provider *provider =
		load_text(arena, arena_strdup(arena, file), text, n, refresh_period_s, faults);

	faults->source = NULL;
	return faults->errors == before ? provider : NULL;
}

const struct oauth_provider *oauth_provider_load(struct arena *arena, const char *path,
	int any_name, int64_t refresh_period_s, struct oauth_faults *faults)
{
	const char *file = arena_strdup(arena, path), *expected = stem(arena, path);
	size_t before = faults->errors, n = 0;
	char *text = read_file(arena, path, &n, faults);
	const struct oauth_provider *provider =
		text ? load_text(arena, file, text, n, refresh_period_s, faults) : NULL;

	if (provider && !any_name && provider->name && !text_equal(provider->name, expected))
		oauth_faults_add(faults, file, "name", "is not what the file is called after");
	faults->source = NULL;
	return faults->errors == before ? provider : NULL;
}

static int is_definition(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return entry->d_name[0] != '.' && n > 5 && text_equal(entry->d_name + n - 5, ".json");
}

static int has_file(const char *dir, const char *name, struct arena *arena)
{
	return dir && access(arena_printf(arena, "%s/%s", dir, name), F_OK) == 0;
}

/* Loads the definitions of a folder, except those that the other folder has too. */
static void load_dir(struct arena *arena, const char *dir, const char *winner,
	int64_t refresh_period_s, struct oauth_faults *faults, struct oauth_providers *providers)
{
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_definition, alphasort);

	if (n < 0)
		oauth_faults_add(faults, dir, NULL, "cannot be read (%s)", strerror(errno));
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		const struct oauth_provider *provider = NULL;

		if (!has_file(winner, name, arena))
			provider =
				oauth_provider_load(arena, arena_printf(arena, "%s/%s", dir, name),
					0, refresh_period_s, faults);
		if (provider && providers->count == PROVIDERS_MAX)
			oauth_faults_add(
				faults, dir, NULL, "makes more than %d providers", PROVIDERS_MAX);
		else if (provider)
			providers->items[providers->count++] = provider;
		free(entries[i]);
	}
	free(entries);
}

static int name_order(const void *a, const void *b)
{
	const struct oauth_provider *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

struct oauth_providers *oauth_providers_load(struct arena *arena, const char *builtin_dir,
	const char *operator_dir, int64_t refresh_period_s, struct oauth_faults *faults)
{
	struct oauth_providers *providers = arena_alloc(arena, sizeof(*providers));
	size_t before = faults->errors;

	if (operator_dir && access(operator_dir, F_OK) != 0 && errno == ENOENT)
		operator_dir = NULL;
	load_dir(arena, builtin_dir, operator_dir, refresh_period_s, faults, providers);
	if (operator_dir)
		load_dir(arena, operator_dir, NULL, refresh_period_s, faults, providers);
	qsort(providers->items, providers->count, sizeof(*providers->items), name_order);
	return faults->errors == before ? providers : NULL;
}

size_t oauth_providers_count(const struct oauth_providers *providers)
{
	return providers->count;
}

const struct oauth_provider *oauth_providers_at(
	const struct oauth_providers *providers, size_t place)
{
	return place < providers->count ? providers->items[place] : NULL;
}

const struct oauth_provider *oauth_provider_find(
	const struct oauth_providers *providers, const char *name)
{
	for (size_t i = 0; i < providers->count; i++)
		if (text_equal(providers->items[i]->name, name))
			return providers->items[i];
	return NULL;
}

const struct oauth_datacenter *oauth_provider_datacenter(
	const struct oauth_provider *provider, const char *name)
{
	for (size_t i = 0; i < provider->datacenter_count; i++)
		if (text_equal(provider->datacenters[i].name, name))
			return &provider->datacenters[i];
	return NULL;
}
