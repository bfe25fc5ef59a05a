/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio memory balloon: the guest hands pages back to the host.  Virtio 1.1, 5.5.
 */
#ifndef WIRT_DEV_VIRTIO_BALLOON_H
#define WIRT_DEV_VIRTIO_BALLOON_H

#include "base/loop.h"
#include "dev/virtio_pci.h"

enum { VBALLOON_STATS = 10 };

struct virtio_balloon {
    struct virtio_pci vp; /* first */
    struct loop *loop;
    struct loop_job more;
    u32 num_pages;            /* what the host asks for, in 4 KiB pages */
    u32 actual;               /* what the driver says it gave */
    u64 stat[VBALLOON_STATS]; /* by tag; ~0 = not told */
    bool stats_held;          /* the driver's statistics buffer is with us */
    struct virtq_chain stats; /* that buffer */
    struct virtq_chain chain; /* scratch */
};

int virtio_balloon_init(struct virtio_balloon *v, struct pci_bus *b, unsigned devfn,
                        struct loop *l);
void virtio_balloon_destroy(struct virtio_balloon *v);
/* Asks the guest to give up this many bytes of its memory.  Takes the lock. */
void virtio_balloon_set_target(struct virtio_balloon *v, u64 bytes);
/* Asks for fresh statistics, which arrive in v->stat.  Takes the lock. */
void virtio_balloon_ask_stats(struct virtio_balloon *v);

extern const struct state_desc virtio_balloon_state;

#endif
