/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a debugger on the machine wants of its processors: points at which they stop, and steps.
 * Guest memory and the guest's own debug registers stay as they are.
 *
 * A debugger changes any of it while every vCPU is parked (vm_pause()); engines look at it when
 * run() is entered, and leave with RUN_DEBUG.  Addresses are linear ones, whatever address space is
 * loaded.
 */
#ifndef WIRT_CORE_DEBUG_H
#define WIRT_CORE_DEBUG_H

#include "base/types.h"

enum { DEBUG_EXEC_MAX = 512, DEBUG_WATCH_MAX = 16, DEBUG_WATCH_LEN_MAX = 4096 };

/* DEBUG_OWN: of code, and on an engine whose points are the processor's own it must be one of
 * those. */
enum debug_kind { DEBUG_EXEC, DEBUG_OWN, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS };

/* Code; stops before the instruction. */
struct debug_stop {
    u64 addr;
    u8 kinds; /* bits of DEBUG_EXEC and DEBUG_OWN: which were set */
};

/* Data whose accesses stop a vCPU, after the instruction. */
struct debug_watch {
    u64 addr;
    u32 len; /* bytes, 1 to DEBUG_WATCH_LEN_MAX */
    u8 kind; /* enum debug_kind: of data */
};

struct debug {
    unsigned nexec, nwatch;
    struct debug_stop exec[DEBUG_EXEC_MAX]; /* by address, each once */
    struct debug_watch watch[DEBUG_WATCH_MAX];
    u32 gen; /* raised by each change */
    /* On the vCPU's thread, outside run(), after RUN_DEBUG; the vCPU stays outside until
     * vcpu.debug.stopped is taken back.  No lock held. */
    void (*stopped)(void *opaque);
    void *opaque;
};

enum debug_why { DEBUG_NONE, DEBUG_BREAK, DEBUG_STEP, DEBUG_WATCH };

/* Of one vCPU. */
struct vcpu_debug {
    bool stopped;       /* stays outside run(); vm.lock */
    bool step;          /* run() does one instruction */
    bool step_irqs;     /* which an interrupt may come before */
    enum debug_why why; /* of RUN_DEBUG; whoever takes back `stopped` sets it to DEBUG_NONE */
    u64 addr;           /* DEBUG_WATCH: of the watch */
    u8 kind;            /* and its kind */
};

/* Sets or removes a point.  Setting one that is there, or removing one that is not, is no error.
 * false: no room, or a length or kind that cannot be. */
bool debug_set(struct debug *d, enum debug_kind kind, u64 addr, u32 len);
void debug_remove(struct debug *d, enum debug_kind kind, u64 addr, u32 len);
void debug_clear(struct debug *d);

/* How many of the processor's debug registers, each for 1, 2, 4 or 8 aligned bytes, the points
 * need, those of DEBUG_EXEC aside; UINT_MAX: they cannot do it (DEBUG_READ). */
unsigned debug_registers(const struct debug *d);
/* DR7 for them, and their addresses; how many. */
unsigned debug_make_registers(const struct debug *d, u64 dr[4], u64 *dr7);

/* The first stop at or after this address, or nexec. */
unsigned debug_find(const struct debug *d, u64 addr);

static inline bool debug_stops_at(const struct debug *d, u64 addr)
{
    unsigned i = debug_find(d, addr);
    return i < d->nexec && d->exec[i].addr == addr;
}

/* Does the page of code at addr hold a stop? */
static inline bool debug_stops_in_page(const struct debug *d, u64 addr)
{
    u64 page = addr & ~0xfffull;
    unsigned i = debug_find(d, page);
    return i < d->nexec && (d->exec[i].addr & ~0xfffull) == page;
}

/* The watch of one of `kinds` (bits) that [addr, addr+len) meets, or NULL; each kind of access
 * meets DEBUG_ACCESS. */
static inline const struct debug_watch *debug_watches(const struct debug *d, u64 addr, u64 len,
                                                      unsigned kinds)
{
    kinds |= 1u << DEBUG_ACCESS;
    for (unsigned i = 0; i < d->nwatch; i++) {
        const struct debug_watch *w = &d->watch[i];
        if (kinds >> w->kind & 1 && (addr - w->addr < w->len || w->addr - addr < len))
            return w;
    }
    return NULL;
}

#endif
