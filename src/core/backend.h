/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Back ends: what stands behind a disk controller, a network card, a serial port, a screen.
 * Front ends (src/dev) hold a pointer to one; src/disk, src/net and src/ui implement them.
 */
#ifndef WIRT_CORE_BACKEND_H
#define WIRT_CORE_BACKEND_H

#include "base/err.h"
#include "base/types.h"

#include <sys/uio.h>

/* ------------------------------------------------------------------ disk -- */

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES };

/* One request; lives in its owner until done() is called. */
struct blk_req {
    enum blk_op op;
    u64 offset; /* bytes; a multiple of 512 */
    u64 len;    /* bytes; for read and write the sum of iov */
    const struct iovec *iov;
    int niov;
    bool fua;        /* a write that is on the disk when done */
    bool may_inline; /* done() may be called inside blk_submit() when the data was at hand */
    /* Called once, on an I/O thread or, for requests that fail at once (and with may_inline),
     * inside blk_submit().  result: 0 or -errno. */
    void (*done)(struct blk_req *r, int result);
    void *opaque;
    bool unmap;           /* write-zeroes that may give the space back */
    struct blk_req *next; /* the back end's own while under way */
};

struct blk {
    const struct blk_ops *ops;
    u64 size;       /* bytes */
    u32 block_size; /* what the image advises as physical block, 512 or 4096 */
    u32 sector;     /* what the guest's system counts in (requests do not): 512 or 4096, 0 = 512 */
    bool readonly;
    char path[256]; /* for messages */
};

enum blk_snapshot {
    BLK_SNAPSHOT_TAKE,  /* keeps what the disk holds now */
    BLK_SNAPSHOT_CHECK, /* is there one? */
    BLK_SNAPSHOT_APPLY, /* the disk holds again what it held then */
    BLK_SNAPSHOT_DROP,  /* forgets it */
};

struct blk_ops {
    /* Never blocks.  Requests may complete in any order; a flush covers writes that were done
     * before it was submitted.  Out-of-range requests complete with -EINVAL. */
    void (*submit)(struct blk *b, struct blk_req *r);
    /* Waits for requests under way, flushes, frees. */
    void (*close)(struct blk *b);
    /* Snapshots named `tag`; `copy` is the file for disks that have to be copied.  No request is
     * under way, and none comes until it returns; waits for the host's disk.  NULL: there are none.
     * -errno with one line. */
    int (*snapshot)(struct blk *b, enum blk_snapshot what, const char *tag, const char *copy,
                    struct err *e);
};

/* --------------------------------------------------------------- network -- */

enum { NIC_FRAME_MAX = 65550 + 18 };

/* Offload that came with a frame: the fields of struct virtio_net_hdr (virtio 1.1, 5.1.6). */
struct nic_offload {
    u8 flags;    /* 1 = checksum needed at csum_start+csum_offset */
    u8 gso_type; /* 0 none, 1 TCPv4, 3 UDP, 4 TCPv6, 0x80 ECN */
    u16 hdr_len, gso_size, csum_start, csum_offset;
};

/* The card's side: a frame arrives.  On the loop's thread.  False = no buffer now; the back end
 * keeps it and calls again after nic_backend.ops->ready(). */
struct nic_frontend {
    bool (*receive)(void *opaque, const struct iovec *iov, int niov, const struct nic_offload *o);
    void *opaque;
    bool offload; /* takes frames with offload (else they come whole and cut) */
};

struct nic_backend {
    const struct nic_backend_ops *ops;
    struct nic_frontend *front;
};

struct nic_backend_ops {
    /* A frame leaves the card; from any thread; copied before it returns.  o may be NULL. */
    void (*send)(struct nic_backend *b, const struct iovec *iov, int niov,
                 const struct nic_offload *o);
    /* The card has buffers again.  From any thread. */
    void (*ready)(struct nic_backend *b);
    void (*close)(struct nic_backend *b);
    /*
     * For a machine that is saved: hands on what the card has sent, then gives what is to be kept,
     * malloc'ed (frames on their way to the card, say); and back, into one that was just opened.
     * -ENOMEM; -EINVAL for bytes that it cannot have given.  On the loop's thread while no vCPU
     * runs.  NULL: there is nothing to keep.
     */
    int (*save)(struct nic_backend *b, u8 **data, size_t *len);
    int (*load)(struct nic_backend *b, const u8 *data, size_t len);
};

/* ------------------------------------------------------------- character -- */

/* A byte stream, as a serial port or a virtio console has. */
struct chardev {
    const struct chardev_ops *ops;
    /* The device's: takes bytes on the loop's thread, returns how many it took; the rest comes
     * again after ops->ready(). */
    size_t (*input)(void *opaque, const u8 *buf, size_t len);
    void *opaque;
};

struct chardev_ops {
    /* From any thread; never blocks the vCPU for long: bytes that cannot go out are kept up to a
     * bound, then dropped. */
    void (*write)(struct chardev *c, const u8 *buf, size_t len);
    void (*ready)(struct chardev *c); /* may be NULL */
    void (*close)(struct chardev *c);
};

/* --------------------------------------------------------------- display -- */

/* What a video device shows: 32 bits a pixel, 0x00RRGGBB. */
struct surface {
    u32 width, height;
    u32 stride; /* in pixels */
    u32 *pixels;
};

struct display;

/* A video device's side of struct display (core/display.h). */
struct display_source {
    /* Draws what changed since the last call by display_size() and display_put(), or everything if
     * `all` or after display_size() said so.  Any thread; takes the device's lock.  NULL: nothing
     * is ever shown. */
    void (*update)(void *opaque, struct display *d, bool all);
    /* Text mode: rows of UTF-8 lines, malloc'ed; NULL in graphics modes; any thread.  May be
     * NULL. */
    char *(*text)(void *opaque);
    /* A viewer would like this size; any thread.  NULL: the device cannot tell the guest. */
    void (*wish)(void *opaque, u32 width, u32 height);
    void *opaque;
};

enum { INPUT_ABS_MAX = 32767 };

/* Bits of a pointer's buttons. */
enum {
    INPUT_LEFT = 1 << 0,
    INPUT_RIGHT = 1 << 1,
    INPUT_MIDDLE = 1 << 2,
    INPUT_SIDE = 1 << 3,  /* "back" */
    INPUT_EXTRA = 1 << 4, /* "forward" */
};

/* Keyboard and pointer events to a device; from any thread, no device lock held.  A device that
 * lacks something has NULL there. */
struct input_sink {
    void (*key)(void *opaque, unsigned linux_keycode, bool down); /* <linux/input-event-codes.h> */
    /* Relative: dx to the right, dy down, dz wheel steps towards the user. */
    void (*mouse)(void *opaque, int dx, int dy, int dz, unsigned buttons);
    /* Absolute: 0 to INPUT_ABS_MAX on both axes, left to right and top to bottom. */
    void (*pointer)(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons);
    /* Is there a guest driver that listens to pointer()?  NULL = yes if there is pointer(). */
    bool (*has_pointer)(void *opaque);
    void *opaque;
};

#endif
