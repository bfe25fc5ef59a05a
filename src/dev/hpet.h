/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The High Precision Event Timer: a 64-bit counter of 100 MHz and three comparators, each periodic
 * or one-shot, with I/O APIC, FSB or legacy replacement routing.  IA-PC HPET specification 1.0a.
 */
#ifndef WIRT_DEV_HPET_H
#define WIRT_DEV_HPET_H

#include "base/clock.h"
#include "base/trace.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"

enum { HPET_TIMERS = 3, HPET_PERIOD_NS = 10, HPET_ROUTES = 32 };
/* General capabilities, low half: revision 1, 3 timers, 64 bits, legacy route, Intel. */
#define HPET_ID 0x8086a201u

struct hpet_timer {
    struct hpet *h;
    unsigned n;
    u64 config;     /* without the capability bits */
    u64 comparator; /* as it reads: in periodic mode the next match */
    u64 period;     /* last value written to the accumulator */
    u64 fsb;        /* FSB route register */
    struct timer timer;
    bool level; /* what the line shows */
    u8 route;   /* the line that `level` is on */
    u8 owed;    /* periodic matches that came while the host was late */
};

struct hpet {
    u64 config; /* bit 0 enable, bit 1 legacy replacement */
    u64 isr;
    u64 counter; /* while halted */
    u64 offset;  /* while running: counter = ticks(now) + offset */
    struct hpet_timer timer[HPET_TIMERS];
    bool legacy_in[2];    /* levels of the PIT's and the RTC's outputs */
    struct region region; /* 1 KiB (0xfed00000) */
    struct irq gsi[HPET_ROUTES];
    u32 routes; /* which of them timers may be routed to */
    struct msi_sink msi;
    struct clock *clock;
    struct trace *trace;
    pthread_mutex_t lock; /* after the PIT's and the RTC's */
};

/* gsi: HPET_ROUTES lines by global system interrupt; 0 and 8 carry the PIT, the RTC and the legacy
 * route (the board's override of GSI 0 to pin 2 lies behind them); routes: bit n = timers may use
 * gsi[n]. */
void hpet_init(struct hpet *h, struct clock *c, const struct irq *gsi, u32 routes,
               struct msi_sink msi, struct trace *t);
void hpet_reset(struct hpet *h);
/* The PIT's (n = 0) and the RTC's (n = 1) outputs, for struct irq: they go on to gsi[0] and gsi[8]
 * unless legacy replacement is on. */
void hpet_legacy_in(void *opaque, unsigned n, bool level);
bool hpet_legacy_pending(void *opaque, unsigned n);

extern const struct state_desc hpet_state;

#endif
