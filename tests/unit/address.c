// SPDX-License-Identifier: MIT
#include "core/address.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(address, formats_both_families)
{
	struct address four = { 4, { 10, 0, 0, 5 }, 8495 };
	struct address six = { 6, { 0xfe, 0x80, [15] = 1 }, 80 };
	struct address none = { 0 };

	cr_expect_str_eq(address_format(&four).text, "10.0.0.5:8495");
	cr_expect_str_eq(address_format_host(&four).text, "10.0.0.5");
	cr_expect_str_eq(address_format(&six).text, "[fe80::1]:80");
	cr_expect_str_eq(address_format_host(&six).text, "fe80::1");
	cr_expect_str_eq(address_format(&none).text, "-");
	cr_expect_str_eq(address_format_host(&none).text, "");
}

Test(address, formats_the_longest)
{
	struct address a = { .family = 6, .port = 65535 };
	struct address back;
	memset(a.bytes, 0xff, sizeof a.bytes);
	cr_expect_str_eq(
		address_format(&a).text, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
	// The longest text that inet_ntop() makes has an IPv4 address at its end.
	cr_assert_eq(address_parse(&a, "[::ffff:255.255.255.255]:65535"), 0);
	cr_expect_str_eq(address_format(&a).text, "[::ffff:255.255.255.255]:65535");
	cr_assert_eq(address_parse(&back, address_format(&a).text), 0);
	cr_expect(address_equal(&a, &back));
}

Test(address, parses_what_it_formats)
{
	static const char *const texts[] = { "0.0.0.0:1", "255.255.255.255:65535", "127.0.0.1:8495",
		"[::]:1", "[::1]:8495", "[2001:db8::5]:443" };
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct address a;
		cr_assert_eq(address_parse(&a, texts[i]), 0, "%s", texts[i]);
		cr_expect_str_eq(address_format(&a).text, texts[i]);
	}
}

Test(address, ipv4_leaves_the_rest_zero)
{
	struct address a;
	memset(&a, 0xff, sizeof a);
	cr_assert_eq(address_parse(&a, "1.2.3.4:5"), 0);
	for (size_t i = 4; i < sizeof a.bytes; i++)
		cr_expect_eq(a.bytes[i], 0);
}

Test(address, refuses_what_is_not_one)
{
	static const char *const bad[] = { "", ":", ":1", "1.2.3.4", "1.2.3.4:", "1.2.3.4:0",
		"1.2.3.4:65536", "1.2.3.4:000080", "1.2.3.4:-1", "1.2.3.4:+1", "1.2.3.4: 1",
		"1.2.3.4:1x", "1.2.3:4", "1.2.3.256:1", "01.2.3.4.5:1", "::1", "::1:80", "[::1]",
		"[::1]:", "[::1]80", "[::1:80", "::1]:80", "[]:80", "[[::1]]:80", "[::1]x:80",
		"x[::1]:80", "localhost:80", "[fe80::1%lo]:80" };
	struct address a = { 4, { 9, 9, 9, 9 }, 9 }, before = a;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_expect_eq(address_parse(&a, bad[i]), -EINVAL, "%s", bad[i]);
	cr_expect(address_equal(&a, &before), "a failed parse leaves the address as it was");
}

Test(address, parses_a_host_alone)
{
	struct address a;
	cr_assert_eq(address_parse_host(&a, "::1", 7), 0);
	cr_expect_str_eq(address_format(&a).text, "[::1]:7");
	cr_assert_eq(address_parse_host(&a, "[::1]", 7), 0);
	cr_expect_str_eq(address_format(&a).text, "[::1]:7");
	cr_assert_eq(address_parse_host(&a, "127.0.0.1", 7), 0);
	cr_expect_str_eq(address_format(&a).text, "127.0.0.1:7");
	cr_expect_eq(address_parse_host(&a, "", 7), -EINVAL);
	cr_expect_eq(address_parse_host(&a, "[]", 7), -EINVAL);
	cr_expect_eq(address_parse_host(&a, "[", 7), -EINVAL);
	cr_expect_eq(address_parse_host(&a, "web1", 7), -EINVAL);
	cr_expect_eq(address_parse_host(&a,
			     "1111111111111111111111111111111111111111111111111111111111111111", 7),
		-EINVAL);
}

static void expect_split(const char *text, bool optional, const char *host, uint16_t port)
{
	char got[HOST_MAX + 1];
	uint16_t got_port = 99;
	cr_assert_eq(address_split(text, got, &got_port, optional), 0, "%s", text);
	cr_expect_str_eq(got, host);
	cr_expect_eq(got_port, port, "%s: %u", text, got_port);
}

Test(address, splits_host_and_port)
{
	expect_split("web1:80", false, "web1", 80);
	expect_split("web1:80", true, "web1", 80);
	expect_split("web1", true, "web1", 0);
	expect_split("10.0.0.1", true, "10.0.0.1", 0);
	expect_split("[::1]:80", false, "::1", 80);
	expect_split("[::1]", true, "::1", 0);
	expect_split("::1", true, "::1", 0);
	expect_split("fe80::1:80", true, "fe80::1:80", 0);
}

Test(address, splits_only_what_fits)
{
	char host[HOST_MAX + 1], text[HOST_MAX + 16];
	uint16_t port;

	memset(text, 'a', sizeof text);
	strcpy(text + HOST_MAX, ":80");
	cr_expect_eq(address_split(text, host, &port, false), 0);
	cr_expect_eq(strlen(host), HOST_MAX);
	memset(text, 'a', sizeof text);
	strcpy(text + HOST_MAX + 1, ":80");
	cr_expect_eq(address_split(text, host, &port, false), -EINVAL);
	cr_expect_eq(address_split("web1", host, &port, false), -EINVAL);
	cr_expect_eq(address_split("web1:", host, &port, true), -EINVAL);
	cr_expect_eq(address_split(":80", host, &port, true), -EINVAL);
}

Test(address, compares_every_part)
{
	struct address a = { 4, { 1, 2, 3, 4 }, 5 }, b = a;
	cr_expect(address_equal(&a, &b));
	b.port = 6;
	cr_expect_not(address_equal(&a, &b));
	b = a;
	b.bytes[3] = 9;
	cr_expect_not(address_equal(&a, &b));
	b = a;
	b.family = 6;
	cr_expect_not(address_equal(&a, &b));
}

Test(address, knows_loopback)
{
	static const struct {
		const char *text;
		bool loopback;
	} cases[] = { { "127.0.0.1:1", true }, { "127.255.0.9:1", true }, { "128.0.0.1:1", false },
		{ "0.0.0.0:1", false }, { "[::1]:1", true }, { "[::2]:1", false },
		{ "[::]:1", false }, { "[::ffff:127.0.0.1]:1", false } };
	struct address a;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		cr_assert_eq(address_parse(&a, cases[i].text), 0);
		cr_expect_eq(address_is_loopback(&a), cases[i].loopback, "%s", cases[i].text);
	}
	cr_expect_not(address_is_loopback(&(struct address){ 0 }));
}

Test(address, knows_what_can_be_dialled)
{
	static const struct {
		const char *text;
		bool dialable;
	} cases[] = { { "127.0.0.1:1", true }, { "10.0.0.5:65535", true }, { "8.8.8.8:53", true },
		{ "169.254.1.2:1", true }, { "223.255.255.255:1", true }, { "0.0.0.0:1", false },
		{ "0.1.2.3:1", false }, { "224.0.0.1:1", false }, { "239.255.255.255:1", false },
		{ "240.0.0.1:1", false }, { "255.255.255.255:1", false }, { "[::1]:1", true },
		{ "[2001:db8::1]:1", true }, { "[fd00::1]:1", true }, { "[::]:1", false },
		{ "[ff02::1]:1", false }, { "[fe80::1]:1", false }, { "[febf::1]:1", false },
		{ "[fec0::1]:1", true }, { "[::ffff:127.0.0.1]:1", false },
		{ "[::ffff:224.0.0.1]:1", false } };
	struct address a;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		cr_assert_eq(address_parse(&a, cases[i].text), 0, "%s", cases[i].text);
		cr_expect_eq(address_dialable(&a), cases[i].dialable, "%s", cases[i].text);
		a.port = 0;
		cr_expect_not(address_dialable(&a), "%s without a port", cases[i].text);
	}
	cr_expect_not(address_dialable(&(struct address){ .port = 1 }));
}

Test(address, names_and_what_was_meant_to_be_a_number)
{
	static const char *const good[] = { "localhost", "a", "web-1.example.org", "x_y", "1a.2b",
		"example.org.", "4.example" };
	static const char *const bad[] = { "", "300.1.1.1", "1.2.3", "12", "a..b", ".a", "-a",
		"a b", "a/b", "a%b", "1.2.3.4.", "host:1" };
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		cr_expect(address_host_plausible(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_expect_not(address_host_plausible(bad[i]), "%s", bad[i]);
}
