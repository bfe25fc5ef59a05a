/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio entropy device, fed by getrandom(2).  Virtio 1.1, 5.4.
 */
#ifndef WIRT_DEV_VIRTIO_RNG_H
#define WIRT_DEV_VIRTIO_RNG_H

#include "base/clock.h"
#include "dev/virtio_pci.h"

struct virtio_rng {
    struct virtio_pci vp; /* first */
    struct clock *clock;
    struct timer refill;
    u32 budget;               /* bytes that may still go out in this period */
    u64 started;              /* of this period, virtual ns */
    struct virtq_chain chain; /* scratch */
};

int virtio_rng_init(struct virtio_rng *v, struct pci_bus *b, unsigned devfn, struct clock *c);
void virtio_rng_destroy(struct virtio_rng *v);

extern const struct state_desc virtio_rng_state;

#endif
