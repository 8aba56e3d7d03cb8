// SPDX-License-Identifier: MIT
// The mount point in the course of a start. What is known of one at all is fs/mount.c's, and what
// goes on in the mount is fs/session.c's.
#include "fs/place.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/ready.h"
#include "fs/setting.h"

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
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return CODE_CLEAN;
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
		.context = d,
		.ready = daemon_session_ready,
		.ended = daemon_session_ended,
		.flush = daemon_session_flush,
		.keep_access = daemon_keep_access,
	};
	int r;

	if (d->options.gid != (gid_t)-1)
		config.owner.gid = d->options.gid;
	mount_helper_expect(&d->helper, d->mountpoint);
	r = session_new(&d->session, &config, d->loop, d->node);
	if (r < 0) {
		d->session = NULL;
		journal_say(&d->journal, LEVEL_FATAL, "%s: cannot be mounted: %s", d->mountpoint,
			strerror(-r));
		return CODE_MOUNT;
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
	device = session_mount(d->mountpoint, d->options.mount_options);
	if (device < 0) {
		journal_say(&d->journal, LEVEL_FATAL, "%s: cannot be mounted: %s", d->mountpoint,
			strerror(-device));
		return CODE_MOUNT;
	}
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
