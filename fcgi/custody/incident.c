/* Incidents as JSON, the same wherever they are shown. */
#include "custody/incident.h"

#include "base/text.h"

int custody_incident_is_state(const char *word)
{
	static const char *const states[] = {
		"suspected", "open", "acknowledged", "recovering", "resolved"};

	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
		if (text_equal(word, states[i]))
			return 1;
	return 0;
}

void custody_incident_json(struct jout *j, const struct store_incident *incident)
{
	jout_raw(j, "id", incident->id);
	jout_text(j, "clientId", incident->client);
	jout_text(j, "provider", incident->provider);
	jout_text(j, "datacenter", incident->datacenter);
	jout_raw(j, "appId", incident->app_id);
	jout_text(j, "cause", incident->cause);
	jout_text(j, "state", incident->state);
	jout_text(j, "reason", incident->reason);
	jout_text(j, "openedBy", incident->opened_by);
	jout_text(j, "impactStart", incident->impact_start);
	jout_text(j, "detectedAt", incident->detected_at);
	jout_text(j, "openedAt", incident->opened_at);
	jout_text(j, "acknowledgedAt", incident->acknowledged_at);
	jout_text(j, "acknowledgedBy", incident->acknowledged_by);
	jout_text(j, "note", incident->note);
	jout_text(j, "recoveringAt", incident->recovering_at);
	jout_text(j, "resolvedAt", incident->resolved_at);
	jout_text(j, "resolvedBy", incident->resolved_by);
	jout_raw(j, "parentId", incident->parent_id);
	jout_raw(j, "children", incident->children);
	jout_raw(j, "flaps", incident->flaps);
	jout_raw(j, "secondsToDetect", incident->detect_s);
	jout_raw(j, "secondsToAcknowledge", incident->acknowledge_s);
	jout_raw(j, "secondsToRecover", incident->recover_s);
}

void custody_incident_timeline_json(
	struct jout *j, const struct store_incident_event *events, size_t n)
{
	jout_array(j, "timeline");
	for (size_t i = 0; i < n; i++) {
		jout_object(j, NULL);
		jout_text(j, "at", events[i].at);
		jout_text(j, "action", events[i].action);
		jout_text(j, "outcome", events[i].outcome);
		jout_text(j, "actor", events[i].actor);
		jout_raw(j, "generation", events[i].generation);
		jout_text(j, "reason", events[i].reason);
		jout_end_object(j);
	}
	jout_end_array(j);
}
