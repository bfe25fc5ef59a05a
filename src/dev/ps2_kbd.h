/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PS/2 keyboard (IBM's 101/102 keys), scan code sets 1 to 3.  Lives in an i8042 and under its
 * lock.
 */
#ifndef WIRT_DEV_PS2_KBD_H
#define WIRT_DEV_PS2_KBD_H

#include "base/trace.h"
#include "core/state.h"
#include "dev/ps2_codes.h"
#include "dev/ps2_queue.h"

struct ps2_kbd {
    struct ps2_queue q;          /* bytes on their way to the host */
    u8 command;                  /* a command that waits for its parameter, 0 = none */
    u8 set;                      /* scan code set, 1 to 3 */
    u8 type[PS2_SET3_CODES];     /* set 3: enum ps2_key_type, or both: PS2_BOTH */
    u8 down[PS2_SET3_CODES / 8]; /* set 3: keys that are down */
    u8 leds, rate;
    bool scanning;
    struct trace *trace;
};

void ps2_kbd_init(struct ps2_kbd *k, struct trace *t);
void ps2_kbd_reset(struct ps2_kbd *k);
/* A byte from the host. */
void ps2_kbd_write(struct ps2_kbd *k, u8 val);
/* A key of <linux/input-event-codes.h> went down or up (a second "down" is typematic repeat). */
void ps2_kbd_key(struct ps2_kbd *k, unsigned keycode, bool down);

#endif
