/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keyboard and pointer events on their way to devices.
 */
#include "ui/input.h"

void input_init(struct input *in, const struct input_sink *sink)
{
    *in = (struct input){.sink = *sink};
    pthread_mutex_init(&in->lock, NULL);
}

void input_destroy(struct input *in)
{
    pthread_mutex_destroy(&in->lock);
}

void input_key(struct input *in, unsigned linux_keycode, bool down)
{
    if (in->sink.key)
        in->sink.key(in->sink.opaque, linux_keycode, down);
}

/* Does a device take absolute positions now? */
static bool absolute(const struct input *in)
{
    return in->sink.pointer && (!in->sink.has_pointer || in->sink.has_pointer(in->sink.opaque));
}

static void move(struct input *in, int dx, int dy, int dz)
{
    if (in->sink.mouse)
        in->sink.mouse(in->sink.opaque, dx, dy, dz, in->buttons);
}

void input_move(struct input *in, int dx, int dy, int dz, unsigned set, unsigned clear)
{
    pthread_mutex_lock(&in->lock);
    in->buttons = (in->buttons | set) & ~clear;
    /* A tablet's buttons are the mouse's: a click goes where the pointer is. */
    if (!dx && !dy && absolute(in))
        in->sink.pointer(in->sink.opaque, (unsigned)in->x, (unsigned)in->y, dz, in->buttons);
    else
        move(in, dx, dy, dz);
    pthread_mutex_unlock(&in->lock);
}

void input_point(struct input *in, unsigned x, unsigned y, int dz, unsigned set, unsigned clear,
                 unsigned width, unsigned height)
{
    int nx = (int)min(x, INPUT_ABS_MAX + 0u), ny = (int)min(y, INPUT_ABS_MAX + 0u);
    pthread_mutex_lock(&in->lock);
    in->buttons = (in->buttons | set) & ~clear;
    if (absolute(in)) {
        in->sink.pointer(in->sink.opaque, (unsigned)nx, (unsigned)ny, dz, in->buttons);
    } else {
        /* Whole pixels of both ends, so that rounding does not add up on the way. */
        s64 w = max(width, 1u) - 1, h = max(height, 1u) - 1, half = INPUT_ABS_MAX / 2;
        int dx = (int)((nx * w + half) / INPUT_ABS_MAX - (in->x * w + half) / INPUT_ABS_MAX);
        int dy = (int)((ny * h + half) / INPUT_ABS_MAX - (in->y * h + half) / INPUT_ABS_MAX);
        move(in, dx, dy, dz);
    }
    in->x = nx;
    in->y = ny;
    pthread_mutex_unlock(&in->lock);
}
