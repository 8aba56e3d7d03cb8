// SPDX-License-Identifier: MIT
// The topics that this node has joined. What is delivered is decided by core/log's cursors.
#include "core/topics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/node_inner.h"

static const char tag[] = "smokefs/1 topic";

int topic_number(const char *name, uint64_t *number)
{
	uint8_t text[sizeof tag + NAME_MAX_LENGTH], hash[DIGEST_BYTES];
	size_t n = strlen(name);

	memcpy(text, tag, sizeof tag);
	memcpy(text + sizeof tag, name, n);
	int r = digest(text, sizeof tag + n, hash);
	*number = 0;
	for (int i = 0; r == 0 && i < 8; i++)
		*number = *number << 8 | hash[i];
	if (*number == 0)
		*number = 1; // 0 is broadcast's
	return r;
}

struct topic *topic_ref(struct topic *topic)
{
	topic->refs++;
	return topic;
}

void topic_unref(struct topic *topic)
{
	if (topic && --topic->refs == 0)
		free(topic);
}

void topics_fini(struct topics *topics)
{
	struct topic *t, *next;
	DL_FOREACH_SAFE (topics->list, t, next)
		topic_unref(t);
	*topics = (struct topics){ 0 };
}

void topics_write(const struct topics *topics, char text[TOPICS_TEXT + 1])
{
	const struct topic *t;
	char *at = text;

	DL_FOREACH (topics->list, t) {
		if (at > text)
			*at++ = ',';
		at = stpcpy(at, t->name);
	}
	*at = '\0';
}

void topics_arrived(struct node *node, struct batch *b)
{
	struct topic *t = NULL;

	if (b->topic)
		DL_SEARCH_SCALAR(node->topics.list, t, number, b->topic);
	if (!b->topic || t)
		history_add(node, b, t);
	else if (!b->own)
		node->counters.messages_filtered += b->count;
}

// For the face.

static struct topic *find_name(const struct node *node, const char *name)
{
	struct topic *t;
	DL_FOREACH (node->topics.list, t)
		if (strcmp(t->name, name) == 0)
			return t;
	return NULL;
}

int node_topic_join(struct node *node, const char *name)
{
	struct topics *topics = &node->topics;
	size_t n = strlen(name) + 1;
	uint64_t number;

	if (!name_valid(name))
		return -EINVAL;
	if (find_name(node, name))
		return -EEXIST;
	// A comma less than there are names.
	if (topics->count == TOPICS_MAX || topics->text + n > TOPICS_TEXT + 1)
		return -ENOSPC;
	struct topic *t = topic_number(name, &number) < 0 ? NULL : calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	t->refs = 1;
	t->serial = ++node->last_serial;
	t->number = number;
	memcpy(t->name, name, n);
	DL_APPEND(topics->list, t);
	topics->count++;
	topics->text += n;
	members_change(node);
	return 0;
}

int node_topic_leave(struct node *node, const char *name)
{
	struct topics *topics = &node->topics;
	struct topic *t = find_name(node, name);

	if (!t)
		return -ENOENT;
	// What was written goes out, and to its readers here.
	publisher_flush(node);
	log_end_topic(&node->log, t->number);
	node->log_changed = true;
	DL_DELETE(topics->list, t);
	topics->count--;
	topics->text -= strlen(name) + 1;
	t->left = true;
	topic_unref(t);
	members_change(node);
	return 0;
}

size_t node_topic_count(const struct node *node)
{
	return node->topics.count;
}

struct topic *node_find_topic(const struct node *node, uint32_t serial)
{
	struct topic *t;
	DL_SEARCH_SCALAR(node->topics.list, t, serial, serial);
	return t;
}

struct topic *node_next_topic(const struct node *node, const struct topic *after)
{
	return after ? after->next : node->topics.list;
}

int node_publish_to(
	struct node *node, const struct topic *topic, uint32_t writer, const void *data, size_t n)
{
	if (topic && topic->left)
		return -EPIPE;
	return publisher_publish(node, topic ? topic->number : 0, writer, data, n);
}
