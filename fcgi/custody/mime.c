/* Writing mails. It decides how a text travels, not what it says. */
#include "custody/mime.h"

#include "base/text.h"

#include <string.h>
#include <time.h>

#define BOUNDARY "=_vestal_part" /* no base64 holds it */
#define LINE_BYTES 57            /* 76 letters of base64 */
#define WORD_BYTES 45            /* of an encoded word, which has 75 letters at most */
#define SUBJECT_MAX_BYTES 240

/* Whole characters only, at most `most` bytes; what is none counts as one. */
static size_t cut(const char *text, size_t most)
{
	size_t n = 0, next;

	while (text[n]) {
		next = text_utf8_len(text + n);
		if (n + (next ? next : 1) > most)
			break;
		n += next ? next : 1;
	}
	return n;
}

/* One line, valid UTF-8: what controls something becomes a space, what is no letter a question
 * mark. */
static char *plain_line(struct work *w, const char *text)
{
	char *line = arena_strndup(&w->arena, text, cut(text, SUBJECT_MAX_BYTES));

	for (char *c = line; *c;) {
		size_t n = text_utf8_len(c);
		int is_c1 = n == 2 && (unsigned char)c[0] == 0xc2 && (unsigned char)c[1] < 0xa0;

		if (n == 0)
			*c = '?';
		if ((unsigned char)*c < 0x20 || *c == 0x7f || is_c1)
			memset(c, ' ', n ? n : 1);
		c += n ? n : 1;
	}
	return line;
}

static int is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			return 0;
	return 1;
}

static void header(struct buf *buf, const char *name, const char *value)
{
	buf_printf(buf, "%s: %s\r\n", name, plain_line(buf->w, value));
}

static void subject(struct buf *buf, const char *text)
{
	const char *line = plain_line(buf->w, text);

	if (is_ascii(line) && !strstr(line, "=?")) {
		header(buf, "Subject", line);
		return;
	}
	buf_text(buf, "Subject:");
	while (*line) {
		size_t n = cut(line, WORD_BYTES);

		buf_printf(buf, " =?UTF-8?B?%s?=\r\n",
			text_base64(buf->w, (const unsigned char *)line, n));
		line += n;
	}
}

/* Addresses were checked, but are many: a line each. */
static void recipients(struct buf *buf, const char *to)
{
	const char *line;

	buf_text(buf, "To:");
	for (; *to; to += *to == ',') {
		size_t n = strcspn(to, ",");

		line = plain_line(buf->w, arena_strndup(&buf->w->arena, to, n));
		to += n;
		buf_printf(buf, " %s%s\r\n", line + strspn(line, " "), *to ? "," : "");
	}
}

static void date(struct buf *buf, int64_t at_s)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const time_t at = (time_t)at_s;
	struct tm tm;

	if (!gmtime_r(&at, &tm))
		return;
	buf_printf(buf, "Date: %.3s, %d %.3s %04d %02d:%02d:%02d +0000\r\n", days + 3 * tm.tm_wday,
		tm.tm_mday, months + 3 * tm.tm_mon, 1900 + tm.tm_year, tm.tm_hour, tm.tm_min,
		tm.tm_sec);
}

static void part(struct buf *buf, const char *type, const char *text)
{
	size_t left = strlen(text);

	buf_printf(buf,
		"--" BOUNDARY "\r\nContent-Type: %s; charset=utf-8\r\n"
		"Content-Transfer-Encoding: base64\r\n\r\n",
		type);
	while (left) {
		size_t n = left < LINE_BYTES ? left : LINE_BYTES;

		buf_printf(buf, "%s\r\n", text_base64(buf->w, (const unsigned char *)text, n));
		text += n;
		left -= n;
	}
	buf_text(buf, "\r\n");
}

void custody_mime_write(struct buf *buf, const struct custody_mime *mime)
{
	date(buf, mime->at_s);
	header(buf, "From", mime->from);
	recipients(buf, mime->to);
	subject(buf, mime->subject);
	header(buf, "Message-ID", mime->id);
	if (mime->thread_id)
		header(buf, "References", mime->thread_id);
	buf_text(buf, "Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\n"
		      "MIME-Version: 1.0\r\n"
		      "Content-Type: multipart/alternative; boundary=\"" BOUNDARY "\"\r\n\r\n");
	part(buf, "text/plain", mime->text);
	part(buf, "text/html", mime->html);
	buf_text(buf, "--" BOUNDARY "--\r\n");
}
