/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses to the floppy controller and the DMA controllers.
 */
#include "dev/i82078.h"
#include "dev/i8237.h"

#include "fuzz_pc.h"

struct target {
    struct fake_pc pc;
    struct fake_blk disk;
    struct i8237 dma;
    struct i82078 fdc;
};

static void whole_command(struct target *t, struct input *in)
{
    unsigned n = 1 + take(in, 1) % 9;

    while (n--)
        outb(&t->pc, 0x3f5, take(in, 1));
}

static void data(struct target *t, struct input *in)
{
    unsigned n = take(in, 2) & 0xfff;

    while (n--)
        if (inb(&t->pc, 0x3f4) & 0x40)
            inb(&t->pc, 0x3f5);
        else
            outb(&t->pc, 0x3f5, n);
}

static void one(struct target *t, struct input *in)
{
    u8 op = take(in, 1);

    switch (op % 12) {
    case 0:
    case 1:
        fuzz_access(in, &t->pc.pio, 0x3f0, 8);
        break;
    case 2:
        fuzz_access(in, &t->pc.pio, 0, 16);
        break;
    case 3:
        fuzz_access(in, &t->pc.pio, 0xc0, 32);
        break;
    case 4:
        fuzz_access(in, &t->pc.pio, 0x80, 16);
        break;
    case 5:
        whole_command(t, in);
        break;
    case 6:
        data(t, in);
        break;
    case 7:
        clock_advance(t->pc.clock, take(in, 3));
        break;
    case 8:
        t->disk.defer = op & 0x80;
        t->disk.fail = op & 0x40 ? -EIO : 0;
        break;
    case 9:
        fake_blk_run(&t->disk);
        break;
    case 10:
        fuzz_poke(in, &t->pc);
        break;
    case 11:
        if (op & 0x80)
            i82078_reset(&t->fdc);
        else
            i82078_change_medium(&t->fdc, 0, op & 0x40 ? &t->disk.b : NULL);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct target *t = calloc(1, sizeof(*t));
    struct i82078_config cfg = {.type = {I82078_1440K, I82078_1200K}, .dma_ch = 2};
    struct input in = {bytes, size};

    fake_pc_init(&t->pc);
    fake_blk_init(&t->disk, 160 * 1024);
    i8237_init(&t->dma, t->pc.dma, &t->pc.trace);
    cfg.blk[0] = &t->disk.b;
    cfg.irq = fake_line(&t->pc, 6);
    cfg.dma = &t->dma;
    i82078_init(&t->fdc, &cfg, t->pc.clock, &t->pc.trace);
    bus_map(&t->pc.pio, &t->dma.io0, 0);
    bus_map(&t->pc.pio, &t->dma.io1, 0xc0);
    bus_map(&t->pc.pio, &t->dma.page, 0x80);
    bus_map(&t->pc.pio, &t->fdc.io, 0x3f0);
    bus_map(&t->pc.pio, &t->fdc.dir, 0x3f7);
    outb(&t->pc, 0x3f2, 0x1c);
    for (int i = 0; in.left && i < 400; i++)
        one(t, &in);
    fake_blk_run(&t->disk);
    fake_blk_close(&t->disk.b);
    fake_pc_destroy(&t->pc);
    free(t);
    return 0;
}
