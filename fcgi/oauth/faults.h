/* What is wrong in a definition: all of it, not only the first. */
#ifndef VESTAL_OAUTH_FAULTS_H
#define VESTAL_OAUTH_FAULTS_H

#include "base/work.h"
#include "oauth/locate.h"

#define OAUTH_FAULTS_MAX 100

struct oauth_fault {
	const char *text; /* "file:line:column: key: reason", as far as these are known */
	const char *key;  /* "probe.url", "scopes[1]"; NULL: the file's as a whole */
	const char *reason;
	struct oauth_spot place; /* in the file */
	int warning;             /* doubtful; nothing is refused for it */
};

struct oauth_faults {
	struct arena *arena; /* owns the texts */
	const char *source;  /* what is being read, where keys are looked up; NULL: nothing */
	size_t source_n;
	struct oauth_fault list[OAUTH_FAULTS_MAX];
	size_t count;
	size_t errors; /* those that are no warnings, also beyond the list's end */
};

/* An empty list. */
void oauth_faults_init(struct oauth_faults *faults, struct arena *arena);

/* Adds one. key may be NULL. */
void oauth_faults_add(struct oauth_faults *faults, const char *file, const char *key,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Adds one at a place, for a text that is no JSON. */
void oauth_faults_add_at(
	struct oauth_faults *faults, const char *file, struct oauth_spot place, const char *reason);

/* Whether one of those at places first to end - 1 is of a key or of something in it. */
int oauth_faults_concern(
	const struct oauth_faults *faults, size_t first, size_t end, const char *key);

/* Adds one that refuses nothing. */
void oauth_faults_warn(struct oauth_faults *faults, const char *file, const char *key,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
