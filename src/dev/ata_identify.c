/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What drives say of themselves: IDENTIFY DEVICE and IDENTIFY PACKET DEVICE, ATA/ATAPI-7 6.17 and
 * 6.18, 256 little-endian words.
 */
#include "base/endian.h"
#include "dev/ata_internal.h"

static void word(u8 *buf, unsigned n, u16 v)
{
    le16_put(buf + n * 2, v);
}

static void dword(u8 *buf, unsigned n, u32 v)
{
    le32_put(buf + n * 2, v);
}

/* Words 63 and 88: the modes that are there, and which one is chosen. */
static void dma_modes(u8 *buf, u8 mode)
{
    word(buf, 63, 0x07 | (mode >> 3 == 4 ? 0x100 << (mode & 7) : 0));
    word(buf, 88, 0x3f | (mode >> 3 == 8 ? 0x100 << (mode & 7) : 0));
}

/* Word 255: signature, and a byte that makes the sum zero. */
static void checksum(u8 *buf)
{
    u8 sum = 0;

    buf[510] = 0xa5;
    for (unsigned i = 0; i < 511; i++)
        sum += buf[i];
    buf[511] = -sum;
}

static void common(const struct ata_drive *d, u8 *buf)
{
    memset(buf, 0, ATA_SECTOR);
    ata_put_string(buf, 10, 10, d->serial);
    ata_put_string(buf, 23, 4, "1.0");
    ata_put_string(buf, 27, 20, d->model);
    dma_modes(buf, d->xfer_mode);
    word(buf, 64, 0x03); /* PIO modes 3 and 4 */
    word(buf, 65, 120);  /* cycle times in ns */
    word(buf, 66, 120);
    word(buf, 67, 120);
    word(buf, 68, 120);
    word(buf, 80, 0x00f0);                           /* ATA/ATAPI-4 to 7 */
    word(buf, 93, 0x6001 | (d->index ? 0x4a00 : 0)); /* 80-wire cable, device found by jumper */
}

/* The CHS translation of words 54 to 58, which must not claim more than the disk has. */
static void geometry(const struct ata_drive *d, u8 *buf)
{
    u64 cyls = d->sectors / (d->cur_heads * d->cur_spt);
    u32 n;

    cyls = min(cyls, (u64)65535);
    n = min(cyls * d->cur_heads * d->cur_spt, (u64)16514064);
    word(buf, 1, d->cyls);
    word(buf, 3, d->heads);
    word(buf, 6, d->spt);
    word(buf, 54, cyls);
    word(buf, 55, d->cur_heads);
    word(buf, 56, d->cur_spt);
    dword(buf, 57, n);
}

void ata_disk_identify(const struct ata_drive *d, u8 *buf)
{
    common(d, buf);
    geometry(d, buf);
    word(buf, 0, 0x0040);  /* fixed disk */
    word(buf, 47, 0x8010); /* READ MULTIPLE: at most 16 sectors */
    word(buf, 48, 1);      /* 32-bit access to the data port */
    word(buf, 49, 0x2b00); /* standby timer, IORDY, LBA, DMA */
    word(buf, 50, 0x4000);
    word(buf, 51, 0x0200);
    word(buf, 53, 7); /* words 54-58, 64-70 and 88 are valid */
    word(buf, 59, d->multiple ? 0x100 | d->multiple : 0);
    dword(buf, 60, min(d->sectors, BIT64(28) - 1));
    word(buf, 82, 0x7069); /* NOP, buffers, look-ahead, write cache, power management, SMART */
    word(buf, 83, 0x7400); /* FLUSH EXT, FLUSH, LBA48 */
    word(buf, 84, 0x4040); /* FUA writes */
    word(buf, 85,
         0x7008 | (d->smart ? 1 : 0) | (d->write_cache ? 0x20 : 0) | (d->read_ahead ? 0x40 : 0));
    word(buf, 86, 0x3400);
    word(buf, 87, 0x4040);
    le64_put(buf + 100 * 2, d->sectors);
    if (d->blk->block_size > ATA_SECTOR)
        word(buf, 106, 0x6000 | __builtin_ctz(d->blk->block_size / ATA_SECTOR));
    if (!d->blk->readonly) {
        word(buf, 105, 1); /* blocks of ranges a TRIM takes */
        word(buf, 169, 1); /* TRIM */
    }
    checksum(buf);
}

void atapi_identify(const struct ata_drive *d, u8 *buf)
{
    common(d, buf);
    word(buf, 0, 0x85c0); /* CD-ROM, removable, DRQ within 50 us, 12-byte packets */
    word(buf, 48, 1);
    word(buf, 49, 0x0b00); /* IORDY, LBA, DMA */
    word(buf, 53, 6);
    word(buf, 71, 30); /* ns to release the bus: never */
    word(buf, 72, 30);
    word(buf, 82, 0x4210); /* NOP, DEVICE RESET, PACKET */
    word(buf, 83, 0x4000);
    word(buf, 84, 0x4000);
    word(buf, 85, 0x4210);
    word(buf, 87, 0x4000);
    checksum(buf);
}
