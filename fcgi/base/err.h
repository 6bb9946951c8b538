/*
 * What can go wrong, as one closed list. Every function that can fail returns an enum err; the
 * detail is written once, where the fault was seen, into the unit of work (base/work.h).
 */
#ifndef VESTAL_BASE_ERR_H
#define VESTAL_BASE_ERR_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum err {
	ERR_OK = 0,
#define ERR(symbol, status, slug, exit_code, title) symbol,
#include "base/err.def"
#undef ERR
	ERR_COUNT
};

/* The HTTP status of an error; 200 for ERR_OK. */
int err_status(enum err err);

/* The exit code of a program that ends with this error; 0 for ERR_OK. */
int err_exit_code(enum err err);

/* The slug and the title; never NULL. */
const char *err_slug(enum err err);
const char *err_title(enum err err);

#endif
