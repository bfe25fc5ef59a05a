/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame buffer back end (io/fbif.h).  The guest names pages of its memory that hold the
 * picture, 32 bits a pixel, by a page that holds lists of frame numbers, and says which parts it
 * has drawn; the picture is read when a viewer asks.
 *
 * Frame numbers are looked at once, at connection.  What is read from the pages is only colours.
 * Left out: other depths than 32 bits, the 32-bit ABI.
 */
#include "pv/xen/screen.h"

#include "base/endian.h"
#include "core/display.h"
#include "pv/xen/internal.h"
#include "pv/xen/xenbus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE_OUT_CONS = 8,
    PAGE_OUT_PROD = 12,
    PAGE_WIDTH = 16,
    PAGE_HEIGHT = 20,
    PAGE_LINE = 24,
    PAGE_MEM = 28,
    PAGE_DEPTH = 32,
    PAGE_PD = 40,
    PD_ENTRIES = 256,
    OUT_RING = 2048,
    OUT_EVENTS = 51,
    EVENT = 40,
    TYPE_UPDATE = 2,
    TYPE_RESIZE = 3,
};
enum { SIDE_MAX = 4096, PER_PAGE = PAGE_SIZE / 8, PAGES_MAX = SIDE_MAX * SIDE_MAX * 4 / PAGE_SIZE };
_Static_assert(PAGES_MAX <= PD_ENTRIES * PER_PAGE, "the directory holds the largest picture");

struct geometry {
    u32 width, height, line, offset; /* line, offset: bytes */
};

struct fbback {
    struct xenbus_dev dev;
    struct display_source source;
    struct display *display;
    pthread_mutex_t lock; /* after the store's and the display's, before evt_lock */
    u8 *page;             /* NULL = not connected */
    u16 port;
    u8 **pixels; /* npages of them */
    u32 npages;
    struct geometry g;
    u32 dirty_from, dirty_to; /* lines that the guest has drawn since we looked */
};

static struct fbback *of(struct xenbus_dev *d)
{
    return container_of(d, struct fbback, dev);
}

/* Does the picture lie inside the pages? */
static bool fits(const struct fbback *b, const struct geometry *g)
{
    return g->width && g->height && g->width <= SIDE_MAX && g->height <= SIDE_MAX &&
           g->line >= g->width * 4 && g->line <= SIDE_MAX * 16 && !(g->line & 3) &&
           !(g->offset & 3) &&
           (u64)g->offset + (u64)(g->height - 1) * g->line + g->width * 4u <=
               (u64)b->npages * PAGE_SIZE;
}

static void all_dirty(struct fbback *b)
{
    b->dirty_from = 0;
    b->dirty_to = b->g.height;
}

/* --------------------------------------------------------------- picture -- */

static void copy_line(const struct fbback *b, u64 at, u32 *to, u32 n)
{
    u8 *p = (u8 *)to;
    u64 len = n * 4ull;

    while (len) {
        u64 part = min(len, PAGE_SIZE - (at & PAGE_MASK));
        memcpy(p, b->pixels[at >> PAGE_SHIFT] + (at & PAGE_MASK), part);
        p += part;
        at += part;
        len -= part;
    }
}

/* With display.lock held. */
static void update(void *opaque, struct display *d, bool all)
{
    struct fbback *b = opaque;
    u32 line[SIDE_MAX];

    pthread_mutex_lock(&b->lock);
    if (!b->page) {
        display_size(d, 640, 400);
        pthread_mutex_unlock(&b->lock);
        return;
    }
    if (display_size(d, b->g.width, b->g.height) || all)
        all_dirty(b);
    for (u32 y = b->dirty_from; y < b->dirty_to; y++) {
        copy_line(b, b->g.offset + (u64)y * b->g.line, line, b->g.width);
        for (u32 x = 0; x < b->g.width; x++)
            line[x] &= 0xffffff;
        display_put(d, 0, y, line, b->g.width);
    }
    b->dirty_from = b->dirty_to = 0;
    pthread_mutex_unlock(&b->lock);
}

/* ---------------------------------------------------------------- events -- */

static void drawn(struct fbback *b, s64 y, s64 h)
{
    s64 from = max(y, 0ll), to = min(y + h, (s64)b->g.height);

    if (from >= to)
        return;
    if (b->dirty_from == b->dirty_to) {
        b->dirty_from = (u32)from;
        b->dirty_to = (u32)to;
    } else {
        b->dirty_from = min(b->dirty_from, (u32)from);
        b->dirty_to = max(b->dirty_to, (u32)to);
    }
}

static void resize(struct fbback *b, const u8 *e)
{
    struct geometry g = {le32_get(e + 4), le32_get(e + 8), le32_get(e + 12), le32_get(e + 20)};

    if (le32_get(e + 16) != 32 || !fits(b, &g)) {
        trace(b->dev.x->trace, xen, "vfb: a picture of %ux%u does not fit", g.width, g.height);
        return;
    }
    b->g = g;
    all_dirty(b);
}

/* On the sending vCPU's thread. */
static void on_event(void *opaque)
{
    struct fbback *b = opaque;

    pthread_mutex_lock(&b->lock);
    if (b->page) {
        u32 prod = __atomic_load_n((u32 *)(b->page + PAGE_OUT_PROD), __ATOMIC_ACQUIRE);
        u32 cons = __atomic_load_n((u32 *)(b->page + PAGE_OUT_CONS), __ATOMIC_RELAXED);
        if (prod - cons > OUT_EVENTS) { /* nonsense: whatever it was */
            cons = prod;
            all_dirty(b);
        }
        for (; cons != prod; cons++) {
            u8 e[EVENT];
            memcpy(e, b->page + OUT_RING + cons % OUT_EVENTS * EVENT, EVENT);
            if (e[0] == TYPE_UPDATE)
                drawn(b, (s32)le32_get(e + 8), (s32)le32_get(e + 16));
            else if (e[0] == TYPE_RESIZE)
                resize(b, e);
        }
        __atomic_store_n((u32 *)(b->page + PAGE_OUT_CONS), cons, __ATOMIC_SEQ_CST);
        guest_wrote(b->dev.x, b->page, PAGE_DEPTH);
    }
    pthread_mutex_unlock(&b->lock);
}

/* ------------------------------------------------------------ connection -- */

static void announce(struct xenbus_dev *d)
{
    xenbus_back_write(d, "request-update", "1");
    xenbus_back_write(d, "feature-resize", "1");
}

/* The pages of the picture, by the lists that the directory names. */
static int find_pages(struct fbback *b)
{
    struct xen *x = b->dev.x;
    u32 len = le32_get(b->page + PAGE_MEM);
    u64 list[PER_PAGE];

    if (!len || len > (u32)PAGES_MAX * PAGE_SIZE)
        return -EINVAL;
    b->npages = (len + PAGE_SIZE - 1) >> PAGE_SHIFT;
    b->pixels = calloc(b->npages, sizeof(*b->pixels));
    if (!b->pixels)
        return -ENOMEM;
    for (u32 i = 0; i < b->npages; i++) {
        if (!(i % PER_PAGE)) {
            u64 gfn = le64_get(b->page + PAGE_PD + i / PER_PAGE * 8);
            const u8 *p = guest_page_get(x, gfn, false);
            if (!p)
                return -EFAULT;
            memcpy(list, p, sizeof(list));
            guest_page_put(x, p, false);
        }
        b->pixels[i] = guest_page_get(x, list[i % PER_PAGE], false);
        if (!b->pixels[i])
            return -EFAULT;
    }
    return 0;
}

static int connect(struct xenbus_dev *d)
{
    struct fbback *b = of(d);
    u64 gfn, port;
    int r = 0;

    if (!xenbus_front_is(d, "protocol", "x86_64-abi"))
        return -EPROTONOSUPPORT;
    if (!xenbus_front_number(d, "page-ref", UINT64_MAX, &gfn) ||
        !xenbus_front_number(d, "event-channel", XEN_PORTS_MAX - 1, &port))
        return -ENOENT;
    pthread_mutex_lock(&b->lock);
    b->page = guest_page_get(d->x, gfn, true);
    if (!b->page)
        r = -EFAULT;
    if (!r)
        r = find_pages(b);
    if (!r) {
        b->g = (struct geometry){le32_get(b->page + PAGE_WIDTH), le32_get(b->page + PAGE_HEIGHT),
                                 le32_get(b->page + PAGE_LINE), 0};
        if (b->page[PAGE_DEPTH] != 32 || !fits(b, &b->g))
            r = -EINVAL;
    }
    if (!r) {
        all_dirty(b);
        b->port = (u16)port;
        if (!evtchn_bind(d->x, b->port, on_event, b)) {
            b->port = 0;
            r = -EINVAL;
        }
    }
    pthread_mutex_unlock(&b->lock);
    return r;
}

static void disconnect(struct xenbus_dev *d)
{
    struct fbback *b = of(d);

    pthread_mutex_lock(&b->lock);
    evtchn_unbind(d->x, b->port);
    b->port = 0;
    if (b->page)
        guest_page_put(d->x, b->page, true);
    b->page = NULL;
    for (u32 i = 0; b->pixels && i < b->npages && b->pixels[i]; i++)
        guest_page_put(d->x, b->pixels[i], false);
    free(b->pixels);
    b->pixels = NULL;
    b->npages = 0;
    pthread_mutex_unlock(&b->lock);
}

static const struct xenbus_ops ops = {announce, connect, disconnect};

/* ------------------------------------------------------------------ life -- */

int fbback_open(struct xen *x, struct display *d, struct err *e)
{
    struct fbback *b = x->fb = calloc(1, sizeof(*b));

    if (!b)
        return err_set(e, ENOMEM, "Xen screen: no memory");
    pthread_mutex_init(&b->lock, NULL);
    b->source = (struct display_source){.update = update, .opaque = b};
    b->display = d;
    display_set_source(d, &b->source);
    xenbus_add(x, &b->dev, "vfb", 0, &ops);
    return 0;
}

void fbback_close(struct xen *x)
{
    struct fbback *b = x->fb;

    if (!b)
        return;
    display_set_source(b->display, NULL);
    pthread_mutex_destroy(&b->lock);
    free(b);
    x->fb = NULL;
}
