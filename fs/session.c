// SPDX-License-Identifier: MIT
// The FUSE session on the loop. All requests come in here, and every reply leaves through
// write_device(), which is where a reply that fails is noticed: a request that is never answered
// leaves its caller in a sleep that nothing ends.
#include "fs/session.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/ops.h"

// Requests in one go, before the network has its turn.
#define REQUESTS_PER_TURN 64
// Of the name of a mount, with its escapes.
#define SOURCE_MAX 256
// Attempts at a reply for which the kernel has no memory right now.
#define REPLY_ATTEMPTS 16

struct session {
	struct session_config config; // its strings are not kept
	struct ops ops;
	struct node *node;
	struct ev_loop *loop;
	struct fuse_session *fuse;
	struct fuse_buf request; // its memory is allocated by libfuse and ours to free
	ev_io device;
	bool ready;
	int error; // why no more requests can be served
};

static struct session *session_of(void *userdata)
{
	return (struct session *)((char *)userdata - offsetof(struct session, ops));
}

// The mount is of no use any more: better none than one whose callers hang.
static void session_break(struct session *s, int error)
{
	if (s->error)
		return;
	s->error = error;
	fuse_session_exit(s->fuse);
	ev_feed_event(s->loop, &s->device, EV_READ);
}

static bool is_passing(int error)
{
	return error == EINTR || error == EAGAIN || error == ENOMEM;
}

// ENOENT says that the call was interrupted meanwhile, ENODEV that the mount is gone, and a
// header without a request that this is no reply.
static ssize_t write_device(int fd, struct iovec *vectors, int count, void *userdata)
{
	const struct fuse_out_header *header = vectors->iov_base;
	ssize_t n = -1;

	for (int i = 0; i < REPLY_ATTEMPTS && n < 0; i++) {
		n = writev(fd, vectors, count);
		if (n < 0 && !is_passing(errno))
			break;
	}
	if (n < 0 && header->unique && errno != ENOENT && errno != ENODEV) {
		int error = errno;
		session_break(session_of(userdata), -error);
		errno = error;
	}
	return n;
}

static ssize_t read_device(int fd, void *data, size_t size, void *userdata)
{
	return read(fd, data, size);
}

// The last thing that happens: `ended` may free the session.
static void session_over(struct session *s, int error)
{
	ev_io_stop(s->loop, &s->device);
	s->config.ended(s->config.context, error);
}

static void on_device(struct ev_loop *loop, ev_io *io, int events)
{
	struct session *s = io->data;

	for (int i = 0; i < REQUESTS_PER_TURN; i++) {
		int n = fuse_session_receive_buf(s->fuse, &s->request);
		if (n == -EAGAIN || n == -EINTR)
			return;
		if (n <= 0) {
			session_over(s, s->error ? s->error : n);
			return;
		}
		s->ops.handles.lone = i == 0;
		fuse_session_process_buf(s->fuse, &s->request);
		if (s->ops.agreed && !s->ready) {
			s->ready = true;
			s->config.ready(s->config.context);
		}
	}
}

static bool has_option(const char *options, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = options; (at = strstr(at, name)); at += n)
		if ((at == options || at[-1] == ',') && (at[n] == ',' || at[n] == '\0'))
			return true;
	return false;
}

// A value of an option, in which a comma would begin another one. One that does not fit is left
// out.
static void escape_value(char out[SOURCE_MAX], const char *value)
{
	size_t n = 0;

	for (; *value && n + 3 < SOURCE_MAX; value++) {
		if (*value == ',' || *value == '\\')
			out[n++] = '\\';
		out[n++] = *value;
	}
	out[*value ? 0 : n] = '\0';
}

// The source is what mount(8) compares to see whether a line of fstab(5) is mounted. Modes matter
// once others may come in; whoever mounts without that is the only one there.
static int make_options(char **text, const char *given, const char *source)
{
	bool others = given && has_option(given, "allow_other");
	char name[SOURCE_MAX];

	escape_value(name, source ? source : "");
	int n = asprintf(text, "-ofsname=%s,subtype=smokefs%s%s%s", *name ? name : "smokefs",
		others ? ",default_permissions" : "", given && *given ? "," : "",
		given ? given : "");

	return n < 0 ? -ENOMEM : 0;
}

// Closes the device and frees the session. libfuse frees the path of a mount only when it unmounts,
// for which it may run a program; a device whose poll reports an error is to it that of a mount
// that is gone. A pipe that nobody reads is one.
static void leave_mount(struct fuse_session *fuse)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) == 0) {
		close(ends[0]);
		if (dup3(ends[1], fuse_session_fd(fuse), O_CLOEXEC) >= 0)
			fuse_session_unmount(fuse);
		close(ends[1]);
	}
	fuse_session_destroy(fuse);
}

static int make_fuse(
	struct fuse_session **fuse, const struct session_config *config, struct ops *ops)
{
	char *options;
	int r = make_options(&options, config->mount_options, config->source);

	if (r < 0)
		return r;
	char *words[] = { "smokefs", options, "-d", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(config->debug ? 3 : 2, words);
	*fuse = fuse_session_new(&args, &ops_table, sizeof ops_table, ops);
	fuse_opt_free_args(&args);
	free(options);
	return *fuse ? 0 : -EINVAL;
}

static int mount_fuse(struct session *s, const char *mountpoint, int device)
{
	char name[32];
	static const struct fuse_custom_io io = { .writev = write_device, .read = read_device };

	// libfuse's own way to be given a device.
	snprintf(name, sizeof name, "/dev/fd/%d", device);
	errno = 0;
	if (fuse_session_mount(s->fuse, device < 0 ? mountpoint : name) != 0)
		return errno ? -errno : -EIO;
	int fd = fuse_session_fd(s->fuse);
	int r = fuse_session_custom_io(s->fuse, &io, fd);
	if (r == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		r = -errno;
	if (r < 0 && device < 0)
		fuse_session_unmount(s->fuse);
	return r;
}

int session_new(struct session **session, const struct session_config *config, struct ev_loop *loop,
	struct node *node)
{
	struct session *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	s->config = *config;
	s->config.mountpoint = s->config.mount_options = s->config.source = NULL;
	s->node = node;
	s->loop = loop;
	ops_init(&s->ops, node, &config->owner);
	s->ops.handles.flush = config->flush;
	s->ops.handles.loopback = config->loopback;
	s->ops.handles.flush_context = config->context;
	s->ops.handles.keeper = (struct ctl_keeper){ config->context, config->keep_access };
	s->ops.handles.config = config->settings;

	int r = make_fuse(&s->fuse, config, &s->ops);
	if (r == 0)
		r = mount_fuse(s, config->mountpoint, config->device);
	if (r < 0) {
		if (s->fuse)
			fuse_session_destroy(s->fuse);
		ops_fini(&s->ops);
		free(s);
		return r;
	}
	ev_io_init(&s->device, on_device, fuse_session_fd(s->fuse), EV_READ);
	s->device.data = s;
	ev_io_start(loop, &s->device);
	*session = s;
	return 0;
}

void session_turn(struct session *s)
{
	unsigned changes = node_take_changes(s->node);

	if (changes || s->ops.handles.calls.changes)
		ops_wake(&s->ops, changes);
}

void session_end_calls(struct session *s)
{
	handles_stop(&s->ops.handles);
}

void session_free(struct session *s)
{
	if (!s)
		return;
	ev_io_stop(s->loop, &s->device);
	ev_clear_pending(s->loop, &s->device);
	session_end_calls(s);
	leave_mount(s->fuse);
	ops_fini(&s->ops);
	free(s->request.mem);
	free(s);
}

int session_mount(const char *mountpoint, const char *mount_options)
{
	const struct session_config config = { .mount_options = mount_options };
	struct fuse_session *fuse;
	int fd, r = make_fuse(&fuse, &config, NULL);

	if (r < 0)
		return r;
	errno = 0;
	if (fuse_session_mount(fuse, mountpoint) != 0) {
		fd = errno ? -errno : -EIO;
	} else {
		fd = fcntl(fuse_session_fd(fuse), F_DUPFD_CLOEXEC, 3);
		fd = fd < 0 ? -errno : fd;
	}
	leave_mount(fuse);
	return fd;
}
