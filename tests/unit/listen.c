// SPDX-License-Identifier: MIT
#include "core/listen.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/endpoint.h"
#include "core/limits.h"

static const struct address nobody;

static struct address parse(const char *text)
{
	struct address a;
	cr_assert_eq(address_parse(&a, text), 0, "%s", text);
	return a;
}

static uint16_t port_of(int fd)
{
	union endpoint e;
	socklen_t size = sizeof e;
	cr_assert_eq(getsockname(fd, &e.any, &size), 0);
	return endpoint_get(&e).port;
}

static int dial(const struct address *to)
{
	union endpoint e;
	socklen_t size = endpoint_set(&e, to);
	int fd = socket(e.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(fd, 0);
	if (connect(fd, &e.any, size) == 0)
		return fd;
	int error = errno;
	close(fd);
	return -error;
}

// Not through an IPv6 socket alone, as some containers have none.
static int accept_one(int listener, struct address *from)
{
	union endpoint e;
	socklen_t size = sizeof e;
	int fd = accept4(listener, &e.any, &size, SOCK_CLOEXEC);
	cr_assert_geq(fd, 0);
	*from = endpoint_get(&e);
	return fd;
}

Test(listen, endpoints)
{
	static const char *const texts[] = { "1.2.3.4:5", "[2001:db8::7]:65535" };
	union endpoint e;

	for (size_t i = 0; i < 2; i++) {
		struct address a = parse(texts[i]), b;
		endpoint_set(&e, &a);
		b = endpoint_get(&e);
		cr_assert(address_equal(&a, &b));
	}
	struct address mapped = parse("[::ffff:10.0.0.5]:8495"), four = parse("10.0.0.5:8495");
	endpoint_set(&e, &mapped);
	struct address shown = endpoint_get(&e);
	cr_assert(address_equal(&shown, &four));
	e.any.sa_family = AF_UNIX;
	cr_assert_eq(endpoint_get(&e).family, 0);
}

Test(listen, at_one_address)
{
	struct address a = parse("127.0.0.1:1"), same;

	a.port = 0;
	int first = listen_open(&a);
	cr_assert_geq(first, 0);
	cr_assert_geq(a.port, LISTEN_PORT);
	cr_assert_eq(port_of(first), a.port);
	same = a;
	cr_assert_eq(listen_open(&same), -EADDRINUSE);
	same.port = 0;
	int second = listen_open(&same);
	cr_assert_geq(second, 0);
	cr_assert_gt(same.port, a.port);
	close(first);
	close(second);
	struct address foreign = parse("192.0.2.77:1");
	cr_assert_eq(listen_open(&foreign), -EADDRNOTAVAIL);
}

Test(listen, everywhere)
{
	struct address all = { 0 }, four = parse("127.0.0.1:1"), six = parse("[::1]:1"), from;
	int fd = listen_open(&all);

	cr_assert_geq(fd, 0);
	cr_assert_eq(all.family, 0);
	cr_assert_eq(port_of(fd), all.port);
	four.port = six.port = all.port;
	int client = dial(&four);
	cr_assert_geq(client, 0);
	int server = accept_one(fd, &from);
	cr_assert_eq(from.family, 4, "IPv4 is shown as such");
	cr_assert_eq(from.port, port_of(client));
	close(client);
	close(server);
	client = dial(&six);
	if (client >= 0) {
		server = accept_one(fd, &from);
		cr_assert_eq(from.family, 6);
		close(client);
		close(server);
	}
	close(fd);
}

// A port that somebody has on one address is not free.
Test(listen, a_port_taken_at_one_address)
{
	struct address one = parse("127.0.0.1:1"), all = { 0 }, again = { 0 };

	one.port = 0;
	int fd = listen_open(&one);
	cr_assert_geq(fd, 0);
	all.port = one.port;
	cr_assert_eq(listen_open(&all), -EADDRINUSE);
	all.port = 0;
	int other = listen_open(&all);
	cr_assert_geq(other, 0);
	cr_assert_gt(all.port, one.port);
	one.port = all.port;
	cr_assert_eq(listen_open(&one), -EADDRINUSE);
	again.port = all.port;
	cr_assert_eq(listen_open(&again), -EADDRINUSE);
	close(fd);
	close(other);
}

Test(listen, what_is_detected_can_be_dialled)
{
	struct address all = { 0 }, own[HELLO_ADDRESSES];
	int fd = listen_open(&all);
	size_t n = listen_detect(own, HELLO_ADDRESSES, fd, &nobody);

	cr_assert_geq(n, 1);
	cr_assert_leq(n, HELLO_ADDRESSES);
	for (size_t i = 0; i < n; i++) {
		cr_assert_eq(own[i].port, all.port);
		cr_assert(address_dialable(&own[i]));
		for (size_t j = 0; j < i; j++)
			cr_assert_not(address_equal(&own[i], &own[j]));
		int client = dial(&own[i]);
		cr_assert_geq(client, 0, "%s", address_format(&own[i]).text);
		close(client);
	}
	cr_assert_eq(listen_detect(own, 1, fd, &nobody), 1);
	close(fd);
}

// In a network of its own, whose interfaces are known.
static void enter_network(const char *script)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0 ||
		system("ip link add one type veth peer name two") != 0)
		cr_skip_test("no network namespace, or no ip(8)");
	cr_assert_eq(system(script), 0);
}

static void expect_own(const struct address *toward, const char *const *want, size_t count)
{
	struct address all = { 0 }, own[HELLO_ADDRESSES];
	int fd = listen_open(&all);
	size_t n = listen_detect(own, HELLO_ADDRESSES, fd, toward);

	cr_assert_eq(n, count, "%zu addresses, the first is %s", n, address_format(&own[0]).text);
	for (size_t i = 0; i < n; i++)
		cr_assert_str_eq(address_format_host(&own[i]).text, want[i]);
	close(fd);
}

Test(listen, without_a_network)
{
	static const char *const want[] = { "127.0.0.1" };
	struct address seed = parse("192.0.2.1:8495");

	enter_network("true");
	expect_own(&nobody, want, 1);
	expect_own(&seed, want, 1);
}

// For want of a better one.
Test(listen, link_local_alone)
{
	static const char *const want[] = { "169.254.7.7" };

	enter_network("ip addr add 169.254.7.7/16 dev one && ip link set one up");
	expect_own(&nobody, want, 1);
}

Test(listen, the_address_towards_the_seed_is_first)
{
	static const char *const far[] = { "10.77.1.1", "10.77.2.1", "fd77::1" };
	static const char *const near[] = { "10.77.2.1", "10.77.1.1", "fd77::1" };
	static const char *const six[] = { "fd77::1", "10.77.1.1", "10.77.2.1" };
	struct address seed = parse("10.77.2.9:8495"), seed6 = parse("[fd77::9]:1");
	struct address local = parse("127.0.0.1:8495");

	enter_network("ip addr add 10.77.1.1/24 dev one && ip addr add 10.77.2.1/24 dev two && "
		      "ip addr add 169.254.7.7/16 dev two && "
		      "ip -6 addr add fd77::1/64 dev two nodad && "
		      "ip link add three type veth peer name four && "
		      "ip addr add 10.77.3.1/24 dev three && "
		      "ip link set one up && ip link set two up && "
		      "ip route add default via 10.77.1.2");
	expect_own(&nobody, far, 3);
	expect_own(&local, far, 3);
	expect_own(&seed, near, 3);
	expect_own(&seed6, six, 3);
}

Test(listen, many_addresses)
{
	struct address all = { 0 }, own[HELLO_ADDRESSES];

	enter_network("ip link set one up && "
		      "for i in 1 2 3 4 5 6 7 8 9 10; do "
		      "ip addr add 10.77.$i.1/24 dev one || exit 1; done");
	int fd = listen_open(&all);
	cr_assert_eq(listen_detect(own, HELLO_ADDRESSES, fd, &nobody), HELLO_ADDRESSES);
	close(fd);
}

Test(listen, finds_the_interface_of_a_subnet)
{
	struct address found, subnet = parse("127.9.9.9:7");

	cr_assert_eq(listen_find_interface(&found, &subnet, 8), 0);
	cr_assert_str_eq(address_format(&found).text, "127.0.0.1:7");
	subnet = parse("203.0.113.0:7");
	cr_assert_eq(listen_find_interface(&found, &subnet, 24), -ENOENT);
}
