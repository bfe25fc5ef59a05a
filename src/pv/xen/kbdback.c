/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keyboard and pointer back end (io/kbdif.h): events in a ring of one page.
 *
 * A pointer's place is told in the units that the store announces.  While the guest takes no
 * events, what goes down and moves is dropped before what goes up, so that no key hangs.
 */
#include "pv/xen/screen.h"

#include "base/endian.h"
#include "pv/xen/internal.h"
#include "pv/xen/xenbus.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE_IN_CONS = 0,
    PAGE_IN_PROD = 4,
    IN_RING = 1024,
    IN_EVENTS = 51,
    RESERVE = 20, /* places that only keys going up take */
    EVENT = 40,
    TYPE_MOTION = 1,
    TYPE_KEY = 3,
    TYPE_POS = 4,
    KEYCODE_MAX = 0x2ff,
};

struct kbdback {
    struct xenbus_dev dev;
    pthread_mutex_t lock; /* after the store's, before evt_lock */
    u8 *page;             /* NULL = not connected */
    u16 port;
    bool absolute; /* the guest wants places, not movements */
    unsigned buttons;
    u32 width, height;
};

static struct kbdback *of(struct xenbus_dev *d)
{
    return container_of(d, struct kbdback, dev);
}

/* ---------------------------------------------------------------- events -- */

/* With the lock held; a, b, c: at 4, 8 and 12. */
static void put(struct kbdback *k, u8 type, u8 pressed, u32 a, u32 b, u32 c)
{
    bool up = type == TYPE_KEY && !pressed;
    u8 e[EVENT] = {type, pressed};

    if (!k->page)
        return;
    u32 prod = __atomic_load_n((u32 *)(k->page + PAGE_IN_PROD), __ATOMIC_RELAXED);
    u32 cons = __atomic_load_n((u32 *)(k->page + PAGE_IN_CONS), __ATOMIC_ACQUIRE);
    if (prod - cons >= (up ? IN_EVENTS : IN_EVENTS - RESERVE))
        return;
    le32_put(e + 4, a);
    le32_put(e + 8, b);
    le32_put(e + 12, c);
    u8 *to = k->page + IN_RING + prod % IN_EVENTS * EVENT;
    memcpy(to, e, EVENT);
    guest_wrote(k->dev.x, to, EVENT);
    __atomic_store_n((u32 *)(k->page + PAGE_IN_PROD), prod + 1, __ATOMIC_SEQ_CST);
    guest_wrote(k->dev.x, k->page, 8);
}

static void finish(struct kbdback *k)
{
    u16 port = k->port;

    pthread_mutex_unlock(&k->lock);
    evtchn_notify(k->dev.x, port);
}

static void key(void *opaque, unsigned code, bool down)
{
    struct kbdback *k = opaque;

    pthread_mutex_lock(&k->lock);
    if (code && code <= KEYCODE_MAX)
        put(k, TYPE_KEY, down, code, 0, 0);
    finish(k);
}

static void press_buttons(struct kbdback *k, unsigned buttons)
{
    static const u16 code[] = {BTN_LEFT, BTN_RIGHT, BTN_MIDDLE, BTN_SIDE, BTN_EXTRA};

    for (unsigned i = 0; i < ARRAY_SIZE(code); i++)
        if ((k->buttons ^ buttons) >> i & 1)
            put(k, TYPE_KEY, buttons >> i & 1, code[i], 0, 0);
    k->buttons = buttons;
}

static void mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    struct kbdback *k = opaque;

    pthread_mutex_lock(&k->lock);
    if (dx || dy || dz)
        put(k, TYPE_MOTION, 0, (u32)dx, (u32)dy, (u32)-dz);
    press_buttons(k, buttons);
    finish(k);
}

static u32 scaled(unsigned at, u32 size)
{
    return (u32)((u64)min(at, (unsigned)INPUT_ABS_MAX) * (size - 1) / INPUT_ABS_MAX);
}

static void pointer(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    struct kbdback *k = opaque;

    pthread_mutex_lock(&k->lock);
    put(k, TYPE_POS, 0, scaled(x, k->width), scaled(y, k->height), (u32)-dz);
    press_buttons(k, buttons);
    finish(k);
}

static bool has_pointer(void *opaque)
{
    struct kbdback *k = opaque;

    pthread_mutex_lock(&k->lock);
    bool has = k->page && k->absolute;
    pthread_mutex_unlock(&k->lock);
    return has;
}

/* The guest sends nothing that means anything. */
static void on_event(void *opaque)
{
}

/* ------------------------------------------------------------ connection -- */

static void announce(struct xenbus_dev *d)
{
    xenbus_back_write(d, "feature-abs-pointer", "1");
    xenbus_back_write(d, "width", "%u", of(d)->width);
    xenbus_back_write(d, "height", "%u", of(d)->height);
}

static int connect(struct xenbus_dev *d)
{
    struct kbdback *k = of(d);
    u64 gfn, port, absolute = 0;
    int r = 0;

    if (!xenbus_front_number(d, "page-ref", UINT64_MAX, &gfn) ||
        !xenbus_front_number(d, "event-channel", XEN_PORTS_MAX - 1, &port))
        return -ENOENT;
    xenbus_front_number(d, "request-abs-pointer", 1, &absolute);
    pthread_mutex_lock(&k->lock);
    k->absolute = absolute;
    k->buttons = 0;
    k->page = guest_page_get(d->x, gfn, true);
    k->port = (u16)port;
    if (!k->page) {
        k->port = 0;
        r = -EFAULT;
    } else if (!evtchn_bind(d->x, k->port, on_event, k)) {
        k->port = 0;
        r = -EINVAL;
    }
    pthread_mutex_unlock(&k->lock);
    return r;
}

static void disconnect(struct xenbus_dev *d)
{
    struct kbdback *k = of(d);

    pthread_mutex_lock(&k->lock);
    evtchn_unbind(d->x, k->port);
    k->port = 0;
    if (k->page)
        guest_page_put(d->x, k->page, true);
    k->page = NULL;
    pthread_mutex_unlock(&k->lock);
}

static const struct xenbus_ops ops = {announce, connect, disconnect};

/* ------------------------------------------------------------------ life -- */

int kbdback_open(struct xen *x, struct input_sink *sink, u32 width, u32 height, struct err *e)
{
    struct kbdback *k = x->kbd = calloc(1, sizeof(*k));

    if (!k)
        return err_set(e, ENOMEM, "Xen keyboard: no memory");
    pthread_mutex_init(&k->lock, NULL);
    k->width = width;
    k->height = height;
    *sink = (struct input_sink){
        .key = key, .mouse = mouse, .pointer = pointer, .has_pointer = has_pointer, .opaque = k};
    xenbus_add(x, &k->dev, "vkbd", 0, &ops);
    return 0;
}

void kbdback_close(struct xen *x)
{
    struct kbdback *k = x->kbd;

    if (!k)
        return;
    pthread_mutex_destroy(&k->lock);
    free(k);
    x->kbd = NULL;
}
