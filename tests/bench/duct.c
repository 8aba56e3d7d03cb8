// SPDX-License-Identifier: MIT
// Opening each kind of duct.
#include "tests/bench/duct.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20) // as much as an ordinary user may ask for

const char *duct_name(enum duct_kind kind)
{
	static const char *const names[DUCT_KINDS] = {
		[DUCT_BROADCAST] = "smokefs broadcast, node to node",
		[DUCT_STREAM] = "smokefs direct stream, node to node",
		[DUCT_CHANNEL] = "smokefs pipe, node to node",
		[DUCT_SOCAT] = "socat with OpenSSL",
		[DUCT_SSH] = "ssh",
		[DUCT_WAKE] = "FUSE wake: write and blocked read of one no-op mount",
		[DUCT_NOOP] = "no-op FUSE write",
		[DUCT_TCP] = "TCP on loopback",
		[DUCT_UNIX] = "AF_UNIX stream",
		[DUCT_PIPE] = "pipe",
		[DUCT_FIFO] = "FIFO of the kernel",
	};
	return names[kind];
}

// Takes the descriptor, which may be bad: the caller looks at errno.
static int add_reader(struct duct *duct, int fd)
{
	if (fd < 0)
		return -errno;
	duct->readers[duct->reader_count++] = fd;
	return 0;
}

static int open_files(struct duct *duct, const char *from, const char *to)
{
	int r = to ? add_reader(duct, open(to, O_RDONLY | O_CLOEXEC)) : 0;
	if (r < 0)
		return r;
	duct->writer = open(from, O_WRONLY | O_CLOEXEC);
	return duct->writer < 0 ? -errno : 0;
}

static int open_pipe(struct duct *duct)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	add_reader(duct, ends[0]);
	duct->writer = ends[1];
	fcntl(duct->writer, F_SETPIPE_SZ, PIPE_BYTES);
	return 0;
}

static int open_unix(struct duct *duct)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	add_reader(duct, ends[0]);
	duct->writer = ends[1];
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
	if (r == 0)
		r = add_reader(duct, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	setsockopt(duct->writer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	close(listener);
	return r;
}

static int open_broadcast(struct duct *duct, const struct network *network, int nodes)
{
	int r = open_files(duct, network->broadcast[0], network->broadcast[1]);
	for (int i = 2; r == 0 && i < nodes; i++)
		r = add_reader(duct, open(network->broadcast[i], O_RDONLY | O_CLOEXEC));
	return r;
}

int duct_name_ends(
	char from[PATH_MAX], char to[PATH_MAX], enum duct_kind kind, const struct place *place)
{
	const struct network *network = &place->networks[BUILD_REAL];
	static unsigned serial; // what a reader leaves of a pipe is the next one's otherwise

	serial++;
	if (kind == DUCT_FIFO) {
		snprintf(from, PATH_MAX, "%s/fifo-%u", place->directory, serial);
		snprintf(to, PATH_MAX, "%s/fifo-%u", place->directory, serial);
		return mkfifo(from, 0600) < 0 ? -errno : 0;
	}
	snprintf(from, PATH_MAX, "%.*s/bench-%u", PATH_MAX - 32, network->pipes[0], serial);
	snprintf(to, PATH_MAX, "%.*s/bench-%u", PATH_MAX - 32, network->pipes[1], serial);
	int fd = open(to, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int open_channel(struct duct *duct, const struct place *place)
{
	char from[PATH_MAX], to[PATH_MAX];
	int r = duct_name_ends(from, to, DUCT_CHANNEL, place);

	if (r == 0)
		r = add_reader(duct, open(to, O_RDONLY | O_CLOEXEC));
	if (r < 0)
		return r;
	memcpy(duct->removed, to, PATH_MAX);
	duct->writer = open(from, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return duct->writer < 0 ? -errno : 0;
}

// Takes over what was started.
static int open_rival(struct duct *duct, const struct place *place,
	int (*start)(struct rival *rival, const char *directory, int *reader, int *writer))
{
	int reader = -1, r = start(&duct->rival, place->directory, &reader, &duct->writer);
	if (reader >= 0)
		add_reader(duct, reader);
	return r;
}

static int open_kind(
	struct duct *duct, enum duct_kind kind, enum build build, const struct place *place)
{
	const struct network *network = &place->networks[build];

	switch (kind) {
	case DUCT_BROADCAST:
		return open_broadcast(duct, network, place_nodes(build));
	case DUCT_STREAM:
		return open_files(duct, network->stream[0], network->stream[1]);
	case DUCT_CHANNEL:
		return open_channel(duct, place);
	case DUCT_SOCAT:
		return open_rival(duct, place, rival_start_socat);
	case DUCT_SSH:
		return open_rival(duct, place, rival_start_ssh);
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
	case DUCT_FIFO: // is measured by those who open it themselves
		break;
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
	*duct = (struct duct){ .writer = -1 };
	int r = open_kind(duct, kind, build, place);
	for (int i = 0; r == 0 && i < duct->reader_count; i++)
		r = begin_reading(duct->readers[i]);
	if (r < 0)
		duct_close(duct);
	return r;
}

void duct_close(struct duct *duct)
{
	for (int i = 0; i < duct->reader_count; i++)
		close(duct->readers[i]);
	if (duct->writer >= 0)
		close(duct->writer);
	if (duct->removed[0])
		unlink(duct->removed);
	rival_stop(&duct->rival);
	*duct = (struct duct){ .writer = -1 };
}
