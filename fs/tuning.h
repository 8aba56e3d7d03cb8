// SPDX-License-Identifier: MIT
// The settings that may also change while the node runs: how each is read, and shown.
#pragma once

#include <stdbool.h>

#include "fs/setting.h"

setting_set tuning_set_min_peers, tuning_set_max_peers, tuning_set_ping_timeout,
	tuning_set_stall_timeout, tuning_set_min_rate, tuning_set_log_level;

void tuning_show_min_peers(const struct options *o, char text[SETTING_SHOWN]);
void tuning_show_max_peers(const struct options *o, char text[SETTING_SHOWN]);
void tuning_show_ping_timeout(const struct options *o, char text[SETTING_SHOWN]);
void tuning_show_stall_timeout(const struct options *o, char text[SETTING_SHOWN]);
void tuning_show_min_rate(const struct options *o, char text[SETTING_SHOWN]);
void tuning_show_log_level(const struct options *o, char text[SETTING_SHOWN]);

// Do the values go together? min_peers must not be above max_peers.
bool tuning_agrees(const struct options *o);
