// SPDX-License-Identifier: MIT
// The mount point in the course of a start. What is known of one at all is fs/mount.c's, and what
// goes on in the mount is fs/session.c's.
#include "fs/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs/fstab.h"
#include "fs/ready.h"
#include "fs/setting.h"

#define DEVICE "/dev/fuse"

// There is nothing by that name.
static enum exit_code complain_absent(struct daemon *d, int error)
{
	const char *given = d->options.mountpoint;

	if (error == -ENOENT && setting_is_seeds(given)) {
		journal_say(&d->journal, LEVEL_FATAL, "'%s' is a seed; the mount point is missing",
			given);
		return CODE_USAGE;
	}
	journal_say(&d->journal, LEVEL_FATAL, "%s: %s; create the directory first", given,
		strerror(-error));
	return CODE_MOUNT;
}

// Is this the place that systemd or automount(8) wants the mount for? Until it is there, all but
// the process group of that manager wait at the place. To look into it is to ask for the mount, and
// to wait for ourselves; statfs(2) does so, too, and a descriptor of nothing but the path does not.
static bool is_automount(const char *path)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct statfs fs;
	bool found = fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == AUTOFS_SUPER_MAGIC;

	if (fd >= 0)
		close(fd);
	return found;
}

// As mount(8) does, a directory is mounted over whatever it holds; whoever is mistaken in it should
// know where his files are.
static void warn_hidden(struct daemon *d)
{
	DIR *directory = opendir(d->mountpoint);
	struct dirent *entry = NULL;

	while (directory && (entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			break;
	if (entry)
		journal_say(&d->journal, LEVEL_WARN,
			"%s: is not empty: what it holds is hidden until it is unmounted",
			d->mountpoint);
	if (directory)
		closedir(directory);
}

enum exit_code place_check(struct daemon *d)
{
	const char *path = d->mountpoint;
	struct stat st;
	int r = mount_resolve(d->mountpoint, d->options.mountpoint);

	if (r < 0)
		return complain_absent(d, r);
	// Whoever made the mount has looked at the place.
	if (d->device >= 0)
		return CODE_CLEAN;
	switch (mount_look(path)) {
	case MOUNT_NONE:
		break;
	case MOUNT_DEAD:
		r = mount_clean(path);
		if (r == 0)
			break;
		journal_say(&d->journal, LEVEL_FATAL,
			"%s: a dead mount is in the way: %s; try umount -l %s", path, strerror(-r),
			path);
		return CODE_MOUNT;
	case MOUNT_LIVE:
		journal_say(&d->journal, LEVEL_FATAL,
			"%s: already mounted; unmount it with fusermount3 -u %s", path, path);
		return CODE_MOUNT;
	case MOUNT_UNKNOWN:
		journal_say(&d->journal, LEVEL_FATAL,
			"%s: already mounted, and its daemon does not answer; continue it, or end it "
			"with kill -9",
			path);
		return CODE_MOUNT;
	}
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		d->automount = is_automount(path);
		if (!d->automount)
			warn_hidden(d);
		return CODE_CLEAN;
	}
	journal_say(&d->journal, LEVEL_FATAL, "%s: %s; name an existing directory", path,
		strerror(access(path, F_OK) < 0 ? errno : ENOTDIR));
	return CODE_MOUNT;
}

// With all privileges that we have: this process gives them up and cannot unmount then.
enum exit_code place_watch(struct daemon *d)
{
	int r = d->device >= 0 ? 0 : mount_helper_start(&d->helper);

	if (r == 0)
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL, "fork: %s", strerror(-r));
	return CODE_SYSTEM;
}

static void warn_request_limit(struct daemon *d)
{
	if (mount_has_request_limit())
		journal_say(&d->journal, LEVEL_WARN,
			"%s is not 0: the kernel ends a mount whose reader waits longer than that; "
			"set it to 0",
			MOUNT_REQUEST_LIMIT);
}

// What stands in the way of a mount, as far as it can be seen before.

static bool has_program(const char *name)
{
	const char *path = getenv("PATH");
	char file[PATH_MAX];

	for (path = path ? path : ""; *path; path += strspn(path, ":")) {
		int n = (int)strcspn(path, ":");
		snprintf(file, sizeof file, "%.*s/%s", n, path, name);
		if (access(file, X_OK) == 0)
			return true;
		path += n;
	}
	// There libfuse looks first.
	snprintf(file, sizeof file, "/usr/bin/%s", name);
	return access(file, X_OK) == 0;
}

static bool users_allow_others(void)
{
	FILE *f = fopen("/etc/fuse.conf", "re");
	char line[256], word[32];
	bool found = false;

	while (f && !found && fgets(line, sizeof line, f))
		found = sscanf(line, "%31s", word) == 1 && strcmp(word, "user_allow_other") == 0;
	if (f)
		fclose(f);
	return found;
}

static bool lets_others_in(const struct options *o)
{
	return fstab_has_option(o, "allow_other") || fstab_has_option(o, "allow_root");
}

// Says what is in the way; false: nothing is known of.
static bool complain_obstacle(struct daemon *d)
{
	const char *path = d->mountpoint;

	if (access(DEVICE, F_OK) < 0)
		journal_say(&d->journal, LEVEL_FATAL,
			DEVICE ": %s; load it with 'modprobe fuse', or start the container with "
			       "'--device " DEVICE "'",
			strerror(errno));
	else if (access(DEVICE, R_OK | W_OK) < 0)
		journal_say(&d->journal, LEVEL_FATAL,
			DEVICE ": %s; mount as root, or have root give you access to the device",
			strerror(errno));
	else if (geteuid() == 0)
		return false;
	else if (!has_program("fusermount3"))
		journal_say(&d->journal, LEVEL_FATAL,
			"fusermount3: is missing, without which only root can mount; install fuse3");
	else if (access(path, W_OK) < 0)
		journal_say(&d->journal, LEVEL_FATAL,
			"%s: cannot be mounted: %s; choose a directory that you may write to", path,
			strerror(errno));
	else if (lets_others_in(&d->options) && !users_allow_others())
		journal_say(&d->journal, LEVEL_FATAL,
			"-o allow_other: only root may, unless /etc/fuse.conf has the line "
			"user_allow_other");
	else
		return false;
	return true;
}

static enum exit_code complain_mount(struct daemon *d, int error)
{
	journal_say(&d->journal, LEVEL_FATAL, "%s: cannot be mounted: %s%s", d->mountpoint,
		strerror(-error),
		error == -EPERM && geteuid() == 0
			? "; a container needs '--cap-add SYS_ADMIN --device " DEVICE "'"
			: "");
	return CODE_MOUNT;
}

enum exit_code place_mount(struct daemon *d)
{
	const struct user *user = &d->user;
	struct session_config config = {
		.mountpoint = d->mountpoint,
		.mount_options = *d->options.mount_options ? d->options.mount_options : NULL,
		.source = d->options.source,
		.device = d->device,
		.owner = { .uid = d->owner,
			.gid = user->name ? user->gid : getgid(),
			.mask = d->options.mask },
		.debug = d->options.debug,
		.loopback = d->options.loopback,
		.context = d,
		.ready = daemon_session_ready,
		.ended = daemon_session_ended,
		.flush = daemon_session_flush,
		.keep_access = daemon_keep_access,
		.settings = { &d->options, &d->journal.level },
	};
	int r;

	if (d->options.gid != (gid_t)-1)
		config.owner.gid = d->options.gid;
	if (d->device < 0 && complain_obstacle(d))
		return CODE_MOUNT;
	mount_helper_expect(&d->helper, d->mountpoint);
	r = session_new(&d->session, &config, d->loop, d->node);
	if (r < 0) {
		d->session = NULL;
		return complain_mount(d, r);
	}
	warn_request_limit(d);
	// Who made the mount takes it away.
	if (d->device >= 0)
		return CODE_CLEAN;
	r = mount_helper_watch(&d->helper, d->mountpoint);
	if (r < 0)
		journal_say(&d->journal, LEVEL_WARN,
			"%s: would stay mounted if this daemon were killed: %s", d->mountpoint,
			strerror(-r));
	return CODE_CLEAN;
}

enum exit_code place_hand_over(struct daemon *d)
{
	enum exit_code code = place_check(d);
	int device, r;

	if (code != CODE_CLEAN)
		return code;
	if (complain_obstacle(d))
		return CODE_MOUNT;
	device = session_mount(d->mountpoint, d->options.mount_options);
	if (device < 0)
		return complain_mount(d, device);
	r = ready_store(device, READY_MOUNT);
	close(device);
	if (r == 0)
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL,
		"--service-mount: no service manager takes the mount: %s; it is for ExecStartPre= "
		"of a unit with FileDescriptorStoreMax=1 and NotifyAccess=exec",
		r == -ENOENT ? "NOTIFY_SOCKET is not set" : strerror(-r));
	mount_clean(d->mountpoint);
	return CODE_SYSTEM;
}

enum exit_code place_clear(struct daemon *d)
{
	int r = mount_resolve(d->mountpoint, d->options.mountpoint);

	// The manager may still have the device of a daemon that never took it: nobody answers.
	if (r == 0)
		r = mount_clear(d->mountpoint);
	if (r == 0)
		return CODE_CLEAN;
	journal_say(&d->journal, LEVEL_FATAL, "%s: cannot be unmounted: %s", d->options.mountpoint,
		strerror(-r));
	return CODE_MOUNT;
}
