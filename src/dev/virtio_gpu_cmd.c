/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio GPU: the driver's commands.  Virtio 1.1, 5.7.6.7 (control queue), 5.7.6.8 (cursor queue).
 *
 * Each command is copied once, and the copy is checked; it is done when it returns, so fences need
 * nothing but their number in the reply.  Pixels are converted when they are transferred.
 *
 * Left out: 3D (VIRGL), blobs, UUIDs: not offered.
 */
#include "dev/virtio_gpu.h"

#include "base/endian.h"

#include <string.h>

enum {
    GET_DISPLAY_INFO = 0x100,
    RESOURCE_CREATE_2D,
    RESOURCE_UNREF,
    SET_SCANOUT,
    RESOURCE_FLUSH,
    TRANSFER_TO_HOST_2D,
    RESOURCE_ATTACH_BACKING,
    RESOURCE_DETACH_BACKING,
    GET_CAPSET_INFO,
    GET_CAPSET,
    GET_EDID,

    UPDATE_CURSOR = 0x300,
    MOVE_CURSOR,

    OK_NODATA = 0x1100,
    OK_DISPLAY_INFO = 0x1101,
    OK_EDID = 0x1104,

    ERR_UNSPEC = 0x1200,
    ERR_OUT_OF_MEMORY,
    ERR_INVALID_SCANOUT_ID,
    ERR_INVALID_RESOURCE_ID,
    ERR_INVALID_CONTEXT_ID,
    ERR_INVALID_PARAMETER,

    FLAG_FENCE = 1,

    HDR = 24,
    REQUEST_MAX = HDR + 40,
    SCANOUTS = 16, /* that the reply has room for */
    DISPLAY_INFO_LEN = HDR + 24 * SCANOUTS,
    EDID_LEN = HDR + 8 + 1024,
};

/* Which byte of a format's pixel is which part of 0xAARRGGBB.  Formats without alpha keep what is
 * in its place: Linux makes the pointer's picture of B8G8R8X8 and means the X. */
static const struct format {
    u32 id;
    u8 r, g, b, a;
} formats[] = {
    {1, 2, 1, 0, 3},   /* B8G8R8A8 */
    {2, 2, 1, 0, 3},   /* B8G8R8X8 */
    {3, 1, 2, 3, 0},   /* A8R8G8B8 */
    {4, 1, 2, 3, 0},   /* X8R8G8B8 */
    {67, 0, 1, 2, 3},  /* R8G8B8A8 */
    {68, 3, 2, 1, 0},  /* X8B8G8R8 */
    {121, 3, 2, 1, 0}, /* A8B8G8R8 */
    {134, 0, 1, 2, 3}, /* R8G8B8X8 */
};

static const struct format *find_format(u32 id)
{
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++)
        if (formats[i].id == id)
            return &formats[i];
    return NULL;
}

struct vgpu_resource *vgpu_find(struct virtio_gpu *g, u32 id)
{
    for (unsigned i = 0; id && i < VGPU_RESOURCES; i++)
        if (g->res[i].id == id)
            return &g->res[i];
    return NULL;
}

static struct vgpu_rect get_rect(const u8 *p)
{
    return (struct vgpu_rect){le32_get(p), le32_get(p + 4), le32_get(p + 8), le32_get(p + 12)};
}

bool vgpu_format_ok(u32 id)
{
    return find_format(id);
}

static bool rect_within(const struct vgpu_rect *r, u32 w, u32 h)
{
    return range_within(r->x, r->w, 0, w) && range_within(r->y, r->h, 0, h);
}

/* -------------------------------------------------------------------- the pool -- */

static u32 pages_len(u32 npages)
{
    return (u32)align_up(npages * sizeof(struct vgpu_page), PAGE_SIZE);
}

static bool overlaps(u32 a, u32 alen, u32 b, u32 blen)
{
    return blen && a < b + blen && b < a + alen;
}

static bool pool_free(const struct virtio_gpu *g, u32 at, u32 len)
{
    if (!range_within(at, len, 0, VGPU_POOL))
        return false;
    for (unsigned i = 0; i < VGPU_RESOURCES; i++) {
        const struct vgpu_resource *r = &g->res[i];

        if (r->id && (overlaps(at, len, r->pixels_at, r->pixels_len) ||
                      overlaps(at, len, r->pages_at, pages_len(r->npages))))
            return false;
    }
    return true;
}

/* The first gap of len bytes: gaps begin at 0 and behind what is there.  UINT32_MAX = none. */
static u32 pool_find(const struct virtio_gpu *g, u32 len)
{
    u32 best = pool_free(g, 0, len) ? 0 : UINT32_MAX;

    for (unsigned i = 0; best && i < VGPU_RESOURCES; i++) {
        const struct vgpu_resource *r = &g->res[i];
        u32 end[2] = {r->pixels_at + r->pixels_len, r->pages_at + pages_len(r->npages)};

        for (unsigned k = 0; r->id && k < 2; k++)
            if (end[k] < best && pool_free(g, end[k], len))
                best = end[k];
    }
    return best;
}

/* ---------------------------------------------------------------- resources -- */

static u32 resource_create(struct virtio_gpu *g, const u8 *q)
{
    u32 id = le32_get(q), format = le32_get(q + 4), w = le32_get(q + 8), h = le32_get(q + 12);
    struct vgpu_resource *r = NULL;
    u32 len, at;

    if (!id || vgpu_find(g, id))
        return ERR_INVALID_RESOURCE_ID;
    if (!find_format(format) || !w || !h || w > VGPU_SIZE_MAX || h > VGPU_SIZE_MAX)
        return ERR_INVALID_PARAMETER;
    for (unsigned i = 0; !r && i < VGPU_RESOURCES; i++)
        if (!g->res[i].id)
            r = &g->res[i];
    if (!r)
        return ERR_OUT_OF_MEMORY;
    len = (u32)align_up((u64)w * h * 4, PAGE_SIZE);
    at = pool_find(g, len);
    if (at == UINT32_MAX)
        return ERR_OUT_OF_MEMORY;
    *r = (struct vgpu_resource){
        .id = id, .format = format, .width = w, .height = h, .pixels_at = at, .pixels_len = len};
    memset(g->pool + at, 0, len);
    return OK_NODATA;
}

static u32 resource_unref(struct virtio_gpu *g, const u8 *q)
{
    struct vgpu_resource *r = vgpu_find(g, le32_get(q));

    if (!r)
        return ERR_INVALID_RESOURCE_ID;
    if (g->scanout == r->id) {
        g->scanout = 0;
        g->redraw = true;
    }
    *r = (struct vgpu_resource){0};
    return OK_NODATA;
}

static u32 attach_backing(struct virtio_gpu *g, const u8 *q, const struct virtq_chain *c)
{
    struct vgpu_resource *r = vgpu_find(g, le32_get(q));
    u32 n = le32_get(q + 4), at;
    struct vgpu_page *p;

    if (!r || r->npages)
        return r ? ERR_UNSPEC : ERR_INVALID_RESOURCE_ID;
    if (!n || n > VGPU_PAGES_MAX || c->out_len < HDR + 8 + n * 16ull)
        return ERR_INVALID_PARAMETER;
    at = pool_find(g, pages_len(n));
    if (at == UINT32_MAX)
        return ERR_OUT_OF_MEMORY;
    p = (struct vgpu_page *)(void *)(g->pool + at);
    iov_get(c->iov, c->nout, HDR + 8, p, n * 16ull);
    r->pages_at = at;
    r->npages = n;
    return OK_NODATA;
}

static u32 detach_backing(struct virtio_gpu *g, const u8 *q)
{
    struct vgpu_resource *r = vgpu_find(g, le32_get(q));

    if (!r)
        return ERR_INVALID_RESOURCE_ID;
    r->npages = 0;
    return OK_NODATA;
}

/* A place in a resource's backing, which only goes forward. */
struct cursor {
    const struct vgpu_page *page, *end;
    u64 base; /* offset of the page's first byte in the backing */
};

static struct cursor start_of(const struct virtio_gpu *g, const struct vgpu_resource *r)
{
    const struct vgpu_page *p = (const struct vgpu_page *)(const void *)(g->pool + r->pages_at);

    return (struct cursor){p, p + r->npages, 0};
}

/* Copies len bytes from off on, which is not before what was copied last; false when the backing
 * ends before.  What is no memory reads as ones. */
static bool take(const struct virtio_gpu *g, struct cursor *c, u64 off, u8 *to, u64 len)
{
    while (len) {
        u64 n;

        while (c->page < c->end && off - c->base >= c->page->len)
            c->base += c->page++->len;
        if (c->page == c->end)
            return false;
        n = min(len, c->page->len - (off - c->base));
        mem_read(&g->vp.dev.dma, c->page->gpa + (off - c->base), to, n);
        off += n;
        to += n;
        len -= n;
    }
    return true;
}

static void convert(const struct format *f, u32 *p, u32 n)
{
    if (f->b == 0 && f->g == 1 && f->r == 2) /* as we keep them */
        return;
    for (u32 i = 0; i < n; i++) {
        u32 v = p[i];

        p[i] = (v >> 8 * f->a & 0xff) << 24 | (v >> 8 * f->r & 0xff) << 16 |
               (v >> 8 * f->g & 0xff) << 8 | (v >> 8 * f->b & 0xff);
    }
}

static u32 transfer(struct virtio_gpu *g, const u8 *q)
{
    struct vgpu_rect rect = get_rect(q);
    u64 off = le64_get(q + 16);
    struct vgpu_resource *r = vgpu_find(g, le32_get(q + 24));
    const struct format *f;

    if (!r || !r->npages)
        return ERR_INVALID_RESOURCE_ID;
    if (!rect_within(&rect, r->width, r->height) || off > UINT32_MAX)
        return ERR_INVALID_PARAMETER;
    f = find_format(r->format);
    struct cursor c = start_of(g, r);
    for (u32 y = 0; rect.w && y < rect.h; y++) {
        u32 *to = vgpu_pixels(g, r) + (size_t)(rect.y + y) * r->width + rect.x;

        if (!take(g, &c, off + (u64)y * r->width * 4, (u8 *)to, rect.w * 4ull))
            return ERR_INVALID_PARAMETER;
        convert(f, to, rect.w);
    }
    return OK_NODATA;
}

/* ------------------------------------------------------------------ scanout -- */

static u32 set_scanout(struct virtio_gpu *g, const u8 *q)
{
    struct vgpu_rect rect = get_rect(q);
    u32 id = le32_get(q + 20);
    struct vgpu_resource *r = vgpu_find(g, id);

    if (le32_get(q + 16))
        return ERR_INVALID_SCANOUT_ID;
    if (id && !r)
        return ERR_INVALID_RESOURCE_ID;
    if (r && (!rect.w || !rect.h || !rect_within(&rect, r->width, r->height)))
        return ERR_INVALID_PARAMETER;
    g->scanout = id;
    g->shown = rect;
    g->redraw = true;
    return OK_NODATA;
}

static u32 flush(struct virtio_gpu *g, const u8 *q)
{
    struct vgpu_rect r = get_rect(q);
    struct vgpu_resource *res = vgpu_find(g, le32_get(q + 16));

    if (!res)
        return ERR_INVALID_RESOURCE_ID;
    if (!rect_within(&r, res->width, res->height))
        return ERR_INVALID_PARAMETER;
    if (g->scanout != res->id)
        return OK_NODATA;
    /* The part that is shown, in the scanout's coordinates. */
    u32 x0 = max(r.x, g->shown.x), x1 = min(r.x + r.w, g->shown.x + g->shown.w);
    u32 y0 = max(r.y, g->shown.y), y1 = min(r.y + r.h, g->shown.y + g->shown.h);
    if (x0 < x1 && y0 < y1)
        vgpu_damage(g, (struct vgpu_rect){x0 - g->shown.x, y0 - g->shown.y, x1 - x0, y1 - y0});
    return OK_NODATA;
}

static u32 display_info(struct virtio_gpu *g, u8 *reply)
{
    le32_put(reply + HDR + 8, g->want_w);
    le32_put(reply + HDR + 12, g->want_h);
    le32_put(reply + HDR + 16, 1); /* a monitor is there */
    return OK_DISPLAY_INFO;
}

static u32 get_edid(struct virtio_gpu *g, const u8 *q, u8 *reply)
{
    if (le32_get(q))
        return ERR_INVALID_SCANOUT_ID;
    le32_put(reply + HDR, EDID_SIZE);
    memcpy(reply + HDR + 8, g->edid, EDID_SIZE);
    return OK_EDID;
}

/* ----------------------------------------------------------------- the queues -- */

/* Bytes that a command has behind its header. */
static u32 body_len(u32 type)
{
    switch (type) {
    case RESOURCE_CREATE_2D:
        return 16;
    case RESOURCE_UNREF:
    case RESOURCE_ATTACH_BACKING:
    case RESOURCE_DETACH_BACKING:
    case GET_EDID:
        return 8;
    case SET_SCANOUT:
    case RESOURCE_FLUSH:
        return 24;
    case TRANSFER_TO_HOST_2D:
    case UPDATE_CURSOR:
    case MOVE_CURSOR:
        return 32;
    default:
        return 0;
    }
}

static u32 run(struct virtio_gpu *g, u32 type, const u8 *q, const struct virtq_chain *c, u8 *reply)
{
    switch (type) {
    case GET_DISPLAY_INFO:
        return display_info(g, reply);
    case RESOURCE_CREATE_2D:
        return resource_create(g, q);
    case RESOURCE_UNREF:
        return resource_unref(g, q);
    case SET_SCANOUT:
        return set_scanout(g, q);
    case RESOURCE_FLUSH:
        return flush(g, q);
    case TRANSFER_TO_HOST_2D:
        return transfer(g, q);
    case RESOURCE_ATTACH_BACKING:
        return attach_backing(g, q, c);
    case RESOURCE_DETACH_BACKING:
        return detach_backing(g, q);
    case GET_EDID:
        return get_edid(g, q, reply);
    default:
        return ERR_UNSPEC;
    }
}

u32 vgpu_control(struct virtio_gpu *g, const struct virtq_chain *c)
{
    u8 req[REQUEST_MAX] = {0}, reply[EDID_LEN] = {0};
    size_t got = iov_get(c->iov, c->nout, 0, req, sizeof(req));
    u32 type = le32_get(req), result = ERR_UNSPEC, len = HDR;

    if (got >= HDR && got >= HDR + body_len(type))
        result = run(g, type, req + HDR, c, reply);
    if (result == OK_DISPLAY_INFO)
        len = DISPLAY_INFO_LEN;
    else if (result == OK_EDID)
        len = EDID_LEN;
    if (result >= ERR_UNSPEC)
        trace(g->vp.dev.trace, virtio, "gpu: command %03x: error %x", type, result);
    le32_put(reply, result);
    if (le32_get(req + 4) & FLAG_FENCE) {
        le32_put(reply + 4, FLAG_FENCE);
        memcpy(reply + 8, req + 8, 8); /* the fence */
        memcpy(reply + 16, req + 16, 4);
    }
    return (u32)iov_put(virtq_in(c), c->nin, 0, reply, len);
}

void vgpu_cursor(struct virtio_gpu *g, const struct virtq_chain *c)
{
    u8 req[REQUEST_MAX] = {0};
    u32 type, id;

    if (iov_get(c->iov, c->nout, 0, req, sizeof(req)) < HDR + body_len(MOVE_CURSOR))
        return;
    type = le32_get(req);
    id = le32_get(req + HDR + 16);
    if ((type != UPDATE_CURSOR && type != MOVE_CURSOR) || le32_get(req + HDR))
        return;
    vgpu_damage_cursor(g); /* where it was */
    g->cursor_x = le32_get(req + HDR + 4);
    g->cursor_y = le32_get(req + HDR + 8);
    if (type == UPDATE_CURSOR) {
        struct vgpu_resource *r = vgpu_find(g, id);

        g->cursor_on = r && r->width == VGPU_CURSOR && r->height == VGPU_CURSOR;
        if (g->cursor_on)
            memcpy(g->cursor, vgpu_pixels(g, r), sizeof(g->cursor));
    }
    vgpu_damage_cursor(g);
}
