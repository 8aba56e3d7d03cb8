// SPDX-License-Identifier: MIT
// The process keeps itself in: nobody reads its memory, it never gets more privileges than it has,
// and once it runs the kernel lets through only the calls that a running node makes.
#pragma once

#include <sys/types.h>

// What becomes of a system call that is not on the list.
enum seccomp_mode {
	SECCOMP_ENFORCE, // the process is killed, by SIGSYS
	SECCOMP_LOG,	 // the kernel logs a line and lets it through
	SECCOMP_OFF,
};

// First of all: no core dump and no debugger, so that no key leaves by either.
void harden_start(void);
// For good: nothing that is run gets a capability any more. Takes CAP_SETPCAP, which is why it
// comes before a change of the user; without that nothing changes.
void harden_bound_capabilities(void);
// For good: no capability is left, and no program that is run brings one back. The process may be
// root's or not. 0 or -errno.
int harden_drop_capabilities(void);
// For good: only what umount2(2) and the way to the mount point take. A process that must run the
// set-uid fusermount3 instead, because it lacks that, is left as it is.
void harden_unmounter(void);
// For good, for this thread and what it starts: only what a running node needs. `child` is the one
// process that may still be sent signals. 0, -errno; -ENOSYS: this kernel has no such filter.
int harden_confine(enum seccomp_mode mode, pid_t child);
