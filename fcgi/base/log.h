/*
 * Logs are events with typed fields, one JSON line each to standard error. There is no free text:
 * an event has a dotted name, a field a name and a number or a short word. Secrets have a type of
 * their own that fits no field.
 */
#ifndef VESTAL_BASE_LOG_H
#define VESTAL_BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_field_type { LOG_FIELD_END, LOG_FIELD_TEXT, LOG_FIELD_INT };

struct log_field {
	const char *name;
	enum log_field_type type;
	const char *text; /* NULL: the field is left out */
	int64_t number;
};

#define LOG_TEXT(field_name, value) ((struct log_field){field_name, LOG_FIELD_TEXT, value, 0})
#define LOG_INT(field_name, value) ((struct log_field){field_name, LOG_FIELD_INT, "", value})

/* log_event(LOG_INFO, "request.done", LOG_INT("status", 200), LOG_TEXT("route", route)) */
#define log_event(level, event, ...)                                                               \
	log_write(level, event, (const struct log_field[]){__VA_ARGS__, {0}})

void log_write(enum log_level level, const char *event, const struct log_field *fields);

/* Events below this level are dropped. The program's name goes into each line. */
void log_init(const char *program, enum log_level least);

#endif
