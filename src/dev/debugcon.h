/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A debug console: one port that takes characters.  Bochs' port 0xe9 and the 0x402 of SeaBIOS and
 * OVMF, which find it because it reads back 0xe9.
 */
#ifndef WIRT_DEV_DEBUGCON_H
#define WIRT_DEV_DEBUGCON_H

#include "base/trace.h"
#include "core/bus.h"

#include <stdio.h>

struct debugcon {
    struct region region; /* 1 port */
    FILE *out;            /* each character as it comes; NULL = none */
    struct trace *trace;  /* whole lines, category debugcon */
    char line[120];
    unsigned len;
    pthread_mutex_t lock;
};

/* out may be NULL and stays the caller's. */
void debugcon_init(struct debugcon *d, FILE *out, struct trace *t);

#endif
