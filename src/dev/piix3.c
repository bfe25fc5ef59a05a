/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82371SB (PIIX3), function 0: the PCI-to-ISA bridge (data sheet 290550).
 *
 * PIRQRC[A:D] (0x60-0x63) route the four PCI interrupts to ISA interrupts; several functions may
 * assert one PIRQ, and several PIRQs may share one ISA interrupt.  The reset control register
 * (port 0xcf9) resets the machine.  X-bus chip selects, ISA timing, DMA aliases and SMI registers
 * keep what is written and do nothing.
 */
#include "dev/piix3.h"

#include "base/endian.h"

#include <errno.h>
#include <string.h>

enum {
    PIRQRC = 0x60,
    PIRQRC_OFF = 0x80, /* not routed */
    RCR_SRST = 1 << 1,
    RCR_RCPU = 1 << 2,
    ISA_ROUTABLE = 0xdef8, /* IRQs 3-7, 9-12, 14, 15 */
};

/* With irq_lock held. */
static void update_isa(struct piix3 *p)
{
    u16 level = 0, changed;

    for (unsigned i = 0; i < PIIX3_PIRQS; i++) {
        u8 rc = p->pci.config[PIRQRC + i];
        if (!(rc & PIRQRC_OFF) && p->asserted[i])
            level |= BIT(rc & 15) & ISA_ROUTABLE;
    }
    changed = level ^ p->isa_level;
    p->isa_level = level;
    for (unsigned i = 0; i < 16; i++)
        if (changed & BIT(i))
            irq_set(&p->isa[i], level >> i & 1);
}

static void piix3_intx(void *opaque, unsigned devfn, unsigned pin, bool level)
{
    struct piix3 *p = opaque;
    unsigned pirq = ((devfn >> 3) - 1 + pin) & 3;

    pthread_mutex_lock(&p->irq_lock);
    p->asserted[pirq] += level ? 1 : -1;
    update_isa(p);
    pthread_mutex_unlock(&p->irq_lock);
}

static void piix3_config_written(struct pci_dev *d, unsigned off, unsigned size)
{
    struct piix3 *p = container_of(d, struct piix3, pci);

    if (off >= PIRQRC + PIIX3_PIRQS || off + size <= PIRQRC)
        return;
    pthread_mutex_lock(&p->irq_lock);
    update_isa(p);
    pthread_mutex_unlock(&p->irq_lock);
}

static u64 rcr_read(void *opaque, u64 off, unsigned size)
{
    struct piix3 *p = opaque;

    return p->rcr;
}

static void rcr_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct piix3 *p = opaque;

    p->rcr = val & RCR_SRST;
    if (val & RCR_RCPU)
        irq_pulse(&p->reset);
}

static const struct region_ops rcr_ops = {
    .read = rcr_read, .write = rcr_write, .min_width = 1, .max_width = 1};

/* Registers that keep what is written: offset, value at reset, writable bits. */
static const struct {
    u8 off, reset, wmask;
} piix3_regs[] = {
    {0x4c, 0x4d, 0xff},                     /* IORT */
    {0x4e, 0x03, 0xff},                     /* XBCS */
    {0x4f, 0x00, 0x01}, {0x60, 0x80, 0x8f}, /* PIRQRC[A:D] */
    {0x61, 0x80, 0x8f}, {0x62, 0x80, 0x8f}, {0x63, 0x80, 0x8f}, {0x69, 0x02, 0xfe}, /* TOM */
    {0x6a, 0x00, 0xff},                                                             /* MSTAT */
    {0x70, 0x80, 0xef},                                                             /* MBIRQ0 */
    {0x71, 0x80, 0xef}, {0x76, 0x0c, 0x8f}, {0x77, 0x0c, 0x8f},                     /* MBDMA */
    {0x78, 0x02, 0xff},                                                             /* PCSC */
    {0x79, 0x00, 0xff}, {0x80, 0x00, 0x7f},                                         /* APICBASE */
    {0x82, 0x00, 0x0f},                                                             /* DLC */
    {0xa0, 0x08, 0x1f},                                                             /* SMICNTL */
    {0xa2, 0x00, 0xff},                                                             /* SMIEN */
    {0xa3, 0x00, 0xff}, {0xaa, 0x00, 0xff},                                         /* SMIREQ */
    {0xab, 0x00, 0xff}, {0xac, 0x00, 0xff}, {0xae, 0x00, 0xff},
};

static void piix3_reset(struct pci_dev *d)
{
    struct piix3 *p = container_of(d, struct piix3, pci);

    le16_put(d->config + 0x04, 0x0007); /* decodes I/O and memory and is a master, always */
    for (unsigned i = 0; i < ARRAY_SIZE(piix3_regs); i++)
        d->config[piix3_regs[i].off] = piix3_regs[i].reset;
    p->rcr = 0;
    pthread_mutex_lock(&p->irq_lock);
    update_isa(p);
    pthread_mutex_unlock(&p->irq_lock);
}

int piix3_init(struct piix3 *p, struct pci_bus *b, unsigned devfn, const struct irq *isa,
               struct irq reset)
{
    int r;

    memset(p, 0, sizeof(*p));
    r = pci_dev_init(&p->pci, b, devfn, "piix3", 0x8086, 0x7000, 0x060100, 0);
    if (r)
        return r;
    pthread_mutex_init(&p->irq_lock, NULL);
    pci_set_subsystem(&p->pci, 0x1af4, 0x1100);
    p->pci.config[0x06] = 0x00;
    p->pci.config[0x07] = 0x02; /* medium DEVSEL */
    p->pci.config[0x0e] = 0x80; /* has more functions */
    p->pci.wmask[0x04] = 0x08;
    p->pci.wmask[0x05] = 0x01;
    for (unsigned i = 0; i < ARRAY_SIZE(piix3_regs); i++)
        p->pci.wmask[piix3_regs[i].off] = piix3_regs[i].wmask;
    memcpy(p->isa, isa, sizeof(p->isa));
    p->reset = reset;
    p->pci.config_written = piix3_config_written;
    p->pci.reset = piix3_reset;
    p->rcr_region = (struct region){.name = "piix3-rcr", .size = 1, .ops = &rcr_ops, .opaque = p};
    b->intx = piix3_intx;
    b->opaque = p;
    piix3_reset(&p->pci);
    return 0;
}

static const struct field piix3_fields[] = {
    FIELD_BYTES(struct piix3, pci.config),
    FIELD_BITS(struct piix3, rcr, RCR_SRST),
    FIELD_ARRAY(struct piix3, asserted),
    FIELD(struct piix3, isa_level),
};
const struct state_desc piix3_state = STATE_DESC("piix3", 1, piix3_fields);
