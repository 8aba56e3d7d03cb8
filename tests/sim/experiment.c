// SPDX-License-Identifier: MIT
#include "tests/sim/experiment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/link.h"
#include "core/node_inner.h"
#include "tests/sim/check.h"
#include "tests/sim/memory.h"

#define TOLD 64
// 0.0000
#define NOTHING 0.00005

static struct plot *plotted;
static uint64_t checked;

static double seconds(uint64_t t)
{
	return (double)t / SECOND;
}

// A number beside what it has to come to. False: it is beyond that.
static bool target(const char *key, double value, double most)
{
	printf("%s %.6g\n%s_target %.6g\n", key, value, key, most);
	if (value > most)
		printf("%s_missed 1\n", key);
	return value <= most;
}

static void watch(struct sim *s)
{
	if (plotted)
		plot_sample(plotted, s);
	if (s->now - checked >= SECOND) {
		checked = s->now;
		check_always(s);
	}
}

static bool never(struct sim *s)
{
	watch(s);
	return false;
}

static void run(struct sim *s, uint64_t duration)
{
	sim_run(s, duration, 500 * MILLISECOND, never);
}

static bool gathered(struct sim *s)
{
	watch(s);
	return check_gathered(s);
}

static bool connected(struct sim *s)
{
	watch(s);
	return check_connected(s);
}

// All start within `spread`, each knowing one of the first `seeds`; 0: any that has started.
static void start_all(struct sim *s, uint64_t spread, uint32_t seeds)
{
	uint32_t n = s->options.nodes;

	sim_start(s, 0);
	for (uint32_t i = 1; i < n; i++) {
		if (s->nodes[i].stranger)
			continue;
		sim_start(s, i);
		uint32_t known = seeds && seeds < i ? seeds : i;
		sim_seed(s, i, (uint32_t)random_below(&s->random, known));
		if (spread && i % (n / 100 + 1) == 0)
			run(s, spread * (n / 100 + 1) / n);
	}
}

// What its announcements would have told every node: where others are.
static void tell_of_others(struct sim *s)
{
	for (uint32_t i = 0; i < s->options.nodes && !s->options.members; i++) {
		struct contact contacts[TOLD];
		for (uint32_t k = 0; k < TOLD; k++) {
			uint32_t other = (uint32_t)random_below(&s->random, s->options.nodes);
			contacts[k] = (struct contact){ s->nodes[other].identity->id,
				sim_address(other) };
		}
		if (s->nodes[i].node)
			overlay_peers(sim_node(s, i), contacts, TOLD);
	}
}

// A network that has gathered and come to rest.
static void prepare(struct sim *s)
{
	start_all(s, 10 * SECOND, 0);
	if (!sim_run(s, 60 * SECOND, 250 * MILLISECOND, gathered))
		sim_fail(s, "it does not gather");
	printf("gathered_after %.3f\n", seconds(s->now - SIM_START));
	tell_of_others(s);
	// Until no link is added to those that there are.
	uint64_t before = 0, links = check_census(s).links;
	for (int i = 0; i < 24 && links > before; i++) {
		run(s, 10 * SECOND);
		before = links;
		links = check_census(s).links;
	}
	check_settled(s);
	printf("degree %.3f\n", 2.0 * (double)check_census(s).links / s->options.nodes);
}

static uint64_t copies(const struct sim *s)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < s->options.nodes; i++)
		if (s->nodes[i].node)
			sum += s->nodes[i].node->counters.batches_duplicate;
	return sum;
}

static uint64_t gaps(const struct sim *s)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < s->options.nodes; i++)
		if (s->nodes[i].node && !s->nodes[i].silent)
			sum += s->nodes[i].node->counters.messages_missed;
	return sum;
}

// Messages of a source from `from` on: how long the last took to the last node, and how many
// deliveries there were.
struct spread {
	uint64_t slowest, mean;
	uint64_t deliveries, messages;
};

static struct spread spread_of(const struct sim *s, uint32_t source, uint32_t from)
{
	struct spread sp = { 0 };
	for (uint32_t i = from; i <= s->published[source]; i++) {
		const struct sim_fate *f = &s->fates[source][i];
		uint64_t took = f->last - f->sent;
		sp.slowest = took > sp.slowest ? took : sp.slowest;
		sp.mean += took;
		sp.deliveries += f->arrived;
		sp.messages++;
	}
	sp.mean = sp.messages ? sp.mean / sp.messages : 0;
	return sp;
}

static void publish_all(struct sim *s, size_t size)
{
	for (uint32_t k = 0; k < s->options.sources; k++)
		sim_publish(s, k, size);
}

// Aside from beacons, which come every five seconds and may change the tree.
static void between_beacons(struct sim *s)
{
	run(s, SECOND);
}

static bool run_steady(struct sim *s, const struct setup *setup)
{
	bool good = true;

	prepare(s);
	// It finds its tree.
	for (int i = 0; i < 60; i++) {
		publish_all(s, 200);
		run(s, 250 * MILLISECOND);
	}
	run(s, 5 * SECOND);
	uint64_t before = copies(s);
	uint32_t first = s->published[0] + 1;
	for (int i = 0; i < 100; i++) {
		publish_all(s, 200);
		run(s, 100 * MILLISECOND);
	}
	run(s, 5 * SECOND);
	struct spread sp = spread_of(s, 0, first);
	uint32_t others = s->options.nodes - 1;
	printf("messages %llu\ndelivered %.6f\nlast_delivery_mean_ms %.1f\n",
		(unsigned long long)sp.messages,
		(double)sp.deliveries / ((double)sp.messages * others), seconds(sp.mean) * 1000);
	if (s->options.max_peers)
		good &= target("places_free",
			s->options.max_peers -
				2.0 * (double)check_census(s).links / s->options.nodes,
			0.25);
	printf("flood_ms %.1f\n", seconds(check_flood(s, s->source_nodes[0])) * 1000);
	good &= target("redundancy", (double)(copies(s) - before) / (double)sp.deliveries, NOTHING);
	good &= target("last_delivery_ms", seconds(sp.slowest) * 1000,
		s->options.nodes > 10000 ? 320 : 270);
	check_settled(s);
	return good;
}

// Messages of all sources at once, `count` times. What each node retains for 30 s is the larger
// part of a simulation's memory: with many nodes there is more time between them.
static void rounds(struct sim *s, int count)
{
	uint64_t pause = s->options.nodes > 2000 ? 3 * SECOND : 300 * MILLISECOND;
	for (int i = 0; i < count; i++) {
		publish_all(s, 200);
		run(s, pause);
	}
}

static bool run_many(struct sim *s, const struct setup *setup)
{
	bool good = true;
	double deliveries = 10.0 * s->options.sources * (s->options.nodes - 1);

	prepare(s);
	between_beacons(s);
	uint64_t before = copies(s);
	rounds(s, 10);
	good &= target("redundancy_first_ten", (double)(copies(s) - before) / deliveries, 0.001);
	rounds(s, 10);
	before = copies(s);
	uint32_t first = s->published[0] + 1;
	rounds(s, 10);
	run(s, 5 * SECOND);
	good &= target("redundancy_after", (double)(copies(s) - before) / deliveries, NOTHING);
	uint64_t slowest = 0, arrived = 0;
	for (uint32_t k = 0; k < s->options.sources; k++) {
		struct spread sp = spread_of(s, k, first);
		slowest = sp.slowest > slowest ? sp.slowest : slowest;
		arrived += sp.deliveries;
	}
	printf("delivered %.6f\n", (double)arrived / deliveries);
	printf("last_delivery_ms %.1f\n", seconds(slowest) * 1000);
	check_settled(s);
	return good;
}

static bool run_join(struct sim *s, const struct setup *setup)
{
	// One takes some thousand handshakes a second: 64 at a time, a round trip each.
	uint32_t seeds = setup->seeds ? setup->seeds : 1 + s->options.nodes / 2500;
	printf("seeds %u\n", seeds);
	start_all(s, 0, seeds);
	uint64_t begun = s->now;
	bool done = sim_run(s, 60 * SECOND, 100 * MILLISECOND, gathered);
	struct census c = check_census(s);
	printf("components %u\nlargest %u\npoor %u\n", c.components, c.largest, c.poor);
	bool good = target("gathered_after", done ? seconds(s->now - begun) : 999, 10);
	run(s, 30 * SECOND);
	check_settled(s);
	return good;
}

static void crash_some(struct sim *s, uint32_t percent, void (*how)(struct sim *s, uint32_t i))
{
	uint32_t n = s->options.nodes, left = (uint32_t)((uint64_t)n * percent / 100);
	while (left > 0) {
		uint32_t i = (uint32_t)random_below(&s->random, n);
		bool writes = false;
		for (uint32_t k = 0; k < s->options.sources; k++)
			writes |= s->source_nodes[k] == i;
		if (writes || !s->nodes[i].node || s->nodes[i].silent)
			continue;
		how(s, i);
		left--;
	}
}

static uint32_t living(const struct sim *s)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < s->options.nodes; i++)
		count += s->nodes[i].node && !s->nodes[i].silent;
	return count;
}

static bool run_crash(struct sim *s, const struct setup *setup)
{
	double most = setup->percent <= 80 ? 5 : setup->percent <= 90 ? 10 : 15;

	prepare(s);
	publish_all(s, 200);
	run(s, SECOND);
	crash_some(s, setup->percent, sim_crash);
	uint64_t begun = s->now;
	uint32_t first = s->published[0] + 1;
	uint64_t connected_after = 0;
	for (int i = 0; i < 1000; i++) {
		publish_all(s, 200);
		run(s, 20 * MILLISECOND);
		if (!connected_after && i % 5 == 0 && check_connected(s))
			connected_after = s->now - begun;
	}
	if (!connected_after && sim_run(s, 60 * SECOND, 100 * MILLISECOND, connected))
		connected_after = s->now - begun;
	printf("survivors %u\n", living(s));
	bool good =
		target("connected_after", connected_after ? seconds(connected_after) : 999, most);
	run(s, 40 * SECOND);
	struct spread sp = spread_of(s, 0, first);
	double wanted = (double)sp.messages * (living(s) - 1);
	printf("delivered %.6f\ngaps %llu\n", (double)sp.deliveries / wanted,
		(unsigned long long)gaps(s));
	good &= target("unaccounted",
		wanted - (double)sp.deliveries - (double)gaps(s) > 0
			? wanted - (double)sp.deliveries - (double)gaps(s)
			: 0,
		0);
	check_settled(s);
	return good;
}

static bool run_silent(struct sim *s, const struct setup *setup)
{
	prepare(s);
	for (int i = 0; i < 40; i++) {
		publish_all(s, 200);
		run(s, 250 * MILLISECOND);
	}
	run(s, SECOND);
	crash_some(s, setup->percent, sim_silence);
	uint32_t first = s->published[0] + 1;
	struct census c = check_census(s);
	uint32_t apart = c.nodes - c.largest;
	publish_all(s, 200);
	run(s, 20 * SECOND);
	struct spread sp = spread_of(s, 0, first);
	printf("survivors %u\n", living(s));
	bool good = target("undelivered", (double)(living(s) - 1) - (double)sp.deliveries, 0);
	// Who has lost all neighbours at once has to notice that first.
	printf("cut_off %u\nlater_than_1_s %u\n", apart, s->fates[0][first].late);
	printf("last_delivery_ms %.3f\n", seconds(sp.slowest) * 1000);
	good &= target(
		"late", s->fates[0][first].late > apart ? s->fates[0][first].late - apart : 0, 0);
	run(s, 30 * SECOND);
	check_settled(s);
	return good;
}

static bool noticed(struct sim *s)
{
	const struct link *link;
	for (uint32_t i = 0; i < s->options.nodes; i++) {
		const struct sim_node *n = &s->nodes[i];
		if (!n->node || n->silent)
			continue;
		DL_FOREACH (n->node->links, link) {
			const struct sim_connection *c = link_up(link) ? link_socket(link) : NULL;
			const struct sim_node *to =
				c ? c->ends[c->ends[0].link == link ? 1 : 0].node : NULL;
			if (to && (!to->node || to->silent))
				return false;
		}
	}
	return true;
}

static bool run_death(struct sim *s, const struct setup *setup)
{
	prepare(s);
	crash_some(s, setup->percent, sim_crash);
	uint64_t begun = s->now;
	sim_run(s, 60 * SECOND, 5 * MILLISECOND, noticed);
	bool good = target("process_noticed_after", seconds(s->now - begun), 0.1);
	run(s, 30 * SECOND);
	crash_some(s, setup->percent, sim_silence);
	begun = s->now;
	sim_run(s, 60 * SECOND, 5 * MILLISECOND, noticed);
	good &= target(
		"host_noticed_after", seconds(s->now - begun), seconds(PING_TIMEOUT_DEFAULT) + 0.5);
	run(s, 30 * SECOND);
	check_settled(s);
	return good;
}

static uint64_t timed_out(const struct sim *s)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < s->options.nodes; i++)
		sum += s->nodes[i].node ? s->nodes[i].node->counters.links_timed_out : 0;
	return sum;
}

static bool run_drops(struct sim *s, const struct setup *setup)
{
	uint64_t time = setup->time ? setup->time : 600 * SECOND;

	prepare(s);
	s->options.loss = 50;
	uint64_t before = timed_out(s), begun = s->now;
	while (s->now - begun < time && !s->wrong[0]) {
		// Each node is stopped about once a minute, for up to two seconds.
		for (uint32_t k = 0; k < s->options.nodes / 60 + 1; k++) {
			uint32_t i = (uint32_t)random_below(&s->random, s->options.nodes);
			// Two stops in a row would be a longer one.
			if (s->nodes[i].stopped_until + 3 * SECOND < s->now)
				sim_stop_for(s, i, random_below(&s->random, 2 * SECOND));
		}
		run(s, SECOND);
	}
	printf("node_hours %.1f\n", seconds(time) / 3600 * s->options.nodes);
	return target("false_drops", (double)(timed_out(s) - before), 0);
}

static bool healed(struct sim *s)
{
	watch(s);
	return check_connected(s);
}

static bool run_split(struct sim *s, const struct setup *setup)
{
	prepare(s);
	for (uint32_t i = 0; i < s->options.nodes; i++)
		sim_side(s, i, (int)(i % 2));
	for (int i = 0; i < 60; i++) {
		publish_all(s, 200);
		run(s, SECOND);
	}
	struct census apart = check_census(s);
	printf("components_apart %u\n", apart.components);
	for (uint32_t i = 0; i < s->options.nodes; i++)
		sim_side(s, i, 0);
	uint64_t begun = s->now;
	bool done = sim_run(s, 120 * SECOND, 50 * MILLISECOND, healed);
	bool good = target("healed_after", done ? seconds(s->now - begun) : 999, 10);
	run(s, 60 * SECOND);
	publish_all(s, 200);
	run(s, 10 * SECOND);
	check_settled(s);
	return good;
}

static bool run_large(struct sim *s, const struct setup *setup)
{
	prepare(s);
	for (int i = 0; i < 20; i++) {
		publish_all(s, 200);
		run(s, 500 * MILLISECOND);
	}
	uint32_t first = s->published[0] + 1;
	publish_all(s, 600000);
	run(s, 30 * SECOND);
	struct spread sp = spread_of(s, 0, first);
	bool good = target("undelivered", (double)(living(s) - 1) - (double)sp.deliveries, 0);
	good &= target("last_delivery", seconds(sp.slowest), 2.8);
	check_settled(s);
	return good;
}

// Far more than any window holds, as fast as it is taken.
static bool run_flow(struct sim *s, const struct setup *setup)
{
	const uint32_t count = 400;
	const size_t size = 20000;

	prepare(s);
	uint64_t begun = s->now;
	while (s->published[0] < count && s->now - begun < 120 * SECOND && !s->wrong[0])
		if (!sim_publish(s, 0, size))
			run(s, 10 * MILLISECOND);
	uint64_t took = s->now - begun;
	run(s, 10 * SECOND);
	printf("bytes_per_second %.0f\n", (double)s->published[0] * (double)size / seconds(took));
	bool good = target("unwritten", count - s->published[0], 0);
	// At half of what a link takes.
	good &= target(
		"took", seconds(took), 2.0 * count * (double)size / (double)s->options.bandwidth);
	check_settled(s);
	return good;
}

// From 1 B (and what numbers it) to 100 KB, as many of each order of magnitude.
static size_t any_size(struct sim *s)
{
	size_t most = (size_t)16 << random_below(&s->random, 14);
	size_t size = most / 2 + random_below(&s->random, most / 2 + 1);
	return size < 16 ? 16 : size > 100000 ? 100000 : size;
}

static uint64_t blamed(const struct sim *s)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < s->options.nodes; i++)
		sum += s->nodes[i].node->counters.links_slow;
	return sum;
}

// Has everybody read everything?
static bool all_read(struct sim *s)
{
	watch(s);
	for (uint32_t i = 0; i < s->options.nodes; i++)
		for (uint32_t k = 0; k < s->options.sources; k++)
			if (s->source_nodes[k] != i && s->nodes[i].reads[k].last != s->published[k])
				return false;
	return true;
}

// Everybody writes, as fast as it is taken.
static bool run_busy(struct sim *s, const struct setup *setup)
{
	uint32_t messages = setup->messages ? setup->messages : 1000, left;

	prepare(s);
	uint64_t begun = s->now, bytes = 0;
	do {
		left = 0;
		for (uint32_t k = 0; k < s->options.sources; k++) {
			size_t size = any_size(s);
			while (s->published[k] < messages && sim_publish(s, k, size)) {
				bytes += size;
				size = any_size(s);
			}
			left += messages - s->published[k];
		}
		run(s, 5 * MILLISECOND);
	} while (left > 0 && s->now - begun < 600 * SECOND && !s->wrong[0]);
	printf("written_after %.3f\nbytes %llu\n", seconds(s->now - begun),
		(unsigned long long)bytes);
	bool good = target("unwritten", left, 0);
	bool done = sim_run(s, 60 * SECOND, 100 * MILLISECOND, all_read);
	good &= target("all_read", done ? 0 : 1, 0);
	printf("read_after %.3f\ncopies %llu\n", seconds(s->now - begun),
		(unsigned long long)copies(s));
	good &= target("gaps", (double)gaps(s), 0);
	// Nobody is slow here: whoever waits, waits for others.
	good &= target("blamed", (double)blamed(s), 0);
	check_settled(s);
	return good;
}

static bool run_control(struct sim *s, const struct setup *setup)
{
	uint64_t payload = 0, data, all = 0;

	prepare(s);
	for (int i = 0; i < 500; i++) {
		publish_all(s, 1000);
		run(s, 10 * MILLISECOND);
	}
	s->count_types = true;
	memset(s->bytes_by_type, 0, sizeof s->bytes_by_type);
	for (int i = 0; i < 1000; i++) {
		publish_all(s, 1000);
		run(s, 10 * MILLISECOND);
	}
	for (uint32_t i = 0; i < 256; i++)
		all += s->bytes_by_type[i];
	data = s->bytes_by_type[FRAME_BATCH] + s->bytes_by_type[FRAME_CHUNK];
	payload = 1000ull * 1000 * (s->options.nodes - 1) * s->options.sources;
	for (uint32_t i = 0; i < 256; i++)
		if (s->bytes_by_type[i])
			printf("frame_%u_share %.5f\n", i,
				(double)s->bytes_by_type[i] / (double)payload);
	return target("control_share", (double)(all - data) / (double)payload, 0.03);
}

// Everything that can happen does, at random; then it has to come to rest.
static bool run_chaos(struct sim *s, const struct setup *setup)
{
	uint64_t time = setup->time ? setup->time : 120 * SECOND;
	uint32_t n = s->options.nodes;

	sim_estrange(s, n - 1);
	prepare(s);
	s->options.loss = 20;
	s->options.mutated = 20;
	memory_fail(20, &s->random);
	uint64_t begun = s->now;
	while (s->now - begun < time && !s->wrong[0]) {
		for (uint32_t k = 0; k < n / 50 + 1; k++) {
			uint32_t i = (uint32_t)random_below(&s->random, n);
			struct sim_node *node = &s->nodes[i];
			switch (random_below(&s->random, 11)) {
			case 0:
				if (i > 0 && node->node && !node->silent && i % 3 == 0)
					sim_crash(s, i);
				break;
			case 1:
				sim_stop_for(s, i, random_below(&s->random, 5 * SECOND));
				break;
			case 2:
				sim_cut(s, i);
				break;
			case 3:
				sim_side(s, i, !node->side);
				break;
			case 4:
				sim_side(s, i, 0);
				break;
			case 5:
				sim_hold(s, i, random_below(&s->random, 5 * SECOND), false);
				break;
			case 6:
				sim_hold(s, i, random_below(&s->random, 2 * SECOND), true);
				break;
			case 7:
				sim_jump(s, i, random_below(&s->random, 60 * SECOND));
				break;
			default:
				if (node->node || node->silent)
					break;
				sim_start(s, i);
				sim_seed(s, i, (uint32_t)random_below(&s->random, n));
				sim_seed(s, i, 0);
			}
		}
		for (uint32_t k = 0; k < s->options.sources; k++)
			if (random_below(&s->random, 2))
				sim_publish(s, k, 16 + random_below(&s->random, 20000));
		run(s, random_below(&s->random, 500 * MILLISECOND));
	}
	s->options.loss = s->options.mutated = 0;
	memory_fail(0, NULL);
	printf("allocations_failed %llu\n", (unsigned long long)memory_failed());
	for (uint32_t i = 0; i < n; i++)
		sim_side(s, i, 0);
	printf("one_component_after_chaos %d\n",
		sim_run(s, 120 * SECOND, 250 * MILLISECOND, gathered));
	run(s, 60 * SECOND);
	publish_all(s, 200);
	run(s, 20 * SECOND);
	check_settled(s);
	return true;
}

static bool members_complete(struct sim *s)
{
	uint32_t count = living(s);
	watch(s);
	for (uint32_t i = 0; i < s->options.nodes; i++)
		if (s->nodes[i].node && !s->nodes[i].silent &&
			node_member_count(s->nodes[i].node) != count)
			return false;
	return true;
}

static bool run_members(struct sim *s, const struct setup *setup)
{
	prepare(s);
	if (!sim_run(s, 60 * SECOND, 500 * MILLISECOND, members_complete))
		sim_fail(s, "not everybody knows everybody");
	for (int turn = 0; turn < 20; turn++) {
		crash_some(s, 5, sim_crash);
		run(s, 2 * SECOND);
		for (uint32_t i = 0; i < s->options.nodes; i++) {
			if (s->nodes[i].node || random_below(&s->random, 2))
				continue;
			sim_start(s, i);
			sim_seed(s, i, s->source_nodes[0]);
		}
		run(s, 2 * SECOND);
	}
	uint64_t begun = s->now;
	bool done = sim_run(s, LEASE_RENEW * 3 / 2, SECOND, members_complete);
	bool good = target("complete_after", done ? seconds(s->now - begun) : 999, 450);
	printf("members %u\n", living(s));
	check_settled(s);
	return good;
}

static void many_sources(struct setup *setup)
{
	setup->options.sources = 100;
}

// As many sources as there are nodes, which main() may still be told.
static void all_write(struct setup *setup)
{
	setup->options.nodes = 20;
	setup->options.sources = UINT32_MAX;
}

static void slow_links(struct setup *setup)
{
	setup->options.latency_min = setup->options.latency_max = 100 * MILLISECOND;
	setup->options.bandwidth = 10000000 / 8;
}

static void everybody(struct setup *setup)
{
	setup->options.members = true;
	setup->options.nodes = setup->options.nodes > 1000 ? 1000 : setup->options.nodes;
}

static void four_sources(struct setup *setup)
{
	setup->options.sources = 4;
}

const struct experiment experiments[] = {
	{ "steady", "one source: copies, and how long the last delivery takes", NULL, run_steady },
	{ "many-sources", "100 sources at once: copies from the first message on", many_sources,
		run_many },
	{ "join", "all nodes start at one moment, through --seeds nodes that they know", NULL,
		run_join },
	{ "crash", "--percent of the nodes die at one moment, then 1,000 messages", NULL,
		run_crash },
	{ "silent", "--percent of the hosts fall silent; the next message", NULL, run_silent },
	{ "death", "--percent of the processes die, then of the hosts: when it is noticed", NULL,
		run_death },
	{ "false-drops", "5 % loss, stops of up to 2 s: links that are given up", NULL, run_drops },
	{ "split", "two halves for a minute, then one network", NULL, run_split },
	{ "large", "600 KB over links of 10 Mbit/s and 100 ms", slow_links, run_large },
	{ "flow", "8 MB over such links, as fast as they take it", slow_links, run_flow },
	{ "busy", "every node writes --messages of 1 B to 100 KB, as fast as it can", all_write,
		run_busy },
	{ "control", "100 messages of 1 KB a second: what is not messages", NULL, run_control },
	{ "members", "everybody knows everybody, under churn (at most 1,000 nodes)", everybody,
		run_members },
	{ "chaos", "crashes, stops, cuts, partitions, loss; then rest", four_sources, run_chaos },
};
const size_t experiment_count = sizeof experiments / sizeof experiments[0];

void experiment_watch(struct plot *plot)
{
	plotted = plot;
}
