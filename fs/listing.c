// SPDX-License-Identifier: MIT
// What is in a directory, as READDIR sends it.
#include <errno.h>

#include "fs/tree.h"

static int add_entry(fuse_req_t req, struct buffer *out, const char *name, fuse_ino_t nodeid)
{
	const struct tree_file *file = tree_file(nodeid);
	struct stat st = { .st_ino = tree_inode(nodeid), .st_mode = tree_format(file->kind) };
	size_t n = fuse_add_direntry(req, NULL, 0, name, NULL, 0);
	off_t next = (off_t)(buffer_length(out) + n);
	uint8_t *at = buffer_reserve(out, n);

	if (!at)
		return -ENOMEM;
	fuse_add_direntry(req, (char *)at, n, name, &st, next);
	buffer_commit(out, n);
	return 0;
}

static int list_peers(const struct tree *tree, fuse_req_t req, struct buffer *out)
{
	struct peer peer;
	int r = 0;

	for (uint32_t at = 0; r == 0 && node_next_peer(tree->node, at, &peer); at = peer.serial)
		r = add_entry(
			req, out, id_format(&peer.id).text, tree_nodeid(TREE_PEER, peer.serial));
	return r;
}

static int list_pipes(const struct tree *tree, fuse_req_t req, uint32_t serial, struct buffer *out)
{
	const struct pipe *pipe = NULL;
	struct peer peer;
	int r = node_find_peer(tree->node, serial, &peer) ? 0 : -ESTALE;

	while (r == 0 && (pipe = node_next_pipe(tree->node, &peer.id, pipe)))
		r = add_entry(req, out, pipe->name, tree_nodeid(TREE_PIPE, pipe->serial));
	return r;
}

static int list_topics(const struct tree *tree, fuse_req_t req, struct buffer *out)
{
	const struct topic *topic = NULL;
	int r = 0;

	while (r == 0 && (topic = node_next_topic(tree->node, topic)))
		r = add_entry(req, out, topic->name, tree_nodeid(TREE_TOPIC, topic->serial));
	return r;
}

struct listing {
	fuse_req_t req;
	struct buffer *out;
	enum tree_type type;
};

static int list_alias(void *context, const struct alias *alias)
{
	const struct listing *l = context;
	return add_entry(l->req, l->out, alias->text, tree_nodeid(l->type, alias->serial));
}

static int list_aliases(
	const struct tree *tree, enum tree_type directory, fuse_req_t req, struct buffer *out)
{
	bool by_name = directory == TREE_BY_NAME;
	struct listing l = { req, out, by_name ? TREE_NAME_LINK : TREE_ADDRESS_LINK };

	return alias_each(tree->node, by_name ? ALIAS_NAME : ALIAS_ADDRESS, list_alias, &l);
}

int tree_list(const struct tree *tree, fuse_req_t req, fuse_ino_t directory, struct buffer *out)
{
	const struct tree_file *parent = tree_file(directory);
	const struct tree_file *file = NULL;
	uint32_t serial = tree_serial(directory);
	struct peer peer;
	int r;

	if (parent->type == TREE_PEER && !node_find_peer(tree->node, serial, &peer))
		return -ESTALE;
	r = add_entry(req, out, ".", directory);
	if (r == 0)
		r = add_entry(req, out, "..",
			tree_nodeid(parent->parent, parent->type == TREE_PIPES ? serial : 0));
	if (r == 0 && parent->type == TREE_PIPES)
		return list_pipes(tree, req, serial, out);
	if (r == 0 && parent->type == TREE_TOPICS)
		return list_topics(tree, req, out);
	if (r == 0 && parent->type == TREE_PEERS)
		return list_peers(tree, req, out);
	if (r == 0 && (parent->type == TREE_BY_NAME || parent->type == TREE_BY_ADDRESS))
		return list_aliases(tree, parent->type, req, out);
	while (r == 0 && (file = tree_next_file(parent->type, file)))
		r = add_entry(req, out, file->name, tree_nodeid(file->type, serial));
	return r;
}
