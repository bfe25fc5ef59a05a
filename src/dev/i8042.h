/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8042 keyboard controller as PS/2 machines have it, with its keyboard and mouse, the A20 gate
 * and the processor reset line.
 */
#ifndef WIRT_DEV_I8042_H
#define WIRT_DEV_I8042_H

#include "base/trace.h"
#include "core/backend.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"
#include "dev/ps2_kbd.h"
#include "dev/ps2_mouse.h"

struct i8042 {
    struct ps2_kbd kbd;
    struct ps2_mouse mouse;
    u8 ram[32];      /* byte 0 is the command byte */
    u8 status;       /* as port 0x64 reads */
    u8 outport;      /* P2: bit 0 reset (active low), bit 1 A20 */
    u8 obuf;         /* output buffer, valid with status bit 0 */
    u8 command;      /* a controller command that waits for its byte, 0 = none */
    u8 reply;        /* the controller's own byte that waits for the output buffer */
    u8 reply_status; /* what status it brings with it; 0 = no reply */
    bool escape;     /* set 2 to 1 translation: 0xf0 came */
    bool irq1_level, irq12_level;
    struct region data;    /* 1 port (0x60) */
    struct region control; /* 1 port (0x64) */
    struct irq irq1, irq12;
    struct irq a20;          /* high = A20 enabled */
    struct irq reset;        /* pulsed */
    struct input_sink input; /* for the user interface; any thread */
    struct trace *trace;
    pthread_mutex_t lock;
};

void i8042_init(struct i8042 *k, struct irq irq1, struct irq irq12, struct irq a20,
                struct irq reset, struct trace *t);
void i8042_reset(struct i8042 *k);

extern const struct state_desc i8042_state;

#endif
