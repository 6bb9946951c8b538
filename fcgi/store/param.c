/* One parameter of a statement, as it travels. */
#include "store/db.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>

#define IDS_MAX_BYTES ((size_t)1024 * 1024)

struct store_param store_text(const char *value)
{
	return (struct store_param){.value = value, .bytes = -1};
}

struct store_param store_null(void)
{
	return store_text(NULL);
}

struct store_param store_int(int64_t value)
{
	struct store_param param = {.value = "", .bytes = -1};

	snprintf(param.digits, sizeof(param.digits), "%" PRId64, value);
	return param;
}

struct store_param store_int_or_null(int64_t value, int is_null)
{
	return is_null ? store_null() : store_int(value);
}

struct store_param store_bool(int value)
{
	return store_text(value ? "t" : "f");
}

struct store_param store_bytes(const void *bytes, size_t n)
{
	return (struct store_param){.value = bytes, .bytes = (int)n};
}

const char *store_id_array(struct work *w, const int64_t *ids, size_t n)
{
	struct buf buf;

	buf_init(&buf, w, IDS_MAX_BYTES);
	buf_char(&buf, '{');
	for (size_t i = 0; i < n; i++)
		buf_printf(&buf, i ? ",%" PRId64 : "%" PRId64, ids[i]);
	buf_char(&buf, '}');
	return buf.data;
}
