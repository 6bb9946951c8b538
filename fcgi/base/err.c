/* The error table's lookups. It decides nothing: every fact is a row of err.def. */
#include "base/err.h"

#include <stddef.h>

struct err_row {
	const char *slug, *title;
	int status, exit_code;
};

static const struct err_row rows[ERR_COUNT] = {
	[ERR_OK] = {"ok", "OK", 200, 0},
#define ERR(symbol, status, slug, exit_code, title) [symbol] = {slug, title, status, exit_code},
#include "base/err.def"
#undef ERR
};

static const struct err_row *row_of(enum err err)
{
	return (size_t)err < ERR_COUNT ? &rows[err] : &rows[ERR_BUG];
}

int err_status(enum err err)
{
	return row_of(err)->status;
}

int err_exit_code(enum err err)
{
	return row_of(err)->exit_code;
}

const char *err_slug(enum err err)
{
	return row_of(err)->slug;
}

const char *err_title(enum err err)
{
	return row_of(err)->title;
}
