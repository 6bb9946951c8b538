/* incident: what went wrong, and who takes it on. alert: whether mails arrive. */
#include "base/text.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "custody/incident.h"
#include "custody/mail.h"
#include "custody/trouble.h"

#include <inttypes.h>

#define LISTED 100

static const struct store_scope everything = {0};

static enum err read_id(struct ctl *ctl, int64_t *id)
{
	const char *text = ctl->args->positionals[0];

	return text_to_int(text, 1, INT64_MAX, id)
		       ? ERR_OK
		       : work_fail(ctl->w, ERR_USAGE, "ID: %s is not an incident's number", text);
}

static enum err explain(struct ctl *ctl, enum err err, int64_t id)
{
	return err == ERR_NOT_FOUND
		       ? work_fail(ctl->w, err, "ID: there is no incident %" PRId64, id)
		       : err;
}

static enum ctl_tone tone_of(const struct store_incident *incident)
{
	return text_equal(incident->state, "resolved") ? CTL_GOOD
	       : text_equal(incident->state, "open")   ? CTL_BAD
						       : CTL_DOUBTFUL;
}

/* --- list ------------------------------------------------------------------------------------- */

static void list_json(struct ctl *ctl, const struct store_incident *incidents, size_t n)
{
	struct jout *j = &ctl->out.json;

	jout_object(j, NULL);
	jout_array(j, "incidents");
	for (size_t i = 0; i < n; i++) {
		jout_object(j, NULL);
		custody_incident_json(j, &incidents[i]);
		jout_end_object(j);
		ctl_out_drain(&ctl->out);
	}
	jout_end_array(j);
	jout_end_object(j);
}

static void list_table(struct ctl *ctl, const struct store_incident *incidents, size_t n)
{
	static const char *const heads[] = {"ID", "STATE", "CLIENT", "PROVIDER", "CAUSE", "SINCE",
		"ACKNOWLEDGED BY", "RESOLVED", "SPEAKS FOR", NULL};
	struct ctl_table table;

	ctl_table_begin(&table, &ctl->out, heads, 1);
	for (size_t i = 0; i < n; i++) {
		const struct store_incident *one = &incidents[i];

		ctl_table_row(&table, tone_of(one),
			(const char *const[]){one->id, one->state, one->client, one->provider,
				one->cause, one->opened_at, one->acknowledged_by, one->resolved_at,
				text_equal(one->children, "0") ? NULL : one->children});
	}
	ctl_table_end(&table);
}

enum err ctl_cmd_incident_list(struct ctl *ctl)
{
	const struct store_incident_query query = {.limit = LISTED};
	struct store_incident *incidents = NULL;
	size_t n = 0;
	enum err err = store_incident_list(ctl->w, ctl->c.db, &query, &incidents, &n);

	if (err)
		return err;
	(ctl->out.is_json ? list_json : list_table)(ctl, incidents, n);
	return ERR_OK;
}

/* --- show ------------------------------------------------------------------------------------- */

static void show_json(struct ctl *ctl, const struct store_incident *incident,
	const struct store_incident_event *events, size_t n)
{
	struct jout *j = &ctl->out.json;

	jout_object(j, NULL);
	custody_incident_json(j, incident);
	custody_incident_timeline_json(j, events, n);
	jout_end_object(j);
}

static const char *seconds(struct ctl *ctl, const char *s)
{
	return s ? work_printf(ctl->w, "%s s", s) : NULL;
}

static void show_facts(struct ctl *ctl, const struct store_incident *it)
{
	const char *const heads[] = {"INCIDENT", it->id, NULL};
	const char *const rows[][2] = {{"STATE", it->state}, {"CLIENT", it->client},
		{"PROVIDER", it->provider}, {"DATA CENTRE", it->datacenter}, {"CAUSE", it->cause},
		{"REASON", it->reason}, {"OPENED BY", it->opened_by}, {"OPENED", it->opened_at},
		{"NO LIVE TOKEN SINCE", it->impact_start}, {"ACKNOWLEDGED", it->acknowledged_at},
		{"ACKNOWLEDGED BY", it->acknowledged_by}, {"NOTE", it->note},
		{"RECOVERING", it->recovering_at}, {"RESOLVED", it->resolved_at},
		{"RESOLVED BY", it->resolved_by}, {"CAME BACK", it->flaps},
		{"PARENT", it->parent_id}, {"SPEAKS FOR", it->children},
		{"TIME TO DETECT", seconds(ctl, it->detect_s)},
		{"TIME TO ACKNOWLEDGE", seconds(ctl, it->acknowledge_s)},
		{"TIME TO RECOVER", seconds(ctl, it->recover_s)}};
	struct ctl_table table;

	ctl_table_begin(&table, &ctl->out, heads, 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		ctl_table_row(&table, i ? CTL_PLAIN : tone_of(it), rows[i]);
	ctl_table_end(&table);
}

static void show_timeline(struct ctl *ctl, const struct store_incident_event *events, size_t n)
{
	static const char *const heads[] = {"AT", "WHAT", "OUTCOME", "WHO", "WHY", NULL};
	struct ctl_table table;

	buf_char(&ctl->out.text, '\n');
	ctl_table_begin(&table, &ctl->out, heads, 2);
	for (size_t i = 0; i < n; i++)
		ctl_table_row(&table, text_equal(events[i].outcome, "ok") ? CTL_GOOD : CTL_DOUBTFUL,
			(const char *const[]){events[i].at, events[i].action, events[i].outcome,
				events[i].actor, events[i].reason});
	ctl_table_end(&table);
}

static enum err show(struct ctl *ctl, int64_t id)
{
	struct store_incident incident;
	struct store_incident_event *events = NULL;
	size_t n = 0;
	enum err err = store_incident_one(ctl->w, ctl->c.db, &everything, id, &incident);

	if (!err)
		err = store_incident_timeline(
			ctl->w, ctl->c.db, id, CUSTODY_INCIDENT_EVENTS_MAX, &events, &n);
	if (err)
		return explain(ctl, err, id);
	if (ctl->out.is_json) {
		show_json(ctl, &incident, events, n);
		return ERR_OK;
	}
	show_facts(ctl, &incident);
	show_timeline(ctl, events, n);
	return ERR_OK;
}

enum err ctl_cmd_incident_show(struct ctl *ctl)
{
	int64_t id = 0;
	enum err err = read_id(ctl, &id);

	return err ? err : show(ctl, id);
}

/* --- ack -------------------------------------------------------------------------------------- */

enum err ctl_cmd_incident_ack(struct ctl *ctl)
{
	int64_t id = 0;
	enum err err = read_id(ctl, &id);

	if (!err)
		err = explain(ctl,
			custody_trouble_acknowledge(ctl->w, &ctl->c, &everything, id, NULL), id);
	if (err)
		return err;
	if (ctl->out.is_json)
		return show(ctl, id);
	buf_printf(&ctl->out.text, "incident %" PRId64 " is taken on\n", id);
	return ERR_OK;
}

/* --- alert ------------------------------------------------------------------------------------ */

static const char *advice(const char *cause)
{
	static const struct {
		const char *cause, *advice;
	} rows[] = {
		{"dns", "the name in smtp_url is not known"},
		{"connect", "nothing listens there, or a firewall is in between: see smtp_url"},
		{"certificate", "the server cannot prove who it is: see smtp_ca_file"},
		{"starttls", "the server offers no STARTTLS: see smtp_starttls"},
		{"tls", "no encrypted line could be agreed on: see smtp_url and smtp_starttls"},
		{"login", "the server refuses smtp_user and its password"},
		{"deadline", "the server took too long"},
		{"refused", "the server refuses sender, recipient or mail"},
		{"deferred", "the server takes no mail for now"},
		{"dropped", "the server ended the conversation"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (text_equal(cause, rows[i].cause))
			return rows[i].advice;
	return "";
}

enum err ctl_cmd_alert_test(struct ctl *ctl)
{
	const char *to = conf_text(&ctl->conf, CONF_mail_to);
	const char *url = conf_text(&ctl->conf, CONF_smtp_url);
	struct oauth_smtp_answer answer;
	enum err err = custody_mail_test(ctl->w, &ctl->c, &answer);
	int is_sent;

	if (err)
		return err;
	is_sent = answer.fate == OAUTH_SMTP_SENT;
	ctl->exit_code = !is_sent;
	if (ctl->out.is_json) {
		jout_object(&ctl->out.json, NULL);
		jout_bool(&ctl->out.json, "sent", is_sent);
		jout_text(&ctl->out.json, "server", url);
		jout_text(&ctl->out.json, "to", to);
		jout_text(&ctl->out.json, "cause", answer.cause);
		jout_int(&ctl->out.json, "code", answer.code);
		jout_end_object(&ctl->out.json);
	} else if (is_sent)
		buf_printf(&ctl->out.text, "%s took a mail to %s\n", url, to);
	else
		buf_printf(&ctl->out.text, "no mail went to %s by %s: %s (%s %d)\n", to, url,
			advice(answer.cause), answer.cause, answer.code);
	return ERR_OK;
}
