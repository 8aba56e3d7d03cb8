// SPDX-License-Identifier: MIT
// The daemon: starts the parts in their order, turns the loop, and takes everything down again.
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "core/net.h"
#include "core/node.h"
#include "core/state.h"
#include "fs/mount.h"
#include "fs/options.h"
#include "fs/ready.h"
#include "fs/session.h"

enum exit_code {
	CODE_CLEAN = 0,
	CODE_USAGE = 1,
	CODE_SYSTEM = 2,
	CODE_INTERNAL = 4,
	CODE_MOUNT = 32,
};

// STARTING -> WAITING (with --wait) -> RUNNING -> STOPPING; any of them -> STOPPING.
enum stage { STAGE_STARTING, STAGE_WAITING, STAGE_RUNNING, STAGE_STOPPING };

#define ANSWER_TIMEOUT 10.0 // seconds, for a new mount to answer

struct daemon {
	struct options options;
	char mountpoint[PATH_MAX];
	char state_path[PATH_MAX];
	char log_path[PATH_MAX];
	enum log_target log_target;
	int log; // descriptor, or -1
	uint64_t log_lost;
	struct state state;
	struct address address;
	struct ev_loop *loop;
	struct net net;
	struct node *node;
	struct session *session;
	struct mount_helper helper;
	int parent; // for ready_announce()
	pid_t probe;
	enum stage stage;
	enum exit_code code;
	ev_check turn_begins;
	ev_prepare turn_ends;
	ev_idle again; // active: the next turn does not wait
	ev_signal term, interrupt, hangup;
	ev_timer limit; // of the stage
	ev_io probed;
};

// The log: one line at a time, never waiting for whoever reads it.

static int log_open(struct daemon *d)
{
	if (d->log_target == LOG_TO_FILE)
		return open(d->log_path,
			O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
	if (d->log_target == LOG_TO_SYSLOG)
		return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	// Its own descriptor: a daemon leaves the terminal, and this one goes on to whom it was
	// given.
	return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
}

// syslog(3) itself would wait for a logger that is stuck.
static ssize_t log_send(struct daemon *d, int priority, const char *line)
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
		d->log, text, (size_t)n, MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof to);
}

static ssize_t log_print(struct daemon *d, const char *line)
{
	struct pollfd p = { .fd = d->log, .events = POLLOUT };
	char text[EVENT_LINE + 64];
	int n = snprintf(text, sizeof text, "%s%s\n",
		d->log_target == LOG_TO_STDERR ? "smokefs: " : "", line);

	// A pipe that polls writable has room for PIPE_BUF bytes, which is more than a line. The
	// terminal is shared with others, who would not like it to be non-blocking.
	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
		return -1;
	return write(d->log, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

static void log_line(struct daemon *d, enum log_level level, const char *line)
{
	static const int priorities[] = {
		[LEVEL_TRACE] = LOG_DEBUG,
		[LEVEL_DEBUG] = LOG_DEBUG,
		[LEVEL_INFO] = LOG_INFO,
		[LEVEL_WARN] = LOG_WARNING,
		[LEVEL_ERROR] = LOG_ERR,
		[LEVEL_FATAL] = LOG_CRIT,
	};
	ssize_t n;

	if (level < d->options.log_level || d->log < 0)
		return;
	n = d->log_target == LOG_TO_SYSLOG ? log_send(d, priorities[level], line)
					   : log_print(d, line);
	d->log_lost += n < 0;
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

// SEQ TIME NAME key=value...
static void on_event(void *context, const char *line)
{
	const char *name = line;
	for (int i = 0; i < 2; i++) {
		name += strcspn(name, " ");
		name += *name == ' ';
	}
	log_line(context, event_level(name, strcspn(name, " ")), line);
}

// To the terminal as long as there is one, then to the log.
__attribute__((format(printf, 3, 4))) static void say(
	struct daemon *d, enum log_level level, const char *format, ...)
{
	char line[OPTIONS_ERROR + 2 * PATH_MAX];
	bool terminal = d->stage <= STAGE_WAITING && level >= LEVEL_WARN;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	if (terminal)
		fprintf(stderr, "smokefs: %s\n", line);
	if (!terminal || d->log_target != LOG_TO_STDERR)
		log_line(d, level, line);
}

// Stages.

static void stop(struct daemon *d, enum exit_code code)
{
	if (d->stage == STAGE_STOPPING) {
		ev_break(d->loop, EVBREAK_ALL);
		return;
	}
	d->stage = STAGE_STOPPING;
	d->code = code;
	ready_notify("STOPPING=1");
	net_stop_listening(&d->net);
	node_stop(d->node);
	session_end_calls(d->session);
	ev_timer_stop(d->loop, &d->limit);
	// node_stopped() keeps to this time by itself; the timer is for a loop that it cannot end.
	ev_timer_set(&d->limit, (double)FAREWELL_TIME / SECOND + 0.1, 0.);
	ev_timer_start(d->loop, &d->limit);
}

static void run(struct daemon *d)
{
	ev_timer_stop(d->loop, &d->limit);
	// Pins no directory. Paths are absolute by now.
	if (d->parent >= 0 && chdir("/") < 0)
		say(d, LEVEL_WARN, "/: %s", strerror(errno));
	d->stage = STAGE_RUNNING;
	say(d, LEVEL_INFO, "start id=%s name=%s address=%s mountpoint=%s version=%s state=%s",
		id_format(&d->state.id).text, d->options.name, address_format(&d->address).text,
		d->mountpoint, SMOKEFS_VERSION, d->state.ephemeral ? "-" : d->state_path);
	ready_announce(d->parent);
	d->parent = -1;
}

// The mount answers.
static void run_or_wait(struct daemon *d)
{
	ev_timer_stop(d->loop, &d->limit);
	if (!d->options.wait || node_peer_count(d->node) > 0) {
		run(d);
		return;
	}
	d->stage = STAGE_WAITING;
	if (d->options.wait_time == 0)
		return;
	ev_timer_set(&d->limit, (double)d->options.wait_time / SECOND, 0.);
	ev_timer_start(d->loop, &d->limit);
}

static void on_limit(struct ev_loop *loop, ev_timer *w, int events)
{
	struct daemon *d = w->data;

	switch (d->stage) {
	case STAGE_STARTING:
		say(d, LEVEL_FATAL, "%s: the mount does not answer", d->mountpoint);
		stop(d, CODE_MOUNT);
		break;
	case STAGE_WAITING:
		say(d, LEVEL_FATAL,
			"--wait: no peer after %llu s; check that a seed runs and can be reached",
			(unsigned long long)(d->options.wait_time / SECOND));
		stop(d, CODE_SYSTEM);
		break;
	case STAGE_RUNNING:
		break;
	case STAGE_STOPPING:
		ev_break(loop, EVBREAK_ALL);
		break;
	}
}

static void on_probed(struct ev_loop *loop, ev_io *w, int events)
{
	struct daemon *d = w->data;
	int status = 0;

	ev_io_stop(loop, w);
	close(w->fd);
	waitpid(d->probe, &status, 0);
	if (d->stage != STAGE_STARTING)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		run_or_wait(d);
		return;
	}
	say(d, LEVEL_FATAL, "%s: the mount does not answer: %s", d->mountpoint,
		WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "the test was killed");
	stop(d, CODE_MOUNT);
}

// A child looks, because this process must never touch its own mount.
static void on_session_ready(void *context)
{
	struct daemon *d = context;
	int fd;

	d->probe = mount_probe(d->mountpoint, &fd);
	if (d->probe < 0) {
		say(d, LEVEL_FATAL, "fork: %s", strerror(-d->probe));
		stop(d, CODE_SYSTEM);
		return;
	}
	ev_io_init(&d->probed, on_probed, fd, EV_READ);
	d->probed.data = d;
	ev_io_start(d->loop, &d->probed);
}

static void on_session_ended(void *context, int error)
{
	struct daemon *d = context;

	if (d->stage == STAGE_STOPPING)
		return;
	if (error)
		say(d, LEVEL_FATAL, "%s: the connection to the kernel broke: %s", d->mountpoint,
			strerror(-error));
	else if (d->stage != STAGE_RUNNING)
		say(d, LEVEL_FATAL, "%s: unmounted before it was ready", d->mountpoint);
	stop(d, d->stage != STAGE_RUNNING ? CODE_MOUNT : error ? CODE_SYSTEM : CODE_CLEAN);
}

// Turns.

static void on_turn_begins(struct ev_loop *loop, ev_check *w, int events)
{
	struct daemon *d = w->data;
	ev_idle_stop(loop, &d->again);
	node_advance(d->node, net_now(), net_wall());
}

static void on_turn_ends(struct ev_loop *loop, ev_prepare *w, int events)
{
	struct daemon *d = w->data;

	session_turn(d->session);
	// What was sent made room for writers that wait, and they have something to send in turn.
	if (net_flush(&d->net)) {
		session_turn(d->session);
		if (net_flush(&d->net))
			ev_idle_start(loop, &d->again);
	}
	if (d->stage == STAGE_WAITING && node_peer_count(d->node) > 0)
		run(d);
	if (!node_stopped(d->node))
		return;
	if (d->stage != STAGE_STOPPING)
		d->code = CODE_SYSTEM; // the node gave up by itself; its last event says why
	ev_break(loop, EVBREAK_ALL);
}

static void on_again(struct ev_loop *loop, ev_idle *w, int events)
{
}

static void on_term(struct ev_loop *loop, ev_signal *w, int events)
{
	stop(w->data, CODE_CLEAN);
}

static void on_hangup(struct ev_loop *loop, ev_signal *w, int events)
{
	struct daemon *d = w->data;
	if (d->log_target != LOG_TO_FILE)
		return;
	int fd = log_open(d);
	if (fd < 0) {
		say(d, LEVEL_ERROR, "%s: %s; the old file is kept", d->log_path, strerror(errno));
		return;
	}
	if (d->log >= 0)
		close(d->log);
	d->log = fd;
}

static void watch_loop(struct daemon *d)
{
	ev_check_init(&d->turn_begins, on_turn_begins);
	ev_set_priority(&d->turn_begins, EV_MAXPRI);
	ev_prepare_init(&d->turn_ends, on_turn_ends);
	ev_idle_init(&d->again, on_again);
	ev_signal_init(&d->term, on_term, SIGTERM);
	ev_signal_init(&d->interrupt, on_term, SIGINT);
	ev_signal_init(&d->hangup, on_hangup, SIGHUP);
	d->turn_begins.data = d->turn_ends.data = d;
	d->term.data = d->interrupt.data = d->hangup.data = d;
	ev_check_start(d->loop, &d->turn_begins);
	ev_prepare_start(d->loop, &d->turn_ends);
	ev_signal_start(d->loop, &d->term);
	ev_signal_start(d->loop, &d->interrupt);
	ev_signal_start(d->loop, &d->hangup);
	ev_timer_start(d->loop, &d->limit);
}

// The start, in its order. Each step says what is wrong and gives the exit code.

static enum exit_code check_mountpoint(struct daemon *d)
{
	const char *path = d->mountpoint;
	struct stat st;
	int r = mount_resolve(d->mountpoint, d->options.mountpoint);

	if (r < 0) {
		say(d, LEVEL_FATAL, "%s: %s; create the directory first", d->options.mountpoint,
			strerror(-r));
		return CODE_MOUNT;
	}
	switch (mount_look(path)) {
	case MOUNT_NONE:
		break;
	case MOUNT_DEAD:
		r = mount_clean(path);
		if (r == 0)
			break;
		say(d, LEVEL_FATAL, "%s: a dead mount is in the way: %s; try umount -l %s", path,
			strerror(-r), path);
		return CODE_MOUNT;
	case MOUNT_LIVE:
		say(d, LEVEL_FATAL, "%s: already mounted; unmount it with fusermount3 -u %s", path,
			path);
		return CODE_MOUNT;
	case MOUNT_UNKNOWN:
		say(d, LEVEL_FATAL, "%s: already mounted, and its daemon does not answer", path);
		return CODE_MOUNT;
	}
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return CODE_CLEAN;
	say(d, LEVEL_FATAL, "%s: %s; name an existing directory", path,
		strerror(access(path, F_OK) < 0 ? errno : ENOTDIR));
	return CODE_MOUNT;
}

// Makes a path survive the way to "/".
static int make_absolute(char out[PATH_MAX], const char *path)
{
	char directory[PATH_MAX] = "";
	int n;

	if (*path != '/' && !getcwd(directory, sizeof directory))
		return -errno;
	n = snprintf(out, PATH_MAX, "%s%s%s", directory, *directory ? "/" : "", path);
	return n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static enum exit_code start_log(struct daemon *d)
{
	size_t n = strlen(d->mountpoint);
	int r = 0;

	d->log_target = d->options.log_target;
	if (d->log_target == LOG_TO_AUTO)
		d->log_target = d->options.foreground ? LOG_TO_STDERR : LOG_TO_SYSLOG;
	if (d->log_target == LOG_TO_FILE)
		r = make_absolute(d->log_path, d->options.log_file);
	if (r == 0 && strncmp(d->log_path, d->mountpoint, n) == 0 && d->log_path[n] == '/') {
		say(d, LEVEL_FATAL, "--log: %s: is inside of the mount point; choose another place",
			d->log_path);
		return CODE_USAGE;
	}
	d->log = r < 0 ? -1 : log_open(d);
	if (r == 0 && d->log < 0)
		r = -errno;
	if (r == 0)
		return CODE_CLEAN;
	say(d, LEVEL_FATAL, "--log: %s: %s", d->options.log_file ? d->options.log_file : "syslog",
		strerror(-r));
	return CODE_SYSTEM;
}

static enum exit_code start_state(struct daemon *d)
{
	const char *path = d->state_path, *culprit;
	pid_t holder;
	int r;

	if (d->options.state)
		r = make_absolute(d->state_path, d->options.state);
	else
		r = state_default_path(d->state_path, sizeof d->state_path, d->mountpoint);
	if (r < 0) {
		say(d, LEVEL_FATAL, "no place for the state directory: %s; name one with --state",
			r == -ENOENT ? "HOME is not set" : strerror(-r));
		return CODE_SYSTEM;
	}
	r = state_open(&d->state, path, net_wall(), &holder, &culprit);
	if (r == 0 && d->state.ephemeral)
		say(d, LEVEL_WARN,
			"%s: cannot be written to: this node's id will not outlive this run", path);
	if (r == 0)
		return CODE_CLEAN;
	if (r == -EBUSY)
		say(d, LEVEL_FATAL,
			"%s: in use by process %d; stop it, or choose another directory with --state",
			path, (int)holder);
	else if (r == -EINVAL && culprit)
		say(d, LEVEL_FATAL,
			"%s/%s: is damaged; restore it, or remove the directory to become a new node",
			path, culprit);
	else
		say(d, LEVEL_FATAL, "%s%s%s: %s", path, culprit ? "/" : "", culprit ? culprit : "",
			strerror(-r));
	return CODE_SYSTEM;
}

static enum exit_code start_listening(struct daemon *d)
{
	int fd;

	d->address = d->options.address;
	fd = net_listen(&d->address);
	if (fd == -EADDRINUSE) {
		say(d, LEVEL_FATAL,
			"port %u: already in use at %s; choose another with --port, or leave it out",
			d->address.port, address_format_host(&d->address).text);
		return CODE_SYSTEM;
	}
	if (fd < 0) {
		say(d, LEVEL_FATAL, "%s: cannot listen: %s", address_format(&d->address).text,
			strerror(-fd));
		return CODE_SYSTEM;
	}
	// Not the default loop, which would reap children that libfuse waits for.
	d->loop = ev_loop_new(EVFLAG_AUTO);
	if (d->loop && net_init(&d->net, d->loop, fd) == 0)
		return CODE_CLEAN;
	say(d, LEVEL_FATAL, "the event loop: %s", strerror(ENOMEM));
	if (!d->loop)
		close(fd);
	else
		ev_loop_destroy(d->loop);
	d->loop = NULL;
	return CODE_SYSTEM;
}

static enum exit_code start_node(struct daemon *d)
{
	struct node_driver driver = net_driver(&d->net);
	struct node_config config = {
		.id = d->state.id,
		.incarnation = d->state.incarnation,
		.address = d->address,
		.min_peers = d->options.min_peers,
		.max_peers = d->options.max_peers,
		.ping_timeout = d->options.ping_timeout,
	};

	memcpy(config.name, d->options.name, sizeof config.name);
	if (getrandom(&config.seed, sizeof config.seed, 0) == sizeof config.seed)
		d->node = node_new(&config, &driver);
	if (!d->node) {
		say(d, LEVEL_FATAL, "the node: %s", strerror(ENOMEM));
		return CODE_SYSTEM;
	}
	node_events(d->node)->mirror = on_event;
	node_events(d->node)->mirror_context = d;
	node_advance(d->node, net_now(), net_wall());
	net_start(&d->net, d->node);
	for (size_t i = 0; i < d->options.seed_count; i++)
		node_add_seed(d->node, d->options.seeds[i].host, d->options.seeds[i].port);
	return CODE_CLEAN;
}

static enum exit_code start_session(struct daemon *d)
{
	struct session_config config = {
		.mountpoint = d->mountpoint,
		.mount_options = *d->options.mount_options ? d->options.mount_options : NULL,
		.debug = d->options.debug,
		.context = d,
		.ready = on_session_ready,
		.ended = on_session_ended,
	};
	int r = session_new(&d->session, &config, d->loop, d->node);

	if (r < 0) {
		d->session = NULL;
		say(d, LEVEL_FATAL, "%s: cannot be mounted: %s", d->mountpoint, strerror(-r));
		return CODE_MOUNT;
	}
	r = mount_helper_watch(&d->helper, d->mountpoint);
	if (r < 0)
		say(d, LEVEL_WARN, "%s: would stay mounted if this daemon were killed: %s",
			d->mountpoint, strerror(-r));
	return CODE_CLEAN;
}

static void warn_request_limit(struct daemon *d)
{
	if (mount_has_request_limit())
		say(d, LEVEL_WARN,
			"%s is not 0: the kernel ends a mount whose reader waits longer than that; "
			"set it to 0",
			MOUNT_REQUEST_LIMIT);
}

static enum exit_code start(struct daemon *d)
{
	enum exit_code code = check_mountpoint(d);

	// Before this, nothing is worth a second process.
	if (code == CODE_CLEAN && !d->options.foreground) {
		d->parent = ready_fork();
		if (d->parent < 0) {
			say(d, LEVEL_FATAL, "fork: %s", strerror(-d->parent));
			return CODE_SYSTEM;
		}
	}
	if (code == CODE_CLEAN)
		code = start_log(d);
	if (code == CODE_CLEAN)
		code = start_state(d);
	if (code == CODE_CLEAN && mount_helper_start(&d->helper) < 0)
		say(d, LEVEL_WARN, "fork: %s: would stay mounted if killed", strerror(errno));
	if (code == CODE_CLEAN)
		code = start_listening(d);
	if (code == CODE_CLEAN)
		code = start_node(d);
	if (code == CODE_CLEAN)
		code = start_session(d);
	if (code == CODE_CLEAN)
		warn_request_limit(d);
	return code;
}

// In the order that leaves nobody waiting: the mount first, the lock last.
static void finish(struct daemon *d)
{
	if (d->session)
		session_free(d->session);
	mount_helper_stop(&d->helper);
	if (d->node)
		node_free(d->node);
	if (d->loop) {
		net_fini(&d->net);
		ev_loop_destroy(d->loop);
	}
	state_close(&d->state);
	if (d->log >= 0)
		close(d->log);
	options_fini(&d->options);
}

static enum exit_code serve(struct daemon *d)
{
	d->code = start(d);
	if (d->code == CODE_CLEAN) {
		ev_timer_init(&d->limit, on_limit, ANSWER_TIMEOUT, 0.);
		d->limit.data = d;
		watch_loop(d);
		ev_run(d->loop, 0);
	}
	finish(d);
	return d->code;
}

int main(int argc, char **argv)
{
	static struct daemon d = {
		.log = -1,
		.parent = -1,
		.helper = { .pipe = -1 },
		.state = { .directory = -1, .lock = -1 },
	};

	switch (options_parse(&d.options, argc, argv)) {
	case OPTIONS_RUN:
		ready_prepare(d.options.foreground);
		return serve(&d);
	case OPTIONS_HELP:
		fputs(options_usage(), stdout);
		return fflush(stdout) == 0 ? CODE_CLEAN : CODE_SYSTEM;
	case OPTIONS_VERSION:
		printf("smokefs %s\n", SMOKEFS_VERSION);
		return fflush(stdout) == 0 ? CODE_CLEAN : CODE_SYSTEM;
	}
	fprintf(stderr, "smokefs: %s\n", d.options.error);
	return CODE_USAGE;
}
