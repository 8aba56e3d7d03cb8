// SPDX-License-Identifier: MIT
// The event log: lines of text at absolute offsets that never change, trimmed at the front.
//
//     SEQ TIME NAME key=value...
//
// Values are percent-escaped (everything outside printable ASCII, space, '%' and '='), so that an
// event is one line and splits on spaces. SEQ counts up by one.
#pragma once

#include <stdarg.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/buffer.h"

struct event_log {
	struct buffer text; // whole lines, [tail, head)
	uint64_t tail;	    // offset of the first byte kept
	uint64_t head;	    // offset past the last byte: the size of the file
	uint64_t sequence;  // of the last event
	uint64_t changed;   // wall-clock time of the last event, microseconds since the epoch
	uint64_t lost;	    // events that no memory could be had for
	bool fresh;	    // set by every event; whoever tells readers clears it
	// Called with each finished line, without its newline; may be NULL. Must not emit events.
	void (*mirror)(void *context, const char *line);
	void *mirror_context;
};

void event_log_fini(struct event_log *log);
// Appends one event. `wall`: microseconds since the epoch. `format` gives "key=value key=value";
// arguments for %s must be escaped already, with event_escape(), unless they cannot need it.
void event_emit(struct event_log *log, uint64_t wall, const char *name, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

struct event_text {
	char text[192];
};
// A value made safe for a line; cut at the size of the result.
struct event_text event_escape(const char *value);

// Bytes at `offset`, tail <= offset: a pointer that holds until the next event, and the count.
size_t event_log_read(const struct event_log *log, uint64_t offset, const char **bytes);
