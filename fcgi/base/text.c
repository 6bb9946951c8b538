/* Text helpers without domain. */
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int text_equal(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

int text_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int text_is_client_id(const char *text)
{
	size_t n = strlen(text);

	if (n < 1 || n > 64 || !is_alnum(text[0]))
		return 0;
	for (const char *c = text; *c; c++)
		if (!is_alnum(*c) && !strchr("._-", *c))
			return 0;
	return 1;
}

int text_is_name(const char *text)
{
	size_t n = strlen(text);

	return n >= 1 && n <= 64 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static int is_tail(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

size_t text_utf8_len(const char *text)
{
	unsigned char a = (unsigned char)text[0], b = a ? (unsigned char)text[1] : 0;

	if (a < 0x80)
		return 1;
	if (a < 0xc2 || a > 0xf4 || !is_tail(text[1]))
		return 0;
	if (a < 0xe0)
		return 2;
	if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f) || !is_tail(text[2]))
		return 0;
	if (a < 0xf0)
		return 3;
	if ((a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f) || !is_tail(text[3]))
		return 0;
	return 4;
}

int text_has_control(const char *text)
{
	while (*text) {
		unsigned char c = (unsigned char)*text;
		size_t n = text_utf8_len(text);

		if (!n || c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)text[1] < 0xa0))
			return 1;
		text += n;
	}
	return 0;
}

int text_to_int(const char *text, int64_t min, int64_t max, int64_t *value)
{
	char *end = NULL;
	long long number;

	if (!isdigit((unsigned char)text[0]) &&
		!(text[0] == '-' && text[1] >= '1' && text[1] <= '9'))
		return 0;
	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno || *end || number < min || number > max)
		return 0;
	*value = number;
	return 1;
}

void text_percent_encode(struct buf *buf, const char *text)
{
	for (; *text; text++)
		if (is_alnum(*text) || strchr("-._~", *text))
			buf_char(buf, *text);
		else
			buf_printf(buf, "%%%02X", (unsigned char)*text);
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int hex_byte(const char *hex)
{
	int high = nibble(hex[0]), low = high < 0 ? -1 : nibble(hex[1]);

	return low < 0 ? -1 : high * 16 + low;
}

char *text_form_decode(struct work *w, const char *text, size_t n)
{
	char *out = work_alloc(w, n + 1);
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		int byte = (unsigned char)text[i];

		if (text[i] == '+')
			byte = ' ';
		else if (text[i] == '%') {
			byte = n - i > 2 ? hex_byte(text + i + 1) : -1;
			if (byte <= 0)
				return NULL;
			i += 2;
		}
		out[len++] = (char)byte;
	}
	return out;
}

char *text_hex(struct work *w, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char *hex = work_alloc(w, n * 2 + 1);

	for (size_t i = 0; i < n; i++) {
		hex[i * 2] = digits[bytes[i] >> 4];
		hex[i * 2 + 1] = digits[bytes[i] & 15];
	}
	return hex;
}

unsigned char *text_unhex(struct work *w, const char *hex, size_t *n)
{
	size_t digits = strlen(hex);
	unsigned char *bytes;

	if (digits % 2)
		return NULL;
	bytes = work_alloc(w, digits / 2 + 1);
	for (size_t i = 0; i < digits / 2; i++) {
		int byte = hex_byte(hex + i * 2);

		if (byte < 0)
			return NULL;
		bytes[i] = (unsigned char)byte;
	}
	*n = digits / 2;
	return bytes;
}

static char *base64(
	struct work *w, const unsigned char *bytes, size_t n, const char *alphabet, int padded)
{
	char *out = work_alloc(w, (n + 2) / 3 * 4 + 1), *at = out;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		unsigned long group = (unsigned long)bytes[i] << 16;

		if (left > 1)
			group |= (unsigned long)bytes[i + 1] << 8;
		if (left > 2)
			group |= bytes[i + 2];
		*at++ = alphabet[group >> 18 & 63];
		*at++ = alphabet[group >> 12 & 63];
		if (left > 1 || padded)
			*at++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
		if (left > 2 || padded)
			*at++ = left > 2 ? alphabet[group & 63] : '=';
	}
	return out;
}

#define BASE64_COMMON "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

char *text_base64url(struct work *w, const unsigned char *bytes, size_t n)
{
	return base64(w, bytes, n, BASE64_COMMON "-_", 0);
}

char *text_base64(struct work *w, const unsigned char *bytes, size_t n)
{
	return base64(w, bytes, n, BASE64_COMMON "+/", 1);
}

/* The value of a base64 letter, or -1. */
static int letter(char c)
{
	const char *at = c ? strchr(BASE64_COMMON "+/", c) : NULL;

	return at ? (int)(at - (BASE64_COMMON "+/")) : -1;
}

unsigned char *text_unbase64(struct work *w, const char *text, size_t n, size_t *bytes_n)
{
	unsigned char *out = work_alloc(w, n / 4 * 3 + 1);
	size_t padding = n && text[n - 1] == '=' ? (n > 1 && text[n - 2] == '=' ? 2u : 1u) : 0;
	unsigned long group = 0;

	*bytes_n = n / 4 * 3 - padding;
	if (n % 4)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		int value = i + padding < n ? letter(text[i]) : 0;

		if (value < 0)
			return NULL;
		group = group << 6 | (unsigned long)value;
		if (i % 4 != 3)
			continue;
		out[i / 4 * 3] = (unsigned char)(group >> 16);
		out[i / 4 * 3 + 1] = (unsigned char)(group >> 8);
		out[i / 4 * 3 + 2] = (unsigned char)group;
		group = 0;
	}
	/* What the padding cuts off has to be zero, or two texts were one signature. */
	for (size_t i = *bytes_n; i < n / 4 * 3; i++)
		if (out[i])
			return NULL;
	return out;
}

void text_html_escape(struct buf *buf, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '<':
			buf_text(buf, "&lt;");
			break;
		case '>':
			buf_text(buf, "&gt;");
			break;
		case '&':
			buf_text(buf, "&amp;");
			break;
		case '"':
			buf_text(buf, "&quot;");
			break;
		default:
			buf_char(buf, *text);
		}
}

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* Parts of these letters with single dots between. */
static int is_dotted(const char *text, size_t n, const char *letters)
{
	for (size_t i = 0; i < n; i++)
		if (text[i] == '.' ? i == 0 || i + 1 == n || text[i + 1] == '.'
				   : !strchr(letters, text[i]))
			return 0;
	return n > 0;
}

int text_is_mailbox(const char *text)
{
	const char *at = strchr(text, '@');

	return at && strlen(text) <= 254 && at - text <= 64 &&
	       is_dotted(text, (size_t)(at - text), ALNUM "!#$%&'*+-/=?^_`{|}~") &&
	       is_dotted(at + 1, strlen(at + 1), ALNUM "-");
}
