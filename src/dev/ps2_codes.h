/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8042's translation of scan codes from set 2 to set 1, its inverse, and scan code set 3.
 */
#ifndef WIRT_DEV_PS2_CODES_H
#define WIRT_DEV_PS2_CODES_H

#include "base/types.h"

/* Bytes from 0x80 up are themselves, but for two. */
u8 ps2_set1_of_set2(u8 code);
/* code: a set 1 make code, 1-0x7f. */
u8 ps2_set2_of_set1(u8 code);

/* Set 3's code of a set 1 make code, extended: behind 0xe0; 0 = none. */
u8 ps2_set3_of_set1(u8 code, bool extended);

/* What a set 3 code sends when the keyboard is left alone. */
enum ps2_key_type { PS2_TYPEMATIC, PS2_MAKE_BREAK, PS2_MAKE_ONLY, PS2_BOTH };
enum { PS2_SET3_CODES = 0x90 };
enum ps2_key_type ps2_set3_type(u8 code);

#endif
