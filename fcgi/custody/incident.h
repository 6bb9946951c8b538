/* An incident, as the API and vestalctl show it. */
#ifndef VESTAL_CUSTODY_INCIDENT_H
#define VESTAL_CUSTODY_INCIDENT_H

#include "base/jout.h"
#include "store/incident.h"

#define CUSTODY_INCIDENT_EVENTS_MAX 1000

/* Whether a word names a state. */
int custody_incident_is_state(const char *word);

/* The members of one incident; the object is open. */
void custody_incident_json(struct jout *j, const struct store_incident *incident);

/* "timeline": what happened in its course. */
void custody_incident_timeline_json(
	struct jout *j, const struct store_incident_event *events, size_t n);

#endif
