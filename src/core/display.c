/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/display.h"

#include <stdlib.h>
#include <string.h>

void display_init(struct display *d, const struct display_source *src)
{
    memset(d, 0, sizeof(*d));
    pthread_mutex_init(&d->lock, NULL);
    d->src = src;
}

void display_destroy(struct display *d)
{
    free(d->s.pixels);
    free(d->tile);
    pthread_mutex_destroy(&d->lock);
}

void display_set_source(struct display *d, const struct display_source *src)
{
    pthread_mutex_lock(&d->lock);
    if (d->src != src) {
        d->src = src;
        d->s.width = d->s.height = 0; /* all of it has to be drawn */
    }
    pthread_mutex_unlock(&d->lock);
}

/* ------------------------------------------------------------ for sources -- */

static bool resize(struct surface *s, u32 w, u32 h)
{
    u32 *p = realloc(s->pixels, max((size_t)w * h, (size_t)1) * sizeof(u32));

    if (!p)
        return false;
    memset(p, 0, (size_t)w * h * sizeof(u32));
    *s = (struct surface){.width = w, .height = h, .stride = w, .pixels = p};
    return true;
}

bool display_size(struct display *d, u32 width, u32 height)
{
    u32 w = min(max(width, 1u), (u32)DISPLAY_SIZE_MAX);
    u32 h = min(max(height, 1u), (u32)DISPLAY_SIZE_MAX);
    u32 tx = (w + DISPLAY_TILE_W - 1) / DISPLAY_TILE_W;
    u32 ty = (h + DISPLAY_TILE_H - 1) / DISPLAY_TILE_H;
    u64 *tile;

    if (d->s.width == w && d->s.height == h)
        return false;
    tile = realloc(d->tile, (size_t)tx * ty * sizeof(u64));
    if (tile)
        d->tile = tile;
    if (!tile || !resize(&d->s, w, h)) {
        d->s.width = d->s.height = 0; /* the host has no memory for it: nothing to be seen */
        d->tiles_x = d->tiles_y = 0;
        return true;
    }
    d->tiles_x = tx;
    d->tiles_y = ty;
    for (size_t i = 0; i < (size_t)tx * ty; i++)
        tile[i] = d->now;
    d->sized = d->now;
    return true;
}

void display_put(struct display *d, u32 x, u32 y, const u32 *pixels, u32 n)
{
    u32 *to, end;

    if (y >= d->s.height || x >= d->s.width)
        return;
    end = x + min(n, d->s.width - x);
    to = d->s.pixels + (size_t)y * d->s.stride;
    while (x < end) {
        u32 tile = x / DISPLAY_TILE_W;
        u32 part = min(end, (tile + 1) * DISPLAY_TILE_W) - x;

        if (memcmp(to + x, pixels, part * sizeof(u32))) {
            memcpy(to + x, pixels, part * sizeof(u32));
            d->tile[(size_t)(y / DISPLAY_TILE_H) * d->tiles_x + tile] = d->now;
        }
        x += part;
        pixels += part;
    }
}

/* ------------------------------------------------------------ for viewers -- */

/* With the lock held. */
static void refresh(struct display *d)
{
    d->now++;
    if (d->src && d->src->update)
        d->src->update(d->src->opaque, d, !d->s.width);
    else
        display_size(d, 640, 400);
}

struct rects {
    struct display_rect *r;
    unsigned n, max;
};

static void add_rect(struct rects *l, struct display_rect r)
{
    struct display_rect *last;
    u32 x1, y1;

    /* Goes on below one of the same columns? */
    for (unsigned i = 0; i < l->n; i++) {
        struct display_rect *o = &l->r[i];

        if (o->x == r.x && o->w == r.w && o->y + o->h == r.y) {
            o->h += r.h;
            return;
        }
    }
    if (l->n < l->max) {
        l->r[l->n++] = r;
        return;
    }
    last = &l->r[l->max - 1];
    x1 = max(last->x + last->w, r.x + r.w);
    y1 = max(last->y + last->h, r.y + r.h);
    last->x = min(last->x, r.x);
    last->y = min(last->y, r.y);
    last->w = x1 - last->x;
    last->h = y1 - last->y;
}

static void changed_tiles(const struct display *d, u64 seen, struct rects *l)
{
    for (u32 ty = 0; ty < d->tiles_y; ty++) {
        const u64 *tile = d->tile + (size_t)ty * d->tiles_x;
        u32 y = ty * DISPLAY_TILE_H;

        for (u32 from = 0, to; from < d->tiles_x; from = to + 1) {
            while (from < d->tiles_x && tile[from] <= seen)
                from++;
            for (to = from; to < d->tiles_x && tile[to] > seen;)
                to++;
            if (from == to)
                break;
            u32 x = from * DISPLAY_TILE_W;
            add_rect(l, (struct display_rect){x, y, min(to * DISPLAY_TILE_W, d->s.width) - x,
                                              min((u32)DISPLAY_TILE_H, d->s.height - y)});
        }
    }
}

static void copy_rect(struct surface *to, const struct surface *from, struct display_rect r)
{
    for (u32 y = r.y; y < r.y + r.h; y++)
        memcpy(to->pixels + (size_t)y * to->stride + r.x,
               from->pixels + (size_t)y * from->stride + r.x, r.w * sizeof(u32));
}

unsigned display_look(struct display *d, struct display_view *v, struct display_rect *r,
                      unsigned max)
{
    struct rects l = {.r = r, .max = max};

    pthread_mutex_lock(&d->lock);
    refresh(d);
    v->resized = false;
    if (!d->s.width) {
        /* No memory for the picture: the viewer keeps what it has. */
    } else if (d->sized > v->seen || v->s.width != d->s.width || v->s.height != d->s.height) {
        v->resized = resize(&v->s, d->s.width, d->s.height);
        if (v->resized)
            add_rect(&l, (struct display_rect){0, 0, d->s.width, d->s.height});
    } else {
        changed_tiles(d, v->seen, &l);
    }
    for (unsigned i = 0; i < l.n; i++)
        copy_rect(&v->s, &d->s, r[i]);
    v->seen = d->now;
    pthread_mutex_unlock(&d->lock);
    return l.n;
}

void display_view_free(struct display_view *v)
{
    free(v->s.pixels);
    *v = (struct display_view){0};
}

char *display_text(struct display *d)
{
    char *text;

    pthread_mutex_lock(&d->lock);
    text = d->src && d->src->text ? d->src->text(d->src->opaque) : NULL;
    pthread_mutex_unlock(&d->lock);
    return text;
}

void display_wish(struct display *d, u32 width, u32 height)
{
    pthread_mutex_lock(&d->lock);
    if (d->src && d->src->wish)
        d->src->wish(d->src->opaque, width, height);
    pthread_mutex_unlock(&d->lock);
}
