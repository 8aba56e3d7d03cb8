// SPDX-License-Identifier: MIT
// The table of claims. Where it is kept between runs is core/state's.
#include "core/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/wire.h"

void names_fini(struct names *names)
{
	struct name_claim *claim, *next;

	HASH_ITER (hh, names->table, claim, next) {
		HASH_DEL(names->table, claim);
		free(claim);
	}
	names->changed = false;
}

static struct name_claim *find(const struct names *names, const char *name)
{
	struct name_claim *claim;
	HASH_FIND_STR(names->table, name, claim);
	return claim;
}

static void forget_oldest(struct names *names)
{
	struct name_claim *oldest = names->table;
	HASH_DEL(names->table, oldest);
	free(oldest);
}

// Takes the claim; true: it is in the table.
static bool put(struct names *names, struct name_claim *claim)
{
	HASH_ADD_STR(names->table, name, claim);
	if (claim->hh.tbl)
		return true;
	free(claim);
	return false;
}

bool names_seen(struct names *names, const char *name, const struct id *id)
{
	struct name_claim *claim;

	if (!name_valid(name))
		return false;
	claim = find(names, name);
	if (claim) {
		if (!id_equal(&claim->id, id))
			return false;
		// To the end of the order.
		HASH_DEL(names->table, claim);
		return put(names, claim);
	}
	claim = calloc(1, sizeof *claim);
	if (!claim)
		return false;
	if (HASH_COUNT(names->table) >= NAMES_MAX)
		forget_oldest(names);
	claim->id = *id;
	memcpy(claim->name, name, strlen(name) + 1); // valid, hence no longer than that
	if (!put(names, claim))
		return false;
	names->changed = true;
	return true;
}

const struct id *names_holder(const struct names *names, const char *name)
{
	const struct name_claim *claim = find(names, name);
	return claim ? &claim->id : NULL;
}

static bool parse_line(struct names *names, const char *line, size_t n)
{
	char text[ID_TEXT + 1] = "", name[NAME_MAX_LENGTH + 1] = "";
	struct id id;

	if (n <= ID_TEXT + 1 || n > ID_TEXT + 1 + NAME_MAX_LENGTH || line[ID_TEXT] != ' ' ||
		memchr(line, '\0', n))
		return false;
	memcpy(text, line, ID_TEXT);
	memcpy(name, line + ID_TEXT + 1, n - ID_TEXT - 1);
	return id_parse(&id, text) == 0 && names_seen(names, name, &id);
}

size_t names_parse(struct names *names, const char *text, size_t n)
{
	size_t bad = 0;
	bool changed = names->changed;

	while (n) {
		const char *end = memchr(text, '\n', n);
		size_t length = end ? (size_t)(end - text) : n;
		// One without its end has been cut off.
		bad += !end || !parse_line(names, text, length);
		length += end != NULL;
		text += length;
		n -= length;
	}
	names->changed = changed;
	return bad;
}

int names_write(const struct names *names, struct buffer *out)
{
	const struct name_claim *claim, *next;

	HASH_ITER (hh, names->table, claim, next) {
		buffer_append(out, id_format(&claim->id).text, ID_TEXT);
		buffer_append(out, " ", 1);
		buffer_append(out, claim->name, strlen(claim->name));
		buffer_append(out, "\n", 1);
	}
	return buffer_failed(out) ? -ENOMEM : 0;
}
