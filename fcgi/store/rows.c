/* What a statement answered, cell by cell. It decides what a null is in C; what a cell means,
 * whoever asked knows. */
#include "base/text.h"
#include "store/db.h"

#include <libpq-fe.h>
#include <stdlib.h>

static const PGresult *result_of(const struct store_rows *rows)
{
	return (const PGresult *)rows;
}

int store_count(const struct store_rows *rows)
{
	return PQntuples(result_of(rows));
}

int store_is_null(const struct store_rows *rows, int row, int column)
{
	return PQgetisnull(result_of(rows), row, column);
}

const char *store_get_text(const struct store_rows *rows, int row, int column)
{
	return store_is_null(rows, row, column) ? NULL : PQgetvalue(result_of(rows), row, column);
}

int64_t store_get_int(const struct store_rows *rows, int row, int column)
{
	const char *text = store_get_text(rows, row, column);

	return text ? strtoll(text, NULL, 10) : 0;
}

int store_get_bool(const struct store_rows *rows, int row, int column)
{
	return text_equal(store_get_text(rows, row, column), "t");
}

unsigned char *store_get_bytes(
	struct work *w, const struct store_rows *rows, int row, int column, size_t *n)
{
	const char *text = store_get_text(rows, row, column);

	*n = 0;
	return text && text_starts(text, "\\x") ? text_unhex(w, text + 2, n) : NULL;
}
