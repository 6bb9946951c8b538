/* Mail, handed to libcurl. It decides how a server is talked to; what is told, and when again, is
 * the caller's. */
#include "oauth/smtp.h"

#include "base/clock.h"

#include <curl/curl.h>
#include <string.h>

#define GRACE_MS 5000 /* more than libcurl needs to ask us again */

struct upload {
	const char *at;
	size_t left;
	int64_t deadline_ms; /* on the monotonic clock */
};

static size_t on_read(char *buffer, size_t size, size_t count, void *user)
{
	struct upload *upload = user;
	size_t n = size * count < upload->left ? size * count : upload->left;

	memcpy(buffer, upload->at, n);
	upload->at += n;
	upload->left -= n;
	return n;
}

/* libcurl's own limits do not count for its goodbye, which a server may leave unanswered for
 * minutes; ending it here leaves without one. */
static int on_progress(void *user, curl_off_t download, curl_off_t downloaded, curl_off_t upload,
	curl_off_t uploaded)
{
	(void)download;
	(void)downloaded;
	(void)upload;
	(void)uploaded;
	return clock_monotonic_ms() >= ((const struct upload *)user)->deadline_ms;
}

/* libcurl takes numbers only as long. */
static void set_number(CURL *easy, CURLoption option, long value)
{
	curl_easy_setopt(easy, option, value);
}

static void set_security(CURL *easy, const struct oauth_smtp *server)
{
	static const long words[] = {[OAUTH_STARTTLS_OFF] = CURLUSESSL_NONE,
		[OAUTH_STARTTLS_TRY] = CURLUSESSL_TRY,
		[OAUTH_STARTTLS_REQUIRE] = CURLUSESSL_ALL};

	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	set_number(easy, CURLOPT_USE_SSL, words[server->starttls]);
	set_number(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	set_number(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	set_number(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	if (server->ca_file) {
		curl_easy_setopt(easy, CURLOPT_CAINFO, server->ca_file);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (!server->user)
		return;
	curl_easy_setopt(easy, CURLOPT_USERNAME, server->user);
	curl_easy_setopt(easy, CURLOPT_PASSWORD, secret_reveal(server->password));
}

static void set_transfer(
	CURL *easy, const struct oauth_smtp *server, struct upload *upload, int64_t total_ms)
{
	curl_easy_setopt(easy, CURLOPT_URL, server->url);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	set_number(easy, CURLOPT_NETRC, CURL_NETRC_IGNORED);
	set_number(easy, CURLOPT_NOSIGNAL, 1L);
	set_number(easy, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, upload);
	set_number(easy, CURLOPT_QUICK_EXIT, 1L);
	set_number(easy, CURLOPT_FORBID_REUSE, 1L);
	set_number(easy, CURLOPT_CONNECTTIMEOUT_MS,
		total_ms < OAUTH_SMTP_CONNECT_MS ? (long)total_ms : OAUTH_SMTP_CONNECT_MS);
	set_number(easy, CURLOPT_TIMEOUT_MS, (long)total_ms + GRACE_MS);
	curl_easy_setopt(easy, CURLOPT_MAIL_FROM, server->from);
	set_number(easy, CURLOPT_MAIL_RCPT_ALLLOWFAILS, server->all_must_accept ? 0L : 1L);
	set_number(easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(easy, CURLOPT_READDATA, upload);
	curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)upload->left);
}

static const char *cause_of(CURLcode code)
{
	static const struct {
		CURLcode code;
		const char *cause;
	} causes[] = {
		{CURLE_COULDNT_RESOLVE_HOST, "dns"},
		{CURLE_COULDNT_CONNECT, "connect"},
		{CURLE_OPERATION_TIMEDOUT, "deadline"},
		{CURLE_ABORTED_BY_CALLBACK, "deadline"},
		{CURLE_PEER_FAILED_VERIFICATION, "certificate"},
		{CURLE_SSL_CACERT_BADFILE, "certificate"},
		{CURLE_SSL_ISSUER_ERROR, "certificate"},
		{CURLE_USE_SSL_FAILED, "starttls"},
		{CURLE_SSL_CONNECT_ERROR, "tls"},
		{CURLE_LOGIN_DENIED, "login"},
	};

	for (size_t i = 0; i < sizeof(causes) / sizeof(*causes); i++)
		if (causes[i].code == code)
			return causes[i].cause;
	return "dropped";
}

/* A code of the server counts where nothing else explains the end. */
static void conclude(CURL *easy, CURLcode code, struct oauth_smtp_answer *answer)
{
	long last = 0;

	*answer = (struct oauth_smtp_answer){.fate = OAUTH_SMTP_SENT};
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &last);
	answer->code = (int)last;
	if (code == CURLE_OK)
		return;
	answer->fate = OAUTH_SMTP_AWAY;
	answer->cause = cause_of(code);
	if (strcmp(answer->cause, "dropped") != 0 || last < 400)
		return;
	answer->fate = last >= 500 ? OAUTH_SMTP_REFUSED : OAUTH_SMTP_DEFERRED;
	answer->cause = last >= 500 ? "refused" : "deferred";
}

static struct curl_slist *recipients(const struct oauth_smtp *server)
{
	struct curl_slist *list = NULL;

	for (size_t i = 0; i < server->to_count; i++) {
		struct curl_slist *longer = curl_slist_append(list, server->to[i]);

		if (!longer) {
			curl_slist_free_all(list);
			return NULL;
		}
		list = longer;
	}
	return list;
}

enum err oauth_smtp_send(struct work *w, const struct oauth_smtp *server, const char *mail,
	size_t n, struct oauth_smtp_answer *answer)
{
	int64_t total_ms = server->total_ms < work_left_ms(w) ? server->total_ms : work_left_ms(w);
	struct upload upload = {mail, n, clock_monotonic_ms() + total_ms};
	struct curl_slist *to = recipients(server);
	CURL *easy = curl_easy_init();
	enum err err = ERR_OK;

	if (!easy || !to)
		err = work_cause(w, ERR_NO_MEMORY, "curl");
	else if (total_ms <= 0)
		*answer = (struct oauth_smtp_answer){OAUTH_SMTP_AWAY, "deadline", 0};
	else {
		set_transfer(easy, server, &upload, total_ms);
		set_security(easy, server);
		curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, to);
		conclude(easy, curl_easy_perform(easy), answer);
	}
	curl_easy_cleanup(easy);
	curl_slist_free_all(to);
	return err;
}
