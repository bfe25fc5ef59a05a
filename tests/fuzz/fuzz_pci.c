/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI bus with its chipset (i440fx, piix3, piix4_pm) and two cards whose BARs move over one
 * another, through configuration mechanism 1 and through whatever is mapped then.
 */
#include "dev/i440fx.h"
#include "dev/pci.h"
#include "dev/piix3.h"
#include "dev/piix4_pm.h"
#include "lone.h"

struct card {
    struct pci_dev pci;
    struct region mem, io, rom, big;
};

struct chipset {
    struct pci_bus bus;
    struct i440fx host;
    struct piix3 isa;
    struct piix4_pm pm;
    struct card card[2];
};

static u64 card_read(void *opaque, u64 off, unsigned size)
{
    return off;
}

static void card_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct card *c = opaque;

    pci_set_intx(&c->pci, val & 1);
    pci_msix_fire(&c->pci, val >> 1 & 7);
}

static const struct region_ops card_ops = {
    .read = card_read, .write = card_write, .min_width = 1, .max_width = 4};

static void card_init(struct card *c, struct pci_bus *b, u8 *rom, unsigned devfn)
{
    pthread_mutex_t *lock = &c->pci.lock;

    BUG_ON(pci_dev_init(&c->pci, b, devfn, "card", 0x1234, 0x5678, 0x020000, 1));
    c->mem =
        (struct region){.name = "mem", .size = 0x3000, .ops = &card_ops, .opaque = c, .lock = lock};
    c->io = (struct region){.name = "io", .size = 5, .ops = &card_ops, .opaque = c, .lock = lock};
    c->big =
        (struct region){.name = "big", .size = 0x1000, .ops = &card_ops, .opaque = c, .lock = lock};
    c->rom = (struct region){.name = "rom", .size = 0x800, .hva = rom};
    pci_bar_init(&c->pci, 0, PCI_BAR_MEM, &c->mem);
    pci_bar_init(&c->pci, 1, PCI_BAR_IO, &c->io);
    pci_bar_init(&c->pci, 2, PCI_BAR_MEM64 | PCI_BAR_PREFETCH, &c->big);
    pci_rom_init(&c->pci, &c->rom);
    pci_msix_init(&c->pci, 4, 4);
}

static void op(struct lone *l)
{
    struct chipset *s = l->opaque;
    u8 b = lone_u8(l);
    u32 a, v;

    switch (b & 7) {
    case 0:
        pci_set_intx(&s->card[b >> 7].pci, b & 0x40);
        break;
    case 1:
        pci_msix_fire(&s->card[b >> 7].pci, b >> 3 & 7);
        break;
    case 2:
        piix4_pm_power_button(&s->pm);
        break;
    case 3:
        a = lone_u32(l);
        bus_write(&l->mmio, a, 1u << (b >> 6), lone_u64(l));
        break;
    case 4:
        bus_read(&l->mmio, lone_u32(l), 1u << (b >> 6));
        break;
    case 5:
        if (b == 0x85)
            pci_bus_reset(&s->bus);
        break;
    case 6: /* straight to a register of a card */
        v = lone_u32(l);
        pci_config_write(&s->bus, b & 0x80 ? 0x18 : 0x20, lone_u8(l) & 0xfc, 4, v);
        break;
    default:
        a = lone_u16(l);
        bus_write(&l->pio, a, 1u << (b >> 6) % 3, lone_u32(l));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lone *l = lone_begin(data, size);
    struct chipset s;
    struct irq isa[16];
    u8 *bios = l->mem.hva + MIB;

    memset(&s, 0, sizeof(s));
    for (unsigned i = 0; i < 16; i++)
        isa[i] = lone_irq(l);
    pci_bus_init(&s.bus, &l->trace, &l->pio, l->dma);
    s.bus.msi = lone_msi(l);
    BUG_ON(piix3_init(&s.isa, &s.bus, 8, isa, lone_irq(l)));
    BUG_ON(i440fx_init(&s.host, &s.bus, bios, &s.isa.rcr_region, NULL));
    BUG_ON(piix4_pm_init(&s.pm, &s.bus, 11, l->clock, lone_irq(l), lone_irq(l)));
    card_init(&s.card[0], &s.bus, bios, 0x18);
    card_init(&s.card[1], &s.bus, bios, 0x20);
    BUG_ON(bus_map(&l->pio, &s.host.conf_address, 0xcf8));
    BUG_ON(bus_map(&l->pio, &s.host.conf_data, 0xcfc));
    pci_bus_reset(&s.bus);
    lone_add(l, &s.host.conf_address);
    lone_add(l, &s.host.conf_data);
    lone_add(l, &s.pm.pm);
    lone_add(l, &s.pm.apm);
    lone_add(l, &s.pm.smbus);
    l->desc = &piix4_pm_state;
    l->obj = &s.pm;
    l->opaque = &s;
    l->op = op;
    lone_run(l);
    /* Who asserts a PIRQ is counted right. */
    for (unsigned i = 0; i < 2; i++)
        pci_set_intx(&s.card[i].pci, false);
    for (unsigned i = 0; i < PIIX3_PIRQS; i++)
        BUG_ON(s.isa.asserted[i]);
    timer_del(l->clock, &s.pm.timer);
    return 0;
}
