/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The map that perf(1) reads for code made at run time: /tmp/perf-PID.map, a line a block, "start
 * size name" in hexadecimal.  The name is the block's guest address and its mode.
 */
#include "translate/soft.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

FILE *perfmap_open(struct err *e)
{
    char path[64];

    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    FILE *f = fopen(path, "ae");
    if (!f)
        err_set(e, errno, "%s: %s", path, strerror(errno));
    return f;
}

void perfmap_block(struct soft *sc, const struct block *b, u64 rip, u64 bytes)
{
    fprintf(sc->perf_map, "%llx %llx guest-%s-%llx\n",
            (unsigned long long)(uintptr_t)(sc->rx + b->body), (unsigned long long)bytes,
            sc->key & KEY_USER ? "user" : "kernel", (unsigned long long)rip);
}
