/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio over PCI.  Virtio 1.1, 4.1; the legacy registers are 4.1.4.8.
 *
 * BAR 0 (ports)   legacy registers and device configuration, absent when modern only
 * BAR 1 (memory)  MSI-X table
 * BAR 4 (memory)  0x0000 common, 0x1000 ISR, 0x2000 device configuration, 0x3000 notifications
 *
 * Until it learns otherwise a legacy driver is assumed; a modern one says so by setting
 * FEATURES_OK with VERSION_1.
 */
#include "dev/virtio_pci.h"

#include "base/endian.h"

#include <string.h>

enum { VIRTIO_VENDOR = 0x1af4 };
enum { BAR_LEGACY = 0, BAR_MSIX = 1, BAR_MODERN = 4 };
enum {
    OFF_COMMON = 0,
    OFF_ISR = 0x1000,
    OFF_DEVICE = 0x2000,
    OFF_NOTIFY = VIRTIO_PCI_NOTIFY,
    LEN = 0x4000
};
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI_CFG };

static struct virtq *selected(struct virtio_pci *p)
{
    return p->queue_sel < p->dev.nqueues ? &p->dev.queue[p->queue_sel] : NULL;
}

static u16 checked_vector(const struct virtio_pci *p, u32 v)
{
    return v < p->pci.msix.vectors ? (u16)v : VIRTIO_NO_VECTOR;
}

static void raise_interrupt(struct virtio_dev *d, u16 vector)
{
    struct virtio_pci *p = virtio_pci_of(d);

    if (pci_msix_enabled(&p->pci)) {
        if (vector != VIRTIO_NO_VECTOR)
            pci_msix_fire(&p->pci, vector);
    } else {
        pci_set_intx(&p->pci, true);
    }
}

static u8 read_isr(struct virtio_pci *p)
{
    u8 isr = p->dev.isr;

    p->dev.isr = 0;
    pci_set_intx(&p->pci, false);
    return isr;
}

void virtio_pci_notify(struct virtio_pci *p, unsigned n)
{
    struct virtio_dev *d = &p->dev;

    if (n < d->nqueues && d->queue[n].enabled && !d->queue[n].broken && virtio_ready(d))
        d->ops->notify(d, n);
}

/* Registers of the transport; the device's part is virtio_reset(). */
static void transport_reset(struct virtio_pci *p)
{
    p->host_feature_sel = p->guest_feature_sel = 0;
    p->queue_sel = 0;
    p->guest_features = 0;
    pci_set_intx(&p->pci, false);
}

static void write_status(struct virtio_pci *p, u8 v, bool legacy)
{
    struct virtio_dev *d = &p->dev;

    if (!legacy && v & VIRTIO_S_FEATURES_OK && !(d->status & VIRTIO_S_FEATURES_OK)) {
        u64 want = p->guest_features;

        /* 6.1: refused features, or a driver that is not of version 1 at these registers. */
        if (want & ~(d->host_features & ~VIRTIO_F_ANY_LAYOUT) || !(want & VIRTIO_F_VERSION_1))
            v &= (u8)~VIRTIO_S_FEATURES_OK;
        else
            d->features = want;
    }
    if (legacy && v & VIRTIO_S_DRIVER_OK && !d->bus_master) {
        /* Linux before 2.6.34 does not switch bus mastering on. */
        p->pci.config[4] |= 4;
        d->bus_master = true;
    }
    virtio_set_status(d, v);
    if (!v)
        transport_reset(p);
}

static u32 device_config_read(struct virtio_dev *d, u64 off, unsigned size)
{
    if (!range_within(off, size, 0, d->config_len))
        return 0;
    return d->ops->config_read(d, (unsigned)off, size);
}

static void device_config_write(struct virtio_dev *d, u64 off, unsigned size, u32 v)
{
    if (range_within(off, size, 0, d->config_len) && d->ops->config_write)
        d->ops->config_write(d, (unsigned)off, size, v);
}

/* ---------------------------------------------------------------- legacy -- */

static u32 queue_pfn(struct virtio_pci *p)
{
    struct virtq *q = selected(p);

    return q && q->enabled ? (u32)(q->desc >> PAGE_SHIFT) : 0;
}

static void set_queue_pfn(struct virtio_pci *p, u32 pfn)
{
    struct virtq *q = selected(p);

    if (!q || !q->size_max)
        return;
    if (!pfn) {
        if (q->enabled) {
            virtio_reset(&p->dev);
            transport_reset(p);
        }
        return;
    }
    q->desc = (u64)pfn << PAGE_SHIFT;
    q->avail = q->desc + 16 * (u64)q->size;
    q->used = align_up(q->avail + 4 + 2 * (u64)q->size + 2, PAGE_SIZE);
    q->enabled = true;
}

/* Where the device's configuration starts: behind two more registers when MSI-X is on. */
static unsigned legacy_config(const struct virtio_pci *p)
{
    return pci_msix_enabled(&p->pci) ? 24 : 20;
}

static u64 legacy_read(void *opaque, u64 off, unsigned size)
{
    struct virtio_pci *p = opaque;
    struct virtq *q = selected(p);

    if (off >= legacy_config(p))
        return device_config_read(&p->dev, off - legacy_config(p), size);
    switch (off) {
    case 0:
        return (u32)(p->dev.host_features & ~VIRTIO_F_VERSION_1);
    case 4:
        return (u32)p->dev.features;
    case 8:
        return queue_pfn(p);
    case 12:
        return q ? q->size_max : 0;
    case 14:
        return p->queue_sel;
    case 18:
        return p->dev.status;
    case 19:
        return read_isr(p);
    case 20:
        return p->dev.config_vector;
    case 22:
        return q ? q->vector : VIRTIO_NO_VECTOR;
    }
    return 0;
}

static void legacy_write(void *opaque, u64 off, unsigned size, u64 v)
{
    struct virtio_pci *p = opaque;
    struct virtq *q = selected(p);

    if (off >= legacy_config(p)) {
        device_config_write(&p->dev, off - legacy_config(p), size, (u32)v);
        return;
    }
    if (p->dev.resetting)
        return;
    switch (off) {
    case 4:
        p->dev.features = v & p->dev.host_features & UINT32_MAX;
        break;
    case 8:
        set_queue_pfn(p, (u32)v);
        break;
    case 14:
        p->queue_sel = (u16)v;
        break;
    case VIRTIO_PCI_LEGACY_NOTIFY:
        virtio_pci_notify(p, (u16)v);
        break;
    case 18:
        write_status(p, (u8)v, true);
        break;
    case 20:
        p->dev.config_vector = checked_vector(p, (u16)v);
        break;
    case 22:
        if (q)
            q->vector = checked_vector(p, (u16)v);
        break;
    }
}

/* ---------------------------------------------------------------- modern -- */

/* The common configuration, dword by dword (4.1.4.3). */
static u32 common_dword(struct virtio_pci *p, unsigned off)
{
    static const struct virtq none = {.vector = VIRTIO_NO_VECTOR};
    struct virtio_dev *d = &p->dev;
    const struct virtq *q = selected(p) ? selected(p) : &none;
    u64 features = d->host_features & ~VIRTIO_F_ANY_LAYOUT;

    switch (off) {
    case 0:
        return p->host_feature_sel;
    case 4:
        return p->host_feature_sel < 2 ? (u32)(features >> 32 * p->host_feature_sel) : 0;
    case 8:
        return p->guest_feature_sel;
    case 12:
        return p->guest_feature_sel < 2 ? (u32)(p->guest_features >> 32 * p->guest_feature_sel) : 0;
    case 16:
        return d->config_vector | (u32)d->nqueues << 16;
    case 20:
        return d->status | (u32)d->config_gen << 8 | (u32)p->queue_sel << 16;
    case 24:
        return q->size | (u32)q->vector << 16;
    case 28:
        return q->enabled | (q == &none ? 0 : (u32)p->queue_sel << 16);
    case 32:
        return (u32)q->desc;
    case 36:
        return (u32)(q->desc >> 32);
    case 40:
        return (u32)q->avail;
    case 44:
        return (u32)(q->avail >> 32);
    case 48:
        return (u32)q->used;
    case 52:
        return (u32)(q->used >> 32);
    }
    return 0;
}

static void put_half(u64 *to, bool high, u32 v)
{
    *to = high ? (*to & UINT32_MAX) | (u64)v << 32 : (*to & ~(u64)UINT32_MAX) | v;
}

/* Registers of the selected queue; they are fixed once it is enabled. */
static void queue_write(struct virtio_pci *p, u64 off, u32 v)
{
    struct virtq *q = selected(p);

    if (!q || !q->size_max)
        return;
    if (off == 26) {
        q->vector = checked_vector(p, (u16)v);
        return;
    }
    if (q->enabled)
        return;
    switch (off) {
    case 24:
        if (is_pow2((u16)v) && (u16)v <= q->size_max)
            q->size = (u16)v;
        break;
    case 28:
        if ((u16)v == 1)
            q->enabled = true;
        break;
    case 32:
    case 36:
        put_half(&q->desc, off == 36, v);
        break;
    case 40:
    case 44:
        put_half(&q->avail, off == 44, v);
        break;
    case 48:
    case 52:
        put_half(&q->used, off == 52, v);
        break;
    }
}

static void common_write(struct virtio_pci *p, u64 off, u32 v)
{
    if (p->dev.resetting)
        return;
    switch (off) {
    case 0:
        p->host_feature_sel = v;
        break;
    case 8:
        p->guest_feature_sel = v;
        break;
    case 12:
        if (p->guest_feature_sel < 2 && !(p->dev.status & VIRTIO_S_FEATURES_OK))
            put_half(&p->guest_features, p->guest_feature_sel, v);
        break;
    case 16:
        p->dev.config_vector = checked_vector(p, (u16)v);
        break;
    case 20:
        write_status(p, (u8)v, false);
        break;
    case 22:
        p->queue_sel = (u16)v;
        break;
    default:
        queue_write(p, off, v);
        break;
    }
}

static u64 modern_read(void *opaque, u64 off, unsigned size)
{
    struct virtio_pci *p = opaque;

    if (off < OFF_ISR)
        return common_dword(p, (unsigned)off & ~3u) >> 8 * (off & 3);
    if (off < OFF_DEVICE)
        return off == OFF_ISR ? read_isr(p) : 0;
    if (off < OFF_NOTIFY)
        return device_config_read(&p->dev, off - OFF_DEVICE, size);
    return 0;
}

static void modern_write(void *opaque, u64 off, unsigned size, u64 v)
{
    struct virtio_pci *p = opaque;

    if (off < OFF_ISR)
        common_write(p, off, (u32)v);
    else if (off >= OFF_NOTIFY)
        virtio_pci_notify(p, (unsigned)(off - OFF_NOTIFY) / VIRTIO_PCI_NOTIFY_STEP);
    else if (off >= OFF_DEVICE)
        device_config_write(&p->dev, off - OFF_DEVICE, size, (u32)v);
}

static const struct region_ops legacy_ops = {
    .read = legacy_read, .write = legacy_write, .min_width = 1, .max_width = 4};
static const struct region_ops modern_ops = {
    .read = modern_read, .write = modern_write, .min_width = 1, .max_width = 4, .aligned = true};

/* ------------------------------------------------------ configuration space -- */

/* The window of the PCI configuration access capability (4.1.4.7): false = it points nowhere. */
static bool cfg_window(const struct virtio_pci *p, u32 *off, u32 *len)
{
    const u8 *cap = p->pci.config + p->cfg_cap;

    *off = le32_get(cap + 8);
    *len = le32_get(cap + 12);
    return cap[4] == BAR_MODERN && (*len == 1 || *len == 2 || *len == 4) && *off % *len == 0 &&
           range_within(*off, *len, 0, LEN);
}

static bool is_cfg_data(const struct virtio_pci *p, unsigned off)
{
    return off >= p->cfg_cap + 16u && off < p->cfg_cap + 20u;
}

static void config_reading(struct pci_dev *pci, unsigned off, unsigned size)
{
    struct virtio_pci *p = container_of(pci, struct virtio_pci, pci);
    u32 at, len;

    if (is_cfg_data(p, off) && cfg_window(p, &at, &len))
        le32_put(pci->config + p->cfg_cap + 16, (u32)modern_read(p, at, len));
}

static void config_written(struct pci_dev *pci, unsigned off, unsigned size)
{
    struct virtio_pci *p = container_of(pci, struct virtio_pci, pci);
    u32 at, len;

    p->dev.bus_master = pci_bus_master(pci);
    if (is_cfg_data(p, off) && cfg_window(p, &at, &len)) {
        u32 v = le32_get(pci->config + p->cfg_cap + 16);

        modern_write(p, at, len, len == 4 ? v : v & (BIT(8 * len) - 1));
    }
}

void virtio_pci_reset(struct pci_dev *pci)
{
    struct virtio_pci *p = container_of(pci, struct virtio_pci, pci);

    pthread_mutex_lock(&pci->lock);
    p->dev.bus_master = pci_bus_master(pci);
    virtio_reset(&p->dev);
    transport_reset(p);
    pthread_mutex_unlock(&pci->lock);
}

static u8 add_cap(struct virtio_pci *p, u8 type, u32 off, u32 len, unsigned size)
{
    u8 at = pci_add_cap(&p->pci, 9, size);
    u8 *cap = p->pci.config + at;

    cap[2] = (u8)size;
    cap[3] = type;
    cap[4] = type == CAP_PCI_CFG ? 0 : BAR_MODERN;
    le32_put(cap + 8, off);
    le32_put(cap + 12, len);
    return at;
}

static void add_caps(struct virtio_pci *p)
{
    u8 *wmask = p->pci.wmask;
    u8 at;

    add_cap(p, CAP_COMMON, OFF_COMMON, 0x1000, 16);
    add_cap(p, CAP_ISR, OFF_ISR, 0x1000, 16);
    if (p->dev.config_len)
        add_cap(p, CAP_DEVICE, OFF_DEVICE, 0x1000, 16);
    at = add_cap(p, CAP_NOTIFY, OFF_NOTIFY, 0x1000, 20);
    le32_put(p->pci.config + at + 16, VIRTIO_PCI_NOTIFY_STEP);
    p->cfg_cap = add_cap(p, CAP_PCI_CFG, 0, 0, 20);
    wmask[p->cfg_cap + 4] = 0xff;
    memset(wmask + p->cfg_cap + 8, 0xff, 12);
}

/* PCI device IDs from before 1.0, by device type (4.1.2.1). */
static u16 transitional_id(u16 id)
{
    switch (id) {
    case VIRTIO_ID_NET:
        return 0x1000;
    case VIRTIO_ID_BLOCK:
        return 0x1001;
    case VIRTIO_ID_BALLOON:
        return 0x1002;
    case VIRTIO_ID_CONSOLE:
        return 0x1003;
    default:
        return 0x1005; /* VIRTIO_ID_RNG */
    }
}

int virtio_pci_init(struct virtio_pci *p, struct pci_bus *b, unsigned devfn,
                    const struct virtio_pci_info *info)
{
    struct virtio_dev *d = &p->dev;
    int r;

    BUG_ON(info->nqueues > VIRTIO_QUEUES || info->queue_size > VIRTQ_SIZE_MAX ||
           info->config_len > VIRTIO_PCI_CONFIG_MAX);
    r = pci_dev_init(&p->pci, b, devfn, info->name, VIRTIO_VENDOR,
                     info->modern_only ? (u16)(0x1040 + info->id) : transitional_id(info->id),
                     info->class_code, 1);
    if (r)
        return r;
    pci_set_subsystem(&p->pci, VIRTIO_VENDOR, info->modern_only ? 0x1100 : info->id);
    p->pci.config[8] = info->modern_only; /* revision */
    p->pci.config_reading = config_reading;
    p->pci.config_written = config_written;
    p->pci.reset = virtio_pci_reset;
    p->modern_only = info->modern_only;

    *d = (struct virtio_dev){.ops = info->ops,
                             .trace = b->trace,
                             .name = info->name,
                             .dma = b->dma,
                             .lock = &p->pci.lock,
                             .id = info->id,
                             .nqueues = info->nqueues,
                             .config_len = info->config_len,
                             .host_features = info->features | VIRTIO_F_INDIRECT_DESC |
                                              VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1 |
                                              VIRTIO_F_ANY_LAYOUT,
                             .config_vector = VIRTIO_NO_VECTOR,
                             .interrupt = raise_interrupt};
    for (unsigned i = 0; i < d->nqueues; i++)
        d->queue[i] = (struct virtq){
            .size_max = info->queue_size, .size = info->queue_size, .vector = VIRTIO_NO_VECTOR};

    if (!info->modern_only) {
        p->legacy = (struct region){.name = info->name,
                                    .size = 24u + info->config_len,
                                    .ops = &legacy_ops,
                                    .opaque = p,
                                    .lock = &p->pci.lock};
        pci_bar_init(&p->pci, BAR_LEGACY, PCI_BAR_IO, &p->legacy);
    }
    p->modern = (struct region){
        .name = info->name, .size = LEN, .ops = &modern_ops, .opaque = p, .lock = &p->pci.lock};
    pci_msix_init(&p->pci, info->nqueues + 1u, BAR_MSIX);
    pci_bar_init(&p->pci, BAR_MODERN, PCI_BAR_MEM64 | PCI_BAR_PREFETCH, &p->modern);
    add_caps(p);
    return 0;
}

static const struct field virtio_pci_fields[] = {
    FIELD(struct virtio_pci, host_feature_sel),
    FIELD(struct virtio_pci, guest_feature_sel),
    FIELD(struct virtio_pci, queue_sel),
    FIELD(struct virtio_pci, guest_features),
};

/* The function's own configuration space is loaded before. */
static int virtio_pci_loaded(void *obj, struct err *e)
{
    struct virtio_pci *p = obj;

    p->dev.bus_master = pci_bus_master(&p->pci);
    return 0;
}

const struct state_desc virtio_pci_state = {.name = "virtio_pci",
                                            .version = 1,
                                            .fields = virtio_pci_fields,
                                            .nfields = ARRAY_SIZE(virtio_pci_fields),
                                            .loaded = virtio_pci_loaded};
