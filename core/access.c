// SPDX-License-Identifier: MIT
// Two sets of ids, and their text. It reads and writes no file: core/state.c does.
#include "core/access.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

struct access_entry {
	struct id id;
	UT_hash_handle hh;
};

static struct access_entry *find(struct access_entry *set, const struct id *id)
{
	struct access_entry *e;
	HASH_FIND(hh, set, id, sizeof *id, e);
	return e;
}

static int add(struct access_entry **set, const struct id *id)
{
	struct access_entry *e;
	unsigned before = HASH_COUNT(*set);

	if (find(*set, id))
		return 0;
	if (before >= ACCESS_MAX)
		return -ENOSPC;
	e = malloc(sizeof *e);
	if (!e)
		return -ENOMEM;
	e->id = *id;
	HASH_ADD(hh, *set, id, sizeof e->id, e);
	if (HASH_COUNT(*set) > before)
		return 0;
	free(e);
	return -ENOMEM;
}

static void take_off(struct access_entry **set, const struct id *id)
{
	struct access_entry *e = find(*set, id);
	if (!e)
		return;
	HASH_DEL(*set, e);
	free(e);
}

static void clear(struct access_entry **set)
{
	struct access_entry *e, *next;

	HASH_ITER (hh, *set, e, next) {
		HASH_DEL(*set, e);
		free(e);
	}
}

void access_fini(struct access *a)
{
	clear(&a->authorized);
	clear(&a->denied);
	a->restricted = false;
}

bool access_denied(const struct access *a, const struct id *id)
{
	return find(a->denied, id);
}

bool access_permits(const struct access *a, const struct id *id)
{
	return !access_denied(a, id) && (!a->restricted || find(a->authorized, id));
}

int access_allow(struct access *a, const struct id *id)
{
	int r = a->restricted ? add(&a->authorized, id) : 0;
	if (r == 0)
		take_off(&a->denied, id);
	return r;
}

int access_deny(struct access *a, const struct id *id)
{
	int r = add(&a->denied, id);
	if (r == 0)
		take_off(&a->authorized, id);
	return r;
}

// Text.

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

// One line without its newline: 1 and the id, 0 when it says nothing, -EINVAL.
static int parse_line(struct id *id, const char *line, size_t n)
{
	const char *comment = memchr(line, '#', n);
	char word[ID_TEXT + 1];

	if (comment)
		n = (size_t)(comment - line);
	while (n > 0 && is_blank(line[n - 1]))
		n--;
	while (n > 0 && is_blank(*line)) {
		line++;
		n--;
	}
	if (n == 0)
		return 0;
	if (n != ID_TEXT)
		return -EINVAL;
	memcpy(word, line, n);
	word[n] = '\0';
	return id_parse(id, word) < 0 ? -EINVAL : 1;
}

// The length of the first line, with its newline if it has one.
static size_t line_length(const char *text, size_t n)
{
	const char *newline = memchr(text, '\n', n);
	return newline ? (size_t)(newline - text) + 1 : n;
}

static size_t without_newline(const char *line, size_t n)
{
	return n > 0 && line[n - 1] == '\n' ? n - 1 : n;
}

static int parse(struct access_entry **set, const char *text, size_t n, unsigned *line)
{
	*line = 0;
	while (n > 0) {
		size_t length = line_length(text, n);
		struct id id;
		++*line;
		int r = parse_line(&id, text, without_newline(text, length));
		if (r > 0)
			r = add(set, &id);
		if (r < 0)
			return r;
		text += length;
		n -= length;
	}
	return 0;
}

int access_parse_authorized(struct access *a, const char *text, size_t n, unsigned *line)
{
	a->restricted = true;
	return parse(&a->authorized, text, n, line);
}

int access_parse_denied(struct access *a, const char *text, size_t n, unsigned *line)
{
	return parse(&a->denied, text, n, line);
}

int access_edit(struct buffer *out, const char *text, size_t n, const struct id *id, bool listed)
{
	bool found = false;

	while (n > 0) {
		size_t length = line_length(text, n);
		struct id there;
		bool same = parse_line(&there, text, without_newline(text, length)) > 0 &&
			    id_equal(&there, id);
		found |= same;
		if (!same || listed)
			buffer_append(out, text, length);
		if ((!same || listed) && text[length - 1] != '\n')
			buffer_append(out, "\n", 1);
		text += length;
		n -= length;
	}
	if (listed && !found) {
		buffer_append(out, id_format(id).text, ID_TEXT);
		buffer_append(out, "\n", 1);
	}
	return buffer_failed(out) ? -ENOMEM : 0;
}
