/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A screen between a video device, which draws what changed (struct display_source), and any number
 * of viewers (VNC, screenshots), each of which asks what changed since it last looked.
 *
 * The picture is kept here, with a mark on each tile that says when it last changed.  What the
 * device draws again without a difference changes nothing, so a viewer of a still screen has
 * nothing to do, and without viewers nothing is drawn at all.
 *
 * Lock order: display.lock before device locks.
 */
#ifndef WIRT_CORE_DISPLAY_H
#define WIRT_CORE_DISPLAY_H

#include "base/types.h"
#include "core/backend.h"

#include <pthread.h>

enum { DISPLAY_TILE_W = 64, DISPLAY_TILE_H = 16, DISPLAY_SIZE_MAX = 16384 };

struct display {
    pthread_mutex_t lock;
    const struct display_source *src;
    struct surface s; /* the picture */
    u64 now;          /* counts refreshes */
    u64 sized;        /* when the size last changed */
    u64 *tile;        /* when each tile last changed, row by row */
    u32 tiles_x, tiles_y;
};

/* What one viewer has seen: its own copy of the picture.  All zero to begin with. */
struct display_view {
    struct surface s;
    u64 seen;
    bool resized; /* by the last display_look(): s.pixels may have moved */
};

struct display_rect {
    u32 x, y, w, h;
};

/* src stays the caller's; src->update may be NULL (no picture: 640x400, black). */
void display_init(struct display *d, const struct display_source *src);
void display_destroy(struct display *d);
/* Another device takes over the screen.  Any thread, no device lock held. */
void display_set_source(struct display *d, const struct display_source *src);

/* ---- for viewers; any thread, no device lock held ---- */

/* Brings v->s up to date and names the parts that changed: n rectangles, at most max (which must
 * not be 0); 0 = nothing did.  A new size counts as a change of everything. */
unsigned display_look(struct display *d, struct display_view *v, struct display_rect *r,
                      unsigned max);
void display_view_free(struct display_view *v);
/* The text on the screen as UTF-8 lines, malloc'ed; NULL in graphics modes. */
char *display_text(struct display *d);
/* A viewer would like this size: devices that can tell the guest do (virtio-gpu). */
void display_wish(struct display *d, u32 width, u32 height);

/* ---- for src->update(), inside which the lock is held ---- */

/* The size of the picture from now on, each 1 to DISPLAY_SIZE_MAX.  True when it is another one
 * than before: the picture is black now and all of it has to be drawn. */
bool display_size(struct display *d, u32 width, u32 height);
/* n pixels from x on in line y; what lies outside the picture is dropped. */
void display_put(struct display *d, u32 x, u32 y, const u32 *pixels, u32 n);

#endif
