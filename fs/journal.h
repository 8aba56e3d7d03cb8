// SPDX-License-Identifier: MIT
// What the daemon tells its operator: one line at a time, to the terminal, syslog or a file, and
// never waiting for whoever reads it.
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LEVEL_TRACE, LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR, LEVEL_FATAL };
enum log_target { LOG_TO_AUTO, LOG_TO_STDERR, LOG_TO_SYSLOG, LOG_TO_FILE };

struct journal {
	enum log_target target;
	enum log_level level; // what is below is left out
	char path[PATH_MAX];  // of LOG_TO_FILE
	int fd;		      // -1: not open; lines go to the terminal or nowhere
	bool terminal;	      // whoever started us still watches standard error
	bool stream;	      // standard error is the journal of systemd
	uint64_t lost;	      // lines that nobody took
};

// `target` is not LOG_TO_AUTO; `path`, of LOG_TO_FILE, is absolute and copied. 0 or -errno.
int journal_open(struct journal *j, enum log_target target, const char *path, enum log_level level);
// Opens the file anew after it was moved away. Other targets have nothing to open.
void journal_reopen(struct journal *j);
void journal_close(struct journal *j);
// Warnings and worse also go to the terminal as long as there is one. Blocks there, nowhere else.
__attribute__((format(printf, 3, 4))) void journal_say(
	struct journal *j, enum log_level level, const char *format, ...);
// A mirror for struct events; the context is the journal.
void journal_event(void *context, const char *line);
