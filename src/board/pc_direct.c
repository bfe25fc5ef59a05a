/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct kernel boot: loads the kernel and does the part of firmware's work that kernels count on.
 * ACPI tables lie at the end of low RAM, the RSDP and SMBIOS at 0xf0000 where scans find them; PCI
 * functions have their BARs, decode and interrupt lines set, as SeaBIOS leaves them.
 */
#include "base/endian.h"
#include "board/pc.h"
#include "board/pc_map.h"
#include "board/smbios.h"

#include <errno.h>
#include <string.h>

enum {
    RSDP_AT = 0xf0000,
    ANCHOR_AT = 0xf0040,
    SMBIOS_AT = 0xf0100,
    IO_FIRST = 0xc000,
    IO_LAST = 0xffff,

    PCI_COMMAND = 0x04,
    PCI_BAR0 = 0x10,
    PCI_INT_LINE = 0x3c,
    PCI_INT_PIN = 0x3d,
    PCI_CMD_IO_MEM = 3,
    PIIX3_PIRQRC = 0x60,
    PIIX3_IDETIM = 0x40,
};
#define MEM_FIRST 0xe0000000u

/* Where PIRQ A-D go, as SeaBIOS routes them. */
static const u8 pirq_irq[4] = {10, 10, 11, 11};

/* Sizes a BAR and puts it at the next free place; returns how many BARs it took. */
static unsigned place_bar(struct pci_bus *b, unsigned devfn, unsigned n, u64 *io, u64 *mem)
{
    unsigned off = PCI_BAR0 + n * 4;
    u32 old = pci_config_read(b, devfn, off, 4);
    pci_config_write(b, devfn, off, 4, UINT32_MAX);
    u32 got = pci_config_read(b, devfn, off, 4);
    bool is_io = got & 1, is64 = !is_io && (got & 6) == 4;
    u32 size = is_io ? ~(got & ~3u) + 1 : ~(got & ~15u) + 1;
    u64 *next = is_io ? io : mem, limit = is_io ? IO_LAST : MAP_PCI_END;
    if (is_io)
        size &= 0xffff;
    if (!(got & ~15u) || !size) {
        pci_config_write(b, devfn, off, 4, old);
        return 1;
    }
    u64 at = align_up(*next, size);
    if (at + size - 1 <= limit) {
        pci_config_write(b, devfn, off, 4, (u32)at);
        *next = at + size;
    }
    if (is64)
        pci_config_write(b, devfn, off + 4, 4, 0);
    return is64 ? 2 : 1;
}

static void set_up_pci(struct pc *pc)
{
    struct pci_bus *b = &pc->pci;
    u64 io = IO_FIRST, mem = MEM_FIRST;
    for (unsigned i = 0; i < 4; i++)
        pci_config_write(b, pc->isa.pci.devfn, PIIX3_PIRQRC + i, 1, pirq_irq[i]);
    bus_write(&pc->vm->pio, 0x4d1, 1, 0x0c); /* ELCR: 10 and 11 are level-triggered */
    pci_config_write(b, pc->ide.pci.devfn, PIIX3_IDETIM, 4, 0x80008000);
    for (unsigned devfn = 8; devfn < 256; devfn++) {
        if (!b->dev[devfn] || devfn == pc->pm.pci.devfn)
            continue;
        for (unsigned n = 0; n < 6;)
            n += place_bar(b, devfn, n, &io, &mem);
        unsigned pin = pci_config_read(b, devfn, PCI_INT_PIN, 1);
        if (pin)
            pci_config_write(b, devfn, PCI_INT_LINE, 1, pirq_irq[((devfn >> 3) - 1 + pin - 1) & 3]);
        u32 cmd = pci_config_read(b, devfn, PCI_COMMAND, 2);
        pci_config_write(b, devfn, PCI_COMMAND, 2, cmd | PCI_CMD_IO_MEM);
    }
    pci_config_write(b, pc->pm.pci.devfn, PCI_INT_LINE, 1, IRQ_SCI);
}

/* ACPI and SMBIOS; returns the first address that they take at the end of low RAM. */
static u64 place_tables(struct pc *pc)
{
    u8 *ram = pc->vm->mem.hva;
    u64 at = align_down(pc->ram_below - pc->acpi.len, 64 * KIB);
    struct smbios_tables s;
    struct smbios_config c = {pc->cfg.name, pc->cfg.uuid, pc->vm->ncpus,
                              pc->ram_below + pc->ram_above, pc->ram_below};
    struct acpi_tables placed = pc->acpi;
    placed.data = ram + at;
    memcpy(placed.data, pc->acpi.data, pc->acpi.len);
    acpi_relocate(&placed, at);
    memcpy(ram + RSDP_AT, placed.rsdp, ACPI_RSDP_SIZE);

    smbios_build(&s, &c);
    smbios_relocate(&s, SMBIOS_AT);
    memcpy(ram + ANCHOR_AT, s.anchor, sizeof(s.anchor));
    memcpy(ram + SMBIOS_AT, s.data, s.len);
    return at;
}

int pc_direct_load(struct pc *pc, struct err *e)
{
    struct e820 map = {.n = 0};
    struct boot_files f = {pc->cfg.kernel, pc->cfg.initrd, pc->cfg.append};
    u64 top = place_tables(pc);
    e820_add(&map, 0, MAP_EBDA, E820_RAM);
    e820_add(&map, MAP_EBDA, MAP_LOW_TOP - MAP_EBDA, E820_RESERVED);
    e820_add(&map, RSDP_AT, MAP_HIGH - RSDP_AT, E820_RESERVED);
    e820_add(&map, MAP_HIGH, top - MAP_HIGH, E820_RAM);
    e820_add(&map, top, pc->ram_below - top, E820_ACPI);
    if (pc->cfg.xen == XEN_HVM)
        e820_add(&map, MAP_XEN, MAP_XEN_SIZE, E820_RESERVED);
    e820_add(&map, MAP_4G, pc->ram_above, E820_RAM);
    struct boot_mem m = {pc->vm->mem.hva, top, &map, RSDP_AT, pc_has_text(pc)};
    return loader_load(&f, &m, &pc->entry, e);
}

void pc_direct_reset(struct pc *pc)
{
    struct err e;
    i440fx_shadow_all(&pc->host);
    set_up_pci(pc);
    pc_direct_text(pc);
    if (!pc->ran)
        return; /* pc_open() has just loaded it */
    if (pc_direct_load(pc, &e)) {
        fprintf(stderr, "wirt: reboot: %s\n", e.msg);
        vm_request_end(pc->vm, VM_FAILED, 0);
    }
    mem_wrote(&pc->vm->mem, pc->vm->mem.hva, pc->ram_below);
}

/* Memory types: all RAM write-back, the VGA window uncached, and PCI memory too. */
static void set_mtrrs(const struct pc *pc, struct cpu_state *s)
{
    const u64 wb = 0x0606060606060606ull, wp = 0x0505050505050505ull, phys = (1ull << 36) - 1;
    s->mtrr_def_type = 0xc06;
    memset(s->mtrr_fixed, 0, sizeof(s->mtrr_fixed));
    s->mtrr_fixed[0] = s->mtrr_fixed[1] = wb; /* 0-0x9ffff */
    for (unsigned i = 3; i < 11; i++)
        s->mtrr_fixed[i] = wp; /* 0xc0000-0xfffff */
    s->mtrr_base[0] = MAP_RAM_BELOW;
    s->mtrr_mask[0] = (~(MAP_4G - MAP_RAM_BELOW - 1) & phys) | 1 << 11;
}

void pc_direct_state(void *opaque, struct cpu_state *s)
{
    struct pc *pc = opaque;
    loader_state(&pc->entry, s);
    set_mtrrs(pc, s);
}
