/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys by the names and numbers that QMP and VNC have for them; Linux's codes
 * (<linux/input-event-codes.h>) are what devices take.  0 everywhere: no such key.
 */
#ifndef WIRT_UI_KEYS_H
#define WIRT_UI_KEYS_H

#include "base/types.h"

/* QKeyCode ("ret", "ctrl", "f2"), in lower case. */
unsigned key_by_name(const char *name);
/* A scan code of set 1; with 0x80 for those behind 0xe0. */
unsigned key_by_xt(unsigned xt);
/* An X keysym on a US keyboard, whether or not it takes Shift there. */
unsigned key_by_keysym(u32 keysym);

/* For people: "ctrl-alt-f2", "a", "Enter", "-", with common other names ("del", "win", "space").
 * Fills names with up to most of QEMU's; returns how many, or -EINVAL (an unknown key; *bad is
 * it) or -E2BIG.  text is changed. */
int keys_parse(const char **names, unsigned most, char *text, const char **bad);

#endif
