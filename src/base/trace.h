/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tracing: always compiled in, off by default, switched by --trace=LIST.  A machine has one
 * struct trace; every event also goes to a ring whose last entries a BUG_ON() shows.
 */
#ifndef WIRT_BASE_TRACE_H
#define WIRT_BASE_TRACE_H

#include "base/err.h"
#include "base/types.h"

#include <pthread.h>
#include <stdio.h>

enum trace_id {
#define TRACE(name, help) TRACE_##name,
#include "base/trace.tab"
#undef TRACE
    TRACE_COUNT
};

enum { TRACE_RING = 64, TRACE_LINE = 160 };

struct trace {
    u64 mask; /* BIT64(enum trace_id); read without lock */
    FILE *out;
    pthread_mutex_t lock; /* guards what follows; a leaf lock */
    u64 count;
    char ring[TRACE_RING][TRACE_LINE];
    struct trace *next; /* all of this process, for bug() */
};

void trace_init(struct trace *t);
void trace_destroy(struct trace *t);

/* Switches on what a comma-separated list names ("all" too; "-name" switches off).
 * -EINVAL with the unknown name. */
int trace_enable(struct trace *t, const char *list, struct err *e);

/* "name  help" lines for --trace=help. */
void trace_help(FILE *f);

void trace_emit(struct trace *t, enum trace_id id, const char *fmt, ...) printf_like(3, 4);

static inline bool trace_on(const struct trace *t, enum trace_id id)
{
    return unlikely(t->mask >> id & 1);
}

/* trace(&vm->trace, ata, "command %02x", cmd).  The arguments are evaluated only when it is on. */
#define trace(t, name, ...)                                                                        \
    do {                                                                                           \
        if (trace_on(t, TRACE_##name))                                                             \
            trace_emit(t, TRACE_##name, __VA_ARGS__);                                              \
    } while (0)

#endif
