/* GET /healthz (the worker lives) and GET /readyz (it can serve). */
#include "base/log.h"
#include "web/handle.h"
#include "web/reply.h"

#include <unistd.h>

enum err web_handle_healthz(struct web_request *r)
{
	struct web_reply reply;

	web_reply_begin(&reply, r, 200);
	jout_text(&reply.json, "status", "ok");
	return web_reply_end(&reply);
}

static int is_writable(const struct web_request *r, enum conf_option dir)
{
	return access(conf_text(r->c->conf, dir), W_OK | X_OK) == 0;
}

enum err web_handle_readyz(struct web_request *r)
{
	enum err database = store_db_check(r->w, r->c->db);
	int spool = is_writable(r, CONF_state_dir), runtime = is_writable(r, CONF_runtime_dir);
	int ready = !database && spool;
	struct web_reply reply;

	web_reply_begin(&reply, r, ready ? 200 : 503);
	jout_bool(&reply.json, "ready", ready);
	jout_object(&reply.json, "checks");
	jout_text(&reply.json, "database", database ? err_slug(database) : "ok");
	/* a worker without keys does not start; one that has them goes on when their files are
	 * spoilt */
	jout_text(&reply.json, "keys", vault_keyring_is_stale(r->c->keyring) ? "unsafe" : "ok");
	jout_text(&reply.json, "spool", spool ? "ok" : "not_writable");
	jout_text(&reply.json, "environment", runtime ? "ok" : "not_writable");
	jout_end_object(&reply.json);
	return web_reply_end(&reply);
}
