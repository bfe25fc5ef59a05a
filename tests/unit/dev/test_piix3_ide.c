/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IDE function with a disk and a CD-ROM in memory: PIO, DMA, resets, errors, packets.
 */
#include "dev/piix3_ide.h"

#include "fake_pc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum {
    DISK_SECTORS = 1 << 16,
    CD_BLOCKS = 100,
    CMD = 0x1f0,
    CTL = 0x3f6,
    BM = 0xc000,
    PRD = 0x1000
};
enum { BSY = 0x80, DRDY = 0x40, DF = 0x20, DRQ = 0x08, ERR = 0x01 };

struct ide {
    struct fake_pc pc;
    struct fake_blk disk, cd;
    struct piix3_ide ide;
};

static int setup(void **state)
{
    struct ide *s = calloc(1, sizeof(*s));
    struct irq irq[2];
    struct ata_drive_config cfg[4] = {{0}};

    fake_pc_init(&s->pc);
    fake_blk_init(&s->disk, DISK_SECTORS * 512ull);
    fake_blk_init(&s->cd, CD_BLOCKS * 2048ull);
    for (unsigned i = 0; i < DISK_SECTORS; i++)
        le32_put(s->disk.data + i * 512, i);
    for (unsigned i = 0; i < CD_BLOCKS; i++)
        le32_put(s->cd.data + i * 2048, 0xcd000000 + i);
    irq[0] = fake_line(&s->pc, 14);
    irq[1] = fake_line(&s->pc, 15);
    cfg[0] = (struct ata_drive_config){.kind = ATA_DISK, .blk = &s->disk.b};
    cfg[1] = (struct ata_drive_config){.kind = ATA_CDROM, .blk = &s->cd.b};
    assert_int_equal(piix3_ide_init(&s->ide, &s->pc.pci, 9, cfg, irq), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(bus_map(&s->pc.pio, &s->ide.ch[i].cmd, i ? 0x170 : 0x1f0), 0);
        assert_int_equal(bus_map(&s->pc.pio, &s->ide.ch[i].ctl, i ? 0x376 : 0x3f6), 0);
    }
    pci_config_write(&s->pc.pci, 9, 0x20, 4, BM);
    pci_config_write(&s->pc.pci, 9, 0x04, 2, 5);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct ide *s = *state;

    fake_blk_close(&s->disk.b);
    fake_blk_close(&s->cd.b);
    fake_pc_destroy(&s->pc);
    free(s);
    return 0;
}

static void put(struct ide *s, unsigned reg, u8 v)
{
    outb(&s->pc, CMD + reg, v);
}

static u8 get(struct ide *s, unsigned reg)
{
    return inb(&s->pc, CMD + reg);
}

static void lba28(struct ide *s, u32 lba, u8 n, u8 cmd)
{
    put(s, 2, n);
    put(s, 3, lba);
    put(s, 4, lba >> 8);
    put(s, 5, lba >> 16);
    put(s, 6, 0xe0 | lba >> 24);
    put(s, 7, cmd);
}

static void lba48(struct ide *s, u64 lba, u16 n, u8 cmd)
{
    put(s, 6, 0x40);
    put(s, 2, n >> 8);
    put(s, 2, n);
    for (int i = 0; i < 3; i++) {
        put(s, 3 + i, lba >> (24 + 8 * i));
        put(s, 3 + i, lba >> (8 * i));
    }
    put(s, 7, cmd);
}

static void in_words(struct ide *s, void *buf, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i += 2)
        le16_put((u8 *)buf + i, bus_read(&s->pc.pio, CMD, 2));
}

static void out_words(struct ide *s, const void *buf, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i += 2)
        bus_write(&s->pc.pio, CMD, 2, le16_get((const u8 *)buf + i));
}

static void test_signatures(void **state)
{
    struct ide *s = *state;

    put(s, 6, 0xa0);
    assert_int_equal(get(s, 4) | get(s, 5) << 8, 0);
    assert_int_equal(get(s, 7), 0x50);
    put(s, 6, 0xb0);
    assert_int_equal(get(s, 4) | get(s, 5) << 8, 0xeb14);
    assert_int_equal(inb(&s->pc, 0x177), 0x7f); /* an empty cable */
}

static void test_identify(void **state)
{
    struct ide *s = *state;
    u8 id[512], sum = 0;

    put(s, 6, 0xa0);
    put(s, 7, 0xec);
    assert_true(s->pc.irq[14].level);
    assert_int_equal(get(s, 7), 0x58);
    assert_false(s->pc.irq[14].level);
    in_words(s, id, 512);
    assert_int_equal(get(s, 7), 0x50);
    for (int i = 0; i < 512; i++)
        sum += id[i];
    assert_int_equal(sum, 0);
    assert_int_equal(le32_get(id + 120), DISK_SECTORS);
    assert_int_equal(le64_get(id + 200), DISK_SECTORS);
    assert_memory_equal(id + 54, "IWTRH RADDSI K", 14);
    put(s, 6, 0xb0);
    put(s, 7, 0xec); /* a packet device aborts */
    assert_int_equal(get(s, 7) & ERR, ERR);
    put(s, 7, 0xa1);
    in_words(s, id, 512);
    assert_int_equal(le16_get(id), 0x85c0);
}

static void test_pio_read(void **state)
{
    struct ide *s = *state;
    u8 buf[512];

    lba28(s, 1000, 3, 0x20);
    for (u32 i = 0; i < 3; i++) {
        assert_true(s->pc.irq[14].level);
        assert_int_equal(get(s, 7), 0x58);
        in_words(s, buf, 512);
        assert_int_equal(le32_get(buf), 1000 + i);
    }
    assert_int_equal(get(s, 7), 0x50);
    assert_int_equal(s->pc.irq[14].rises, 3);
    /* 256 sectors and more: several chunks; 32-bit accesses; multiple mode. */
    put(s, 2, 16);
    put(s, 7, 0xc6);
    lba48(s, 5, 600, 0x29);
    for (u32 i = 0; i < 600; i++) {
        u32 first = bus_read(&s->pc.pio, CMD, 4);

        assert_int_equal(first, 5 + i);
        for (int k = 4; k < 512; k += 4)
            bus_read(&s->pc.pio, CMD, 4);
    }
    assert_int_equal(get(s, 7), 0x50);
}

static void test_pio_write(void **state)
{
    struct ide *s = *state;
    u8 buf[512];
    unsigned rises = s->pc.irq[14].rises;

    memset(buf, 0x5a, sizeof(buf));
    lba28(s, 7, 2, 0x30);
    assert_int_equal(get(s, 7), 0x58);
    assert_int_equal(s->pc.irq[14].rises, rises); /* none for the first block */
    out_words(s, buf, 512);
    assert_true(s->pc.irq[14].level);
    assert_int_equal(get(s, 7), 0x58);
    s->disk.defer = true;
    out_words(s, buf, 512);
    assert_int_equal(get(s, 7) & BSY, BSY);
    assert_true(fake_blk_run(&s->disk));
    assert_int_equal(get(s, 7), 0x50);
    s->disk.defer = false;
    assert_memory_equal(s->disk.data + 7 * 512, buf, 512);
    assert_memory_equal(s->disk.data + 8 * 512, buf, 512);
    put(s, 7, 0xe7);
    assert_int_equal(s->disk.flushes, 1);
    s->disk.b.readonly = true;
    lba28(s, 7, 1, 0x30);
    assert_int_equal(get(s, 7) & (ERR | DRQ), ERR);
    assert_int_equal(get(s, 1), 0x44);
}

static void test_chs(void **state)
{
    struct ide *s = *state;
    u8 buf[512];

    put(s, 2, 1);
    put(s, 3, 63); /* sector */
    put(s, 4, 1);
    put(s, 5, 0);
    put(s, 6, 0xa2);
    put(s, 7, 0x20);
    in_words(s, buf, 512);
    assert_int_equal(le32_get(buf), (1 * 16 + 2) * 63 + 62);
    put(s, 3, 0); /* no such sector */
    put(s, 7, 0x20);
    assert_int_equal(get(s, 1), 0x10);
}

static void test_errors(void **state)
{
    struct ide *s = *state;
    u8 buf[512] = {0};

    lba28(s, DISK_SECTORS - 1, 2, 0x20);
    assert_int_equal(get(s, 7), 0x51);
    assert_int_equal(get(s, 1), 0x10);
    put(s, 7, 0x5f); /* no such command */
    assert_int_equal(get(s, 1), 0x04);
    s->disk.fail = -EIO;
    lba28(s, 77, 1, 0x20);
    assert_int_equal(get(s, 7), 0x51);
    assert_int_equal(get(s, 1), 0x40);
    assert_int_equal(get(s, 3), 77);
    lba28(s, 78, 1, 0x30);
    out_words(s, buf, 512);
    assert_int_equal(get(s, 7), 0x71);
    assert_int_equal(get(s, 1), 0x04);
}

static void set_prd(struct ide *s, unsigned n, u32 addr, u16 len, bool last)
{
    mem_write32(&s->pc.dma, PRD + 8 * n, addr);
    mem_write32(&s->pc.dma, PRD + 8 * n + 4, len | (last ? 0x80000000 : 0));
}

static void test_dma(void **state)
{
    struct ide *s = *state;

    set_prd(s, 0, 0x10000, 0x600, false);
    set_prd(s, 1, 0x20000, 0, true); /* 64 KiB */
    bus_write(&s->pc.pio, BM + 4, 4, PRD);
    outb(&s->pc, BM + 2, 0x66);
    outb(&s->pc, BM, 8);
    lba28(s, 100, 131, 0xc8);
    assert_int_equal(get(s, 7) & BSY, BSY); /* waits for the engine */
    outb(&s->pc, BM, 9);
    assert_int_equal(inb(&s->pc, BM + 2), 0x64); /* interrupt, table used up */
    assert_true(s->pc.irq[14].level);
    assert_int_equal(get(s, 7), 0x50);
    assert_int_equal(mem_read32(&s->pc.dma, 0x10000), 100);
    assert_int_equal(mem_read32(&s->pc.dma, 0x10400), 102);
    assert_int_equal(mem_read32(&s->pc.dma, 0x20000), 103);
    outb(&s->pc, BM, 0);
    outb(&s->pc, BM + 2, 0x66);
    assert_int_equal(inb(&s->pc, BM + 2), 0x60);

    /* Write 3 sectors with a table that is longer than the command: stays active. */
    mem_write32(&s->pc.dma, 0x20000, 0xfeedface);
    set_prd(s, 0, 0x20000, 0x1000, true);
    outb(&s->pc, BM, 1);
    lba48(s, 0xfff0, 3, 0x35);
    assert_int_equal(inb(&s->pc, BM + 2), 0x65);
    assert_int_equal(le32_get(s->disk.data + 0xfff0 * 512), 0xfeedface);
    outb(&s->pc, BM, 0);

    /* A table that is too short ends the command without an interrupt. */
    outb(&s->pc, BM + 2, 0x66);
    get(s, 7);
    set_prd(s, 0, 0x20000, 0x200, true);
    outb(&s->pc, BM, 9);
    lba28(s, 0, 2, 0xc8);
    assert_int_equal(inb(&s->pc, BM + 2), 0x60);
    assert_false(s->pc.irq[14].level);
}

static void test_large_dma(void **state)
{
    struct ide *s = *state;

    for (unsigned i = 0; i < 8; i++)
        set_prd(s, i, 0x100000 + i * 0x10000, 0, i == 7);
    bus_write(&s->pc.pio, BM + 4, 4, PRD);
    outb(&s->pc, BM, 9);
    lba48(s, 3, 1024, 0x25);
    assert_int_equal(get(s, 7), 0x50);
    for (unsigned i = 0; i < 1024; i++)
        assert_int_equal(mem_read32(&s->pc.dma, 0x100000 + i * 512), 3 + i);
}

static void test_reset_while_busy(void **state)
{
    struct ide *s = *state;

    s->disk.defer = true;
    lba28(s, 1, 1, 0x20);
    outb(&s->pc, CTL, 4);
    outb(&s->pc, CTL, 0);
    assert_int_equal(inb(&s->pc, CTL) & BSY, BSY);
    fake_blk_run(&s->disk);
    assert_int_equal(get(s, 7), 0x50);
    assert_false(s->pc.irq[14].level);
    s->disk.defer = false;
    lba28(s, 1, 1, 0x20);
    assert_int_equal(get(s, 7), 0x58);
    /* nIEN keeps the line down. */
    outb(&s->pc, CTL, 2);
    lba28(s, 1, 1, 0x40);
    assert_false(s->pc.irq[14].level);
}

static void test_trim(void **state)
{
    struct ide *s = *state;

    memset(s->pc.mem.hva + 0x30000, 0, 512);
    mem_write64(&s->pc.dma, 0x30000, 10 | 4ull << 48);
    mem_write64(&s->pc.dma, 0x30008, 20 | 1ull << 48);
    set_prd(s, 0, 0x30000, 512, true);
    bus_write(&s->pc.pio, BM + 4, 4, PRD);
    outb(&s->pc, BM, 1);
    put(s, 1, 0);
    put(s, 1, 1);
    lba48(s, 0, 1, 0x06);
    assert_int_equal(get(s, 7), 0x50);
    assert_int_equal(s->disk.discards, 2);
    assert_int_equal(le32_get(s->disk.data + 13 * 512), 0);
    assert_int_equal(le32_get(s->disk.data + 14 * 512), 14);
}

/* -------------------------------------------------------------------- CD -- */

static void packet(struct ide *s, const u8 *p, u16 limit, bool dma)
{
    put(s, 6, 0xb0);
    put(s, 1, dma);
    put(s, 4, limit);
    put(s, 5, limit >> 8);
    put(s, 7, 0xa0);
    assert_int_equal(get(s, 7) & (BSY | DRQ), DRQ);
    assert_int_equal(get(s, 2) & 3, 1);
    out_words(s, p, 12);
}

static u32 read_reply(struct ide *s, u8 *buf)
{
    u32 n = 0;

    while (get(s, 7) & DRQ) {
        u32 len = get(s, 4) | get(s, 5) << 8;

        assert_int_equal(get(s, 2) & 3, 2);
        in_words(s, buf + n, len);
        n += len;
    }
    assert_int_equal(get(s, 2) & 3, 3);
    return n;
}

static void test_cd(void **state)
{
    static u8 buf[300000];
    struct ide *s = *state;

    packet(s, (u8[12]){0x00}, 0, false);
    assert_int_equal(get(s, 7), 0x50);
    packet(s, (u8[12]){0x12, 0, 0, 0, 36}, 0xfffe, false);
    assert_int_equal(read_reply(s, buf), 36);
    assert_int_equal(buf[0], 5);
    packet(s, (u8[12]){0x25}, 8, false);
    assert_int_equal(read_reply(s, buf), 8);
    assert_int_equal(be32_get(buf), CD_BLOCKS - 1);
    packet(s, (u8[12]){0x28, 0, 0, 0, 0, 16, 0, 0, 84}, 0xfffe, false);
    assert_int_equal(read_reply(s, buf), 84 * 2048);
    for (unsigned i = 0; i < 84; i++)
        assert_int_equal(le32_get(buf + i * 2048), 0xcd000010 + i);
    packet(s, (u8[12]){0x28, 0, 0, 0, 0, 99, 0, 0, 2}, 2048, false); /* past the end */
    assert_int_equal(get(s, 7), 0x51);
    assert_int_equal(get(s, 1) >> 4, 5);
    packet(s, (u8[12]){0x03, 0, 0, 0, 18}, 2048, false);
    assert_int_equal(read_reply(s, buf), 18);
    assert_int_equal(buf[2] << 8 | buf[12], 0x521);
    packet(s, (u8[12]){0xbe, 0, 0, 0, 0, 3, 0, 0, 70, 0xf8}, 0xfffe, false);
    assert_int_equal(read_reply(s, buf), 70 * 2352);
    assert_int_equal(le32_get(buf + 69 * 2352 + 16), 0xcd000003 + 69);
    assert_int_equal(le32_get(buf + 12), 0x01030200); /* 00:02:03, Mode 1 */
    packet(s, (u8[12]){0x43, 2, 0, 0, 0, 0, 1, 0, 20}, 0xfffe, false);
    assert_int_equal(read_reply(s, buf), 20);
    packet(s, (u8[12]){0x46, 0, 0, 0, 0, 0, 0, 1, 0}, 0xfffe, false);
    assert_true(read_reply(s, buf) > 40);
    packet(s, (u8[12]){0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128}, 0xfffe, false);
    assert_int_equal(read_reply(s, buf), 30);
    packet(s, (u8[12]){0xff}, 0xfffe, false);
    assert_int_equal(get(s, 7), 0x51);
}

static void test_cd_dma(void **state)
{
    struct ide *s = *state;

    for (unsigned i = 0; i < 4; i++)
        set_prd(s, i, 0x100000 + i * 0x10000, 0, i == 3);
    bus_write(&s->pc.pio, BM + 4, 4, PRD);
    packet(s, (u8[12]){0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 100}, 0, true);
    outb(&s->pc, BM, 9);
    assert_int_equal(get(s, 7), 0x50);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(mem_read32(&s->pc.dma, 0x100000 + i * 2048), 0xcd000000 + i);
}

static void test_cd_medium(void **state)
{
    struct ide *s = *state;
    u8 buf[64];

    assert_int_equal(ata_change_medium(&s->ide.ch[0], 1, NULL), 0);
    packet(s, (u8[12]){0x00}, 0, false);
    assert_int_equal(get(s, 1) >> 4, 2);
    packet(s, (u8[12]){0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}, 8, false);
    assert_int_equal(read_reply(s, buf), 8);
    assert_int_equal(buf[4], 3);
    assert_int_equal(ata_change_medium(&s->ide.ch[0], 1, &s->cd.b), 0);
    packet(s, (u8[12]){0x00}, 0, false);
    assert_int_equal(get(s, 1) >> 4, 6); /* unit attention, once */
    packet(s, (u8[12]){0x00}, 0, false);
    assert_int_equal(get(s, 7), 0x50);
    packet(s, (u8[12]){0x1e, 0, 0, 0, 1}, 0, false);
    packet(s, (u8[12]){0x1b, 0, 0, 0, 2}, 0, false);
    assert_int_equal(get(s, 7), 0x51); /* locked */
    put(s, 7, 0x08);                   /* DEVICE RESET */
    assert_int_equal(get(s, 5), 0xeb);
}

static void test_state(void **state)
{
    struct ide *s = *state;
    size_t n = state_size(&ata_channel_state);
    u8 *buf = malloc(n), *again = malloc(n);
    u8 data[512];

    lba28(s, 9, 2, 0x20);
    in_words(s, data, 100);
    state_save(&ata_channel_state, &s->ide.ch[0], buf);
    in_words(s, data, 412);
    in_words(s, data, 512);
    assert_int_equal(state_load(&ata_channel_state, &s->ide.ch[0], buf, n, NULL), 0);
    state_save(&ata_channel_state, &s->ide.ch[0], again);
    assert_memory_equal(buf, again, n);
    in_words(s, data, 412);
    in_words(s, data, 512);
    assert_int_equal(le32_get(data), 10);
    free(buf);
    free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_signatures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_identify, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pio_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pio_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dma, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_dma, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_while_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trim, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cd, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cd_dma, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cd_medium, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
