// SPDX-License-Identifier: MIT
// Messages to lines of JSON. The same message gives the same line every time, so that a line that
// was measured once can be rendered again whenever it is read.
#include "fs/messages.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/batch.h"
#include "core/topics.h"

// Where lines go: into a buffer, or nowhere but into the count.
struct sink {
	struct buffer *out;
	uint64_t size;
};

static int put(const char *bytes, size_t n, void *context)
{
	struct sink *sink = context;

	sink->size += n;
	if (!sink->out)
		return 0;
	buffer_append(sink->out, bytes, n);
	return buffer_failed(sink->out) ? -1 : 0;
}

static json_t *make_time(uint64_t wall)
{
	time_t second = (time_t)(wall / SECOND);
	char day[32];
	struct tm tm;

	gmtime_r(&second, &tm);
	strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
	return json_sprintf("%s.%03uZ", day, (unsigned)(wall % SECOND / MILLISECOND));
}

static json_t *make_base64(const uint8_t *data, size_t n)
{
	char *text = malloc((n + 2) / 3 * 4 + 1);
	json_t *value = NULL;

	if (text)
		value = json_stringn(
			text, (size_t)EVP_EncodeBlock((unsigned char *)text, data, (int)n));
	free(text);
	return value;
}

// What all messages of a batch have in common.
static json_t *make_object(const struct history_entry *e)
{
	json_t *object = json_object();
	int r = json_object_set_new(object, "time", make_time(e->wall));

	r |= json_object_set_new(object, "source", json_string(id_format(&e->source).text));
	if (e->name[0])
		r |= json_object_set_new(object, "name", json_string(e->name));
	if (e->topic)
		r |= json_object_set_new(object, "topic", json_string(e->topic->name));
	if (r == 0)
		return object;
	json_decref(object);
	return NULL;
}

static int set_message(json_t *object, uint64_t sequence, const uint8_t *data, size_t n)
{
	// NULL, too, for what is no UTF-8.
	json_t *text = json_stringn((const char *)data, n);
	int r = json_object_set_new(object, "sequence", json_integer((json_int_t)sequence));

	r |= json_object_set_new(object, "length", json_integer((json_int_t)n));
	json_object_del(object, text ? "base64" : "data");
	r |= json_object_set_new(
		object, text ? "data" : "base64", text ? text : make_base64(data, n));
	return r;
}

// All lines of an entry. False: no memory.
static bool render(const struct history_entry *e, struct sink *sink)
{
	const struct batch *b = e->batch;
	const uint8_t *data = b->data;

	// Ours are fixed, hence nobody can choose keys that collide, and no random file is opened.
	json_object_seed(1);
	json_t *object = make_object(e);
	bool good = object;
	for (uint32_t i = 0; good && i < b->count; data += b->lengths[i++])
		good = set_message(object, b->first + i, data, b->lengths[i]) == 0 &&
		       json_dump_callback(object, put, sink, JSON_COMPACT) == 0 &&
		       put("\n", 1, sink) == 0;
	json_decref(object);
	return good;
}

void messages_measure(struct history *history)
{
	while (history->measured < history->head) {
		struct sink sink = { 0 };
		if (!render(history_at(history, history->measured), &sink))
			return;
		history_measured(history, sink.size);
	}
}

void messages_window_fini(struct messages_window *w)
{
	buffer_fini(&w->text);
}

// From the beginning of the entry with the byte at `offset`, or more of what is there already, to
// `end`.
static int fill(
	const struct history *history, struct messages_window *w, uint64_t offset, uint64_t end)
{
	if (offset < w->at || offset > w->at + buffer_length(&w->text)) {
		buffer_fini(&w->text);
		w->at = history_at(history, history_find(history, offset))->offset;
	}
	for (uint64_t at; (at = w->at + buffer_length(&w->text)) < end;) {
		const struct history_entry *e = history_at(history, history_find(history, at));
		struct sink sink = { .out = &w->text };
		if (!render(e, &sink) || sink.size != e->size) {
			buffer_fini(&w->text);
			return -ENOMEM;
		}
	}
	return 0;
}

ssize_t messages_read(const struct history *history, struct messages_window *w, uint64_t offset,
	size_t size, const char **bytes)
{
	if (offset >= history->end)
		return 0;
	if (size > history->end - offset)
		size = history->end - offset;
	// What has been read goes: usually what is read next follows it.
	if (offset > w->at && offset <= w->at + buffer_length(&w->text)) {
		buffer_consume(&w->text, offset - w->at);
		w->at = offset;
	}
	int r = fill(history, w, offset, offset + size);
	if (r < 0)
		return r;
	*bytes = (const char *)buffer_bytes(&w->text) + (offset - w->at);
	return (ssize_t)size;
}
