// SPDX-License-Identifier: MIT
// The journal. A reader that is stuck costs lines, which are counted, and no time. It is not
// core/log.c, which keeps the messages of the network.
#include "fs/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "core/limits.h"

#define LINE_MAX_BYTES (2 * PATH_MAX + 512) // for the terminal: two paths and a sentence

static const int priorities[] = {
	[LEVEL_TRACE] = LOG_DEBUG,
	[LEVEL_DEBUG] = LOG_DEBUG,
	[LEVEL_INFO] = LOG_INFO,
	[LEVEL_WARN] = LOG_WARNING,
	[LEVEL_ERROR] = LOG_ERR,
	[LEVEL_FATAL] = LOG_CRIT,
};

// Does standard error end in the journal of systemd? JOURNAL_STREAM has device and inode of the
// stream that the service manager gave; a program in between may have redirected it since.
static bool is_stream(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

// What a line of standard error begins with: to the journal its priority, as sd-daemon(3) has it,
// which knows by itself who speaks; to everybody else who that is.
static void begin_line(char out[16], bool stream, int priority)
{
	if (stream)
		snprintf(out, 16, "<%d>", priority);
	else
		snprintf(out, 16, "smokefs: ");
}

static int open_target(struct journal *j)
{
	if (j->target == LOG_TO_FILE)
		return open(j->path,
			O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
	if (j->target == LOG_TO_SYSLOG)
		return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	// Its own descriptor: a daemon leaves the terminal, and this one goes on to whom it was
	// given.
	return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
}

// syslog(3) itself would wait for a logger that is stuck.
static ssize_t send_line(struct journal *j, int priority, const char *line)
{
	static const struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	char text[EVENT_LINE + 64], when[32];
	time_t now = time(NULL);
	struct tm tm;
	int n;

	strftime(when, sizeof when, "%b %e %T", localtime_r(&now, &tm));
	n = snprintf(text, sizeof text, "<%d>%s smokefs[%d]: %s", LOG_DAEMON | priority, when,
		(int)getpid(), line);
	if (n >= (int)sizeof text)
		n = sizeof text - 1;
	return sendto(
		j->fd, text, (size_t)n, MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof to);
}

static ssize_t print_line(struct journal *j, int priority, const char *line)
{
	struct pollfd p = { .fd = j->fd, .events = POLLOUT };
	char text[EVENT_LINE + 64], beginning[16] = "";

	if (j->target == LOG_TO_STDERR)
		begin_line(beginning, j->stream, priority);
	int n = snprintf(text, sizeof text, "%s%s\n", beginning, line);

	// A pipe that polls writable has room for PIPE_BUF bytes, which is more than a line. The
	// terminal is shared with others, who would not like it to be non-blocking.
	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
		return -1;
	return write(j->fd, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

static ssize_t write_line(struct journal *j, int priority, const char *line)
{
	return j->target == LOG_TO_SYSLOG ? send_line(j, priority, line)
					  : print_line(j, priority, line);
}

// Whoever reads again learns how much was not written meanwhile.
static bool report_lost(struct journal *j)
{
	char line[64];

	if (j->lost == 0)
		return true;
	snprintf(
		line, sizeof line, "%llu lines of this log were lost", (unsigned long long)j->lost);
	if (write_line(j, LOG_WARNING, line) < 0)
		return false;
	j->lost = 0;
	return true;
}

static void take_line(struct journal *j, enum log_level level, const char *line)
{
	if (level < j->level || j->fd < 0)
		return;
	if (!report_lost(j) || write_line(j, priorities[level], line) < 0)
		j->lost++;
}

static enum log_level event_level(const char *name, size_t n)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = {
		{ "clash", LEVEL_ERROR },
		{ "gap", LEVEL_WARN },
		{ "lost", LEVEL_WARN },
		{ "netsplit", LEVEL_WARN },
		{ "overrun", LEVEL_WARN },
		{ "refused", LEVEL_WARN },
		{ "slow", LEVEL_WARN },
		{ "join", LEVEL_DEBUG },
		{ "leave", LEVEL_DEBUG },
	};
	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
		if (strlen(levels[i].name) == n && memcmp(levels[i].name, name, n) == 0)
			return levels[i].level;
	return LEVEL_INFO;
}

int journal_open(struct journal *j, enum log_target target, const char *path, enum log_level level)
{
	size_t n = strlen(path);

	if (n >= sizeof j->path)
		return -ENAMETOOLONG;
	memcpy(j->path, path, n + 1);
	j->target = target;
	j->level = level;
	j->stream = target == LOG_TO_STDERR && is_stream();
	j->fd = open_target(j);
	return j->fd < 0 ? -errno : 0;
}

void journal_reopen(struct journal *j)
{
	int fd;

	if (j->target != LOG_TO_FILE)
		return;
	fd = open_target(j);
	if (fd < 0) {
		journal_say(
			j, LEVEL_ERROR, "%s: %s; the old file is kept", j->path, strerror(errno));
		return;
	}
	journal_close(j);
	j->fd = fd;
}

void journal_close(struct journal *j)
{
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
}

// SEQ TIME NAME key=value...
void journal_event(void *context, const char *line)
{
	const char *name = line;
	for (int i = 0; i < 2; i++) {
		name += strcspn(name, " ");
		name += *name == ' ';
	}
	take_line(context, event_level(name, strcspn(name, " ")), line);
}

void journal_say(struct journal *j, enum log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES], beginning[16];
	bool terminal = j->terminal && level >= LEVEL_WARN;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	if (terminal) {
		begin_line(beginning, is_stream(), priorities[level]);
		fprintf(stderr, "%s%s\n", beginning, line);
	}
	if (!terminal || j->target != LOG_TO_STDERR)
		take_line(j, level, line);
}
