/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI bus: configuration space of type 0 functions, BARs, expansion ROMs, INTx and MSI-X.
 * PCI Local Bus Specification 3.0, chapter 6.
 *
 * Each function's configuration space comes with two masks, bits that the guest may write and bits
 * that writing one clears; sizing a BAR needs no code beyond them.  After each write that may move
 * a window, and on reset, all windows of the bus are looked at again: first those that must go are
 * unmapped, then what should be there and is not is mapped.  So a BAR that was put on top of
 * another one (a guest that moves several, or sizes them with decoding on) appears as soon as the
 * other one has moved away.
 *
 * Left out: bridges (one bus is what the board has), MSI without X, power management.
 */
#include "dev/pci.h"

#include "base/endian.h"

#include <errno.h>
#include <string.h>

enum {
    CFG_VENDOR = 0x00,
    CFG_DEVICE = 0x02,
    CFG_COMMAND = 0x04,
    CFG_STATUS = 0x06,
    CFG_CLASS = 0x08, /* revision in the low byte */
    CFG_CACHE_LINE = 0x0c,
    CFG_LATENCY = 0x0d,
    CFG_BAR0 = 0x10,
    CFG_SUBSYSTEM = 0x2c,
    CFG_ROM = 0x30,
    CFG_CAP_PTR = 0x34,
    CFG_INT_LINE = 0x3c,
    CFG_INT_PIN = 0x3d,
    CFG_CAPS = 0x40,
};

enum {
    CMD_IO = 1 << 0,
    CMD_MEMORY = 1 << 1,
    CMD_MASTER = 1 << 2,
    CMD_PARITY = 1 << 6,
    CMD_SERR = 1 << 8,
    CMD_INTX_OFF = 1 << 10,
    STATUS_INTX = 1 << 3,
    STATUS_CAPS = 1 << 4,
    STATUS_W1C = 0xf900,
    CAP_MSIX = 0x11,
    MSIX_ENABLE = 1 << 15,
    MSIX_MASK_ALL = 1 << 14,
    MSIX_ENTRY_OFF = 1 << 0, /* vector control: masked */
    MSIX_PBA = 0x800,
};

void pci_bus_init(struct pci_bus *b, struct trace *t, struct bus *pio, struct dma dma)
{
    memset(b, 0, sizeof(*b));
    b->trace = t;
    b->pio = pio;
    b->mmio = dma.mmio;
    b->dma = dma;
    pthread_mutex_init(&b->lock, NULL);
}

int pci_dev_init(struct pci_dev *d, struct pci_bus *b, unsigned devfn, const char *name, u16 vendor,
                 u16 device, u32 class_code, u8 pin)
{
    BUG_ON(devfn >= ARRAY_SIZE(b->dev) || pin > 4);
    if (b->dev[devfn])
        return -EBUSY;
    d->name = name;
    d->bus = b;
    d->devfn = devfn;
    memset(d->config, 0, sizeof(d->config));
    memset(d->wmask, 0, sizeof(d->wmask));
    memset(d->w1cmask, 0, sizeof(d->w1cmask));
    memset(d->bar, 0, sizeof(d->bar));
    memset(&d->msix, 0, sizeof(d->msix));
    d->cap_end = CFG_CAPS;
    d->intx_level = false;
    pthread_mutex_init(&d->lock, NULL);

    le16_put(d->config + CFG_VENDOR, vendor);
    le16_put(d->config + CFG_DEVICE, device);
    le32_put(d->config + CFG_CLASS, class_code << 8);
    d->config[CFG_INT_PIN] = pin;
    le16_put(d->wmask + CFG_COMMAND,
             CMD_IO | CMD_MEMORY | CMD_MASTER | CMD_PARITY | CMD_SERR | CMD_INTX_OFF);
    le16_put(d->w1cmask + CFG_STATUS, STATUS_W1C);
    d->wmask[CFG_CACHE_LINE] = 0xff;
    d->wmask[CFG_LATENCY] = 0xf8;
    d->wmask[CFG_INT_LINE] = 0xff;
    b->dev[devfn] = d;
    return 0;
}

void pci_set_subsystem(struct pci_dev *d, u16 vendor, u16 id)
{
    le16_put(d->config + CFG_SUBSYSTEM, vendor);
    le16_put(d->config + CFG_SUBSYSTEM + 2, id);
}

static unsigned bar_offset(unsigned n)
{
    return n == PCI_ROM_BAR ? CFG_ROM : CFG_BAR0 + 4 * n;
}

static u64 window_size(u64 size, u64 least)
{
    u64 s = least;

    while (s < size)
        s <<= 1;
    return s;
}

void pci_bar_init(struct pci_dev *d, unsigned n, u8 type, struct region *r)
{
    unsigned off = bar_offset(n);
    u64 size = window_size(r->size, type & PCI_BAR_IO ? 4 : 16);

    BUG_ON(n >= PCI_ROM_BAR || d->bar[n].region || size > 1ull << 40);
    BUG_ON(size > 0x80000000u && !(type & PCI_BAR_MEM64));
    d->bar[n] = (struct pci_bar){.region = r, .type = type, .size = size};
    d->config[off] = type;
    le32_put(d->wmask + off, (u32) ~(size - 1));
    if (type & PCI_BAR_MEM64) {
        BUG_ON(n + 1 >= PCI_ROM_BAR || d->bar[n + 1].region);
        le32_put(d->wmask + off + 4, (u32)(~(size - 1) >> 32));
    }
}

void pci_rom_init(struct pci_dev *d, struct region *r)
{
    u64 size = window_size(r->size, 2048);

    BUG_ON(d->bar[PCI_ROM_BAR].region || size > 16 * MIB);
    d->bar[PCI_ROM_BAR] = (struct pci_bar){.region = r, .type = PCI_BAR_MEM, .size = size};
    le32_put(d->wmask + CFG_ROM, (u32) ~(size - 1) | 1);
}

u8 pci_add_cap(struct pci_dev *d, u8 id, unsigned len)
{
    unsigned off = align_up(d->cap_end, 4);

    BUG_ON(len < 2 || off + len > PCI_CONFIG_SIZE - 4);
    d->config[off] = id;
    d->config[off + 1] = d->config[CFG_CAP_PTR];
    d->config[CFG_CAP_PTR] = off;
    d->config[CFG_STATUS] |= STATUS_CAPS;
    d->cap_end = off + len;
    return off;
}

/* ---------------------------------------------------------------- windows -- */

/* Where BAR n wants to be; false = nowhere.  Zero, and the all-ones of sizing, are no addresses. */
static bool bar_address(const struct pci_dev *d, unsigned n, u64 *addr)
{
    const struct pci_bar *bar = &d->bar[n];
    unsigned off = bar_offset(n);
    u32 cmd = le16_get(d->config + CFG_COMMAND);
    u64 mask = ~(bar->size - 1);
    u64 v = le32_get(d->config + off);

    if (d->absent || !(cmd & (bar->type & PCI_BAR_IO ? CMD_IO : CMD_MEMORY)))
        return false;
    if (n == PCI_ROM_BAR && !(v & 1))
        return false;
    if (bar->type & PCI_BAR_MEM64)
        v |= (u64)le32_get(d->config + off + 4) << 32;
    else
        mask = (u32)mask;
    *addr = v & mask;
    return *addr && *addr != mask;
}

/* With the bus's lock held. */
static void update_windows(struct pci_bus *b)
{
    for (unsigned map = 0; map < 2; map++)
        for (unsigned i = 0; i < ARRAY_SIZE(b->dev); i++) {
            struct pci_dev *d = b->dev[i];
            for (unsigned n = 0; d && n < PCI_BARS; n++) {
                struct region *r = d->bar[n].region;
                struct bus *bus = d->bar[n].type & PCI_BAR_IO ? b->pio : b->mmio;
                u64 addr = 0;
                if (!r)
                    continue;
                bool want = bar_address(d, n, &addr);
                if (!map && r->mapped && (!want || r->base != addr)) {
                    bus_unmap(bus, r);
                } else if (map && want && !r->mapped) {
                    int e = bus_map(bus, r, addr);
                    trace(b->trace, pci, "%s: BAR %u at %#llx%s", d->name, n,
                          (unsigned long long)addr, e ? ": not possible" : "");
                }
            }
        }
}

/* ------------------------------------------------------------- interrupts -- */

/* What the bus sees of INTx, after the device or the command register changed. */
static void update_intx(struct pci_dev *d)
{
    bool level = (d->config[CFG_STATUS] & STATUS_INTX) &&
                 !(le16_get(d->config + CFG_COMMAND) & CMD_INTX_OFF);

    if (level == d->intx_level || !d->config[CFG_INT_PIN])
        return;
    d->intx_level = level;
    if (d->bus->intx)
        d->bus->intx(d->bus->opaque, d->devfn, d->config[CFG_INT_PIN] - 1, level);
}

void pci_set_intx(struct pci_dev *d, bool level)
{
    d->config[CFG_STATUS] &= ~STATUS_INTX;
    if (level)
        d->config[CFG_STATUS] |= STATUS_INTX;
    update_intx(d);
}

static u16 msix_ctrl(const struct pci_dev *d)
{
    return d->msix.cap ? le16_get(d->config + d->msix.cap + 2) : 0;
}

bool pci_msix_enabled(const struct pci_dev *d)
{
    return msix_ctrl(d) & MSIX_ENABLE;
}

void pci_msix_fire(struct pci_dev *d, unsigned vector)
{
    struct pci_msix_entry *e = &d->msix.entry[vector % PCI_MSIX_MAX];

    if (vector >= d->msix.vectors || !pci_msix_enabled(d))
        return;
    if ((msix_ctrl(d) & MSIX_MASK_ALL) || (e->ctrl & MSIX_ENTRY_OFF)) {
        d->msix.pending |= BIT64(vector);
        return;
    }
    d->msix.pending &= ~BIT64(vector);
    msi_send(&d->bus->msi, e->addr, e->data);
}

/* Sends what waited for a mask that is gone. */
static void msix_send_pending(struct pci_dev *d)
{
    u64 pending = d->msix.pending;

    while (pending) {
        unsigned v = __builtin_ctzll(pending);
        pending &= pending - 1;
        pci_msix_fire(d, v);
    }
}

static u64 msix_read(void *opaque, u64 off, unsigned size)
{
    struct pci_dev *d = opaque;
    u8 buf[4] = {0};

    if (off < d->msix.vectors * sizeof(d->msix.entry[0]))
        memcpy(buf, (u8 *)d->msix.entry + off, 4);
    else if (off >= MSIX_PBA && off < MSIX_PBA + 8)
        memcpy(buf, (u8 *)&d->msix.pending + (off - MSIX_PBA), 4);
    return le32_get(buf);
}

static void msix_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct pci_dev *d = opaque;

    if (off >= d->msix.vectors * sizeof(d->msix.entry[0]))
        return;
    le32_put((u8 *)d->msix.entry + off, val);
    msix_send_pending(d);
}

static const struct region_ops msix_ops = {
    .read = msix_read,
    .write = msix_write,
    .min_width = 4,
    .max_width = 4,
    .aligned = true,
};

void pci_msix_init(struct pci_dev *d, unsigned vectors, unsigned bar)
{
    u8 cap = pci_add_cap(d, CAP_MSIX, 12);

    BUG_ON(!vectors || vectors > PCI_MSIX_MAX);
    d->msix.cap = cap;
    d->msix.vectors = vectors;
    d->msix.table = (struct region){
        .name = "msix", .size = 0x1000, .ops = &msix_ops, .opaque = d, .lock = &d->lock};
    le16_put(d->config + cap + 2, vectors - 1);
    le32_put(d->config + cap + 4, bar);
    le32_put(d->config + cap + 8, MSIX_PBA | bar);
    le16_put(d->wmask + cap + 2, MSIX_ENABLE | MSIX_MASK_ALL);
    for (unsigned i = 0; i < vectors; i++)
        d->msix.entry[i].ctrl = MSIX_ENTRY_OFF;
    pci_bar_init(d, bar, PCI_BAR_MEM, &d->msix.table);
}

/* ------------------------------------------------------------------ reset -- */

void pci_dev_reset(struct pci_dev *d)
{
    pthread_mutex_lock(&d->lock);
    pthread_mutex_lock(&d->bus->lock);
    d->absent = false;
    le16_put(d->config + CFG_COMMAND, 0);
    d->config[CFG_STATUS] &= ~STATUS_INTX;
    d->config[CFG_STATUS + 1] &= ~(STATUS_W1C >> 8);
    d->config[CFG_CACHE_LINE] = 0;
    d->config[CFG_LATENCY] = 0;
    d->config[CFG_INT_LINE] = 0;
    for (unsigned i = CFG_BAR0; i < CFG_BAR0 + 24; i++)
        d->config[i] &= ~d->wmask[i];
    for (unsigned i = CFG_ROM; i < CFG_ROM + 4; i++)
        d->config[i] &= ~d->wmask[i];
    if (d->msix.cap)
        le16_put(d->config + d->msix.cap + 2, d->msix.vectors - 1);
    memset(d->msix.entry, 0, sizeof(d->msix.entry));
    for (unsigned i = 0; i < d->msix.vectors; i++)
        d->msix.entry[i].ctrl = MSIX_ENTRY_OFF;
    d->msix.pending = 0;
    update_windows(d->bus);
    pthread_mutex_unlock(&d->bus->lock);
    update_intx(d);
    pthread_mutex_unlock(&d->lock);
}

void pci_unplug(struct pci_dev *d)
{
    pci_dev_reset(d);
    if (d->reset)
        d->reset(d);
    pthread_mutex_lock(&d->lock);
    d->absent = true;
    pthread_mutex_unlock(&d->lock);
}

void pci_bus_reset(struct pci_bus *b)
{
    for (unsigned i = 0; i < ARRAY_SIZE(b->dev); i++) {
        if (!b->dev[i])
            continue;
        pci_dev_reset(b->dev[i]);
        if (b->dev[i]->reset)
            b->dev[i]->reset(b->dev[i]);
    }
}

/* -------------------------------------------------------------------- DMA -- */

bool pci_bus_master(const struct pci_dev *d)
{
    return d->config[CFG_COMMAND] & CMD_MASTER;
}

bool pci_dma_read(struct pci_dev *d, u64 gpa, void *buf, u64 len)
{
    return pci_bus_master(d) && mem_read(&d->bus->dma, gpa, buf, len);
}

bool pci_dma_write(struct pci_dev *d, u64 gpa, const void *buf, u64 len)
{
    return pci_bus_master(d) && mem_write(&d->bus->dma, gpa, buf, len);
}

/* ---------------------------------------------------- configuration space -- */

static u32 ones(unsigned size)
{
    return size >= 4 ? UINT32_MAX : BIT(8 * size) - 1;
}

u32 pci_config_read(struct pci_bus *b, unsigned devfn, unsigned off, unsigned size)
{
    struct pci_dev *d = devfn < ARRAY_SIZE(b->dev) ? b->dev[devfn] : NULL;
    u32 v = 0;

    if (!d || d->absent || off + size > PCI_CONFIG_SIZE)
        return ones(size);
    pthread_mutex_lock(&d->lock);
    if (d->config_reading)
        d->config_reading(d, off, size);
    for (unsigned i = 0; i < size; i++)
        v |= (u32)d->config[off + i] << (8 * i);
    pthread_mutex_unlock(&d->lock);
    trace(b->trace, pci, "%s: read %02x/%u = %x", d->name, off, size, v);
    return v;
}

static bool touches(unsigned off, unsigned size, unsigned reg, unsigned len)
{
    return off < reg + len && reg < off + size;
}

void pci_config_write(struct pci_bus *b, unsigned devfn, unsigned off, unsigned size, u32 v)
{
    struct pci_dev *d = devfn < ARRAY_SIZE(b->dev) ? b->dev[devfn] : NULL;

    if (!d || d->absent || off + size > PCI_CONFIG_SIZE)
        return;
    trace(b->trace, pci, "%s: write %02x/%u = %x", d->name, off, size, v);
    pthread_mutex_lock(&d->lock);
    pthread_mutex_lock(&b->lock);
    for (unsigned i = 0; i < size; i++) {
        u8 *c = &d->config[off + i];
        u8 mask = d->wmask[off + i];
        u8 val = v >> (8 * i);
        *c = (*c & ~mask) | (val & mask);
        *c &= ~(val & d->w1cmask[off + i]);
    }
    if (touches(off, size, CFG_COMMAND, 2) || touches(off, size, CFG_BAR0, 24) ||
        touches(off, size, CFG_ROM, 4))
        update_windows(b);
    pthread_mutex_unlock(&b->lock);
    if (touches(off, size, CFG_COMMAND, 2))
        update_intx(d);
    if (d->msix.cap && touches(off, size, d->msix.cap + 2, 2))
        msix_send_pending(d);
    if (d->config_written)
        d->config_written(d, off, size);
    pthread_mutex_unlock(&d->lock);
}

/* ------------------------------------------------------------------ state -- */

static const struct field pci_dev_fields[] = {
    FIELD_BYTES(struct pci_dev, config),
    FIELD_BYTES(struct pci_dev, msix.entry),
    FIELD(struct pci_dev, msix.pending),
    FIELD_MAX(struct pci_dev, intx_level, 1),
};

static int pci_dev_loaded(void *obj, struct err *e)
{
    struct pci_dev *d = obj;

    pthread_mutex_lock(&d->bus->lock);
    update_windows(d->bus);
    pthread_mutex_unlock(&d->bus->lock);
    return 0;
}

const struct state_desc pci_dev_state = {
    .name = "pci_dev",
    .version = 1,
    .fields = pci_dev_fields,
    .nfields = ARRAY_SIZE(pci_dev_fields),
    .loaded = pci_dev_loaded,
};
