// SPDX-License-Identifier: MIT
// Reading of logs. Their text is core/event's and fs/messages'.
#include "fs/logs.h"

struct logs_extent logs_measure(struct node *node, enum tree_type type)
{
	const struct event_log *events = node_events(node);
	struct history *history = node_history(node);

	if (type == TREE_EVENTS)
		return (struct logs_extent){ events->tail, events->head, events->changed };
	messages_measure(history);
	return (struct logs_extent){ history->begin, history->end, history->changed };
}

static ssize_t bytes_at(struct handle *h, uint64_t offset, size_t size, const char **bytes)
{
	if (h->type == TREE_MESSAGES)
		return messages_read(node_history(h->set->node), &h->window, offset, size, bytes);
	size_t n = event_log_read(node_events(h->set->node), offset, bytes);
	return (ssize_t)(n < size ? n : size);
}

// A reader passes over what was trimmed before it came there; from then on its offsets are
// shifted. A seek makes them absolute again.
void logs_read(struct handle *h, fuse_req_t req, size_t size, uint64_t offset)
{
	struct logs_extent extent = logs_measure(h->set->node, h->type);
	const char *bytes = NULL;

	if (offset != h->position)
		h->shift = 0;
	if (offset + h->shift < extent.begin)
		h->shift = extent.begin - offset;
	ssize_t n = bytes_at(h, offset + h->shift, size, &bytes);
	if (n < 0) {
		fuse_reply_err(req, (int)-n);
		return;
	}
	h->position = offset + (uint64_t)n;
	fuse_reply_buf(req, bytes, (size_t)n);
}

bool logs_grown(const struct handle *h)
{
	const struct history *history = node_history(h->set->node);
	uint64_t at = h->position + h->shift;

	if (h->type == TREE_EVENTS)
		return node_events(h->set->node)->head > at;
	return history->end > at || history->measured < history->head;
}
