/* Writes the requests that carry credentials. It decides what is said and how the app proves
 * itself. */
#include "oauth/token_request.h"

#include "base/jout.h"
#include "base/text.h"
#include "oauth/request.h"

#include <string.h>

#define BODY_MAX_BYTES ((size_t)64 * 1024)
#define FORM_TYPE "application/x-www-form-urlencoded"

/* A form or JSON body in the making; its memory is the work's, which wipes it. */
struct body {
	struct buf text;
	struct jout json;
	enum oauth_encoding encoding;
};

static void body_init(struct body *body, struct work *w, enum oauth_encoding encoding)
{
	buf_init(&body->text, w, BODY_MAX_BYTES);
	body->encoding = encoding;
	jout_init(&body->json, &body->text);
	if (encoding == OAUTH_ENCODING_JSON)
		jout_object(&body->json, NULL);
}

/* value NULL: the parameter is left out, as an empty one would count. Source: RFC 6749 section 3.2.
 */
static void body_add(struct body *body, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	if (body->encoding == OAUTH_ENCODING_JSON) {
		jout_text(&body->json, name, value);
		return;
	}
	if (body->text.len)
		buf_char(&body->text, '&');
	text_percent_encode(&body->text, name);
	buf_char(&body->text, '=');
	text_percent_encode(&body->text, value);
}

static void body_add_secret(struct body *body, const char *name, const struct secret *secret)
{
	if (secret)
		body_add(body, name, secret_reveal(secret));
}

/* "id:secret" in base64, each form-encoded first unless the provider wants them raw. Source: RFC
 * 6749 section 2.3.1. */
static struct secret *basic_credential(struct work *w, const struct oauth_app *app, int raw)
{
	const char *client_secret = app->client_secret ? secret_reveal(app->client_secret) : "";
	struct buf plain;
	const char *encoded;

	buf_init(&plain, w, BODY_MAX_BYTES);
	if (raw) {
		buf_text(&plain, app->client_id);
		buf_char(&plain, ':');
		buf_text(&plain, client_secret);
	} else {
		text_percent_encode(&plain, app->client_id);
		buf_char(&plain, ':');
		text_percent_encode(&plain, client_secret);
	}
	encoded = text_base64(w, (const unsigned char *)plain.data, plain.len);
	return secret_new(w, encoded, strlen(encoded));
}

/* Adds the app's proof to a body that holds all else, and closes the request. */
static enum err authenticate(struct work *w, const struct oauth_provider *provider,
	const struct oauth_app *app, enum oauth_client_auth auth, struct body *body,
	struct oauth_http_request *request)
{
	if (auth == OAUTH_CLIENT_AUTH_POST) {
		body_add(body, "client_id", app->client_id);
		body_add_secret(body, "client_secret", app->client_secret);
	} else if (auth == OAUTH_CLIENT_AUTH_BASIC || auth == OAUTH_CLIENT_AUTH_BASIC_RAW) {
		request->scheme = "Basic";
		request->credential = basic_credential(w, app,
			auth == OAUTH_CLIENT_AUTH_BASIC_RAW ||
				provider->client_auth == OAUTH_CLIENT_AUTH_BASIC_RAW);
		if (!request->credential)
			return work_cause(w, ERR_NO_MEMORY, "secure_heap");
	}
	if (body->encoding == OAUTH_ENCODING_JSON)
		jout_end_object(&body->json);
	if (body->text.overflow)
		return work_cause(w, ERR_BUG, "token_request_too_large");
	request->content_type =
		body->encoding == OAUTH_ENCODING_JSON ? "application/json" : FORM_TYPE;
	request->body = secret_new(w, body->text.data, body->text.len);
	return request->body ? ERR_OK : work_cause(w, ERR_NO_MEMORY, "secure_heap");
}

enum err oauth_token_request_code(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, const struct secret *code, const struct secret *verifier,
	struct oauth_http_request *request)
{
	enum err err = oauth_request_begin(
		w, target, OAUTH_METHOD_POST, target->provider->token_url, 1, request);
	struct body body;

	if (err)
		return err;
	body_init(&body, w, OAUTH_ENCODING_FORM);
	body_add(&body, "grant_type", "authorization_code");
	body_add_secret(&body, "code", code);
	body_add(&body, "redirect_uri", app->redirect_uri);
	body_add_secret(&body, "code_verifier", verifier);
	return authenticate(
		w, target->provider, app, target->provider->client_auth, &body, request);
}

enum err oauth_token_request_refresh(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, const struct secret *refresh_token,
	struct oauth_http_request *request)
{
	enum err err = oauth_request_begin(
		w, target, OAUTH_METHOD_POST, target->provider->token_url, 1, request);
	struct body body;

	if (err)
		return err;
	body_init(&body, w, OAUTH_ENCODING_FORM);
	body_add(&body, "grant_type", "refresh_token");
	body_add_secret(&body, "refresh_token", refresh_token);
	return authenticate(
		w, target->provider, app, target->provider->client_auth, &body, request);
}

enum err oauth_token_request_revoke(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, const struct secret *token, const char *hint,
	struct oauth_http_request *request)
{
	const struct oauth_revoke *revoke = &target->provider->revoke;
	struct body body;
	enum err err;

	if (!target->provider->revoke_url)
		return work_cause(w, ERR_NOT_FOUND, "no_revoke_url");
	err = oauth_request_begin(
		w, target, revoke->method, target->provider->revoke_url, 1, request);
	if (err)
		return err;
	body_init(&body, w, revoke->encoding);
	body_add_secret(&body, revoke->field, token);
	body_add(&body, "token_type_hint", hint);
	return authenticate(w, target->provider, app, revoke->auth, &body, request);
}

enum err oauth_token_request_introspect(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, const struct secret *token, struct oauth_http_request *request)
{
	struct body body;
	enum err err;

	if (!target->provider->introspect_url)
		return work_cause(w, ERR_NOT_FOUND, "no_introspect_url");
	err = oauth_request_begin(
		w, target, OAUTH_METHOD_POST, target->provider->introspect_url, 1, request);
	if (err)
		return err;
	body_init(&body, w, OAUTH_ENCODING_FORM);
	body_add_secret(&body, "token", token);
	return authenticate(
		w, target->provider, app, target->provider->client_auth, &body, request);
}

enum err oauth_token_request_app_proof(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, struct oauth_http_request *request)
{
	static const char code[] = "vestal-app-proof";
	static const char verifier[] = "vestal-app-proof-vestal-app-proof-vestal-app-proof";
	struct secret *made_up = secret_new(w, code, sizeof(code) - 1);
	struct secret *proof = secret_new(w, verifier, sizeof(verifier) - 1);

	if (!made_up || !proof)
		return work_cause(w, ERR_NO_MEMORY, "secure_heap");
	return oauth_token_request_code(
		w, target, app, made_up, target->provider->pkce ? proof : NULL, request);
}
