// SPDX-License-Identifier: MIT
// Opening each kind of duct.
#include "tests/bench/duct.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20) // as much as an ordinary user may ask for

const char *duct_name(enum duct_kind kind)
{
	static const char *const names[DUCT_KINDS] = {
		[DUCT_BROADCAST] = "smokefs broadcast, node to node",
		[DUCT_STREAM] = "smokefs direct stream, node to node",
		[DUCT_SOCAT] = "socat with OpenSSL",
		[DUCT_SSH] = "ssh",
		[DUCT_WAKE] = "FUSE wake: write and blocked read of one no-op mount",
		[DUCT_NOOP] = "no-op FUSE write",
		[DUCT_TCP] = "TCP on loopback",
		[DUCT_UNIX] = "AF_UNIX stream",
		[DUCT_PIPE] = "pipe",
	};
	return names[kind];
}

static int open_files(struct duct *duct, const char *from, const char *to)
{
	duct->reader = to ? open(to, O_RDONLY | O_CLOEXEC) : -1;
	if (to && duct->reader < 0)
		return -errno;
	duct->writer = open(from, O_WRONLY | O_CLOEXEC);
	return duct->writer < 0 ? -errno : 0;
}

static int open_pipe(struct duct *duct)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	*duct = (struct duct){ .reader = ends[0], .writer = ends[1] };
	fcntl(duct->writer, F_SETPIPE_SZ, PIPE_BYTES);
	return 0;
}

static int open_unix(struct duct *duct)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	*duct = (struct duct){ .reader = ends[0], .writer = ends[1] };
	return 0;
}

static int open_tcp(struct duct *duct)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof a;
	int one = 1, r = 0;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	duct->writer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || duct->writer < 0 || bind(listener, (void *)&a, size) < 0 ||
		listen(listener, 1) < 0 || getsockname(listener, (void *)&a, &size) < 0 ||
		connect(duct->writer, (void *)&a, size) < 0)
		r = -errno;
	if (r == 0) {
		duct->reader = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		r = duct->reader < 0 ? -errno : 0;
	}
	setsockopt(duct->writer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	close(listener);
	return r;
}

static int open_kind(
	struct duct *duct, enum duct_kind kind, enum build build, const struct place *place)
{
	const struct pair *pair = &place->pairs[build];

	switch (kind) {
	case DUCT_BROADCAST:
		return open_files(duct, pair->broadcast[0], pair->broadcast[1]);
	case DUCT_STREAM:
		return open_files(duct, pair->stream[0], pair->stream[1]);
	case DUCT_SOCAT:
		return rival_start_socat(
			&duct->rival, place->directory, &duct->reader, &duct->writer);
	case DUCT_SSH:
		return rival_start_ssh(
			&duct->rival, place->directory, &duct->reader, &duct->writer);
	case DUCT_WAKE:
		return open_files(duct, place->wake, place->wake);
	case DUCT_NOOP:
		return open_files(duct, place->noop, NULL);
	case DUCT_TCP:
		return open_tcp(duct);
	case DUCT_UNIX:
		return open_unix(duct);
	case DUCT_PIPE:
		return open_pipe(duct);
	}
	return -EINVAL;
}

// A reader of broadcasts counts as one from its first read on. Nothing must be there already.
static int begin_reading(int fd)
{
	char byte;
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	ssize_t n = read(fd, &byte, 1);
	int error = n >= 0 ? EBUSY : errno;
	fcntl(fd, F_SETFL, flags);
	return error == EAGAIN ? 0 : -error;
}

int duct_open(struct duct *duct, enum duct_kind kind, enum build build, const struct place *place)
{
	*duct = (struct duct){ .reader = -1, .writer = -1 };
	int r = open_kind(duct, kind, build, place);
	if (r == 0 && duct->reader >= 0)
		r = begin_reading(duct->reader);
	if (r < 0)
		duct_close(duct);
	return r;
}

void duct_close(struct duct *duct)
{
	if (duct->reader >= 0)
		close(duct->reader);
	if (duct->writer >= 0)
		close(duct->writer);
	rival_stop(&duct->rival);
	*duct = (struct duct){ .reader = -1, .writer = -1 };
}
