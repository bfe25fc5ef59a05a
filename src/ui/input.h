/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One pair of hands: all who type and point (control socket, VNC viewers) do it through one of
 * these, which knows the buttons held and where the pointer is.  From any thread.
 */
#ifndef WIRT_UI_INPUT_H
#define WIRT_UI_INPUT_H

#include "core/backend.h"

#include <pthread.h>

struct input {
    struct input_sink sink;
    pthread_mutex_t lock; /* guards what follows; taken before device locks */
    unsigned buttons;     /* as input_sink.mouse has them */
    int x, y;             /* absolute, where the pointer is believed to be */
};

void input_init(struct input *in, const struct input_sink *sink);
void input_destroy(struct input *in);

void input_key(struct input *in, unsigned linux_keycode, bool down);
/* set and clear: button bits that change. */
void input_move(struct input *in, int dx, int dy, int dz, unsigned set, unsigned clear);
/* x, y: 0 to INPUT_ABS_MAX.  Where no device takes absolute positions, the way from the last
 * position is a relative movement of pixels on a screen of width x height. */
void input_point(struct input *in, unsigned x, unsigned y, int dz, unsigned set, unsigned clear,
                 unsigned width, unsigned height);

#endif
