/* GET /api/oauth/incidents, GET /api/oauth/incidents/:id and POST /api/oauth/incidents/:id/ack. */
#include "custody/incident.h"
#include "custody/trouble.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

#define PAGE 100

static enum err check_states(struct web_request *r, const struct web_value *states)
{
	for (size_t i = 0; i < states->count; i++)
		if (!custody_incident_is_state(states->list[i]))
			return work_fail_field(r->w, "state", "%s is not a state", states->list[i]);
	return ERR_OK;
}

/* One more is asked for than is shown: whether it is there says whether there is another page. */
static enum err give_page(
	struct web_request *r, const struct store_incident *incidents, size_t n, size_t limit)
{
	size_t shown = n < limit ? n : limit;
	struct web_reply reply;
	enum err err = ERR_OK;

	web_reply_begin(&reply, r, 200);
	jout_array(&reply.json, "incidents");
	for (size_t i = 0; !err && i < shown; i++) {
		jout_object(&reply.json, NULL);
		custody_incident_json(&reply.json, &incidents[i]);
		jout_end_object(&reply.json);
		err = web_reply_flush(&reply);
	}
	jout_end_array(&reply.json);
	jout_text(&reply.json, "next", n > limit ? incidents[limit - 1].id : NULL);
	return err ? err : web_reply_end(&reply);
}

enum err web_handle_incidents(struct web_request *r)
{
	const struct web_value *states = web_request_value(r, "state");
	const int64_t asked = web_request_value(r, "limit")->number;
	const int64_t limit = asked ? asked : PAGE;
	struct store_incident_query query = {
		.scope = web_gate_narrow(
			r, web_request_text(r, "client"), web_request_text(r, "provider")),
		.states = states->list,
		.state_count = states->count,
		.after = web_request_value(r, "after")->number,
		.limit = limit + 1};
	struct store_incident *incidents = NULL;
	size_t n = 0;
	enum err err = check_states(r, states);

	if (!err)
		err = store_incident_list(r->w, r->c->db, &query, &incidents, &n);
	return err ? err : give_page(r, incidents, n, (size_t)limit);
}

static enum err give(struct web_request *r, int64_t id)
{
	struct store_incident incident;
	struct store_incident_event *events = NULL;
	struct web_reply reply;
	size_t n = 0;
	enum err err = store_incident_one(r->w, r->c->db, &r->caller.scope, id, &incident);

	if (!err)
		err = store_incident_timeline(
			r->w, r->c->db, id, CUSTODY_INCIDENT_EVENTS_MAX, &events, &n);
	if (err)
		return err;
	web_reply_begin(&reply, r, 200);
	custody_incident_json(&reply.json, &incident);
	custody_incident_timeline_json(&reply.json, events, n);
	return web_reply_end(&reply);
}

enum err web_handle_incident(struct web_request *r)
{
	return give(r, web_request_value(r, "id")->number);
}

enum err web_handle_incident_ack(struct web_request *r)
{
	int64_t id = web_request_value(r, "id")->number;
	enum err err = custody_trouble_acknowledge(
		r->w, r->c, &r->caller.scope, id, web_request_text(r, "note"));

	return err ? err : give(r, id);
}
