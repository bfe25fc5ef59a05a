/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's "stdvga": PCI glue around vga.c.  Its state is pci_dev_state and vga_state.
 */
#include "dev/stdvga.h"

#include <errno.h>
#include <string.h>

static void reset(struct pci_dev *d)
{
    struct stdvga *s = container_of(d, struct stdvga, pci);

    pthread_mutex_lock(&d->lock);
    vga_reset(&s->vga);
    pthread_mutex_unlock(&d->lock);
}

int stdvga_rom(struct pci_dev *d, struct region *r, struct mem *m, const void *rom, u64 size)
{
    u8 *mem;

    if (!rom)
        return 0;
    mem = mem_alloc(m, size);
    if (!mem)
        return -ENOMEM;
    memcpy(mem, rom, size);
    *r = (struct region){.name = "vga rom", .size = align_up(size, PAGE_SIZE), .hva = mem};
    pci_rom_init(d, r);
    return 0;
}

int stdvga_init(struct stdvga *s, struct pci_bus *b, unsigned devfn, struct mem *m, struct clock *c,
                const struct edid_config *edid, const void *rom, u64 rom_size)
{
    int r;

    memset(s, 0, sizeof(*s));
    r = pci_dev_init(&s->pci, b, devfn, "vga", 0x1234, 0x1111, 0x030000, 0);
    if (r)
        return r;
    r = vga_init(&s->vga, m, c, &s->pci.lock, b->trace, edid);
    if (r)
        return r;
    pci_set_subsystem(&s->pci, 0x1af4, 0x1100);
    s->pci.config[8] = 2; /* revision: has the memory BAR */
    s->pci.reset = reset;
    pci_bar_init(&s->pci, 0, PCI_BAR_MEM | PCI_BAR_PREFETCH, &s->vga.lfb);
    pci_bar_init(&s->pci, 2, PCI_BAR_MEM, &s->vga.mmio);
    return stdvga_rom(&s->pci, &s->rom, m, rom, rom_size);
}
