// SPDX-License-Identifier: MIT
// Requests to answers. Only READ and WRITE may wait; all else is answered before it returns.
#include "fs/ops.h"

#include <errno.h>
#include <limits.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/open.h"
#include "fs/watch.h"

// Nothing is cached: the set of peers changes at any time, the size of a log with every line, and
// a nodeid that may be locked must not be found twice.
#define CACHE_TIME 0.0

static struct ops *ops_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	struct ops *ops = userdata;

	// Replies are plain buffers: for what one carries, splice gains nothing.
	conn->want &=
		~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	// Asynchronous reads that wait count as background: a dozen would stop the mount.
	conn->max_background = 65535;
	conn->congestion_threshold = 65535;
	ops->agreed = true;
}

static void reply_entry(fuse_req_t req, fuse_ino_t parent, const char *name, int r)
{
	struct tree *tree = &ops_of(req)->tree;
	struct fuse_entry_param entry = { .attr_timeout = CACHE_TIME, .entry_timeout = CACHE_TIME };

	if (r == 0)
		r = tree_lookup(tree, parent, name, &entry.ino);
	if (r == 0)
		r = tree_attributes(tree, entry.ino, &entry.attr);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_entry(req, &entry);
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_entry(req, parent, name, 0);
}

static void reply_attributes(fuse_req_t req, fuse_ino_t nodeid)
{
	struct stat st;
	int r = tree_attributes(&ops_of(req)->tree, nodeid, &st);

	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, &st, CACHE_TIME);
}

static void on_getattr(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
	reply_attributes(req, nodeid);
}

// touch(1) and `>` succeed and change nothing.
static void on_setattr(
	fuse_req_t req, fuse_ino_t nodeid, struct stat *st, int set, struct fuse_file_info *fi)
{
	const struct tree_file *file = tree_file(nodeid);

	if (set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		fuse_reply_err(req, EPERM);
	else if (file && set & FUSE_SET_ATTR_SIZE && !(file->mode & S_IWUSR))
		fuse_reply_err(req, EACCES);
	else
		reply_attributes(req, nodeid);
}

static void on_access(fuse_req_t req, fuse_ino_t nodeid, int mask)
{
	const struct tree_file *file = tree_file(nodeid);
	mode_t mode = file ? file->mode >> 6 : 0;

	if (!file)
		fuse_reply_err(req, ESTALE);
	else
		fuse_reply_err(req, (mode_t)mask & ~mode & (R_OK | W_OK | X_OK) ? EACCES : 0);
}

static void on_readlink(fuse_req_t req, fuse_ino_t nodeid)
{
	char text[TREE_LINK];
	int r = tree_link(&ops_of(req)->tree, nodeid, text);

	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_readlink(req, text);
}

static void on_statfs(fuse_req_t req, fuse_ino_t nodeid)
{
	struct statvfs st = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = NAME_MAX };

	fuse_reply_statfs(req, &st);
}

static void on_open(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
	open_file(&ops_of(req)->handles, req, nodeid, fi->flags);
}

static void on_release(fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi)
{
	handle_close(handle_of(fi));
	fuse_reply_err(req, 0);
}

static void on_read(
	fuse_req_t req, fuse_ino_t nodeid, size_t size, off_t offset, struct fuse_file_info *fi)
{
	handle_read(handle_of(fi), req, size, offset, fi->flags);
}

static void on_write(fuse_req_t req, fuse_ino_t nodeid, const char *data, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	handle_write(handle_of(fi), req, data, size, fi->flags);
}

static void on_poll(
	fuse_req_t req, fuse_ino_t nodeid, struct fuse_file_info *fi, struct fuse_pollhandle *poll)
{
	watch_reply(handle_of(fi), req, fi->poll_events, poll);
}

// A directory is listed when its reading begins, and from there on stays as it was.
static void on_readdir(
	fuse_req_t req, fuse_ino_t nodeid, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	int r = 0;

	if (offset == 0) {
		buffer_fini(&h->text);
		r = tree_list(&ops_of(req)->tree, req, nodeid, &h->text);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		handle_reply_text(h, req, size, (uint64_t)offset);
}

// Where files are made by users. There is no CREATE, which would lock its directory while the open
// that belongs to it waits.

static void on_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
	int r = S_ISREG(mode) ? tree_make(&ops_of(req)->tree, parent, name) : -EPERM;

	reply_entry(req, parent, name, r);
}

static void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, -tree_remove(&ops_of(req)->tree, parent, name));
}

// What the user cannot do: the other files are given.

static void refuse_in(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, EPERM);
}

static void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	fuse_reply_err(req, EPERM);
}

static void on_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, EPERM);
}

static void on_link(fuse_req_t req, fuse_ino_t nodeid, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, EPERM);
}

static void on_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	const char *new_name, unsigned flags)
{
	fuse_reply_err(req, EPERM);
}

const struct fuse_lowlevel_ops ops_table = {
	.init = on_init,
	.lookup = on_lookup,
	.getattr = on_getattr,
	.setattr = on_setattr,
	.access = on_access,
	.readlink = on_readlink,
	.statfs = on_statfs,
	.open = on_open,
	.release = on_release,
	.read = on_read,
	.write = on_write,
	.poll = on_poll,
	.opendir = on_open,
	.readdir = on_readdir,
	.releasedir = on_release,
	.unlink = on_unlink,
	.rmdir = refuse_in,
	.mknod = on_mknod,
	.mkdir = on_mkdir,
	.symlink = on_symlink,
	.link = on_link,
	.rename = on_rename,
};

void ops_init(struct ops *ops, struct node *node, const struct tree_owner *owner)
{
	*ops = (struct ops){ 0 };
	tree_init(&ops->tree, node, owner);
	handles_init(&ops->handles, node);
}

void ops_fini(struct ops *ops)
{
	handles_fini(&ops->handles);
}

void ops_wake(struct ops *ops, unsigned changes)
{
	if (changes & NODE_CHANGED_PEERS)
		tree_touch_peers(&ops->tree);
	handles_wake(&ops->handles, changes);
}
