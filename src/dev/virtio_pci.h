/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio over PCI: a transitional function (legacy registers in I/O BAR 0 and the modern structures
 * in memory BAR 4, MSI-X in BAR 1), or a modern one without BAR 0.  Virtio 1.1, 4.1.
 */
#ifndef WIRT_DEV_VIRTIO_PCI_H
#define WIRT_DEV_VIRTIO_PCI_H

#include "dev/pci.h"
#include "dev/virtio.h"

struct loop;
struct virtio_bells;

enum { VIRTIO_PCI_CONFIG_MAX = 256 };
/* Where notifications go: in BAR 0, the queue's number as the value; in BAR 4, a place a queue. */
enum { VIRTIO_PCI_LEGACY_NOTIFY = 16, VIRTIO_PCI_NOTIFY = 0x3000, VIRTIO_PCI_NOTIFY_STEP = 4 };

/* First member of every virtio device on PCI. */
struct virtio_pci {
    struct pci_dev pci;
    struct virtio_dev dev;
    struct region legacy, modern;
    bool modern_only;
    u8 cfg_cap; /* PCI configuration access capability */
    /* Registers of the common configuration. */
    u32 host_feature_sel, guest_feature_sel;
    u16 queue_sel;
    u64 guest_features;         /* as written, not yet accepted */
    struct virtio_bells *bells; /* NULL = notifications come as writes to the regions alone */
};

struct virtio_pci_info {
    const char *name;
    u16 id;         /* VIRTIO_ID_* */
    u32 class_code; /* 24 bits */
    u16 config_len;
    u16 nqueues;
    u16 queue_size;
    u64 features; /* the device's own; the transport adds its bits */
    const struct virtio_ops *ops;
    bool modern_only;
};

/* The driver says that it put buffers into queue n; what it says may be wrong.  Lock held. */
void virtio_pci_notify(struct virtio_pci *p, unsigned n);

/* Puts the function on the bus.  -EBUSY when devfn is taken. */
int virtio_pci_init(struct virtio_pci *p, struct pci_bus *b, unsigned devfn,
                    const struct virtio_pci_info *info);

/* Takes notifications also by eventfds, on the loop's thread, for engines with doorbells.  Before
 * the function's BARs are mapped.  -errno. */
int virtio_pci_add_bells(struct virtio_pci *p, struct loop *l, struct err *e);
void virtio_pci_free_bells(struct virtio_pci *p);

/* pci_dev.reset of such a function, for devices that hang more into it.  Takes the lock. */
void virtio_pci_reset(struct pci_dev *pci);

static inline struct virtio_pci *virtio_pci_of(struct virtio_dev *d)
{
    return container_of(d, struct virtio_pci, dev);
}

extern const struct state_desc virtio_pci_state; /* of struct virtio_pci */

#endif
