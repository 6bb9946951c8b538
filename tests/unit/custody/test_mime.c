/* Mails as they travel: no field begins a header, every text arrives as it was. */
#include "../support/unit.h"

#include "base/text.h"
#include "custody/mime.h"

#include <string.h>

#define MAIL_MAX_BYTES ((size_t)64 * 1024)

static const char *written(struct work *w, const struct custody_mime *changes)
{
	struct custody_mime mime = {.from = "a@example.com",
		.to = "b@example.com",
		.subject = "hello",
		.id = "<1@example.com>",
		.at_s = 1769860800,
		.text = "text",
		.html = "<p>html"};
	struct buf buf;

	if (changes->subject)
		mime.subject = changes->subject;
	if (changes->to)
		mime.to = changes->to;
	if (changes->text)
		mime.text = changes->text;
	mime.thread_id = changes->thread_id;
	buf_init(&buf, w, MAIL_MAX_BYTES);
	custody_mime_write(&buf, &mime);
	assert_false(buf.overflow);
	return buf.data;
}

/* How many headers there are; a line that begins with a space goes on with one. */
static size_t headers(const char *mail)
{
	const char *end = strstr(mail, "\r\n\r\n");
	size_t n = 0;

	assert_non_null(end);
	for (const char *line = mail; line < end; line = strstr(line, "\r\n") + 2)
		n += *line != ' ';
	return n;
}

static void lines_end_as_they_have_to(const char *mail)
{
	size_t column = 0;

	for (const char *c = mail; *c; c++) {
		assert_true((*c == '\r') == (c[1] == '\n'));
		column = *c == '\n' ? 0 : column + 1;
		assert_true(column < 998);
		assert_true((unsigned char)*c < 0x80);
	}
}

static void a_plain_mail(void **state)
{
	const char *mail = written(*state, &(struct custody_mime){0});

	unit_holds("date", mail, "Date: Sat, 31 Jan 2026 12:00:00 +0000\r\n");
	unit_holds("subject", mail, "\r\nSubject: hello\r\n");
	unit_holds("text", mail, "\r\n\r\ndGV4dA==\r\n");
	unit_holds("type", mail, "Content-Type: text/html; charset=utf-8\r\n");
	assert_null(strstr(mail, "References"));
	lines_end_as_they_have_to(mail);
}

static void no_field_begins_a_header(void **state)
{
	static const char *const bad[] = {"a\r\nBcc: x@example.com", "a\nBcc: x", "a\rBcc: x",
		"\r\n\r\nbody", "a\x7f\x01z", "\xc2\x85 next line", "\xff\xfe",
		"=?UTF-8?Q?=0ABcc?=", "\xc3\xa9\r\nBcc: x"};
	size_t wanted = headers(written(*state, &(struct custody_mime){0}));

	for (size_t i = 0; i < UNIT_COUNT(bad); i++) {
		const char *mail = written(*state, &(struct custody_mime){.subject = bad[i]});

		assert_int_equal(headers(mail), wanted);
		lines_end_as_they_have_to(mail);
		mail = written(*state, &(struct custody_mime){.to = bad[i]});
		assert_int_equal(headers(mail), wanted);
		mail = written(*state, &(struct custody_mime){.thread_id = bad[i]});
		assert_int_equal(headers(mail), wanted + 1);
	}
}

static void a_subject_beyond_ascii_is_cut_between_letters(void **state)
{
	char subject[1024];
	const char *mail;

	for (size_t i = 0; i + 2 < sizeof(subject); i += 2)
		memcpy(subject + i, "\xc3\xa9", 3);
	mail = written(*state, &(struct custody_mime){.subject = subject});
	lines_end_as_they_have_to(mail);
	/* 22 letters of two bytes in each word */
	unit_holds("word", mail,
		"Subject: "
		"=?UTF-8?B?w6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6k=?=\r\n =?");
}

static void many_recipients_have_a_line_each(void **state)
{
	unit_holds("to", written(*state, &(struct custody_mime){.to = "a@b, c@d,e@f"}),
		"\r\nTo: a@b,\r\n c@d,\r\n e@f\r\n");
}

static void a_text_with_dots_and_long_lines_arrives_whole(void **state)
{
	char text[4096] = ".\r\n.\r\n";
	const char *mail;

	memset(text + 6, 'x', sizeof(text) - 7);
	text[sizeof(text) - 1] = '\0';
	mail = written(*state, &(struct custody_mime){.text = text});
	lines_end_as_they_have_to(mail);
	assert_null(strstr(mail, "\r\n."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(a_plain_mail),
		UNIT_TEST(no_field_begins_a_header),
		UNIT_TEST(a_subject_beyond_ascii_is_cut_between_letters),
		UNIT_TEST(many_recipients_have_a_line_each),
		UNIT_TEST(a_text_with_dots_and_long_lines_arrives_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
