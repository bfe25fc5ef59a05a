/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters that an engine keeps for each vCPU, for --stats: a structure of u64, and a table that
 * says what they count.
 */
#ifndef WIRT_CORE_STATS_H
#define WIRT_CORE_STATS_H

#include "base/types.h"

#include <stdio.h>

struct stat_row {
    u32 offset;
    const char *what;
};

#define STAT(type, member, text)                                                                   \
    {                                                                                              \
        offsetof(type, member), text                                                               \
    }

/* A line a row: the sum over `count` structures, NULL ones left out. */
void stats_print(FILE *f, const struct stat_row *row, unsigned rows, const void *const *stats,
                 unsigned count);

#endif
