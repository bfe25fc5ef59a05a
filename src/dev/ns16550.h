/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 16550A UART, with its FIFOs, in front of a character device.
 */
#ifndef WIRT_DEV_NS16550_H
#define WIRT_DEV_NS16550_H

#include "base/clock.h"
#include "base/trace.h"
#include "core/backend.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"

enum { NS16550_FIFO = 16 };

struct ns16550 {
    u8 rx[NS16550_FIFO];
    u8 rx_head, rx_count;
    u8 ier, lcr, mcr, scr;
    u8 fcr; /* enable and trigger bits */
    u8 lsr; /* error bits only: DR is derived, THRE and TEMT are always set */
    u8 msr; /* delta bits only: levels are derived */
    u8 dll, dlm;
    bool thre_pending; /* the "transmitter empty" interrupt is due */
    bool timeout;      /* the character timeout is due */
    bool refused;      /* input was not taken: call ready() when there is room */
    bool irq_level;
    struct region region; /* 8 ports */
    struct irq irq;
    struct chardev *chr; /* may be NULL */
    struct clock *clock;
    struct timer timer; /* character timeout */
    struct trace *trace;
    pthread_mutex_t lock;
};

/* Takes chr's input over; chr may be NULL (bytes go nowhere, none come). */
void ns16550_init(struct ns16550 *u, struct chardev *chr, struct clock *c, struct irq irq,
                  struct trace *t);
void ns16550_reset(struct ns16550 *u);

extern const struct state_desc ns16550_state;

#endif
