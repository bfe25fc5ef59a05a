/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From what a terminal sends to keys of a US keyboard.
 */
#ifndef WIRT_UI_KEYMAP_H
#define WIRT_UI_KEYMAP_H

#include "base/types.h"

struct key_press {
    unsigned code; /* <linux/input-event-codes.h>, 0 = no such key */
    bool shift, ctrl, alt;
};

/* Takes one key from n bytes (n > 0); returns how many bytes it was, at least 1.  An ESC with
 * nothing behind it is the Escape key. */
size_t keymap_take(struct key_press *k, const u8 *buf, size_t n);

#endif
