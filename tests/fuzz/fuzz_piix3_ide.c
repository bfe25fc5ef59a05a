/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses to the IDE function with a disk and a CD-ROM, requests that take their time or fail.
 */
#include "dev/piix3_ide.h"

#include "fuzz_pc.h"

enum { DISK = 256 * 512, CD = 100 * 2048, BM = 0xc000 };

struct target {
    struct fake_pc pc;
    struct fake_blk disk, cd;
    struct piix3_ide ide;
};

static void whole_packet(struct target *t, struct input *in)
{
    outb(&t->pc, 0x1f6, 0xb0);
    outb(&t->pc, 0x1f7, 0xa0);
    for (int i = 0; i < 6; i++)
        bus_write(&t->pc.pio, 0x1f0, 2, take(in, 2));
}

static void whole_command(struct target *t, struct input *in)
{
    for (int i = 1; i < 8; i++)
        outb(&t->pc, 0x1f0 + i, take(in, 1));
}

static void data(struct target *t, struct input *in)
{
    unsigned n = take(in, 2);
    bool write = n & 0x8000;

    for (n &= 0x1fff; n; n--)
        if (write)
            bus_write(&t->pc.pio, 0x1f0, 4, n);
        else
            bus_read(&t->pc.pio, 0x1f0, 4);
}

static void one(struct target *t, struct input *in)
{
    u8 op = take(in, 1);

    switch (op % 12) {
    case 0:
    case 1:
        fuzz_access(in, &t->pc.pio, 0x1f0, 8);
        break;
    case 2:
        fuzz_access(in, &t->pc.pio, 0x3f6, 1);
        break;
    case 3:
        fuzz_access(in, &t->pc.pio, BM, 16);
        break;
    case 4:
        fuzz_poke(in, &t->pc);
        break;
    case 5:
        whole_packet(t, in);
        break;
    case 6:
        whole_command(t, in);
        break;
    case 7:
        data(t, in);
        break;
    case 8:
        t->disk.defer = t->cd.defer = op & 0x80;
        break;
    case 9:
        fake_blk_run(&t->disk);
        fake_blk_run(&t->cd);
        break;
    case 10:
        t->disk.fail = t->cd.fail = op & 0x80 ? -EIO : 0;
        t->disk.b.readonly = op & 0x40;
        break;
    case 11:
        if (op & 0x80)
            pci_bus_reset(&t->pc.pci);
        else
            ata_change_medium(&t->ide.ch[0], 1, op & 0x40 ? &t->cd.b : NULL);
        pci_config_write(&t->pc.pci, 9, 0x20, 4, BM);
        pci_config_write(&t->pc.pci, 9, 0x04, 2, 5);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct target *t = calloc(1, sizeof(*t));
    struct input in = {bytes, size};
    struct ata_drive_config cfg[4] = {{0}};
    struct irq irq[2];

    fake_pc_init(&t->pc);
    fake_blk_init(&t->disk, DISK);
    fake_blk_init(&t->cd, CD);
    irq[0] = fake_line(&t->pc, 14);
    irq[1] = fake_line(&t->pc, 15);
    cfg[0] = (struct ata_drive_config){.kind = ATA_DISK, .blk = &t->disk.b};
    cfg[1] = (struct ata_drive_config){.kind = ATA_CDROM, .blk = &t->cd.b};
    piix3_ide_init(&t->ide, &t->pc.pci, 9, cfg, irq);
    bus_map(&t->pc.pio, &t->ide.ch[0].cmd, 0x1f0);
    bus_map(&t->pc.pio, &t->ide.ch[0].ctl, 0x3f6);
    pci_config_write(&t->pc.pci, 9, 0x20, 4, BM);
    pci_config_write(&t->pc.pci, 9, 0x04, 2, 5);
    for (int i = 0; in.left && i < 400; i++)
        one(t, &in);
    fake_blk_run(&t->disk);
    fake_blk_run(&t->cd);
    fake_blk_close(&t->disk.b);
    fake_blk_close(&t->cd.b);
    fake_pc_destroy(&t->pc);
    free(t);
    return 0;
}
