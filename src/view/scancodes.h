/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SDL's scan codes, which are USB's, as the PC's (set 1; with 0x80 for those behind 0xe0).
 */
#ifndef WIRT_VIEW_SCANCODES_H
#define WIRT_VIEW_SCANCODES_H

#include <SDL_scancode.h>

/* 0 = no key of a PC's. */
unsigned xt_of_scancode(SDL_Scancode s);

#endif
