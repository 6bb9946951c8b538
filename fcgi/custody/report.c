/* The report's fields and their names. What they say was judged in sql/views/connection_report.sql.
 */
#include "custody/report.h"

static void last_error(struct jout *j, const struct store_report *report)
{
	if (!report->last_error_code) {
		jout_null(j, "lastError");
		return;
	}
	jout_object(j, "lastError");
	jout_text(j, "code", report->last_error_code);
	jout_text(j, "at", report->last_error_at);
	jout_end_object(j);
}

void custody_report_json(struct jout *j, const struct store_report *report)
{
	jout_object(j, NULL);
	jout_text(j, "clientId", report->client);
	jout_text(j, "provider", report->provider);
	jout_text(j, "status", report->status);
	jout_text(j, "cause", report->cause);
	jout_text(j, "action", report->action);
	jout_text(j, "owner", report->owner);
	jout_text(j, "expiresAt", report->expires_at);
	jout_text(j, "lastRefreshedAt", report->last_refreshed_at);
	jout_text(j, "lastProvedAt", report->last_proved_at);
	jout_text(j, "nextRefreshAt", report->next_refresh_at);
	jout_text(j, "refreshExpiresAt", report->refresh_expires_at);
	jout_raw(j, "failures", report->failures);
	last_error(j, report);
	jout_raw(j, "generation", report->generation);
	jout_text(j, "datacenter", *report->datacenter ? report->datacenter : NULL);
	jout_bool(j, "passive", report->passive);
	jout_object(j, "stores");
	jout_raw(j, "database", report->generation);
	jout_raw(j, "file", report->copy_generation);
	jout_raw(j, "environment", report->environment_generation);
	jout_end_object(j);
	jout_end_object(j);
}

void custody_report_persisted(struct jout *j, const struct custody_persisted *persisted)
{
	jout_object(j, "persisted");
	jout_bool(j, "database", persisted->database);
	jout_bool(j, "file", persisted->file);
	jout_bool(j, "environment", persisted->environment);
	jout_end_object(j);
}
