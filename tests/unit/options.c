// SPDX-License-Identifier: MIT
#include "fs/options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/setting.h"

static struct options o;

// Parses one line of words, of the program by that name; the result of options_parse().
static int parse_as(const char *program, const char *line)
{
	static char copy[4096];
	static char *argv[256];
	int argc = 0;

	snprintf(copy, sizeof copy, "%s %s", program, line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	options_fini(&o);
	return options_parse(&o, argc, argv);
}

static int parse(const char *line)
{
	return parse_as("smokefs", line);
}

#define ACCEPT(line) cr_assert_eq(parse(line), OPTIONS_RUN, "%s: %s", line, o.error)
#define REFUSE(line, part)                                                 \
	do {                                                               \
		cr_assert_eq(parse(line), -22, "%s was accepted", line);   \
		cr_assert(strstr(o.error, part), "%s: %s", line, o.error); \
	} while (0)

Test(options, defaults)
{
	ACCEPT("mnt");
	cr_assert_str_eq(o.mountpoint, "mnt");
	cr_assert_eq(o.address.family, 0);
	cr_assert_eq(o.address.port, 0);
	cr_assert_null(o.key);
	cr_assert_not(o.new_key);
	cr_assert_eq(o.seed_count, 0);
	cr_assert_eq(o.min_peers, 3);
	cr_assert_eq(o.max_peers, 5);
	cr_assert_eq(o.ping_timeout, 3 * SECOND);
	cr_assert_eq(o.stall_timeout, 3 * SECOND);
	cr_assert_eq(o.min_rate, 64 * KIB);
	cr_assert_eq(o.log_target, LOG_TO_AUTO);
	cr_assert_eq(o.log_level, LEVEL_INFO);
	cr_assert_not(o.foreground);
	cr_assert_not(o.wait);
	cr_assert_str_eq(o.mount_options, "");
	cr_assert_neq(o.name[0], '\0');
}

Test(options, one_positional_is_the_mount_point)
{
	ACCEPT("127.0.0.1:8495");
	cr_assert_str_eq(o.mountpoint, "127.0.0.1:8495");
	cr_assert_eq(o.seed_count, 0);
}

Test(options, seeds)
{
	ACCEPT("127.0.0.1:1,[::1]:2,localhost:3 mnt -s web1.example:4 --seed=none");
	cr_assert_eq(o.seed_count, 4);
	// Options come first, wherever they stand.
	cr_assert_str_eq(o.seeds[0].host, "web1.example");
	cr_assert_eq(o.seeds[0].port, 4);
	cr_assert_str_eq(o.seeds[2].host, "::1");
	cr_assert_eq(o.seeds[3].port, 3);
	ACCEPT("10.0.0.5:8495,[2001:db8::1]:2 mnt");
	cr_assert_eq(o.seed_count, 2);
	ACCEPT("none mnt");
	cr_assert_eq(o.seed_count, 0);
	ACCEPT("host-1.example.:8495 mnt");
	ACCEPT("5gum.example:8495 mnt");
}

// Who names a seed has said where to look.
Test(options, discovery)
{
	ACCEPT("mnt");
	cr_assert(options_discovery(&o) && !o.none);
	ACCEPT("none mnt");
	cr_assert(options_discovery(&o) && o.none);
	ACCEPT("-s none -o seeds=none mnt");
	cr_assert(options_discovery(&o) && o.none);
	ACCEPT("a:1 mnt");
	cr_assert_not(options_discovery(&o) || o.none);
	ACCEPT("none,a:1 mnt");
	cr_assert_not(options_discovery(&o));
	ACCEPT("--no-discovery mnt");
	cr_assert_not(options_discovery(&o));
	ACCEPT("none mnt -o no_discovery");
	cr_assert_not(options_discovery(&o));
	REFUSE("mnt -o no_discovery=1", "-o no_discovery: takes no value");
}

Test(options, loopback)
{
	ACCEPT("mnt");
	cr_assert_not(o.loopback);
	ACCEPT("--loopback mnt");
	cr_assert(o.loopback);
	ACCEPT("mnt -o loopback");
	cr_assert(o.loopback);
	REFUSE("mnt -o loopback=1", "-o loopback: takes no value");
}

Test(options, seeds_refused)
{
	REFUSE("0.0.0.0:8495 mnt", "is not the address of one host");
	REFUSE("[::]:8495 mnt", "is not the address of one host");
	REFUSE("[fe80::1]:8495 mnt", "link-local");
	REFUSE("-s 224.0.0.1:8495 mnt", "multicast");
	REFUSE("-s 255.255.255.255:8495 mnt", "broadcast");
	REFUSE("[::ffff:10.0.0.5]:8495 mnt", "is not the address of one host");
	REFUSE("127.0.0.1 mnt", "host:port");
	REFUSE("127.0.0.1:0 mnt", "host:port");
	REFUSE("127.0.0.1:65536 mnt", "host:port");
	REFUSE("127.0.0.1:1, mnt", "host:port");
	REFUSE("127.0.1:1 mnt", "neither");
	REFUSE("/srv/net:1 mnt", "neither");
	REFUSE("a..b:1 mnt", "neither");
	REFUSE("-a:1 mnt", "address");
	REFUSE("-- -a:1 mnt", "neither");
	REFUSE(".:1 mnt", "neither");
}

Test(options, too_many_seeds)
{
	char line[2048] = "mnt";
	for (int i = 0; i <= SEEDS_MAX; i++)
		strncat(line, " -s 127.0.0.1:1", sizeof line - strlen(line) - 1);
	REFUSE(line, "more than 64 seeds");
}

Test(options, addresses)
{
	ACCEPT("-a ::1 -p 9000 mnt");
	cr_assert_str_eq(address_format(&o.address).text, "[::1]:9000");
	ACCEPT("-p 9000 -a 127.3.2.1 mnt");
	cr_assert_str_eq(address_format(&o.address).text, "127.3.2.1:9000");
	ACCEPT("-a 127.0.0.99/8 -p 7 mnt");
	cr_assert_str_eq(address_format(&o.address).text, "127.0.0.1:7");
	ACCEPT("-a 10.0.0.5 mnt");
	cr_assert_str_eq(address_format_host(&o.address).text, "10.0.0.5");
	ACCEPT("-p 9000 mnt");
	cr_assert_eq(o.address.family, 0);
	cr_assert_eq(o.address.port, 9000);
	REFUSE("-a 0.0.0.0 mnt", "leave the option out");
	REFUSE("-a :: mnt", "leave the option out");
	REFUSE("-a 224.0.0.1 mnt", "is not the address of one host");
	REFUSE("-a fe80::1 mnt", "link-local");
	REFUSE("-a 203.0.113.0/24 mnt", "no interface");
	REFUSE("-a 127.0.0.1/33 mnt", "0 to 32");
	REFUSE("-a 127.0.0.1/ mnt", "0 to 32");
	REFUSE("-a 127.0.0.1:80 mnt", "--port");
	REFUSE("-a localhost mnt", "not an IP address");
}

Test(options, bounds)
{
	ACCEPT("--min-peers 0 --max-peers 0 --ping-timeout 100 -p 65535 mnt");
	ACCEPT("--min-peers 1000 --max-peers 1000 --ping-timeout 600000 mnt");
	ACCEPT("--min-peers 1000 --max-peers 0 mnt");
	REFUSE("--min-peers 1001 mnt", "0 to 1000");
	REFUSE("--max-peers 1001 mnt", "0 to 1000");
	REFUSE("--max-peers -1 mnt", "0 to 1000");
	REFUSE("--max-peers 5x mnt", "0 to 1000");
	REFUSE("--max-peers 99999999999999999999 mnt", "0 to 1000");
	REFUSE("--ping-timeout 99 mnt", "100 to 600000 milliseconds");
	REFUSE("--stall-timeout 999 mnt", "1000 to 600000 milliseconds");
	REFUSE("--stall-timeout -1 mnt", "1000 to 600000 milliseconds");
	REFUSE("--min-rate 0 mnt", "1 to 268435456 bytes per second");
	REFUSE("--min-rate 268435457 mnt", "1 to 268435456 bytes per second");
	REFUSE("--min-rate 64k mnt", "'64k' is not a number");
	REFUSE("-p 0 mnt", "1 to 65535");
	REFUSE("-p 65536 mnt", "1 to 65535");
	REFUSE("--min-peers 6 mnt", "--min-peers 6 is more than --max-peers 5");
	REFUSE("--wait=0 mnt", "1 to 86400");
	REFUSE("--wait 5 127.0.0.1:1 mnt",
		"'5' is not a seed; a number of seconds is written --wait=5");
	REFUSE("--wait 5 mnt", "a number of seconds is written --wait=5");
	REFUSE("-o wait 5 127.0.0.1:1 mnt", "--wait=5");
	REFUSE("--wait=5 5 mnt", "'5' is not a seed; write host:port");
	REFUSE("--log-level loud mnt", "one of trace");
}

Test(options, names)
{
	ACCEPT("--name web1.a_b-c mnt");
	cr_assert_str_eq(o.name, "web1.a_b-c");
	REFUSE("--name -x mnt", "not a name");
	REFUSE("--name a/b mnt", "not a name");
	ACCEPT("--name a23456789012345678901234567890123456789012345678901234567890123 mnt");
	REFUSE("--name a234567890123456789012345678901234567890123456789012345678901234 mnt",
		"not a name");
}

Test(options, the_rest)
{
	ACCEPT("--state /s --log /l --log-level warn --wait=5 -f mnt");
	cr_assert_str_eq(o.state, "/s");
	cr_assert_str_eq(o.log_file, "/l");
	cr_assert_eq(o.log_target, LOG_TO_FILE);
	cr_assert_eq(o.log_level, LEVEL_WARN);
	cr_assert_eq(o.wait_time, 5 * SECOND);
	cr_assert(o.foreground && o.wait && !o.debug);
	ACCEPT("--key /k --new-key mnt");
	cr_assert_str_eq(o.key, "/k");
	cr_assert(o.new_key);
	ACCEPT("mnt -o key=/k\\,1,new_key");
	cr_assert_str_eq(o.key, "/k,1");
	cr_assert(o.new_key);
	REFUSE("--key= mnt", "--key: needs the path of a file");
	REFUSE("--new-key=1 mnt", "takes no value");
	ACCEPT("--wait -d mnt");
	cr_assert_eq(o.wait_time, 0);
	cr_assert(o.foreground && o.wait && o.debug);
	cr_assert_eq(parse("-h"), OPTIONS_HELP);
	cr_assert_eq(parse("--version"), OPTIONS_VERSION);
}

Test(options, in_the_way_of_mount)
{
	ACCEPT("none mnt -o rw,nodev,nosuid,noatime,_netdev,nofail,x-systemd.automount,defaults");
	cr_assert_str_eq(o.mount_options, "rw,nodev,nosuid,noatime");
	ACCEPT("mnt -o allow_other -o allow_other,default_permissions,noauto,user");
	cr_assert_str_eq(o.mount_options, "allow_other,default_permissions");
	ACCEPT("mnt -o nodev,dev,dirsync,sync");
	cr_assert_str_eq(o.mount_options, "nodev,dev,dirsync,sync");
	ACCEPT("mnt -o ,,port=9000,,");
	cr_assert_eq(o.address.port, 9000);
}

// What is out of bounds is told from what is no number, for files in the mount.
Test(options, numbers_and_bounds)
{
	static const char *const out[] = { "1001", "-1", "-0", "9999999999",
		"99999999999999999999" };
	static const char *const none[] = { "", "-", "x", "1x", " 1", "1 ", "+1", "--1", "0x1",
		"1.0" };
	const struct setting *s = setting_find("max_peers");

	ACCEPT("mnt");
	for (size_t i = 0; i < sizeof out / sizeof *out; i++)
		cr_assert_eq(s->set(&o, "x", out[i]), -ERANGE, "%s", out[i]);
	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		cr_assert_eq(s->set(&o, "x", none[i]), -EINVAL, "%s", none[i]);
	cr_assert_eq(o.max_peers, 5);
	cr_assert_eq(s->set(&o, "x", "007"), 0);
	cr_assert_eq(o.max_peers, 7);
}

// Whatever can be shown is understood when it is set.
Test(options, shown_values)
{
	char text[SETTING_SHOWN], again[SETTING_SHOWN];
	size_t count = 0;

	ACCEPT("mnt -o min_peers=1,max_peers=7,ping_timeout=500,stall_timeout=1234,min_rate=9,"
	       "log_level=warn");
	struct options before = o;
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		if (!settings[i].show)
			continue;
		count++;
		settings[i].show(&before, text);
		ACCEPT("mnt");
		cr_assert_eq(settings[i].set(&o, "x", text), 0, "%s", text);
		settings[i].show(&o, again);
		cr_assert_str_eq(again, text);
	}
	cr_assert_eq(count, 6);
}

Test(options, settings_within_o)
{
	ACCEPT("mnt -o min_peers=1,max_peers=7,ping_timeout=500,name=x,state=/s,log=stderr,wait=3");
	cr_assert_eq(o.min_peers, 1);
	cr_assert_eq(o.max_peers, 7);
	cr_assert_eq(o.ping_timeout, 500 * MILLISECOND);
	cr_assert_str_eq(o.name, "x");
	cr_assert_str_eq(o.state, "/s");
	cr_assert_eq(o.log_target, LOG_TO_STDERR);
	cr_assert_eq(o.wait_time, 3 * SECOND);
	ACCEPT("mnt -o minPeerNo=2,maxPeerNo=4,pingTimeout=400,address=::1,port=81,log_level=debug");
	cr_assert_eq(o.min_peers, 2);
	cr_assert_eq(o.max_peers, 4);
	cr_assert_eq(o.ping_timeout, 400 * MILLISECOND);
	cr_assert_str_eq(address_format(&o.address).text, "[::1]:81");
	cr_assert_eq(o.log_level, LEVEL_DEBUG);
	ACCEPT("mnt -o seed=127.0.0.1:1,seeds=a:2\\,b:3,foreground,wait");
	cr_assert_eq(o.seed_count, 3);
	cr_assert_str_eq(o.seeds[2].host, "b");
	cr_assert(o.foreground && o.wait);
	ACCEPT("mnt -o state=/a\\,b\\\\c");
	cr_assert_str_eq(o.state, "/a,b\\c");
	REFUSE("mnt -o port", "needs a value");
	REFUSE("mnt -o debug=1", "takes no value");
	REFUSE("mnt -o port=x", "-o port");
	REFUSE("mnt -o help", "unknown option");
}

Test(options, unknown)
{
	REFUSE("--max-peer=3x mnt", "--max-peers"); // an abbreviation
	REFUSE("--mxa-peers 3 mnt", "did you mean '--max-peers'?");
	REFUSE("--sede a:1 mnt", "did you mean '--seed'?");
	REFUSE("--zzzzzz mnt", "see smokefs --help");
	REFUSE("--keys file mnt", "did you mean '--key'?");
	REFUSE("-z mnt", "-z: unknown option");
	REFUSE("-p", "needs a value");
	REFUSE("--port", "--port: needs a value");
	REFUSE("--debug=1 mnt", "takes no value");
	REFUSE("-o minpeers=3 mnt", "did you mean '-o min_peers'?");
	REFUSE("-o alow_other mnt", "did you mean '-o allow_other'?");
	REFUSE("-o ssl mnt", "unknown option");
	REFUSE("-o m mnt", "unknown option");
}

Test(options, positionals)
{
	REFUSE("", "no mount point");
	REFUSE("-f", "no mount point");
	REFUSE("a:1 b:2 mnt", "one argument too many");
}

Test(options, the_process)
{
	ACCEPT("mnt");
	cr_assert_null(o.user);
	cr_assert_eq(o.gid, (gid_t)-1);
	cr_assert_eq(o.mask, 077);
	cr_assert_eq(o.seccomp, SECCOMP_ENFORCE);
	ACCEPT("--user ann --gid 0123 --umask 0027 --seccomp log mnt");
	cr_assert_str_eq(o.user, "ann");
	cr_assert_eq(o.gid, 123);
	cr_assert_eq(o.mask, 027);
	cr_assert_eq(o.seccomp, SECCOMP_LOG);
	// Or nobody but root could use the mount.
	cr_assert_str_eq(o.mount_options, "allow_other,default_permissions");
	ACCEPT("-o user,run_as=ann,gid=5,umask=007,seccomp=off,allow_other mnt");
	cr_assert_str_eq(o.user, "ann");
	cr_assert_eq(o.seccomp, SECCOMP_OFF);
	cr_assert_str_eq(o.mount_options, "allow_other,default_permissions");
	REFUSE("-o user=ann mnt", "-o user: unknown option");
	REFUSE("-o run_as mnt", "needs a value");
	REFUSE("--umask 0800 mnt", "octal");
	REFUSE("--umask 1000 mnt", "octal");
	REFUSE("--umask 00007 mnt", "octal");
	REFUSE("--umask 100 mnt", "shuts the owner out");
	REFUSE("--gid no-such-group mnt", "no such group");
	REFUSE("--gid -1 mnt", "no such group");
	REFUSE("--gid 1x mnt", "nor the name of a group");
	REFUSE("--seccomp yes mnt", "enforce, log and off");
	cr_assert_eq(parse("--service-mount -o nodev mnt"), OPTIONS_SERVICE_MOUNT);
	cr_assert_str_eq(o.mountpoint, "mnt");
	cr_assert_eq(parse("--service-unmount mnt"), OPTIONS_SERVICE_UNMOUNT);
	cr_assert_eq(parse("--service-mount --help"), OPTIONS_HELP);
	REFUSE("--service-mount", "no mount point");
	REFUSE("-o service_mount mnt", "unknown option");
}

// By the letters of mount(8), which are not ours.
Test(options, as_a_mount_helper)
{
	const char *helper = "/sbin/mount.smokefs";

	cr_assert_eq(
		parse_as(helper, "a:1,b:2 mnt -n -v -t fuse.smokefs -o rw,name=n,nofail,X-a.b"),
		OPTIONS_RUN, "%s", o.error);
	cr_assert_str_eq(o.mountpoint, "mnt");
	cr_assert_str_eq(o.source, "a:1,b:2");
	cr_assert_str_eq(o.mount_options, "rw");
	cr_assert_str_eq(o.name, "n");
	cr_assert_eq(o.seed_count, 2);
	cr_assert_not(o.foreground);
	cr_assert_eq(parse_as(helper, "none mnt -f"), OPTIONS_FAKE);
	cr_assert_eq(parse_as(helper, "none mnt -s -o zzzzzzzz"), OPTIONS_RUN, "%s", o.error);
	cr_assert_eq(parse_as(helper, "none mnt -o zzzzzzzz"), -22);
	cr_assert(strstr(o.error, "-o zzzzzzzz: unknown option"), "%s", o.error);
	cr_assert_eq(parse_as(helper, "none mnt -N ns"), -22);
	cr_assert(strstr(o.error, "-N: unknown option"), "%s", o.error);
	cr_assert_eq(parse_as(helper, "none mnt -o"), -22);
	cr_assert(strstr(o.error, "-o: needs a value"), "%s", o.error);
	cr_assert_eq(parse_as(helper, "none mnt -o ro,remount"), -22);
	cr_assert(strstr(o.error, "cannot be changed"), "%s", o.error);
	cr_assert_eq(parse_as("mount.smokefs", "none mnt -f"), OPTIONS_FAKE);
	// And by no other name.
	cr_assert_eq(parse_as("/usr/bin/smokefs", "none mnt -f"), OPTIONS_RUN);
	cr_assert(o.foreground);
}
