/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/endian.h"
#include "dev/i440fx.h"
#include "dev/pci.h"
#include "dev/piix3.h"
#include "dev/piix4_pm.h"
#include "fake.h"

#include <errno.h>

struct card {
    struct pci_dev pci;
    struct region mem, io, rom, big;
};

struct pci_test {
    struct fake *f;
    struct pci_bus bus;
    struct i440fx host;
    struct piix3 isa;
    struct piix4_pm pm;
    struct card a, b;
    u8 bios[128 * KIB];
};

static u64 card_read(void *opaque, u64 off, unsigned size)
{
    return 0x5a;
}

static void card_write(void *opaque, u64 off, unsigned size, u64 val)
{
}

static const struct region_ops card_ops = {
    .read = card_read, .write = card_write, .min_width = 1, .max_width = 4};

static void card_init(struct pci_test *t, struct card *c, unsigned devfn, const char *name)
{
    c->mem = (struct region){.name = "mem", .size = 0x3000, .ops = &card_ops, .opaque = c};
    c->io = (struct region){.name = "io", .size = 5, .ops = &card_ops, .opaque = c};
    c->rom = (struct region){.name = "rom", .size = 0x800, .hva = t->bios};
    c->big = (struct region){.name = "big", .size = 0x1000, .ops = &card_ops, .opaque = c};
    assert_int_equal(pci_dev_init(&c->pci, &t->bus, devfn, name, 0x1234, 0x5678, 0x020000, 1), 0);
    pci_bar_init(&c->pci, 0, PCI_BAR_MEM, &c->mem);
    pci_bar_init(&c->pci, 1, PCI_BAR_IO, &c->io);
    pci_bar_init(&c->pci, 2, PCI_BAR_MEM64 | PCI_BAR_PREFETCH, &c->big);
    pci_rom_init(&c->pci, &c->rom);
    pci_msix_init(&c->pci, 4, 4);
}

static int setup(void **state)
{
    struct pci_test *t = calloc(1, sizeof(*t));
    struct irq isa[16];

    t->f = fake_new();
    memset(t->bios, 0xb1, sizeof(t->bios));
    for (unsigned i = 0; i < 16; i++)
        isa[i] = fake_line(t->f, i);
    pci_bus_init(&t->bus, &t->f->trace, &t->f->pio, t->f->dma);
    t->bus.msi = fake_msi(t->f);
    assert_int_equal(piix3_init(&t->isa, &t->bus, 8, isa, fake_line(t->f, 20)), 0);
    assert_int_equal(i440fx_init(&t->host, &t->bus, t->bios, &t->isa.rcr_region, NULL), 0);
    assert_int_equal(
        piix4_pm_init(&t->pm, &t->bus, 11, t->f->clock, fake_line(t->f, 9), fake_line(t->f, 21)),
        0);
    bus_map(&t->f->pio, &t->host.conf_address, 0xcf8);
    bus_map(&t->f->pio, &t->host.conf_data, 0xcfc);
    bus_map(&t->f->pio, &t->pm.apm, 0xb2);
    card_init(t, &t->a, 0x18, "card a");
    card_init(t, &t->b, 0x20, "card b");
    pci_bus_reset(&t->bus);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct pci_test *t = *state;

    fake_free(t->f);
    free(t);
    return 0;
}

static u32 cfg_read(struct pci_test *t, unsigned devfn, unsigned off)
{
    out32(t->f, 0xcf8, 0x80000000 | devfn << 8 | off);
    return in32(t->f, 0xcfc);
}

static void cfg_write(struct pci_test *t, unsigned devfn, unsigned off, u32 val)
{
    out32(t->f, 0xcf8, 0x80000000 | devfn << 8 | off);
    out32(t->f, 0xcfc, val);
}

static void mechanism_1(void **state)
{
    struct pci_test *t = *state;

    assert_int_equal(cfg_read(t, 0, 0), 0x12378086);
    assert_int_equal(cfg_read(t, 8, 0), 0x70008086);
    assert_int_equal(cfg_read(t, 11, 0), 0x71138086);
    assert_int_equal(cfg_read(t, 0x18, 0), 0x56781234);
    assert_int_equal(cfg_read(t, 0x30, 0), 0xffffffff);
    assert_int_equal(cfg_read(t, 0x18, 8), 0x02000000);
    out32(t->f, 0xcf8, 0x80001800);
    assert_int_equal(in8(t->f, 0xcfe), 0x78);
    assert_int_equal(bus_read(&t->f->pio, 0xcfe, 2), 0x5678);
    assert_int_equal(in32(t->f, 0xcf8), 0x80001800);
    out32(t->f, 0xcf8, 0x00001800); /* not enabled */
    assert_int_equal(in32(t->f, 0xcfc), 0xffffffff);
    out32(t->f, 0xcf8, 0x80011800); /* another bus */
    assert_int_equal(in32(t->f, 0xcfc), 0xffffffff);
    cfg_write(t, 0x18, 0, 0);
    assert_int_equal(cfg_read(t, 0x18, 0), 0x56781234);
}

static void reset_control_lies_in_the_middle(void **state)
{
    struct pci_test *t = *state;

    out32(t->f, 0xcf8, 0x80000000);
    out8(t->f, 0xcf9, 0x02);
    assert_int_equal(in8(t->f, 0xcf9), 0x02);
    assert_int_equal(in32(t->f, 0xcf8), 0x80000000);
    assert_int_equal(t->f->line[20].rises, 0);
    out8(t->f, 0xcf9, 0x06);
    assert_int_equal(t->f->line[20].rises, 1);
}

static void bars_size_and_move(void **state)
{
    struct pci_test *t = *state;

    cfg_write(t, 0x18, 0x10, 0xffffffff);
    assert_int_equal(cfg_read(t, 0x18, 0x10), 0xffffc000);
    cfg_write(t, 0x18, 0x14, 0xffffffff);
    assert_int_equal(cfg_read(t, 0x18, 0x14), 0xfffffff9);
    cfg_write(t, 0x18, 0x18, 0xffffffff);
    cfg_write(t, 0x18, 0x1c, 0xffffffff);
    assert_int_equal(cfg_read(t, 0x18, 0x18), 0xfffff00c);
    assert_int_equal(cfg_read(t, 0x18, 0x1c), 0xffffffff);
    cfg_write(t, 0x18, 0x30, 0xfffffffe);
    assert_int_equal(cfg_read(t, 0x18, 0x30), 0xfffff800);

    cfg_write(t, 0x18, 0x10, 0xe0000000);
    cfg_write(t, 0x18, 0x14, 0xc000);
    cfg_write(t, 0x18, 0x18, 0x10000000);
    cfg_write(t, 0x18, 0x1c, 0x8);
    assert_false(t->a.mem.mapped);
    cfg_write(t, 0x18, 0x04, 3);
    assert_true(t->a.mem.mapped);
    assert_int_equal(t->a.mem.base, 0xe0000000);
    assert_int_equal(bus_read(&t->f->mmio, 0xe0002000, 1), 0x5a);
    assert_int_equal(in8(t->f, 0xc004), 0x5a);
    assert_true(t->a.big.base == 0x810000000);
    cfg_write(t, 0x18, 0x10, 0xe1000000);
    assert_int_equal(t->a.mem.base, 0xe1000000);
    cfg_write(t, 0x18, 0x04, 2);
    assert_false(t->a.io.mapped);
    assert_true(t->a.mem.mapped);
    cfg_write(t, 0x18, 0x30, 0xe2000001);
    assert_int_equal(bus_read(&t->f->mmio, 0xe2000000, 1), 0xb1);
    pci_bus_reset(&t->bus);
    assert_false(t->a.mem.mapped || t->a.rom.mapped || t->a.big.mapped);
}

static void overlapping_bars_come_back(void **state)
{
    struct pci_test *t = *state;

    cfg_write(t, 0x18, 0x10, 0xe0000000);
    cfg_write(t, 0x18, 0x04, 2);
    cfg_write(t, 0x20, 0x10, 0xe0000000);
    cfg_write(t, 0x20, 0x04, 2);
    assert_true(t->a.mem.mapped);
    assert_false(t->b.mem.mapped);
    cfg_write(t, 0x18, 0x10, 0xe0004000);
    assert_true(t->a.mem.mapped);
    assert_true(t->b.mem.mapped);
    assert_int_equal(t->b.mem.base, 0xe0000000);
}

static void status_is_write_1_to_clear(void **state)
{
    struct pci_test *t = *state;

    le16_put(t->a.pci.config + 6, 0xf910);
    cfg_write(t, 0x18, 4, 0x08000000);
    assert_int_equal(cfg_read(t, 0x18, 4) >> 16, 0xf110);
    assert_false(pci_bus_master(&t->a.pci));
    u8 byte = 1;
    assert_false(pci_dma_write(&t->a.pci, 0xc0000, &byte, 1));
}

static void intx_routing(void **state)
{
    struct pci_test *t = *state;

    cfg_write(t, 8, 0x60, 0x0b0b0a0a);
    pci_set_intx(&t->a.pci, true); /* slot 3, pin A: PIRQC */
    assert_true(t->f->line[11].level);
    pci_set_intx(&t->b.pci, true); /* slot 4: PIRQD, to 11 as well */
    pci_set_intx(&t->a.pci, false);
    assert_true(t->f->line[11].level);
    cfg_write(t, 0x20, 4, 0x0400); /* INTx disable */
    assert_false(t->f->line[11].level);
    assert_int_equal(cfg_read(t, 0x20, 4) >> 16 & 8, 8);
    cfg_write(t, 0x20, 4, 0);
    assert_true(t->f->line[11].level);
    cfg_write(t, 8, 0x60, 0x050b0a0a);
    assert_false(t->f->line[11].level);
    assert_true(t->f->line[5].level);
    pci_bus_reset(&t->bus);
    assert_false(t->f->line[5].level);
}

static void msix(void **state)
{
    struct pci_test *t = *state;
    u8 cap = cfg_read(t, 0x18, 0x34);

    assert_int_equal(cfg_read(t, 0x18, cap), 0x00030011);
    cfg_write(t, 0x18, 0x20, 0xe3000000);
    cfg_write(t, 0x18, 4, 2);
    bus_write(&t->f->mmio, 0xe3000010, 4, 0xfee01000);
    bus_write(&t->f->mmio, 0xe3000018, 4, 0x42);
    assert_int_equal(bus_read(&t->f->mmio, 0xe3000018, 4), 0x42);
    pci_msix_fire(&t->a.pci, 1);
    assert_int_equal(t->f->msis, 0); /* not enabled */
    cfg_write(t, 0x18, cap, 0x80000000);
    assert_true(pci_msix_enabled(&t->a.pci));
    pci_msix_fire(&t->a.pci, 1);
    assert_int_equal(t->f->msis, 0); /* masked */
    assert_int_equal(bus_read(&t->f->mmio, 0xe3000800, 4), 2);
    bus_write(&t->f->mmio, 0xe300001c, 4, 0);
    assert_int_equal(t->f->msis, 1);
    assert_int_equal(t->f->msi[0].addr, 0xfee01000);
    assert_int_equal(t->f->msi[0].data, 0x42);
    assert_int_equal(bus_read(&t->f->mmio, 0xe3000800, 4), 0);
    cfg_write(t, 0x18, cap, 0xc0000000);
    pci_msix_fire(&t->a.pci, 1);
    assert_int_equal(t->f->msis, 1);
    cfg_write(t, 0x18, cap, 0x80000000);
    assert_int_equal(t->f->msis, 2);
}

static void shadowing(void **state)
{
    struct pci_test *t = *state;
    struct bus *m = &t->f->mmio;

    assert_int_equal(bus_read(m, 0xffff0, 1), 0xb1);
    assert_int_equal(bus_read(m, 0xc0000, 1), 0xff);
    bus_write(m, 0xffff0, 1, 0x11);
    assert_int_equal(bus_read(m, 0xffff0, 1), 0xb1);
    cfg_write(t, 0, 0x58, 0x00002000); /* PAM0: writes to RAM, reads from the BIOS */
    bus_write(m, 0xffff0, 1, 0x22);
    assert_int_equal(bus_read(m, 0xffff0, 1), 0xb1);
    cfg_write(t, 0, 0x58, 0x00001000); /* read-only RAM */
    assert_int_equal(bus_read(m, 0xffff0, 1), 0x22);
    bus_write(m, 0xffff0, 1, 0x33);
    assert_int_equal(bus_read(m, 0xffff0, 1), 0x22);
    cfg_write(t, 0, 0x5c, 0x33330003);
    bus_write(m, 0xe8000, 1, 0x44); /* PAM6 */
    assert_int_equal(bus_read(m, 0xe8000, 1), 0x44);
    bus_write(m, 0xd0000, 1, 0x55); /* PAM3, low nibble (0x5c) */
    assert_int_equal(bus_read(m, 0xd0000, 1), 0x55);
    bus_write(m, 0xd4000, 1, 0x66);
    assert_int_equal(bus_read(m, 0xd4000, 1), 0xff);
    pci_bus_reset(&t->bus);
    assert_int_equal(bus_read(m, 0xffff0, 1), 0xb1);
    i440fx_shadow_all(&t->host);
    assert_int_equal(bus_read(m, 0xffff0, 1), 0x22);
}

static void smram_locks(void **state)
{
    struct pci_test *t = *state;

    assert_int_equal(cfg_read(t, 0, 0x70) >> 16 & 0xff, 0x02);
    cfg_write(t, 0, 0x70, 0x001a0000);
    assert_int_equal(cfg_read(t, 0, 0x70) >> 16 & 0xff, 0x1a);
    cfg_write(t, 0, 0x70, 0x00000000);
    assert_int_equal(cfg_read(t, 0, 0x70) >> 16 & 0xff, 0x1a);
}

static void pm_moves_with_its_base(void **state)
{
    struct pci_test *t = *state;

    assert_false(t->pm.pm.mapped);
    cfg_write(t, 11, 0x40, 0x601);
    cfg_write(t, 11, 0x80, 1);
    assert_int_equal(t->pm.pm.base, 0x600);
    clock_advance(t->f->clock, NS_PER_SEC);
    assert_int_equal(in32(t->f, 0x608), 3579545);
    clock_advance(t->f->clock, 4 * NS_PER_SEC);
    assert_int_equal(in32(t->f, 0x608), (5 * 3579545) & 0xffffff);
    piix4_pm_set_bases(&t->pm, 0xb000, 0xb100);
    assert_int_equal(t->pm.pm.base, 0xb000);
    assert_int_equal(t->pm.smbus.base, 0xb100);
    out8(t->f, 0xb104, 0xa1);
    out8(t->f, 0xb102, 0x48);
    assert_int_equal(in8(t->f, 0xb100), 4);
    out8(t->f, 0xb100, 4);
    assert_int_equal(in8(t->f, 0xb100), 0);
    assert_int_equal(cfg_read(t, 11, 0x58) >> 25 & 1, 1); /* APMC_EN */
}

static void acpi_events_and_power_off(void **state)
{
    struct pci_test *t = *state;

    piix4_pm_set_bases(&t->pm, 0x600, 0);
    bus_write(&t->f->pio, 0x602, 2, 0x0100);
    piix4_pm_power_button(&t->pm);
    assert_false(t->f->line[9].level); /* no SCI_EN yet */
    out8(t->f, 0xb2, PIIX4_ACPI_ENABLE);
    assert_int_equal(bus_read(&t->f->pio, 0x604, 2), 1);
    assert_true(t->f->line[9].level);
    assert_int_equal(bus_read(&t->f->pio, 0x600, 2) & 0x100, 0x100);
    bus_write(&t->f->pio, 0x600, 2, 0x0100);
    assert_false(t->f->line[9].level);
    bus_write(&t->f->pio, 0x600, 2, 0xffff);
    bus_write(&t->f->pio, 0x602, 2, 0x0001); /* TMR_EN */
    assert_false(t->f->line[9].level);
    clock_advance(t->f->clock, 3 * NS_PER_SEC);
    assert_true(t->f->line[9].level);
    bus_write(&t->f->pio, 0x604, 2, 0x2001 | 1 << 10);
    assert_int_equal(t->f->line[21].rises, 0);
    bus_write(&t->f->pio, 0x604, 2, 0x2001);
    assert_int_equal(t->f->line[21].rises, 1);
}

static void place_is_taken(void **state)
{
    struct pci_test *t = *state;
    struct pci_dev d = {0};

    assert_int_equal(pci_dev_init(&d, &t->bus, 0x18, "third", 1, 2, 3, 0), -EBUSY);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mechanism_1),
        TEST(reset_control_lies_in_the_middle),
        TEST(bars_size_and_move),
        TEST(overlapping_bars_come_back),
        TEST(status_is_write_1_to_clear),
        TEST(intx_routing),
        TEST(msix),
        TEST(shadowing),
        TEST(smram_locks),
        TEST(pm_moves_with_its_base),
        TEST(acpi_events_and_power_off),
        TEST(place_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
