/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8042's translation of scan codes from set 2 to set 1, and its inverse.
 */
#ifndef WIRT_DEV_PS2_CODES_H
#define WIRT_DEV_PS2_CODES_H

#include "base/types.h"

/* Bytes from 0x80 up are themselves, but for two. */
u8 ps2_set1_of_set2(u8 code);
/* code: a set 1 make code, 1-0x7f. */
u8 ps2_set2_of_set1(u8 code);

#endif
