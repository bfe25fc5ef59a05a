/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/stats.h"

void stats_print(FILE *f, const struct stat_row *row, unsigned rows, const void *const *stats,
                 unsigned count)
{
    for (unsigned r = 0; r < rows; r++) {
        u64 sum = 0;
        for (unsigned i = 0; i < count; i++)
            if (stats[i])
                sum += *(const u64 *)((const u8 *)stats[i] + row[r].offset);
        fprintf(f, "%14llu  %s\n", (unsigned long long)sum, row[r].what);
    }
}
