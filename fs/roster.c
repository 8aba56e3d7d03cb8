// SPDX-License-Identifier: MIT
// The file `members`: everybody in the network, a line each.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/text.h"

// The longest line: an id, a name, an address, a time, a state and topics.
#define LINE \
	(ID_TEXT + 1 + NAME_MAX_LENGTH + 1 + ADDRESS_TEXT + 1 + 24 + 1 + 8 + 8 + TOPICS_TEXT + 1)

struct roster {
	struct buffer *out;
	// Many have joined in the same second, and the calendar is most of the work of a line.
	time_t second;
	char day[32];
};

static const char *state_name(enum member_state state)
{
	switch (state) {
	case MEMBER_SELF:
		return "self";
	case MEMBER_PEER:
		return "peer";
	case MEMBER_OTHER:
		return "member";
	}
	return "-";
}

static int add_line(void *context, const struct member_info *member)
{
	struct roster *roster = context;
	time_t second = (time_t)(member->since_wall / SECOND);
	char line[LINE + 1];
	struct tm tm;

	if (second != roster->second) {
		gmtime_r(&second, &tm);
		strftime(roster->day, sizeof roster->day, "%Y-%m-%dT%H:%M:%S", &tm);
		roster->second = second;
	}
	int n = snprintf(line, sizeof line, "%s %s %s %s.%03uZ %s%s%s\n",
		id_format(&member->id).text, *member->name ? member->name : "-",
		member->address.family ? address_format(&member->address).text : "-", roster->day,
		(unsigned)(member->since_wall % SECOND / MILLISECOND), state_name(member->state),
		member->topics ? " topics=" : "", member->topics ? member->topics : "");
	buffer_append(roster->out, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
	return buffer_failed(roster->out) ? -ENOMEM : 0;
}

int text_members(struct buffer *out, const struct text_context *context)
{
	struct roster roster = { .out = out, .second = -1 };
	return node_each_member(context->node, add_line, &roster);
}
