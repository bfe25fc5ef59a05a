/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The screen as a picture file.
 */
#ifndef WIRT_UI_SCREENSHOT_H
#define WIRT_UI_SCREENSHOT_H

#include "base/err.h"
#include "core/display.h"

enum picture { PICTURE_BY_NAME, PICTURE_PNG, PICTURE_PPM };

/* By name: PPM when it ends in .ppm, else PNG.  Written beside the file first, then moved over
 * it.  From any thread. */
int screenshot_write(struct display *d, const char *path, enum picture format, struct err *e);
/* The picture as PNG, malloc'ed into *png; its size, or 0 when there is none.  Any thread. */
size_t screenshot_png(struct display *d, u8 **png);

#endif
