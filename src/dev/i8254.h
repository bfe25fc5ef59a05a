/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8254 interval timer at 1193182 Hz, and the port 0x61 register that gates its channel 2.
 */
#ifndef WIRT_DEV_I8254_H
#define WIRT_DEV_I8254_H

#include "base/clock.h"
#include "base/trace.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"

enum { I8254_HZ = 1193182 };

struct i8254_ch {
    u64 start;   /* virtual ns from which the elapsed ticks count */
    u64 stopped; /* elapsed ticks, while halted */
    u32 count;   /* the loaded count, 1-65536 (10000 in BCD); 0 = none yet */
    u32 next;    /* modes 2 and 3: takes over when the period ends; 0 = none */
    u64 next_at; /* virtual ns at which it does */
    u8 access;   /* RW bits: 1 low byte, 2 high byte, 3 low then high */
    u8 mode;     /* 0-5 */
    bool bcd;
    bool gate;
    bool running; /* elapsed ticks mean something: a count was loaded (modes 1, 5: and triggered) */
    bool halted;  /* the gate holds the count */
    u16 latch;    /* latched count */
    u8 latched;   /* bytes of it yet to be read */
    u8 status;    /* latched status */
    bool status_latched;
    u8 write_low;
    bool write_high, read_high; /* access 3: the second byte is next */
    bool null_count;
};

struct i8254 {
    struct i8254_ch ch[3];
    u8 port61;             /* bits 0-3 as written */
    struct region region;  /* 4 ports (0x40) */
    struct region speaker; /* 1 port (0x61) */
    struct irq irq0;
    u64 edges_seen; /* rising edges of channel 0 since its count was loaded, delivered or given up
                     */
    struct clock *clock;
    struct timer timer; /* the next edge of channel 0's output */
    struct trace *trace;
    pthread_mutex_t lock;
};

void i8254_init(struct i8254 *p, struct clock *c, struct irq irq0, struct trace *t);
void i8254_reset(struct i8254 *p);

extern const struct state_desc i8254_state;

#endif
