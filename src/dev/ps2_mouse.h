/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PS/2 mouse with the IntelliMouse (wheel) and Explorer (five buttons) extensions.  Lives in an
 * i8042 and under its lock.
 */
#ifndef WIRT_DEV_PS2_MOUSE_H
#define WIRT_DEV_PS2_MOUSE_H

#include "base/trace.h"
#include "core/state.h"
#include "dev/ps2_queue.h"

struct ps2_mouse {
    struct ps2_queue q; /* bytes on their way to the host */
    u8 command;         /* a command that waits for its parameter, 0 = none */
    u8 id;              /* 0, 3 (wheel) or 4 (Explorer) */
    u8 rate, resolution;
    u8 knock; /* how far the sample rates 200-100-80 or 200-200-80 came */
    bool remote, wrap, scale2, reporting;
    u8 buttons, buttons_sent;
    s32 dx, dy, dz; /* movement not yet reported; clamped */
    struct trace *trace;
};

void ps2_mouse_init(struct ps2_mouse *m, struct trace *t);
void ps2_mouse_reset(struct ps2_mouse *m);
/* A byte from the host. */
void ps2_mouse_write(struct ps2_mouse *m, u8 val);
/* Movement (dx right, dy down, dz wheel towards the user) and buttons (bit 0 left, 1 right,
 * 2 middle, 3 and 4 side). */
void ps2_mouse_move(struct ps2_mouse *m, int dx, int dy, int dz, unsigned buttons);
/* Queues a movement packet if one is due and there is room. */
void ps2_mouse_poll(struct ps2_mouse *m);

#endif
