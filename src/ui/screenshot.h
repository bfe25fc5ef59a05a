/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The screen as a picture file.
 */
#ifndef WIRT_UI_SCREENSHOT_H
#define WIRT_UI_SCREENSHOT_H

#include "base/err.h"
#include "core/display.h"

/* PNG, or PPM when the name ends in .ppm; written beside the file first, then moved over it. */
int screenshot_write(struct display *d, const char *path, struct err *e);

#endif
