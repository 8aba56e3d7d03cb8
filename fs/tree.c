// SPDX-License-Identifier: MIT
// The table of files and what the kernel asks about it. Opens nothing and never waits.
#include "fs/tree.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/logs.h"
#include "fs/text.h"

// A stdio buffer is this large: fewer lines are torn into two messages.
#define STREAM_BLOCK (128 * 1024)
#define OTHER_BLOCK  4096

static const struct tree_file files[] = {
	{ TREE_ROOT, TREE_ROOT, "", TREE_DIRECTORY, 0500, NULL },
	{ TREE_BROADCAST, TREE_ROOT, "broadcast", TREE_FEED, 0600, NULL },
	{ TREE_TOPICS, TREE_ROOT, "topics", TREE_DIRECTORY, 0700, NULL },
	{ TREE_TOPIC, TREE_TOPICS, NULL, TREE_FEED, 0600, NULL },
	{ TREE_MESSAGES, TREE_ROOT, "messages", TREE_LOG, 0400, NULL },
	{ TREE_EVENTS, TREE_ROOT, "events", TREE_LOG, 0400, NULL },
	{ TREE_CTL, TREE_ROOT, "ctl", TREE_VERBS, 0600, NULL },
	{ TREE_STATUS, TREE_ROOT, "status", TREE_TEXT, 0400, text_status },
	{ TREE_ID, TREE_ROOT, "id", TREE_TEXT, 0400, text_id },
	{ TREE_VERSION, TREE_ROOT, "version", TREE_TEXT, 0400, text_version },
	{ TREE_PEERS, TREE_ROOT, "peers", TREE_DIRECTORY, 0500, NULL },
	{ TREE_PEER, TREE_PEERS, NULL, TREE_DIRECTORY, 0500, NULL },
	{ TREE_PEER_LINK, TREE_PEERS, NULL, TREE_SYMLINK, 0777, NULL },
	{ TREE_PEER_STREAM, TREE_PEER, "stream", TREE_DUPLEX, 0600, NULL },
	{ TREE_PEER_ADDRESS, TREE_PEER, "address", TREE_TEXT, 0400, text_peer_address },
	{ TREE_PEER_NAME, TREE_PEER, "name", TREE_TEXT, 0400, text_peer_name },
	{ TREE_PEER_STATUS, TREE_PEER, "status", TREE_TEXT, 0400, text_peer_status },
	{ TREE_PIPES, TREE_PEER, "pipes", TREE_DIRECTORY, 0700, NULL },
	{ TREE_PIPE, TREE_PIPES, NULL, TREE_FIFO, 0600, NULL },
	{ TREE_MEMBERS, TREE_ROOT, "members", TREE_TEXT, 0400, text_members },
	{ TREE_BY_NAME, TREE_ROOT, "by-name", TREE_DIRECTORY, 0500, NULL },
	{ TREE_BY_ADDRESS, TREE_ROOT, "by-address", TREE_DIRECTORY, 0500, NULL },
	{ TREE_NAME_LINK, TREE_BY_NAME, NULL, TREE_SYMLINK, 0777, NULL },
	{ TREE_ADDRESS_LINK, TREE_BY_ADDRESS, NULL, TREE_SYMLINK, 0777, NULL },
	{ TREE_METRICS, TREE_ROOT, "metrics", TREE_TEXT, 0400, text_metrics },
	{ TREE_CONFIG, TREE_ROOT, "config", TREE_DIRECTORY, 0500, NULL },
	{ TREE_MIN_PEERS, TREE_CONFIG, "min_peers", TREE_SETTING, 0600, NULL },
	{ TREE_MAX_PEERS, TREE_CONFIG, "max_peers", TREE_SETTING, 0600, NULL },
	{ TREE_PING_TIMEOUT, TREE_CONFIG, "ping_timeout", TREE_SETTING, 0600, NULL },
	{ TREE_STALL_TIMEOUT, TREE_CONFIG, "stall_timeout", TREE_SETTING, 0600, NULL },
	{ TREE_MIN_RATE, TREE_CONFIG, "min_rate", TREE_SETTING, 0600, NULL },
	{ TREE_LOG_LEVEL, TREE_CONFIG, "log_level", TREE_SETTING, 0600, NULL },
};
#define FILES (sizeof files / sizeof *files)

fuse_ino_t tree_nodeid(enum tree_type type, uint32_t serial)
{
	return (fuse_ino_t)type | (fuse_ino_t)serial << 8;
}

// After 2^24 lookups a number comes again. Should it still be open, the two share a lock once.
static fuse_ino_t make_unique(struct tree *tree, fuse_ino_t nodeid)
{
	return nodeid | (fuse_ino_t)(++tree->unique & 0xffffff) << 40;
}

ino_t tree_inode(fuse_ino_t nodeid)
{
	return nodeid & 0xffffffffff;
}

uint32_t tree_serial(fuse_ino_t nodeid)
{
	return (uint32_t)(nodeid >> 8);
}

const struct tree_file *tree_file(fuse_ino_t nodeid)
{
	for (size_t i = 0; i < FILES; i++)
		if ((nodeid & 0xff) == files[i].type)
			return &files[i];
	return NULL;
}

const struct tree_file *tree_next_file(enum tree_type directory, const struct tree_file *after)
{
	const struct tree_file *file = after ? after + 1 : files + 1;

	for (; file < files + FILES; file++)
		if (file->parent == directory && file->name)
			return file;
	return NULL;
}

void tree_init(struct tree *tree, struct node *node, const struct tree_owner *owner)
{
	*tree = (struct tree){ .node = node, .owner = *owner };
	clock_gettime(CLOCK_REALTIME, &tree->born);
	tree->peers_changed = tree->topics_changed = tree->born;
}

void tree_touch_peers(struct tree *tree)
{
	clock_gettime(CLOCK_REALTIME, &tree->peers_changed);
}

static bool may_wait(const struct tree_file *file)
{
	switch (file->kind) {
	case TREE_FEED:
	case TREE_DUPLEX:
	case TREE_FIFO:
	case TREE_VERBS:
		return true;
	case TREE_DIRECTORY:
	case TREE_SYMLINK:
	case TREE_TEXT:
	case TREE_LOG:
	case TREE_SETTING:
		return false;
	}
	return false;
}

struct prefix_search {
	const char *prefix;
	struct peer *peer;
	size_t found;
};

static int compare_prefix(void *context, const struct peer *peer)
{
	struct prefix_search *search = context;

	if (strncmp(id_format(&peer->id).text, search->prefix, strlen(search->prefix)) == 0) {
		*search->peer = *peer;
		search->found++;
	}
	return 0;
}

int tree_find_peer(const struct node *node, const char *prefix, struct peer *peer)
{
	struct prefix_search search = { prefix, peer, 0 };
	size_t length = strlen(prefix);
	struct id id;

	if (length < TREE_PREFIX_MIN || length > ID_TEXT)
		return -EINVAL;
	if (strspn(prefix, "abcdefghijklmnopqrstuvwxyz234567") != length)
		return -EINVAL;
	if (length == ID_TEXT && id_parse(&id, prefix) == 0)
		return node_find_peer_id(node, &id, peer) ? 0 : -ENOENT;
	node_each_known(node, compare_prefix, &search);
	return search.found == 0 ? -ENOENT : search.found == 1 ? 0 : -EINVAL;
}

static int lookup_peer(const struct tree *tree, const char *name, fuse_ino_t *nodeid)
{
	struct peer peer;

	if (tree_find_peer(tree->node, name, &peer) < 0)
		return -ENOENT;
	*nodeid = tree_nodeid(strlen(name) == ID_TEXT ? TREE_PEER : TREE_PEER_LINK, peer.serial);
	return 0;
}

static int lookup_pipe(struct tree *tree, uint32_t serial, const char *name, fuse_ino_t *nodeid)
{
	const struct pipe *pipe = NULL;
	struct peer peer;

	if (!node_find_peer(tree->node, serial, &peer))
		return -ESTALE;
	while ((pipe = node_next_pipe(tree->node, &peer.id, pipe)))
		if (strcmp(pipe->name, name) == 0)
			break;
	if (!pipe)
		return -ENOENT;
	*nodeid = make_unique(tree, tree_nodeid(TREE_PIPE, pipe->serial));
	return 0;
}

static int lookup_topic(struct tree *tree, const char *name, fuse_ino_t *nodeid)
{
	const struct topic *topic = NULL;

	while ((topic = node_next_topic(tree->node, topic)))
		if (strcmp(topic->name, name) == 0)
			break;
	if (!topic)
		return -ENOENT;
	*nodeid = make_unique(tree, tree_nodeid(TREE_TOPIC, topic->serial));
	return 0;
}

static int lookup_alias(
	const struct tree *tree, enum tree_type directory, const char *name, fuse_ino_t *nodeid)
{
	bool by_name = directory == TREE_BY_NAME;
	uint32_t serial = alias_find(tree->node, by_name ? ALIAS_NAME : ALIAS_ADDRESS, name);

	if (!serial)
		return -ENOENT;
	*nodeid = tree_nodeid(by_name ? TREE_NAME_LINK : TREE_ADDRESS_LINK, serial);
	return 0;
}

int tree_link(const struct tree *tree, fuse_ino_t nodeid, char text[TREE_LINK])
{
	const struct tree_file *file = tree_file(nodeid);
	struct peer peer;

	if (!file || !node_find_peer(tree->node, tree_serial(nodeid), &peer))
		return -ESTALE;
	snprintf(text, TREE_LINK, "%s%s", file->type == TREE_PEER_LINK ? "" : ALIAS_TARGET,
		id_format(&peer.id).text);
	return 0;
}

int tree_lookup(struct tree *tree, fuse_ino_t parent, const char *name, fuse_ino_t *nodeid)
{
	const struct tree_file *directory = tree_file(parent);
	uint32_t serial = tree_serial(parent);
	struct peer peer;

	if (!directory)
		return -ESTALE;
	if (directory->kind != TREE_DIRECTORY)
		return -ENOTDIR;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	if (directory->type == TREE_PEERS)
		return lookup_peer(tree, name, nodeid);
	if (directory->type == TREE_BY_NAME || directory->type == TREE_BY_ADDRESS)
		return lookup_alias(tree, directory->type, name, nodeid);
	if (directory->type == TREE_PIPES)
		return lookup_pipe(tree, serial, name, nodeid);
	if (directory->type == TREE_TOPICS)
		return lookup_topic(tree, name, nodeid);
	if (directory->type == TREE_PEER && !node_find_peer(tree->node, serial, &peer))
		return -ESTALE;
	const struct tree_file *file = NULL;
	while ((file = tree_next_file(directory->type, file))) {
		if (strcmp(file->name, name) != 0)
			continue;
		*nodeid = tree_nodeid(file->type, serial);
		if (may_wait(file))
			*nodeid = make_unique(tree, *nodeid);
		return 0;
	}
	return -ENOENT;
}

// The directory, if it is one whose files users make, and the peer whose pipes are there.
static int directory_of(const struct tree *tree, fuse_ino_t parent, const char *name,
	enum tree_type *directory, struct peer *peer)
{
	const struct tree_file *file = tree_file(parent);

	*directory = file ? file->type : TREE_ROOT;
	if (*directory != TREE_PIPES && *directory != TREE_TOPICS)
		return -EPERM;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	if (*directory == TREE_TOPICS)
		return 0;
	return node_find_peer(tree->node, tree_serial(parent), peer) ? 0 : -ESTALE;
}

int tree_make(struct tree *tree, fuse_ino_t parent, const char *name)
{
	enum tree_type directory;
	struct peer peer;
	int r = directory_of(tree, parent, name, &directory, &peer);

	if (r == 0 && directory == TREE_PIPES)
		return node_pipe_make(tree->node, &peer.id, name);
	if (r == 0)
		r = node_topic_join(tree->node, name);
	if (r == 0)
		clock_gettime(CLOCK_REALTIME, &tree->topics_changed);
	return r;
}

int tree_remove(struct tree *tree, fuse_ino_t parent, const char *name)
{
	enum tree_type directory;
	struct peer peer;
	int r = directory_of(tree, parent, name, &directory, &peer);

	if (r == 0 && directory == TREE_PIPES)
		return node_pipe_remove(tree->node, &peer.id, name);
	if (r == 0)
		r = node_topic_leave(tree->node, name);
	if (r == 0)
		clock_gettime(CLOCK_REALTIME, &tree->topics_changed);
	return r;
}

static struct timespec from_wall(uint64_t microseconds)
{
	return (struct timespec){ .tv_sec = (time_t)(microseconds / SECOND),
		.tv_nsec = (long)(microseconds % SECOND * 1000) };
}

mode_t tree_format(enum tree_kind kind)
{
	switch (kind) {
	case TREE_DIRECTORY:
		return S_IFDIR;
	case TREE_SYMLINK:
		return S_IFLNK;
	case TREE_TEXT:
	case TREE_LOG:
	case TREE_FEED: // a FIFO's calls would never reach us
	case TREE_DUPLEX:
	case TREE_FIFO:
	case TREE_VERBS:
	case TREE_SETTING:
		return S_IFREG;
	}
	return 0;
}

static mode_t make_mode(const struct tree *tree, const struct tree_file *file)
{
	mode_t all = file->mode | file->mode >> 3 | file->mode >> 6;

	// Those of a symbolic link do not count, and are always these.
	return tree_format(file->kind) |
	       (file->kind == TREE_SYMLINK ? all : all & ~tree->owner.mask);
}

int tree_attributes(const struct tree *tree, fuse_ino_t nodeid, struct stat *st)
{
	const struct tree_file *file = tree_file(nodeid);
	struct timespec changed = tree->born;
	struct peer peer;

	if (!file)
		return -ESTALE;
	// A count of 1 for directories, too: it tells find(1) that subdirectories are not counted.
	*st = (struct stat){ .st_ino = tree_inode(nodeid),
		.st_mode = make_mode(tree, file),
		.st_nlink = 1,
		.st_uid = tree->owner.uid,
		.st_gid = tree->owner.gid,
		.st_blksize = may_wait(file) ? STREAM_BLOCK : OTHER_BLOCK };
	if (file->type == TREE_PEER || file->type == TREE_PIPES) {
		// Of files only an open one is ever asked for without a lookup: it outlives the
		// peer.
		if (!node_find_peer(tree->node, tree_serial(nodeid), &peer))
			return -ESTALE;
		changed = from_wall(peer.since_wall);
	} else if (file->type == TREE_PEERS || file->type == TREE_BY_NAME ||
		   file->type == TREE_BY_ADDRESS) {
		changed = tree->peers_changed;
	} else if (file->kind == TREE_LOG) {
		struct logs_extent extent = logs_measure(tree->node, file->type);
		st->st_size = (off_t)extent.end;
		st->st_blocks = (blkcnt_t)(extent.end - extent.begin + 511) / 512;
		if (extent.changed)
			changed = from_wall(extent.changed);
	} else if (file->type == TREE_TOPICS) {
		changed = tree->topics_changed;
	} else if (file->type == TREE_PEER_LINK) {
		st->st_size = ID_TEXT;
	} else if (file->kind == TREE_SYMLINK) {
		st->st_size = TREE_LINK - 1;
	}
	st->st_atim = st->st_mtim = st->st_ctim = changed;
	return 0;
}
