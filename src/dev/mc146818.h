/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MC146818A real-time clock with 128 bytes of CMOS memory, on the PC's ports 0x70 and 0x71.
 */
#ifndef WIRT_DEV_MC146818_H
#define WIRT_DEV_MC146818_H

#include "base/clock.h"
#include "base/trace.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"

struct mc146818 {
    u8 cmos[128];     /* date registers hold only what was written while the calendar stands */
    u8 index;         /* port 0x70, bits 6-0 */
    bool nmi_masked;  /* port 0x70, bit 7; atomic */
    s64 offset;       /* calendar seconds since 1970 = offset + RTC seconds */
    u32 phase;        /* ns by which RTC seconds begin later than the clock's */
    u64 seconds_seen; /* RTC seconds whose update was noticed */
    u64 periods_seen; /* periods of the current rate that were noticed */
    u32 skip_rest;    /* ns of mc146818_skip() that made no whole second yet */
    u32 backlog;      /* periodic interrupts that came while the last was not acknowledged */
    bool irq_level;
    struct region region; /* 2 ports (0x70) */
    struct irq irq8;
    struct clock *clock;
    struct timer timer;
    struct trace *trace;
    pthread_mutex_t lock;
};

/* date: what the calendar shows now, seconds since 1970-01-01 in the guest's zone. */
void mc146818_init(struct mc146818 *r, struct clock *c, struct irq irq8, s64 date, struct trace *t);
void mc146818_reset(struct mc146818 *r); /* keeps date and CMOS */
/* CMOS bytes 0x0e-0x7f, for the board; before the machine runs. */
void mc146818_set_cmos(struct mc146818 *r, u8 index, u8 val);
u8 mc146818_cmos(const struct mc146818 *r, u8 index);

/* The machine stood still for so many ns while the battery-backed clock went on.  Any thread. */
void mc146818_skip(struct mc146818 *r, u64 ns);

extern const struct state_desc mc146818_state;

#endif
