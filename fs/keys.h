// SPDX-License-Identifier: MIT
// Whom the daemon lets in: the network's key, and the lists of peers.
#pragma once

#include "fs/daemon.h"

// Finds the key file, makes it where this node is the first of a network, and reads it. What is
// wrong is in the journal.
enum exit_code keys_start(struct daemon *d);
// Reads key file and lists again. What is bad now leaves that part as it was.
void keys_reload(struct daemon *d);
