/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio console, one port (/dev/hvc0).  Virtio 1.1, 5.3.
 */
#ifndef WIRT_DEV_VIRTIO_CONSOLE_H
#define WIRT_DEV_VIRTIO_CONSOLE_H

#include "base/loop.h"
#include "core/backend.h"
#include "dev/virtio_pci.h"

struct virtio_console {
    struct virtio_pci vp; /* first */
    struct loop *loop;
    struct chardev *chr;
    struct loop_job more;
    u16 cols, rows;
    bool waiting;             /* the chardev holds bytes until there are buffers */
    struct virtq_chain chain; /* scratch */
};

/* Connects itself to the chardev's input; the chardev stays the caller's; NULL = nobody. */
int virtio_console_init(struct virtio_console *v, struct pci_bus *b, unsigned devfn, struct loop *l,
                        struct chardev *c);
void virtio_console_destroy(struct virtio_console *v);
/* The terminal's size changed; 0 x 0 = unknown.  Takes the lock. */
void virtio_console_resize(struct virtio_console *v, u16 cols, u16 rows);

extern const struct state_desc virtio_console_state;

#endif
