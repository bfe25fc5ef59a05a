/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists of snapshots, as `wirt disk snapshot list` and `info` print them.
 */
#ifndef WIRT_CLI_DISK_LIST_H
#define WIRT_CLI_DISK_LIST_H

#include "cli/disk/disk.h"

json_t *snapshots_json(const struct disk_snapshot *s, unsigned n);
void snapshots_print(const struct disk_snapshot *s, unsigned n, const char *indent);

#endif
