// SPDX-License-Identifier: MIT
// Two files, one thread, libfuse's own loop.
#include "tests/bench/noop.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WAKE_BYTES 64
#define WAKE_QUEUE 1024 // a power of two; more than a reader falls behind by

enum { NODE_ROOT = FUSE_ROOT_ID, NODE_NOOP, NODE_WAKE };

// Messages for a reader that is not there yet.
static char queue[WAKE_QUEUE][WAKE_BYTES];
static uint32_t queue_head, queue_tail;
static fuse_req_t waiting;

static struct stat attributes(fuse_ino_t node)
{
	return (struct stat){
		.st_ino = node,
		.st_mode = node == NODE_ROOT ? S_IFDIR | 0755 : S_IFREG | 0600,
		.st_nlink = 1,
	};
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_ino_t node = strcmp(name, "noop") == 0   ? NODE_NOOP
			  : strcmp(name, "wake") == 0 ? NODE_WAKE
						      : 0;
	struct fuse_entry_param entry = { .ino = node, .attr = attributes(node) };

	if (node)
		fuse_reply_entry(req, &entry);
	else
		fuse_reply_err(req, ENOENT);
}

static void on_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct stat st = attributes(node);
	fuse_reply_attr(req, &st, 0.);
}

// Sent as it is on the wire: libfuse has no name for FOPEN_STREAM.
static void on_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct fuse_open_out out = {
		.open_flags = FOPEN_DIRECT_IO | FOPEN_STREAM | FOPEN_NOFLUSH,
	};
	fuse_reply_buf(req, (const char *)&out, sizeof out);
}

static void on_read(
	fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
	if (node != NODE_WAKE)
		fuse_reply_buf(req, NULL, 0);
	else if (queue_tail != queue_head)
		fuse_reply_buf(req, queue[queue_tail++ % WAKE_QUEUE], WAKE_BYTES);
	else if (fi->flags & O_NONBLOCK || waiting)
		fuse_reply_err(req, EAGAIN);
	else
		waiting = req;
}

static void on_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	fuse_req_t reader = waiting;

	if (node == NODE_WAKE && reader) {
		waiting = NULL;
		fuse_reply_buf(reader, data, size);
	} else if (node == NODE_WAKE && size == WAKE_BYTES) {
		memcpy(queue[queue_head++ % WAKE_QUEUE], data, size);
	}
	fuse_reply_write(req, size);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = on_lookup,
	.getattr = on_getattr,
	.open = on_open,
	.read = on_read,
	.write = on_write,
};

int noop_serve(const char *path)
{
	char *words[] = { "bench", "-ofsname=bench-noop", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, words);
	struct fuse_session *session =
		fuse_session_new(&args, &operations, sizeof operations, NULL);
	int r = -1;

	fuse_opt_free_args(&args);
	if (!session)
		return EXIT_FAILURE;
	if (fuse_set_signal_handlers(session) < 0)
		goto out;
	if (fuse_session_mount(session, path) < 0)
		goto out;
	r = fuse_session_loop(session);
	fuse_session_unmount(session);
out:
	fuse_session_destroy(session);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
