/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82371SB (PIIX3) IDE function, 290550-002: legacy ports and the bus-master registers of
 * SFF-8038i.  The drives are in ata.c.
 *
 * A physical region descriptor table is walked once a start, one descriptor at a time, each copied
 * before it is used; a table is at most 64 KiB long, so a walk ends after 8192 descriptors.
 *
 * IDETIM and SIDETIM keep what is written: transfers take no simulated time.  IDETIM comes out of
 * reset with decoding enabled, as the firmware would set it, so that a kernel that is booted
 * without firmware finds its drives; decoding itself never stops, since the ports belong to nobody
 * else.
 */
#include "dev/piix3_ide.h"

#include "base/endian.h"

#include <string.h>

enum { BM_COMMAND = 0, BM_STATUS = 2, BM_TABLE = 4 };
enum { BM_START = 0x01, BM_TO_MEMORY = 0x08 };
enum { BM_ACTIVE = 0x01, BM_ERROR = 0x02, BM_INTERRUPT = 0x04, BM_DRIVES = 0x60 };
enum { PRD_MAX = 8192, PRD_LAST = 0x80 };
enum { IDETIM = 0x40, SIDETIM = 0x44 };

static bool next_prd(struct piix3_bm *b)
{
    u8 prd[8];
    u32 count;

    if (b->last || b->entries >= PRD_MAX)
        return false;
    if (!pci_dma_read(&b->ide->pci, b->next, prd, sizeof(prd))) {
        b->status |= BM_ERROR;
        return false;
    }
    b->entries++;
    b->next += sizeof(prd);
    b->addr = le32_get(prd) & ~1u;
    count = le16_get(prd + 4) & 0xfffe;
    b->left = count ? count : 0x10000;
    b->last = prd[7] & PRD_LAST ? 1 : 0;
    return true;
}

static size_t bm_move(void *opaque, void *buf, size_t len, bool to_memory)
{
    struct piix3_bm *b = opaque;
    struct pci_dev *pci = &b->ide->pci;
    size_t done = 0;

    while (done < len) {
        u32 n;
        bool ok;

        if (!b->left && !next_prd(b)) {
            b->status &= ~BM_ACTIVE;
            break;
        }
        n = min((size_t)b->left, len - done);
        if (to_memory)
            ok = pci_dma_write(pci, b->addr, (u8 *)buf + done, n);
        else
            ok = pci_dma_read(pci, b->addr, (u8 *)buf + done, n);
        if (!ok)
            b->status |= BM_ERROR;
        b->addr += n;
        b->left -= n;
        done += n;
    }
    return done;
}

static bool bm_active(void *opaque)
{
    struct piix3_bm *b = opaque;

    return b->command & BM_START && b->status & BM_ACTIVE;
}

/* The drive is done.  A table with room left stays active: that is how a driver sees it. */
static void bm_ended(void *opaque, bool error)
{
    struct piix3_bm *b = opaque;

    if (b->last && !b->left)
        b->status &= ~BM_ACTIVE;
}

static void bm_interrupt(void *opaque)
{
    struct piix3_bm *b = opaque;

    b->status |= BM_INTERRUPT;
}

static void write_command(struct piix3_ide *s, unsigned i, u8 v)
{
    struct piix3_bm *b = &s->bm[i];
    bool was = b->command & BM_START;

    b->command = v & (BM_START | BM_TO_MEMORY);
    if (!(v & BM_START)) {
        b->status &= ~BM_ACTIVE;
    } else if (!was) {
        trace(s->pci.bus->trace, ata, "%s DMA started, table %08x", s->ch[i].name, b->table);
        b->status |= BM_ACTIVE;
        b->next = b->table;
        b->left = 0;
        b->last = 0;
        b->entries = 0;
        ata_dma_started(&s->ch[i]);
    }
}

static u64 bm_read(void *opaque, u64 off, unsigned size)
{
    struct piix3_ide *s = opaque;
    u64 v = 0;

    for (unsigned i = 0; i < size; i++) {
        const struct piix3_bm *b = &s->bm[(off + i) >> 3 & 1];
        unsigned reg = (off + i) & 7;
        u8 byte = 0xff;

        if (reg == BM_COMMAND)
            byte = b->command;
        else if (reg == BM_STATUS)
            byte = b->status;
        else if (reg >= BM_TABLE)
            byte = b->table >> (8 * (reg - BM_TABLE));
        v |= (u64)byte << (8 * i);
    }
    return v;
}

static void bm_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct piix3_ide *s = opaque;

    for (unsigned i = 0; i < size; i++) {
        unsigned ch = (off + i) >> 3 & 1, reg = (off + i) & 7;
        struct piix3_bm *b = &s->bm[ch];
        u8 v = val >> (8 * i);

        if (reg == BM_COMMAND) {
            write_command(s, ch, v);
        } else if (reg == BM_STATUS) {
            b->status = (b->status & BM_ACTIVE) | (v & BM_DRIVES) |
                        (b->status & ~v & (BM_ERROR | BM_INTERRUPT));
        } else if (reg >= BM_TABLE) {
            unsigned shift = 8 * (reg - BM_TABLE);

            b->table = (b->table & ~(0xffu << shift)) | (u32)v << shift;
            b->table &= ~3u;
        }
    }
}

static const struct region_ops bm_ops = {
    .read = bm_read,
    .write = bm_write,
    .min_width = 1,
    .max_width = 4,
    .aligned = true,
};

static void piix3_ide_reset(struct pci_dev *d)
{
    struct piix3_ide *s = container_of(d, struct piix3_ide, pci);

    pthread_mutex_lock(&d->lock);
    le32_put(d->config + IDETIM, 0x80008000);
    d->config[SIDETIM] = 0;
    for (unsigned i = 0; i < 2; i++) {
        s->bm[i] = (struct piix3_bm){.ide = s};
        ata_reset(&s->ch[i]);
    }
    pthread_mutex_unlock(&d->lock);
}

int piix3_ide_init(struct piix3_ide *s, struct pci_bus *b, unsigned devfn,
                   const struct ata_drive_config drives[4], const struct irq irq[2])
{
    static const char *const names[2] = {"ide0", "ide1"};
    int rc;

    memset(s, 0, sizeof(*s));
    rc = pci_dev_init(&s->pci, b, devfn, "piix3-ide", 0x8086, 0x7010, 0x010180, 0);
    if (rc)
        return rc;
    s->pci.reset = piix3_ide_reset;
    memset(s->pci.wmask + IDETIM, 0xff, 4);
    s->pci.wmask[SIDETIM] = 0xff;
    s->bm_region = (struct region){
        .name = "piix3-ide-bm", .size = 16, .ops = &bm_ops, .opaque = s, .lock = &s->pci.lock};
    pci_bar_init(&s->pci, 4, PCI_BAR_IO, &s->bm_region);
    for (unsigned i = 0; i < 2; i++) {
        s->ch[i].irq = irq[i];
        s->ch[i].dma = (struct ata_dma){.active = bm_active,
                                        .move = bm_move,
                                        .ended = bm_ended,
                                        .interrupt = bm_interrupt,
                                        .opaque = &s->bm[i]};
        ata_init(&s->ch[i], names[i], b->trace, &s->pci.lock, drives + 2 * i);
    }
    piix3_ide_reset(&s->pci);
    return 0;
}

#define BM_FIELDS(n)                                                                               \
    FIELD(struct piix3_ide, bm[n].command), FIELD(struct piix3_ide, bm[n].status),                 \
        FIELD(struct piix3_ide, bm[n].table), FIELD(struct piix3_ide, bm[n].next),                 \
        FIELD(struct piix3_ide, bm[n].addr), FIELD_MAX(struct piix3_ide, bm[n].left, 0x10000),     \
        FIELD_MAX(struct piix3_ide, bm[n].last, 1),                                                \
        FIELD_MAX(struct piix3_ide, bm[n].entries, PRD_MAX)

static const struct field piix3_ide_fields[] = {BM_FIELDS(0), BM_FIELDS(1)};

const struct state_desc piix3_ide_state = STATE_DESC("piix3_ide", 1, piix3_ide_fields);
