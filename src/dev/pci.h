/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI bus and what every PCI function has: configuration space with write masks, BARs that the
 * guest may move, INTx, MSI-X.  PCI Local Bus 3.0, chapter 6.
 */
#ifndef WIRT_DEV_PCI_H
#define WIRT_DEV_PCI_H

#include "core/bus.h"
#include "core/irq.h"
#include "core/mem.h"
#include "core/state.h"

enum { PCI_CONFIG_SIZE = 256, PCI_BARS = 7, PCI_ROM_BAR = 6, PCI_MSIX_MAX = 64 };

enum { PCI_BAR_MEM = 0, PCI_BAR_IO = 1, PCI_BAR_MEM64 = 4, PCI_BAR_PREFETCH = 8 };

struct pci_bus;

struct pci_bar {
    struct region *region; /* NULL = the function has no such BAR */
    u8 type;               /* PCI_BAR_* */
    u64 size;              /* a power of two, >= region->size */
};

struct pci_msix {
    u8 cap; /* offset of the capability, 0 = none */
    unsigned vectors;
    struct region table; /* table and pending bits; the device puts it at bar */
    struct pci_msix_entry {
        u64 addr;
        u32 data, ctrl;
    } entry[PCI_MSIX_MAX];
    u64 pending;
};

/* A function; first member of its device. */
struct pci_dev {
    const char *name;
    struct pci_bus *bus;
    u8 devfn;
    u8 config[PCI_CONFIG_SIZE];
    u8 wmask[PCI_CONFIG_SIZE];   /* bits that the guest may write */
    u8 w1cmask[PCI_CONFIG_SIZE]; /* bits that writing 1 clears */
    struct pci_bar bar[PCI_BARS];
    struct pci_msix msix;
    u8 cap_end; /* where the next capability goes */
    bool intx_level;
    bool absent; /* pci_unplug() */
    /* Told before a configuration read, to bring config[] up to date, with the device's lock held;
     * may be NULL. */
    void (*config_reading)(struct pci_dev *d, unsigned off, unsigned size);
    /* Told after a configuration write, with the device's lock held; may be NULL. */
    void (*config_written)(struct pci_dev *d, unsigned off, unsigned size);
    pthread_mutex_t lock; /* the device's lock */
    void (*reset)(struct pci_dev *d);
};

/* intx(opaque, devfn, pin 0-3, level): the chipset's interrupt router, pins not yet swizzled. */
struct pci_bus {
    struct trace *trace;
    struct bus *pio, *mmio;
    struct dma dma;
    struct msi_sink msi;
    void (*intx)(void *opaque, unsigned devfn, unsigned pin, bool level);
    void *opaque;
    struct pci_dev *dev[256]; /* by devfn */
    pthread_mutex_t lock;     /* BAR mapping; order: after device locks */
};

void pci_bus_init(struct pci_bus *b, struct trace *t, struct bus *pio, struct dma dma);

/* IDs, class (24 bits: class, subclass, prog-if), header type 0, interrupt pin (0 = none, 1 = A);
 * puts the function at devfn.  -EBUSY when the place is taken. */
int pci_dev_init(struct pci_dev *d, struct pci_bus *b, unsigned devfn, const char *name, u16 vendor,
                 u16 device, u32 class_code, u8 pin);
void pci_set_subsystem(struct pci_dev *d, u16 vendor, u16 id);
/* size is rounded up to a power of two (ports: at least 4, memory: at least 16). */
void pci_bar_init(struct pci_dev *d, unsigned n, u8 type, struct region *r);
/* Expansion ROM, mapped when its enable bit and memory decode are set. */
void pci_rom_init(struct pci_dev *d, struct region *r);
/* Adds a capability of len bytes (with its 2-byte header); returns its offset. */
u8 pci_add_cap(struct pci_dev *d, u8 id, unsigned len);
/* MSI-X with `vectors` entries; table at offset 0 of BAR n, pending bits at 0x800. */
void pci_msix_init(struct pci_dev *d, unsigned vectors, unsigned bar);

/* Reset of the configuration space: command, BARs, MSI-X; the device resets the rest.  Takes the
 * device's lock: a request may come to its end meanwhile on another thread. */
void pci_dev_reset(struct pci_dev *d);
void pci_bus_reset(struct pci_bus *b); /* every function: pci_dev_reset() and d->reset() */

/* The function is reset and gone from the bus until the next reset of it.  No lock is held. */
void pci_unplug(struct pci_dev *d);

/* With the device's lock held. */
void pci_set_intx(struct pci_dev *d, bool level);
bool pci_msix_enabled(const struct pci_dev *d);
void pci_msix_fire(struct pci_dev *d, unsigned vector);
bool pci_bus_master(const struct pci_dev *d);

/* DMA, refused (false) unless bus mastering is on. */
bool pci_dma_read(struct pci_dev *d, u64 gpa, void *buf, u64 len);
bool pci_dma_write(struct pci_dev *d, u64 gpa, const void *buf, u64 len);

/* Configuration mechanism 1 uses these; ports 0xcf8/0xcfc themselves are the host bridge's.
 * size 1, 2 or 4 inside one dword. */
u32 pci_config_read(struct pci_bus *b, unsigned devfn, unsigned off, unsigned size);
void pci_config_write(struct pci_bus *b, unsigned devfn, unsigned off, unsigned size, u32 v);

extern const struct state_desc pci_dev_state; /* of struct pci_dev */

#endif
