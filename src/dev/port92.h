/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System control port A (0x92): the A20 gate (bit 1) and fast reset (bit 0).
 */
#ifndef WIRT_DEV_PORT92_H
#define WIRT_DEV_PORT92_H

#include "base/trace.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"

struct port92 {
    u8 val;
    struct region region; /* 1 port (0x92) */
    struct irq a20;       /* high = A20 enabled; the board ORs it with the i8042's */
    struct irq reset;     /* pulsed: processor reset */
    struct trace *trace;
    pthread_mutex_t lock;
};

void port92_init(struct port92 *p, struct irq a20, struct irq reset, struct trace *t);
void port92_reset(struct port92 *p);

extern const struct state_desc port92_state;

#endif
