// SPDX-License-Identifier: MIT
// What moves bytes between hosts under encryption today: socat with OpenSSL and ssh, on loopback,
// both ends verified, everything they need made on the spot and in the place's directory.
#pragma once

#include <sys/types.h>

#define RIVAL_PROCESSES 2

struct rival {
	pid_t processes[RIVAL_PROCESSES]; // 0: none
};

// What is missing on this machine: a line that says how to get it, or NULL.
const char *rival_socat_lacks(void);
const char *rival_ssh_lacks(void);
// A connection that is through with its handshake, and nothing in it. The descriptors are the
// caller's. 0 or -errno; rival_stop() in both cases.
int rival_start_socat(struct rival *rival, const char *directory, int *reader, int *writer);
int rival_start_ssh(struct rival *rival, const char *directory, int *reader, int *writer);
void rival_stop(struct rival *rival);
