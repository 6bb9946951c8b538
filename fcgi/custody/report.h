/* A connection's health report as the contract spells it, for the service and the command line
 * alike. */
#ifndef VESTAL_CUSTODY_REPORT_H
#define VESTAL_CUSTODY_REPORT_H

#include "base/jout.h"
#include "custody/distribute.h"
#include "store/report.h"

/* Writes the report as one object, the element of an array. */
void custody_report_json(struct jout *j, const struct store_report *report);

/* Writes the member "persisted": which stores hold the newest generation. */
void custody_report_persisted(struct jout *j, const struct custody_persisted *persisted);

#endif
