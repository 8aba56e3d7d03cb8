// SPDX-License-Identifier: MIT
#include "core/interface.h"

#include <criterion/criterion.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// In a network of its own, whose interfaces are known.
static void enter_network(const char *script)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0 ||
		system("ip link add one type veth peer name two") != 0)
		cr_skip_test("no network namespace, or no ip(8)");
	cr_assert_eq(system(script), 0);
}

static size_t list(struct interface_address *out, size_t max, int family)
{
	int fd = socket(family, SOCK_DGRAM, 0);
	cr_assert_geq(fd, 0);
	size_t n = interface_list(out, max, fd);
	close(fd);
	return n;
}

static bool has(const struct interface_address *found, size_t n, const char *name, const char *host)
{
	for (size_t i = 0; i < n; i++)
		if (found[i].index == if_nametoindex(name) &&
			strcmp(address_format_host(&found[i].address).text, host) == 0)
			return true;
	return false;
}

Test(interface, lists_what_is_up)
{
	struct interface_address found[32];

	enter_network("ip addr add 10.77.1.1/24 dev one && ip addr add 10.77.1.2/24 dev one && "
		      "ip addr add 10.77.3.1/24 dev one label one:x && "
		      "ip addr add 169.254.7.7/16 dev two && ip addr add 10.77.2.1/24 dev two && "
		      "ip -6 addr add fd77::1/64 dev two nodad && "
		      "ip -6 addr add fd77::2/64 dev two nodad preferred_lft 0 && "
		      "ip link add three type veth peer name four && "
		      "ip addr add 10.77.4.1/24 dev three && "
		      "ip link add five type veth peer name six && "
		      "ip addr add 10.77.5.1/24 dev five && ip link set five multicast off up && "
		      "ip link set one up && ip link set two up");
	for (int i = 0; i < 2; i++) {
		size_t n = list(found, 32, i ? AF_INET6 : AF_INET);
		cr_expect(has(found, n, "lo", "127.0.0.1"));
		cr_expect(has(found, n, "lo", "::1"));
		cr_expect(has(found, n, "one", "10.77.1.1"));
		cr_expect(has(found, n, "one", "10.77.1.2"));
		cr_expect(has(found, n, "one", "10.77.3.1"));
		cr_expect(has(found, n, "two", "169.254.7.7"));
		cr_expect(has(found, n, "two", "10.77.2.1"));
		cr_expect(has(found, n, "two", "fd77::1"));
		// One that is deprecated, one that is down, one without multicast, and link-local
		// ones of IPv6.
		cr_expect_eq(n, 8);
	}
}

Test(interface, no_more_than_there_is_room_for)
{
	struct interface_address found[4];

	enter_network("ip link set one up && for i in 1 2 3 4 5 6 7 8 9; do "
		      "ip addr add 10.77.$i.1/24 dev one || exit 1; done");
	cr_expect_eq(list(found, 3, AF_INET), 3);
}

Test(interface, follows_what_happens)
{
	struct interface_address found[8];

	enter_network("true");
	cr_expect_eq(list(found, 8, AF_INET), 2, "loopback");
	cr_assert_eq(system("ip addr add 10.77.1.1/24 dev one && ip link set one up"), 0);
	cr_expect_eq(list(found, 8, AF_INET), 3);
	cr_assert_eq(system("ip link set one down"), 0);
	cr_expect_eq(list(found, 8, AF_INET), 2);
	cr_assert_eq(system("ip link set one up && ip link delete one"), 0);
	cr_expect_eq(list(found, 8, AF_INET), 2);
}
