/* The outbound profile, and what became of a request. It decides how bytes travel; who is asked for
 * what is the caller's. */
#include "oauth/http.h"

#include "base/clock.h"
#include "base/text.h"
#include "oauth/queue.h"
#include "oauth/reach.h"

#include <curl/curl.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CA_CACHE_S 60L
#define UPLOAD_BUFFER_BYTES 16384L /* the least there is; every request on its way has one */

/* One request on its way; libcurl's callbacks get it. The place is used again for others. */
struct call {
	struct oauth_place place; /* in front: a place is a call */
	struct oauth_http *http;
	CURL *easy;
	struct work *w;
	const struct oauth_http_request *request;
	struct oauth_http_answer *answer;
	void *tag;
	struct curl_slist *headers;
	enum oauth_reach reach;
	int address_refused;
	int sent; /* from here on nobody can say that not a byte left */
};

struct oauth_http {
	struct oauth_queue queue;
	CURLM *multi;     /* keeps connections, addresses of names, and the authorities */
	CURLSH *sessions; /* keeps TLS sessions */
	const char *ca_file;
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

static struct call *first_call(const struct oauth_http *http, enum oauth_stage stage)
{
	return (struct call *)oauth_queue_first(&http->queue, stage);
}

static void move_to(enum oauth_stage stage, struct call *call)
{
	oauth_queue_move(&call->http->queue, &call->place, stage);
}

static void free_call(struct call *call)
{
	oauth_queue_remove(&call->http->queue, &call->place);
	curl_multi_remove_handle(call->http->multi, call->easy);
	curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->headers);
	free(call);
}

void oauth_http_free(struct oauth_http *http)
{
	struct call *call;

	if (!http)
		return;
	for (int stage = 0; stage < OAUTH_STAGES; stage++)
		while ((call = first_call(http, (enum oauth_stage)stage)))
			free_call(call);
	curl_multi_cleanup(http->multi);
	curl_share_cleanup(http->sessions);
	free(http);
}

struct oauth_http *oauth_http_new(const char *ca_file)
{
	struct oauth_http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	oauth_queue_init(&http->queue);
	http->ca_file = ca_file ? ca_file : curl_version_info(CURLVERSION_NOW)->cainfo;
	http->multi = curl_multi_init();
	http->sessions = curl_share_init();
	if (http->multi && http->sessions &&
		curl_share_setopt(http->sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) ==
			CURLSHE_OK)
		return http;
	oauth_http_free(http);
	return NULL;
}

/* An idle call, or a new one. NULL without memory. */
static struct call *idle_call(struct oauth_http *http)
{
	struct call *call = first_call(http, OAUTH_STAGE_IDLE);

	if (call)
		return call;
	call = calloc(1, sizeof(*call));
	if (!call)
		return NULL;
	call->http = http;
	call->easy = curl_easy_init();
	oauth_queue_add(&http->queue, &call->place);
	if (!call->easy ||
		curl_easy_setopt(call->easy, CURLOPT_SHARE, http->sessions) != CURLE_OK) {
		free_call(call);
		return NULL;
	}
	/* those in use, and as many that lie ready for another host */
	curl_multi_setopt(
		http->multi, CURLMOPT_MAXCONNECTS, (long)(2 * oauth_queue_size(&http->queue) + 4));
	return call;
}

/* Whether libcurl, where it asks us, is about to send again what may have arrived. */
static int would_repeat(const struct call *call)
{
	return call->sent && call->request->method != OAUTH_METHOD_GET;
}

static curl_socket_t on_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct call *call = user;

	move_to(OAUTH_STAGE_TRAVELLING, call); /* the name is known */
	if (would_repeat(call))
		return CURL_SOCKET_BAD;
	if (purpose != CURLSOCKTYPE_IPCXN || !oauth_reach_covers(call->reach, &address->addr)) {
		call->address_refused = 1;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* libcurl has a connection, new or kept, and sends the request next, for the first time or again. A
 * kept one was made under another request's rules. */
static int on_sending(void *user, char *address, char *own_address, int port, int own_port)
{
	struct call *call = user;

	(void)own_address;
	(void)port;
	(void)own_port;
	move_to(OAUTH_STAGE_TRAVELLING, call);
	if (would_repeat(call))
		return CURL_PREREQFUNC_ABORT;
	if (!oauth_reach_covers_text(call->reach, address)) {
		call->address_refused = 1;
		return CURL_PREREQFUNC_ABORT;
	}
	call->sent = 1;
	return CURL_PREREQFUNC_OK;
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

static enum err add_header(struct work *w, struct call *call, const char *name, const char *value)
{
	struct curl_slist *list;

	if (text_has_control(name) || text_has_control(value))
		return work_cause(w, ERR_BUG, "request_header");
	list = curl_slist_append(call->headers, work_printf(w, "%s: %s", name, value));
	if (!list)
		return work_cause(w, ERR_NO_MEMORY, "curl");
	call->headers = list;
	return ERR_OK;
}

static enum err add_credential(struct work *w, struct call *call)
{
	const struct secret *credential = call->request->credential;
	struct buf value;

	if (!call->request->scheme || strlen(secret_reveal(credential)) != secret_len(credential))
		return work_cause(w, ERR_BUG, "request_header");
	buf_init(&value, w, secret_len(credential) + strlen(call->request->scheme) + 2);
	buf_text(&value, call->request->scheme);
	buf_char(&value, ' ');
	buf_text(&value, secret_reveal(credential));
	return add_header(w, call, "Authorization", value.data);
}

static enum err add_headers(struct work *w, struct call *call)
{
	const struct oauth_http_request *request = call->request;
	enum err err = add_header(w, call, "Expect", "");

	for (size_t i = 0; !err && i < request->headers.count; i++)
		err = add_header(
			w, call, request->headers.items[i].name, request->headers.items[i].value);
	if (!err && request->body)
		err = add_header(w, call, "Content-Type", request->content_type);
	return err || !request->credential ? err : add_credential(w, call);
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
	if (http->ca_file) { /* one file alone, which libcurl then need not parse each time */
		curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	set_number(easy, CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_S);
	set_number(easy, CURLOPT_MAXAGE_CONN, OAUTH_HTTP_IDLE_MAX_S);
	set_number(easy, CURLOPT_MAXLIFETIME_CONN, OAUTH_HTTP_CONNECTION_MAX_S);
	/* a lookup that hangs is left to its thread, instead of all others waiting for it */
	set_number(easy, CURLOPT_QUICK_EXIT, 1L);
	set_number(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	set_number(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, NULL);
	curl_easy_setopt(easy, CURLOPT_COOKIEFILE, NULL);
	set_number(easy, CURLOPT_UNRESTRICTED_AUTH, 0L);
	set_number(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES);
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
	/* what may be done only once goes over no connection that may be dead already */
	if (request->method != OAUTH_METHOD_GET && !request->may_reuse)
		set_number(easy, CURLOPT_FRESH_CONNECT, 1L);
}

static void prepare(struct call *call, int64_t left_ms)
{
	const struct oauth_http_request *request = call->request;
	CURL *easy = call->easy;

	set_profile(call->http, easy, request->allow_loopback);
	set_method(easy, request);
	curl_easy_setopt(easy, CURLOPT_URL, request->url);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
	set_number(easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
	set_number(easy, CURLOPT_CONNECTTIMEOUT_MS, OAUTH_HTTP_CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_sending);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
}

/* Each kind of failure as a closed word. libcurl has a hundred codes; those that happen to a GET or
 * POST are here. */
static const char *cause_of(CURLcode code, int sent)
{
	static const struct {
		CURLcode code;
		int before_sending;
		const char *cause;
	} causes[] = {
		{CURLE_COULDNT_RESOLVE_HOST, 1, "dns"},
		{CURLE_COULDNT_CONNECT, 1, "connect"},
		{CURLE_OPERATION_TIMEDOUT, 0, "deadline"},
		{CURLE_SSL_CONNECT_ERROR, 1, "tls"},
		{CURLE_SSL_CIPHER, 1, "tls"},
		{CURLE_PEER_FAILED_VERIFICATION, 1, "certificate"},
		{CURLE_SSL_ISSUER_ERROR, 1, "certificate"},
		{CURLE_SSL_INVALIDCERTSTATUS, 1, "certificate"},
		{CURLE_SSL_CACERT_BADFILE, 1, "certificate"},
		{CURLE_ABORTED_BY_CALLBACK, 1, "address_refused"},
		{CURLE_GOT_NOTHING, 0, "dropped"},
		{CURLE_RECV_ERROR, 0, "dropped"},
		{CURLE_SEND_ERROR, 0, "dropped"},
		{CURLE_PARTIAL_FILE, 0, "dropped"},
	};

	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
		if (causes[i].code == code)
			/* it befell the attempt to send once more what was dropped */
			return sent && causes[i].before_sending ? "dropped" : causes[i].cause;
	return "protocol";
}

static void conclude_failure(struct call *call, CURLcode code)
{
	struct oauth_http_answer *answer = call->answer;

	answer->cause = cause_of(code, call->sent);
	answer->transport = call->sent ? OAUTH_TRANSPORT_AMBIGUOUS : OAUTH_TRANSPORT_NOT_SENT;
	if (answer->body.overflow)
		answer->cause = "too_large";
	else if (!call->sent && call->address_refused)
		answer->cause = "address_refused";
	else if (!call->sent && text_equal(answer->cause, "certificate"))
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

static void conclude(struct call *call, CURLcode code)
{
	struct oauth_http_answer *answer = call->answer;
	curl_off_t retry_after_s = 0;
	char *content_type = NULL;
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &content_type);
	curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
	if (retry_after_s > OAUTH_HTTP_RETRY_AFTER_MAX_S)
		retry_after_s = OAUTH_HTTP_RETRY_AFTER_MAX_S;
	answer->status = (int)status;
	answer->content_type = media_type(call->w, content_type);
	answer->retry_after_s = retry_after_s > 0 ? (unsigned)retry_after_s : 0;
	if (code != CURLE_OK)
		conclude_failure(call, code);
}

/* Takes a call from libcurl, in which nothing of it stays, above all no pointer to a secret. */
static void withdraw(struct call *call)
{
	curl_multi_remove_handle(call->http->multi, call->easy);
	curl_easy_reset(call->easy);
	curl_slist_free_all(call->headers);
	call->headers = NULL;
}

static void end_unsent(struct call *call)
{
	call->answer->transport = OAUTH_TRANSPORT_NOT_SENT;
	call->answer->cause = "deadline";
	withdraw(call);
	move_to(OAUTH_STAGE_ENDED, call);
}

/* Hands to libcurl what need not wait any more. */
static enum err launch(struct oauth_http *http, size_t *launched_count)
{
	int64_t now_ms = clock_monotonic_ms();
	struct call *call;

	*launched_count = 0;
	while ((call = (struct call *)oauth_queue_ready(&http->queue, now_ms))) {
		if (call->place.deadline_ms <= now_ms) {
			end_unsent(call);
			continue;
		}
		prepare(call, call->place.deadline_ms - now_ms);
		if (curl_multi_add_handle(http->multi, call->easy) != CURLM_OK)
			return ERR_NO_MEMORY;
		move_to(OAUTH_STAGE_LOOKING_UP, call);
		++*launched_count;
	}
	return ERR_OK;
}

static void collect(struct oauth_http *http)
{
	struct CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left))) {
		CURLcode code = message->data.result;
		struct call *call = NULL;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
		conclude(call, code);
		withdraw(call);
		move_to(OAUTH_STAGE_ENDED, call);
	}
}

static enum err err_of(CURLMcode code)
{
	return code == CURLM_OK ? ERR_OK : code == CURLM_OUT_OF_MEMORY ? ERR_NO_MEMORY : ERR_BUG;
}

static enum err move_on(struct oauth_http *http)
{
	size_t launched_count;
	enum err err;
	int running;

	do {
		err = launch(http, &launched_count);
		if (!err)
			err = err_of(curl_multi_perform(http->multi, &running));
		collect(http);
	} while (!err && launched_count && first_call(http, OAUTH_STAGE_WAITING));
	return err;
}

static enum err rest(struct oauth_http *http, int64_t wait_ms, int fd)
{
	struct curl_waitfd other = {.fd = fd, .events = CURL_WAIT_POLLIN};

	wait_ms = oauth_queue_patience_ms(&http->queue, clock_monotonic_ms(), wait_ms);
	if (wait_ms > INT_MAX)
		wait_ms = INT_MAX;
	return err_of(curl_multi_poll(http->multi, &other, fd >= 0, (int)wait_ms, NULL));
}

static enum err begin(struct work *w, struct oauth_http *http,
	const struct oauth_http_request *request, struct oauth_http_answer *answer, void *tag,
	struct call **begun)
{
	int64_t left_ms = work_left_ms(w);
	struct call *call;
	enum err err;

	*answer = (struct oauth_http_answer){.content_type = ""};
	buf_init(&answer->body, w, OAUTH_HTTP_BODY_MAX_BYTES);
	if (!request->origin || !is_of_origin(request->url, request->origin))
		return work_cause(w, ERR_BUG, "request_outside_its_origin");
	call = idle_call(http);
	if (!call)
		return work_cause(w, ERR_NO_MEMORY, "curl");
	if (request->total_ms < left_ms)
		left_ms = request->total_ms;
	call->place.origin = request->origin;
	call->place.deadline_ms = clock_monotonic_ms() + left_ms;
	call->w = w;
	call->request = request;
	call->answer = answer;
	call->tag = tag;
	call->reach = oauth_reach_of(request->url, request->allow_loopback);
	call->address_refused = call->sent = 0;
	err = call->reach == OAUTH_REACH_NOWHERE ? work_cause(w, ERR_BUG, "request_url")
						 : add_headers(w, call);
	if (err) {
		withdraw(call);
		return err;
	}
	move_to(OAUTH_STAGE_WAITING, call);
	if (left_ms <= 0)
		end_unsent(call);
	*begun = call;
	return ERR_OK;
}

enum err oauth_http_call(struct work *w, struct oauth_http *http,
	const struct oauth_http_request *request, struct oauth_http_answer *answer)
{
	struct call *call;
	enum err err = begin(w, http, request, answer, NULL, &call);

	if (err)
		return err;
	err = move_on(http);
	while (!err && call->place.stage != OAUTH_STAGE_ENDED) {
		err = rest(http, INT_MAX, -1);
		if (!err)
			err = move_on(http);
	}
	if (call->place.stage == OAUTH_STAGE_ENDED)
		err = ERR_OK;
	else
		withdraw(call);
	move_to(OAUTH_STAGE_IDLE, call);
	return err ? work_cause(w, err, "curl") : ERR_OK;
}

enum err oauth_http_start(struct work *w, struct oauth_http *http,
	const struct oauth_http_request *request, struct oauth_http_answer *answer, void *tag)
{
	struct call *call;

	if (!tag)
		return work_cause(w, ERR_BUG, "request_without_tag");
	return begin(w, http, request, answer, tag, &call);
}

enum err oauth_http_wait(struct oauth_http *http, int64_t wait_ms, int fd)
{
	enum err err = move_on(http);

	if (err || wait_ms <= 0 || first_call(http, OAUTH_STAGE_ENDED))
		return err;
	err = rest(http, wait_ms, fd);
	return err ? err : move_on(http);
}

void *oauth_http_next(struct oauth_http *http)
{
	struct call *call = first_call(http, OAUTH_STAGE_ENDED);

	if (!call)
		return NULL;
	move_to(OAUTH_STAGE_IDLE, call);
	return call->tag;
}

size_t oauth_http_count(const struct oauth_http *http)
{
	return oauth_queue_taken(&http->queue);
}
