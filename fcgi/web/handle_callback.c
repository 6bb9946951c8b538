/* GET /api/oauth/callback/:provider. */
#include "base/text.h"
#include "custody/callback.h"
#include "custody/report.h"
#include "web/handle.h"
#include "web/reply.h"

#include <inttypes.h>

static const char *param(void *context, const char *name)
{
	const char *value = web_request_query_param(context, name);

	return value && *value ? value : NULL;
}

static enum err page(struct web_request *r, const struct custody_callback *callback)
{
	const struct custody_persisted *persisted = &callback->persisted;
	struct web_page page = {
		.status = 200,
		.title = "The connection works",
		.lead = work_printf(r->w,
			"%s is connected to %s: the new token was proved and is in use.",
			callback->client, callback->provider->title),
		.lines = {work_printf(r->w, "Status: %s, generation %" PRId64, callback->status,
				  callback->generation),
			work_printf(r->w,
				"Stored in the database: %s; sealed copy: %s; environment file: %s",
				persisted->database ? "yes" : "no",
				persisted->file ? "yes" : "not yet",
				persisted->environment ? "yes" : "not yet"),
			"You can close this page."},
	};

	web_reply_page(r, &page);
	return ERR_OK;
}

static enum err check(struct web_request *r, const char *name)
{
	const char *value = name ? web_request_query_param(r, name) : NULL;

	return value && text_has_control(value)
		       ? work_fail_field(r->w, name, "holds a control character or is not UTF-8")
		       : ERR_OK;
}

/* Only what is read is checked: unknown parameters are ignored, whatever they hold (RFC 6749
 * section 4.1.2). */
static enum err check_params(struct web_request *r, const struct oauth_provider *provider)
{
	const char *const names[] = {"state", "code", "error", "iss",
		provider->callback_datacenter.location, provider->callback_datacenter.server};
	enum err err = ERR_OK;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (check(r, names[i]))
			err = ERR_INPUT;
	for (size_t i = 0; i < provider->callback_keep.count; i++)
		if (check(r, provider->callback_keep.items[i]))
			err = ERR_INPUT;
	return err;
}

enum err web_handle_callback(struct web_request *r)
{
	struct custody_callback callback = {.param = param, .context = r};
	struct web_reply reply;
	enum err err =
		custody_provider(r->w, r->c, web_request_text(r, "provider"), &callback.provider);

	if (!err)
		err = check_params(r, callback.provider);
	if (!err)
		err = custody_callback(r->w, r->c, &callback);
	if (err)
		return err;
	if (web_request_wants_page(r))
		return page(r, &callback);
	web_reply_begin(&reply, r, 200);
	jout_text(&reply.json, "clientId", callback.client);
	jout_text(&reply.json, "provider", callback.provider->name);
	jout_text(&reply.json, "status", callback.status);
	jout_int(&reply.json, "generation", callback.generation);
	custody_report_persisted(&reply.json, &callback.persisted);
	return web_reply_end(&reply);
}
