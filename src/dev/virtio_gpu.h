/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio GPU, 2D, with one scanout, on a VGA: until its driver shows something of its own the
 * screen is the VGA's.  Virtio 1.1, 5.7 (device), 5.7.7 (VGA compatibility).
 */
#ifndef WIRT_DEV_VIRTIO_GPU_H
#define WIRT_DEV_VIRTIO_GPU_H

#include "dev/vga.h"
#include "dev/virtio_pci.h"

enum {
    VGPU_RESOURCES = 256,
    VGPU_POOL = 64 << 20, /* bytes for pixels and lists of pages */
    VGPU_SIZE_MAX = 8192, /* pixels, either way */
    VGPU_PAGES_MAX = 32768,
    VGPU_CURSOR = 64, /* pixels, either way */
};

struct vgpu_rect {
    u32 x, y, w, h;
};

/* A picture of the driver's.  Pixels (0xAARRGGBB) and the list of its pages in guest memory lie in
 * the pool: at byte offsets that are multiples of 4 KiB. */
struct vgpu_resource {
    u32 id; /* 0 = free */
    u32 format, width, height;
    u32 pixels_at, pixels_len;
    u32 pages_at, npages; /* struct vgpu_page each; npages 0 = no backing */
};

struct vgpu_page {
    u64 gpa;
    u32 len, pad;
};

struct virtio_gpu {
    struct virtio_pci vp; /* first; its lock guards all of this */
    struct vga vga;
    struct region rom;
    struct mem *mem;
    u8 *pool;

    u32 events;             /* of configuration space */
    u32 want_w, want_h;     /* the size that the user would like */
    u8 edid[EDID_SIZE];     /* that says so */
    u32 scanout;            /* resource id, 0 = off: the VGA's picture */
    struct vgpu_rect shown; /* of that resource */
    u32 cursor_on, cursor_x, cursor_y;
    u32 cursor[VGPU_CURSOR * VGPU_CURSOR];
    struct vgpu_resource res[VGPU_RESOURCES];

    bool redraw;
    u32 (*dirty)[2]; /* of each line of the scanout: first and one past last column */
    u32 *line;       /* scratch */
    struct virtq_chain chain;

    struct display_source display;
};

/* rom: the VGA BIOS.  width and height: preferred size, 0 = 1280x800.  -errno. */
int virtio_gpu_init(struct virtio_gpu *g, struct pci_bus *b, unsigned devfn, struct mem *m,
                    struct clock *c, const void *rom, u64 rom_size, u32 width, u32 height);
void virtio_gpu_destroy(struct virtio_gpu *g); /* also of one that is all zero */

/* Beside those of PCI, virtio and the VGA. */
extern const struct state_desc virtio_gpu_state;

/* ---- between virtio_gpu*.c, with the lock held ---- */

struct vgpu_resource *vgpu_find(struct virtio_gpu *g, u32 id);
bool vgpu_format_ok(u32 id);
static inline u32 *vgpu_pixels(const struct virtio_gpu *g, const struct vgpu_resource *r)
{
    return (u32 *)(void *)(g->pool + r->pixels_at);
}
/* virtio_gpu_cmd.c: carries out what is in the chain; the length of the reply. */
u32 vgpu_control(struct virtio_gpu *g, const struct virtq_chain *c);
void vgpu_cursor(struct virtio_gpu *g, const struct virtq_chain *c);
/* virtio_gpu.c: a part of the scanout (in its own coordinates) has to be drawn. */
void vgpu_damage(struct virtio_gpu *g, struct vgpu_rect r);
void vgpu_damage_cursor(struct virtio_gpu *g);

#endif
