// SPDX-License-Identifier: MIT
// The event log. Bounded: whole lines leave at the front, their offsets are never reused.
#include "core/event.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/limits.h"

void event_log_fini(struct event_log *log)
{
	buffer_fini(&log->text);
}

static void trim(struct event_log *log, size_t extra)
{
	while (buffer_length(&log->text) && buffer_length(&log->text) + extra > EVENTS_BYTES) {
		uint8_t *text = buffer_bytes(&log->text);
		uint8_t *end = memchr(text, '\n', buffer_length(&log->text));
		assert(end);
		log->tail += (uint64_t)(end + 1 - text);
		buffer_consume(&log->text, (size_t)(end + 1 - text));
	}
}

static int format_prefix(
	char *line, size_t size, uint64_t sequence, uint64_t wall, const char *name)
{
	time_t seconds = (time_t)(wall / SECOND);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	return snprintf(line, size, "%" PRIu64 " %04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s", sequence,
		tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		(int)(wall % SECOND / MILLISECOND), name);
}

void event_emit(struct event_log *log, uint64_t wall, const char *name, const char *format, ...)
{
	char line[EVENT_LINE];
	va_list args;

	int n = format_prefix(line, sizeof line, log->sequence + 1, wall, name);
	if (*format) {
		line[n++] = ' ';
		va_start(args, format);
		int more = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
		va_end(args);
		int room = (int)sizeof line - n - 2;
		n += more <= room ? more : room;
		// Longer than a line may be: cut, but not in the middle of an escape.
		if (more > room && line[n - 1] == '%')
			n -= 1;
		else if (more > room && line[n - 2] == '%')
			n -= 2;
	}
	line[n] = '\n';
	trim(log, (size_t)n + 1);
	buffer_append(&log->text, line, (size_t)n + 1);
	if (buffer_failed(&log->text)) {
		log->text.failed = false;
		log->lost++;
		return;
	}
	log->head += (uint64_t)n + 1;
	log->sequence++;
	log->changed = wall;
	log->fresh = true;
	line[n] = '\0';
	if (log->mirror)
		log->mirror(log->mirror_context, line);
}

struct event_text event_escape(const char *value)
{
	static const char hex[] = "0123456789ABCDEF";
	struct event_text out;
	size_t at = 0;

	for (; *value && at + 4 < sizeof out.text; value++) {
		unsigned char c = (unsigned char)*value;
		if (c > ' ' && c < 127 && c != '%' && c != '=') {
			out.text[at++] = (char)c;
		} else {
			out.text[at++] = '%';
			out.text[at++] = hex[c >> 4];
			out.text[at++] = hex[c & 15];
		}
	}
	out.text[at] = '\0';
	return out;
}

size_t event_log_read(const struct event_log *log, uint64_t offset, const char **bytes)
{
	assert(offset >= log->tail);
	if (offset >= log->head)
		return 0;
	*bytes = (const char *)buffer_bytes(&log->text) + (offset - log->tail);
	return (size_t)(log->head - offset);
}
