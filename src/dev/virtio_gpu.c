/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio GPU: the device and its picture.  Virtio 1.1, 5.7; virtio_gpu_cmd.c carries out commands.
 *
 * The function is a VGA too (class 03 00 00, as QEMU's virtio-vga, for which SeaBIOS has
 * vgabios-virtio): BAR 0 is video memory, the virtio structures are in BARs 1 and 4.
 *
 * What the driver flushes is noted line by line and drawn when a viewer looks.  The pointer's
 * picture is drawn into the screen's.  A wish for another size reaches the driver as a changed
 * configuration: new preferred mode and EDID.
 */
#include "dev/virtio_gpu.h"

#include "base/endian.h"
#include "dev/stdvga.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define F_EDID BIT64(1)

enum { CONTROL, CURSOR, QUEUES, QUEUE_SIZE = 256, CONFIG_LEN = 16 };
enum { EVENT_DISPLAY = 1, SIZE_MIN = 320 };

static struct virtio_gpu *of(struct virtio_dev *d)
{
    return container_of(d, struct virtio_gpu, vp.dev);
}

/* ------------------------------------------------------------------ pictures -- */

void vgpu_damage(struct virtio_gpu *g, struct vgpu_rect r)
{
    u32 w = min(g->shown.w, (u32)VGPU_SIZE_MAX), h = min(g->shown.h, (u32)VGPU_SIZE_MAX);

    if (r.x >= w || r.y >= h)
        return;
    r.w = min(r.w, w - r.x);
    r.h = min(r.h, h - r.y);
    for (u32 y = r.y; y < r.y + r.h; y++) {
        u32 *d = g->dirty[y];

        if (d[0] == d[1]) {
            d[0] = r.x;
            d[1] = r.x + r.w;
        } else {
            d[0] = min(d[0], r.x);
            d[1] = max(d[1], r.x + r.w);
        }
    }
}

/* The pointer may stick out at the left and the top: coordinates are signed in truth. */
void vgpu_damage_cursor(struct virtio_gpu *g)
{
    s64 x = (s32)g->cursor_x, y = (s32)g->cursor_y;
    s64 x1 = x + VGPU_CURSOR, y1 = y + VGPU_CURSOR;

    x = max(x, (s64)0);
    y = max(y, (s64)0);
    if (g->cursor_on && x1 > x && y1 > y)
        vgpu_damage(g, (struct vgpu_rect){(u32)x, (u32)y, (u32)(x1 - x), (u32)(y1 - y)});
}

static u32 blend(u32 below, u32 above)
{
    u32 a = above >> 24, out = 0;

    for (unsigned s = 0; s < 24; s += 8) {
        u32 c = ((above >> s & 0xff) * a + (below >> s & 0xff) * (255 - a) + 127) / 255;

        out |= c << s;
    }
    return out;
}

/* Columns x to x+n of line y in g->line. */
static void make_line(struct virtio_gpu *g, const u32 *from, u32 x, u32 y, u32 n)
{
    s64 cy = (s64)y - (s32)g->cursor_y, cx = (s64)x - (s32)g->cursor_x;

    for (u32 i = 0; i < n; i++)
        g->line[i] = from[i] & 0xffffff;
    if (!g->cursor_on || cy < 0 || cy >= VGPU_CURSOR)
        return;
    for (u32 i = 0; i < n; i++)
        if (cx + i >= 0 && cx + i < VGPU_CURSOR)
            g->line[i] = blend(g->line[i], g->cursor[cy * VGPU_CURSOR + cx + i]);
}

/* False: the picture is the VGA's. */
static bool draw(struct virtio_gpu *g, struct display *d, bool all)
{
    const struct vgpu_resource *r = vgpu_find(g, g->scanout);

    if (!r)
        return false;
    all |= display_size(d, g->shown.w, g->shown.h) | g->redraw;
    g->redraw = false;
    for (u32 y = 0; y < g->shown.h; y++) {
        u32 x0 = all ? 0 : g->dirty[y][0], x1 = all ? g->shown.w : g->dirty[y][1];

        g->dirty[y][0] = g->dirty[y][1] = 0;
        if (x0 >= x1)
            continue;
        make_line(g, vgpu_pixels(g, r) + (size_t)(g->shown.y + y) * r->width + g->shown.x + x0, x0,
                  y, x1 - x0);
        display_put(d, x0, y, g->line, x1 - x0);
    }
    return true;
}

static void update(void *opaque, struct display *d, bool all)
{
    struct virtio_gpu *g = opaque;
    bool drawn, was;

    pthread_mutex_lock(&g->vp.pci.lock);
    was = g->redraw;
    drawn = draw(g, d, all);
    g->redraw = false;
    pthread_mutex_unlock(&g->vp.pci.lock);
    if (!drawn)
        vga_update(&g->vga, d, all || was);
}

static char *text(void *opaque)
{
    struct virtio_gpu *g = opaque;
    bool own;

    pthread_mutex_lock(&g->vp.pci.lock);
    own = g->scanout;
    pthread_mutex_unlock(&g->vp.pci.lock);
    return own ? NULL : vga_text(&g->vga);
}

/* With the lock held, or before anybody knows the device. */
static void set_size(struct virtio_gpu *g, u32 w, u32 h)
{
    struct edid_config e = {.max_width = 2560, .max_height = 1600};

    g->want_w = e.width = min(max(w & ~7u, (u32)SIZE_MIN), 4088u);
    g->want_h = e.height = min(max(h, (u32)SIZE_MIN / 8 * 5), 4094u);
    edid_make(g->edid, &e);
}

static void wish(void *opaque, u32 w, u32 h)
{
    struct virtio_gpu *g = opaque;

    pthread_mutex_lock(&g->vp.pci.lock);
    set_size(g, w, h);
    g->events |= EVENT_DISPLAY;
    virtio_config_changed(&g->vp.dev);
    pthread_mutex_unlock(&g->vp.pci.lock);
}

/* -------------------------------------------------------------------- virtio -- */

static u32 config_read(struct virtio_dev *d, unsigned off, unsigned size)
{
    u8 c[CONFIG_LEN] = {0};
    u32 out = 0;

    le32_put(c, of(d)->events);
    le32_put(c + 8, 1); /* scanouts */
    memcpy(&out, c + off, size);
    return out;
}

static void config_write(struct virtio_dev *d, unsigned off, unsigned size, u32 val)
{
    if (off == 4 && size == 4) /* events_clear */
        of(d)->events &= ~val;
}

static void notify(struct virtio_dev *d, unsigned n)
{
    struct virtio_gpu *g = of(d);
    struct virtq *q = &d->queue[n];
    unsigned left = q->size; /* a turn: what the queue holds */
    bool any = false;

    do {
        while (left && virtq_pop(d, q, &g->chain)) {
            u32 len = 0;

            if (n == CONTROL)
                len = vgpu_control(g, &g->chain);
            else
                vgpu_cursor(g, &g->chain);
            virtq_push(d, q, &g->chain, len);
            any = true;
            left--;
        }
    } while (left && virtq_kick(d, q, true));
    if (any)
        virtq_signal(d, q);
}

static void reset(struct virtio_dev *d)
{
    struct virtio_gpu *g = of(d);

    memset(g->res, 0, sizeof(g->res));
    g->scanout = 0;
    g->cursor_on = 0;
    g->events = 0;
    g->redraw = true;
}

/* The whole function's: virtio's part and the VGA's. */
static void reset_all(struct pci_dev *d)
{
    struct virtio_gpu *g = container_of(d, struct virtio_gpu, vp.pci);

    virtio_pci_reset(d);
    pthread_mutex_lock(&d->lock);
    vga_reset(&g->vga);
    pthread_mutex_unlock(&d->lock);
}

static const struct virtio_ops ops = {
    .config_read = config_read, .config_write = config_write, .notify = notify, .reset = reset};

int virtio_gpu_init(struct virtio_gpu *g, struct pci_bus *b, unsigned devfn, struct mem *m,
                    struct clock *c, const void *rom, u64 rom_size, u32 width, u32 height)
{
    const struct virtio_pci_info info = {.name = "virtio-gpu",
                                         .id = VIRTIO_ID_GPU,
                                         .class_code = 0x030000,
                                         .config_len = CONFIG_LEN,
                                         .nqueues = QUEUES,
                                         .queue_size = QUEUE_SIZE,
                                         .features = F_EDID,
                                         .ops = &ops,
                                         .modern_only = true};
    const struct edid_config edid = {1280, 800, 2560, 1600};
    int r;

    memset(g, 0, sizeof(*g));
    g->mem = m;
    set_size(g, width ? width : edid.width, width ? height : edid.height);
    g->pool = mem_alloc(m, VGPU_POOL);
    g->dirty = calloc(VGPU_SIZE_MAX, sizeof(*g->dirty));
    g->line = calloc(VGPU_SIZE_MAX, sizeof(*g->line));
    if (!g->pool || !g->dirty || !g->line)
        return -ENOMEM;
    r = virtio_pci_init(&g->vp, b, devfn, &info);
    if (!r)
        r = vga_init(&g->vga, m, c, &g->vp.pci.lock, b->trace, &edid);
    if (r)
        return r;
    g->vp.pci.reset = reset_all;
    pci_bar_init(&g->vp.pci, 0, PCI_BAR_MEM | PCI_BAR_PREFETCH, &g->vga.lfb);
    g->display = (struct display_source){.update = update, .text = text, .wish = wish, .opaque = g};
    return stdvga_rom(&g->vp.pci, &g->rom, m, rom, rom_size);
}

void virtio_gpu_destroy(struct virtio_gpu *g)
{
    vga_destroy(&g->vga);
    free(g->dirty);
    free(g->line);
}

/* --------------------------------------------------------------------- state -- */

static bool resource_ok(const struct vgpu_resource *r)
{
    return r->width && r->height && r->width <= VGPU_SIZE_MAX && r->height <= VGPU_SIZE_MAX &&
           r->npages <= VGPU_PAGES_MAX && r->pixels_len >= (u64)r->width * r->height * 4 &&
           range_within(r->pixels_at, r->pixels_len, 0, VGPU_POOL) &&
           range_within(r->pages_at, r->npages * sizeof(struct vgpu_page), 0, VGPU_POOL) &&
           !(r->pages_at & 7) && !(r->pixels_at & 3) && vgpu_format_ok(r->format);
}

static int loaded(void *obj, struct err *e)
{
    struct virtio_gpu *g = obj;
    const struct vgpu_resource *r;

    for (unsigned i = 0; i < VGPU_RESOURCES; i++)
        if (g->res[i].id && !resource_ok(&g->res[i]))
            return err_set(e, EINVAL, "resource %u", g->res[i].id);
    r = vgpu_find(g, g->scanout);
    if (g->scanout &&
        (!r || !g->shown.w || !g->shown.h || !range_within(g->shown.x, g->shown.w, 0, r->width) ||
         !range_within(g->shown.y, g->shown.h, 0, r->height)))
        return err_set(e, EINVAL, "scanout of resource %u", g->scanout);
    set_size(g, g->want_w, g->want_h);
    g->redraw = true;
    return 0;
}

/* The pool is part of guest memory. */
static const struct field virtio_gpu_fields[] = {
    FIELD_BITS(struct virtio_gpu, events, EVENT_DISPLAY),
    FIELD_MAX(struct virtio_gpu, want_w, VGPU_SIZE_MAX),
    FIELD_MAX(struct virtio_gpu, want_h, VGPU_SIZE_MAX),
    FIELD(struct virtio_gpu, scanout),
    FIELD(struct virtio_gpu, shown.x),
    FIELD(struct virtio_gpu, shown.y),
    FIELD(struct virtio_gpu, shown.w),
    FIELD(struct virtio_gpu, shown.h),
    FIELD_MAX(struct virtio_gpu, cursor_on, 1),
    FIELD(struct virtio_gpu, cursor_x),
    FIELD(struct virtio_gpu, cursor_y),
    FIELD_ARRAY(struct virtio_gpu, cursor),
    FIELD_BYTES(struct virtio_gpu, res),
};

const struct state_desc virtio_gpu_state = {.name = "virtio_gpu",
                                            .version = 1,
                                            .fields = virtio_gpu_fields,
                                            .nfields = ARRAY_SIZE(virtio_gpu_fields),
                                            .loaded = loaded};
