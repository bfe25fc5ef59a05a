/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's text screen drawn on the terminal, and the terminal's keys as the guest's keyboard.
 */
#ifndef WIRT_UI_DISPLAY_TEXT_H
#define WIRT_UI_DISPLAY_TEXT_H

#include "base/clock.h"
#include "base/loop.h"
#include "core/display.h"
#include "ui/chardev.h"

struct display_text;

/* Takes the terminal (both ends must be one for keys and colours to work) until close. */
int display_text_open(struct display_text **out, struct loop *l, struct clock *c, struct display *d,
                      const struct input_sink *input, const struct stdio_keys *keys, struct err *e);
void display_text_close(struct display_text *t); /* NULL does nothing */

#endif
