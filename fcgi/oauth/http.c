/* The outbound profile, and what became of a request. It decides how bytes travel; who is asked for
 * what is the caller's. */
#include "oauth/http.h"

#include "base/text.h"
#include "oauth/address.h"
#include "oauth/url.h"

#include <curl/curl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct oauth_http {
	CURL *easy; /* keeps connections and TLS sessions when its options are reset */
	const char *ca_file;
};

/* One request on its way; libcurl's callbacks get it. */
struct call {
	const struct oauth_http_request *request;
	struct oauth_http_answer *answer;
	struct curl_slist *headers;
	int loopback_only; /* nothing but this machine's addresses, instead of the Internet's */
	int address_refused;
};

static void wiping_free(void *p)
{
	if (p)
		secret_wipe(p, malloc_usable_size(p));
	free(p);
}

static void *wiping_realloc(void *p, size_t n)
{
	size_t had = p ? malloc_usable_size(p) : 0;
	void *copy = malloc(n);

	if (!copy)
		return NULL;
	if (had)
		memcpy(copy, p, had < n ? had : n);
	wiping_free(p);
	return copy;
}

enum err oauth_http_init(void)
{
	CURLcode code = curl_global_init_mem(
		CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc, strdup, calloc);

	return code == CURLE_OK ? ERR_OK : ERR_NO_MEMORY;
}

void oauth_http_cleanup(void)
{
	curl_global_cleanup();
}

struct oauth_http *oauth_http_new(const char *ca_file)
{
	struct oauth_http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	http->ca_file = ca_file;
	http->easy = curl_easy_init();
	if (!http->easy) {
		oauth_http_free(http);
		return NULL;
	}
	return http;
}

void oauth_http_free(struct oauth_http *http)
{
	if (!http)
		return;
	curl_easy_cleanup(http->easy);
	free(http);
}

static int is_allowed_address(const struct call *call, const struct sockaddr *address)
{
	return call->loopback_only ? oauth_address_is_loopback(address)
				   : oauth_address_is_public(address);
}

static curl_socket_t on_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct call *call = user;

	if (purpose != CURLSOCKTYPE_IPCXN || !is_allowed_address(call, &address->addr)) {
		call->address_refused = 1;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
	struct call *call = user;

	buf_add(&call->answer->body, bytes, size * n);
	return call->answer->body.overflow ? 0 : size * n;
}

/* Same scheme, host and port in libcurl's own reading, lest two parsers see two hosts in one text.
 */
static int is_of_origin(const char *url, const char *origin)
{
	static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
	CURLU *a = curl_url(), *b = curl_url();
	int same = a && b && curl_url_set(a, CURLUPART_URL, url, 0) == CURLUE_OK &&
		   curl_url_set(b, CURLUPART_URL, origin, 0) == CURLUE_OK;

	for (size_t i = 0; same && i < sizeof(parts) / sizeof(parts[0]); i++) {
		char *left = NULL, *right = NULL;

		same = curl_url_get(a, parts[i], &left, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		       curl_url_get(b, parts[i], &right, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		       text_equal(left, right);
		curl_free(left);
		curl_free(right);
	}
	curl_url_cleanup(a);
	curl_url_cleanup(b);
	return same;
}

static int headers_are_clean(const struct oauth_http_request *request)
{
	for (size_t i = 0; i < request->headers.count; i++)
		if (text_has_control(request->headers.items[i].name) ||
			text_has_control(request->headers.items[i].value))
			return 0;
	return !request->credential ||
	       (request->scheme && !text_has_control(request->scheme) &&
		       !text_has_control(secret_reveal(request->credential)) &&
		       strlen(secret_reveal(request->credential)) ==
			       secret_len(request->credential));
}

static enum err check_request(struct work *w, struct call *call)
{
	const struct oauth_http_request *request = call->request;
	struct oauth_url url;

	if (!request->origin || oauth_url_read(request->url, &url) ||
		!is_of_origin(request->url, request->origin))
		return work_cause(w, ERR_BUG, "request_outside_its_origin");
	if (!url.https && !(request->allow_loopback && oauth_url_is_loopback(&url)))
		return work_cause(w, ERR_BUG, "request_over_plain_http");
	if (!headers_are_clean(request))
		return work_cause(w, ERR_BUG, "request_header");
	/* by the host as it is written: what a name resolves to proves nothing */
	call->loopback_only = request->allow_loopback || oauth_url_is_loopback(&url);
	return ERR_OK;
}

static int add_header(struct work *w, struct call *call, const char *name, const char *value)
{
	const char *line = work_printf(w, "%s: %s", name, value);
	struct curl_slist *list = curl_slist_append(call->headers, line);

	if (list)
		call->headers = list;
	return list != NULL;
}

static int add_headers(struct work *w, struct call *call)
{
	const struct oauth_http_request *request = call->request;
	struct buf credential;
	int ok = add_header(w, call, "Expect", "");

	for (size_t i = 0; ok && i < request->headers.count; i++)
		ok = add_header(
			w, call, request->headers.items[i].name, request->headers.items[i].value);
	if (ok && request->body)
		ok = add_header(w, call, "Content-Type", request->content_type);
	if (ok && request->credential) {
		buf_init(&credential, w, secret_len(request->credential) + 128);
		buf_text(&credential, request->scheme);
		buf_char(&credential, ' ');
		buf_add(&credential, secret_reveal(request->credential),
			secret_len(request->credential));
		ok = !credential.overflow && add_header(w, call, "Authorization", credential.data);
	}
	return ok;
}

/* libcurl takes numbers only as long. */
static void set_number(CURL *easy, CURLoption option, long value)
{
	curl_easy_setopt(easy, option, value);
}

/* The profile: all that is the same for every request, and nothing that is not here is the
 * library's default by chance. */
static void set_profile(const struct oauth_http *http, CURL *easy, int allow_http)
{
	set_number(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, allow_http ? "http,https" : "https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	set_number(easy, CURLOPT_NETRC, CURL_NETRC_IGNORED);
	set_number(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	set_number(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	set_number(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	if (http->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
	set_number(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	set_number(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, NULL);
	curl_easy_setopt(easy, CURLOPT_COOKIEFILE, NULL);
	set_number(easy, CURLOPT_UNRESTRICTED_AUTH, 0L);
	set_number(easy, CURLOPT_NOSIGNAL, 1L);
	set_number(easy, CURLOPT_NOPROGRESS, 1L);
	set_number(easy, CURLOPT_FAILONERROR, 0L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "vestal/" VESTAL_VERSION);
}

static void set_method(CURL *easy, const struct oauth_http_request *request)
{
	if (request->body) {
		set_number(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(
			easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)secret_len(request->body));
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, secret_reveal(request->body));
	} else if (request->method == OAUTH_METHOD_POST) {
		set_number(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
	} else
		set_number(easy, CURLOPT_HTTPGET, 1L);
	if (request->method == OAUTH_METHOD_DELETE)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
	/* what may be done only once never goes over a connection that may be dead already */
	if (request->method != OAUTH_METHOD_GET)
		set_number(easy, CURLOPT_FRESH_CONNECT, 1L);
}

static void prepare(const struct oauth_http *http, struct call *call, CURL *easy, int64_t total_ms)
{
	const struct oauth_http_request *request = call->request;

	set_profile(http, easy, request->allow_loopback);
	set_method(easy, request);
	curl_easy_setopt(easy, CURLOPT_URL, request->url);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
	set_number(easy, CURLOPT_TIMEOUT_MS, (long)total_ms);
	set_number(easy, CURLOPT_CONNECTTIMEOUT_MS, OAUTH_HTTP_CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
}

/* Each kind of failure as a closed word. libcurl has a hundred codes; those that happen to a GET or
 * POST are here. */
static const char *cause_of(CURLcode code)
{
	static const struct {
		CURLcode code;
		const char *cause;
	} causes[] = {
		{CURLE_COULDNT_RESOLVE_HOST, "dns"},
		{CURLE_COULDNT_CONNECT, "connect"},
		{CURLE_OPERATION_TIMEDOUT, "deadline"},
		{CURLE_SSL_CONNECT_ERROR, "tls"},
		{CURLE_SSL_CIPHER, "tls"},
		{CURLE_PEER_FAILED_VERIFICATION, "certificate"},
		{CURLE_SSL_ISSUER_ERROR, "certificate"},
		{CURLE_SSL_INVALIDCERTSTATUS, "certificate"},
		{CURLE_SSL_CACERT_BADFILE, "certificate"},
		{CURLE_GOT_NOTHING, "dropped"},
		{CURLE_RECV_ERROR, "dropped"},
		{CURLE_SEND_ERROR, "dropped"},
		{CURLE_PARTIAL_FILE, "dropped"},
	};

	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
		if (causes[i].code == code)
			return causes[i].cause;
	return "protocol";
}

static void conclude_failure(struct call *call, CURL *easy, CURLcode code)
{
	struct oauth_http_answer *answer = call->answer;
	long sent_bytes = 0;

	curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent_bytes);
	answer->cause = cause_of(code);
	answer->transport = sent_bytes ? OAUTH_TRANSPORT_AMBIGUOUS : OAUTH_TRANSPORT_NOT_SENT;
	if (answer->body.overflow)
		answer->cause = "too_large";
	else if (!sent_bytes && call->address_refused)
		answer->cause = "address_refused";
	else if (!sent_bytes && text_equal(answer->cause, "certificate"))
		answer->transport = OAUTH_TRANSPORT_CERTIFICATE;
}

/* The media type alone, in lower case. Source: RFC 9110 section 8.3.1. */
static const char *media_type(struct work *w, const char *header)
{
	char *type = work_strdup(w, header ? header : "");

	type[strcspn(type, "; \t")] = '\0';
	for (char *c = type; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	return type;
}

static void conclude(struct work *w, struct call *call, CURL *easy, CURLcode code)
{
	struct oauth_http_answer *answer = call->answer;
	curl_off_t retry_after_s = 0;
	char *content_type = NULL;
	long status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &content_type);
	curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after_s);
	if (retry_after_s > OAUTH_HTTP_RETRY_AFTER_MAX_S)
		retry_after_s = OAUTH_HTTP_RETRY_AFTER_MAX_S;
	answer->status = (int)status;
	answer->content_type = media_type(w, content_type);
	answer->retry_after_s = retry_after_s > 0 ? (unsigned)retry_after_s : 0;
	if (code != CURLE_OK)
		conclude_failure(call, easy, code);
}

enum err oauth_http_call(struct work *w, struct oauth_http *http,
	const struct oauth_http_request *request, struct oauth_http_answer *answer)
{
	int64_t left_ms = work_left_ms(w),
		total_ms = request->total_ms < left_ms ? request->total_ms : left_ms;
	struct call call = {.request = request, .answer = answer};
	enum err err = check_request(w, &call);

	*answer = (struct oauth_http_answer){.content_type = ""};
	buf_init(&answer->body, w, OAUTH_HTTP_BODY_MAX_BYTES);
	if (err)
		return err;
	if (total_ms <= 0) {
		answer->transport = OAUTH_TRANSPORT_NOT_SENT;
		answer->cause = "deadline";
		return ERR_OK;
	}
	if (add_headers(w, &call)) {
		prepare(http, &call, http->easy, total_ms);
		conclude(w, &call, http->easy, curl_easy_perform(http->easy));
		/* nothing of this call stays, above all no pointer to a secret */
		curl_easy_reset(http->easy);
	} else
		err = work_cause(w, ERR_NO_MEMORY, "curl");
	curl_slist_free_all(call.headers);
	return err;
}
