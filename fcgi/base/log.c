/* One JSON line an event, written with one write() so that the lines of many processes never mix.
 */
#include "base/log.h"

#include "base/clock.h"
#include "base/jout.h"

#include <unistd.h>

#define LINE_MAX_BYTES 4096

static const char *program = "vestal";
static enum log_level least_level = LOG_INFO;

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

void log_init(const char *name, enum log_level least)
{
	program = name;
	least_level = least;
}

static void compose(
	struct buf *line, enum log_level level, const char *event, const struct log_field *fields)
{
	char now[CLOCK_TEXT_BYTES];
	struct jout j;

	jout_init(&j, line);
	jout_object(&j, NULL);
	jout_text(&j, "at", clock_text(clock_wall_ms(), now));
	jout_text(&j, "level", level_names[level]);
	jout_text(&j, "program", program);
	jout_int(&j, "pid", getpid());
	jout_text(&j, "event", event);
	for (; fields->type != LOG_FIELD_END; fields++)
		if (fields->type == LOG_FIELD_INT)
			jout_int(&j, fields->name, fields->number);
		else if (fields->text)
			jout_text(&j, fields->name, fields->text);
	jout_end_object(&j);
	buf_char(line, '\n');
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
	struct work w;
	struct buf line;
	ssize_t written;

	if (level < least_level)
		return;
	work_begin(&w, 0);
	buf_init(&line, &w, LINE_MAX_BYTES);
	compose(&line, level, event, fields);
	if (line.overflow) {
		buf_clear(&line);
		compose(&line, level, event,
			(const struct log_field[]){LOG_TEXT("dropped", "fields too long"), {0}});
	}
	written = write(STDERR_FILENO, line.data, line.len);
	(void)written; /* nowhere is left to complain to */
	work_end(&w);
}
