/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EDID, what a monitor says of itself.  VESA Enhanced EDID Standard 1.4.
 */
#ifndef WIRT_DEV_EDID_H
#define WIRT_DEV_EDID_H

#include "base/types.h"

enum { EDID_SIZE = 128 };

struct edid_config {
    u32 width, height; /* preferred mode: multiples of 8 and 1; 320x200 to 4088x4094 */
    u32 max_width, max_height;
};

/* One block, with its checksum. */
void edid_make(u8 edid[EDID_SIZE], const struct edid_config *c);

#endif
