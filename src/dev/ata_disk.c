/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An ATA hard disk: the command set of ATA/ATAPI-7 volume 1 that systems use, with 28- and 48-bit
 * LBA and CHS addresses, single and multiple sector PIO, DMA, flush, power and SMART commands.
 *
 * Reads fetch up to a buffer full in one disk request and hand it out in DRQ blocks; writes gather
 * DRQ blocks until the buffer is full or the command ends.  An error is therefore reported for the
 * first sector of the request that failed.  A host error while reading is UNC; while writing it is
 * a device fault, since the medium took nothing; writing to a read-only image is WP.
 *
 * TRIM (DATA SET MANAGEMENT) is announced, so that sparse images stay sparse.
 */
#include "base/endian.h"
#include "dev/ata_internal.h"

#include <errno.h>

enum { BUF_SECTORS = ATA_BUF_SIZE / ATA_SECTOR, MULTIPLE_MAX = 16 };

enum {
    CMD_DSM = 0x06,
    CMD_READ_SECTORS = 0x20,
    CMD_READ_EXT = 0x24,
    CMD_READ_DMA_EXT = 0x25,
    CMD_READ_NATIVE_MAX_EXT = 0x27,
    CMD_READ_MULTIPLE_EXT = 0x29,
    CMD_WRITE_SECTORS = 0x30,
    CMD_WRITE_EXT = 0x34,
    CMD_WRITE_DMA_EXT = 0x35,
    CMD_WRITE_MULTIPLE_EXT = 0x39,
    CMD_WRITE_VERIFY = 0x3c,
    CMD_WRITE_DMA_FUA_EXT = 0x3d,
    CMD_VERIFY = 0x40,
    CMD_VERIFY_EXT = 0x42,
    CMD_INIT_PARAMETERS = 0x91,
    CMD_SMART = 0xb0,
    CMD_READ_MULTIPLE = 0xc4,
    CMD_WRITE_MULTIPLE = 0xc5,
    CMD_SET_MULTIPLE = 0xc6,
    CMD_READ_DMA = 0xc8,
    CMD_WRITE_DMA = 0xca,
    CMD_WRITE_MULTIPLE_FUA_EXT = 0xce,
    CMD_READ_BUFFER = 0xe4,
    CMD_FLUSH = 0xe7,
    CMD_WRITE_BUFFER = 0xe8,
    CMD_FLUSH_EXT = 0xea,
    CMD_IDENTIFY = 0xec,
    CMD_SET_FEATURES = 0xef,
    CMD_READ_NATIVE_MAX = 0xf8,
};

void ata_disk_init(struct ata_drive *d)
{
    u64 cyls;

    /* 48-bit addresses; the translation is the usual 16 heads, 63 sectors. */
    d->sectors = min(d->blk->size / ATA_SECTOR, BIT64(48) - 1);
    d->heads = 16;
    d->spt = 63;
    cyls = d->sectors / (16 * 63);
    d->cyls = min(cyls, (u64)16383);
    d->write_cache = 1;
    d->read_ahead = 1;
}

void ata_disk_reset(struct ata_drive *d, bool power_on)
{
    d->standby = 0;
    if (!power_on)
        return;
    d->cur_heads = d->heads;
    d->cur_spt = d->spt;
    d->multiple = MULTIPLE_MAX;
    d->xfer_mode = 0x08;
    d->write_cache = 1;
    d->read_ahead = 1;
    d->smart = 1;
}

/* ------------------------------------------------------------- addresses -- */

static u64 get_lba48(const struct ata_taskfile *t)
{
    return t->lbal[0] | (u64)t->lbam[0] << 8 | (u64)t->lbah[0] << 16 | (u64)t->lbal[1] << 24 |
           (u64)t->lbam[1] << 32 | (u64)t->lbah[1] << 40;
}

/* The address in the registers as a sector number; false = a CHS address that does not exist. */
static bool get_address(const struct ata_channel *c, const struct ata_drive *d, u64 *lba)
{
    const struct ata_taskfile *t = &d->tf;
    u32 cyl = t->lbam[0] | t->lbah[0] << 8, head = t->device & 15, sec = t->lbal[0];

    if (c->is_lba48) {
        *lba = get_lba48(t);
    } else if (t->device & ATA_DEV_LBA) {
        *lba = t->lbal[0] | t->lbam[0] << 8 | t->lbah[0] << 16 | (u32)head << 24;
    } else {
        if (!sec || sec > d->cur_spt || head >= d->cur_heads)
            return false;
        *lba = ((u64)cyl * d->cur_heads + head) * d->cur_spt + sec - 1;
    }
    return true;
}

/* Shows a sector number in the registers, in the form the command used. */
static void put_address(struct ata_channel *c, struct ata_drive *d, u64 lba)
{
    struct ata_taskfile *t = &d->tf;

    if (c->is_lba48) {
        t->lbal[1] = lba >> 24;
        t->lbam[1] = lba >> 32;
        t->lbah[1] = lba >> 40;
    } else if (t->device & ATA_DEV_LBA) {
        t->device = (t->device & 0xf0) | (lba >> 24 & 15);
    } else {
        u64 cyl = lba / (d->cur_heads * d->cur_spt);

        t->device = (t->device & 0xf0) | (lba / d->cur_spt % d->cur_heads);
        t->lbal[0] = lba % d->cur_spt + 1;
        t->lbam[0] = cyl;
        t->lbah[0] = cyl >> 8;
        return;
    }
    t->lbal[0] = lba;
    t->lbam[0] = lba >> 8;
    t->lbah[0] = lba >> 16;
}

static u32 get_count(const struct ata_channel *c, const struct ata_taskfile *t)
{
    u32 n = t->nsector[0];

    if (!c->is_lba48)
        return n ? n : 256;
    n |= t->nsector[1] << 8;
    return n ? n : 65536;
}

/* Sets lba and left from the registers; fails the command when they do not lie on the disk. */
static bool set_range(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);
    u32 n = get_count(c, &d->tf);
    u64 lba;

    if (!get_address(c, d, &lba) || !range_within(lba, n, 0, d->sectors)) {
        ata_fail(c, ATA_IDNF, 0);
        return false;
    }
    c->lba = lba;
    c->left = n;
    c->chunk = 0;
    return true;
}

/* ------------------------------------------------------------------ trim -- */

/* buf holds data_len bytes of ranges, buf_pos is the next: 48 bits of LBA, 16 of length. */
static void trim_next(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);

    while (c->buf_pos < c->data_len) {
        u64 v = le64_get(c->buf + c->buf_pos);
        u64 lba = v & (BIT64(48) - 1), n = v >> 48;

        c->buf_pos += 8;
        if (!n)
            continue;
        if (!range_within(lba, n, 0, d->sectors)) {
            ata_fail(c, ATA_IDNF, 0);
            return;
        }
        ata_submit(c, BLK_DISCARD, lba * ATA_SECTOR, NULL, n * ATA_SECTOR, false);
        return;
    }
    ata_finish(c);
}

static void trim_go(struct ata_channel *c)
{
    c->data_len = ATA_SECTOR;
    c->buf_pos = 0;
    if (ata_dma_move(c, c->data_len, false))
        trim_next(c);
}

/* ------------------------------------------------------------ transfers -- */

static void next_read(struct ata_channel *c)
{
    c->chunk = min(c->left, (u32)BUF_SECTORS);
    c->left -= c->chunk;
    c->data_len = c->chunk * ATA_SECTOR;
    ata_submit(c, BLK_READ, c->lba * ATA_SECTOR, c->buf, c->data_len, false);
}

static void read_block(struct ata_channel *c, u32 from)
{
    ata_data_in(c, from, min(c->block * ATA_SECTOR, c->data_len - from), true);
}

/* Asks the host for the next DRQ block of a write. */
static void write_block(struct ata_channel *c, u32 from, bool interrupt)
{
    ata_data_out(c, from, min(c->block * ATA_SECTOR, c->data_len - from), interrupt);
}

static void next_write(struct ata_channel *c, bool interrupt)
{
    c->chunk = min(c->left, (u32)BUF_SECTORS);
    c->left -= c->chunk;
    c->data_len = c->chunk * ATA_SECTOR;
    if (!c->is_dma) {
        write_block(c, 0, interrupt);
        return;
    }
    if (ata_dma_move(c, c->data_len, false))
        ata_submit(c, BLK_WRITE, c->lba * ATA_SECTOR, c->buf, c->data_len,
                   c->command == CMD_WRITE_DMA_FUA_EXT);
}

/* PIO in both directions; block: sectors a DRQ block. */
static void start_pio(struct ata_channel *c, bool write, u32 block)
{
    if (!block) {
        ata_fail(c, ATA_ABRT, 0); /* multiple mode is off */
        return;
    }
    if (!set_range(c))
        return;
    c->block = block;
    c->is_write = write;
    if (write && ata_actor(c)->blk->readonly)
        ata_fail(c, ATA_WP | ATA_ABRT, 0);
    else if (write)
        next_write(c, false);
    else
        next_read(c);
}

void ata_disk_dma_go(struct ata_channel *c)
{
    ata_busy(c);
    if (c->command == CMD_DSM)
        trim_go(c);
    else if (c->is_write)
        next_write(c, false);
    else
        next_read(c);
}

static void start_dma(struct ata_channel *c, bool write)
{
    if (!c->dma.move) {
        ata_fail(c, ATA_ABRT, 0);
        return;
    }
    if (!set_range(c))
        return;
    if (write && ata_actor(c)->blk->readonly) {
        ata_fail(c, ATA_WP | ATA_ABRT, 0);
        return;
    }
    c->is_write = write;
    c->is_dma = 1;
    if (ata_dma_ready(c))
        ata_disk_dma_go(c);
}

/* The host took, or gave, the last word of a DRQ block. */
void ata_disk_data_end(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);

    switch (c->command) {
    case CMD_IDENTIFY:
    case CMD_SMART:
    case CMD_READ_BUFFER:
        c->phase = ATA_IDLE;
        d->tf.status = ATA_DRDY | ATA_DSC;
        return;
    case CMD_WRITE_BUFFER:
        ata_finish(c);
        return;
    }
    if (!c->is_write) {
        if (c->buf_pos < c->data_len) {
            read_block(c, c->buf_pos);
        } else if (c->left) {
            c->lba += c->chunk;
            next_read(c);
        } else { /* no interrupt after the last block of a read */
            c->phase = ATA_IDLE;
            d->tf.status = ATA_DRDY | ATA_DSC;
        }
    } else if (c->buf_pos < c->data_len) {
        write_block(c, c->buf_pos, true);
    } else {
        ata_submit(c, BLK_WRITE, c->lba * ATA_SECTOR, c->buf, c->data_len,
                   c->command == CMD_WRITE_MULTIPLE_FUA_EXT);
    }
}

static void dma_chunk_done(struct ata_channel *c)
{
    if (!c->is_write && !ata_dma_move(c, c->data_len, true))
        return;
    c->lba += c->chunk;
    if (!c->left)
        ata_finish(c);
    else if (ata_dma_ready(c))
        ata_disk_dma_go(c);
}

/* One block of 64 ranges is announced (word 105). */
static void start_trim(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);

    c->is_lba48 = 1;
    if (!(d->tf.features[0] & 1) || get_count(c, &d->tf) != 1 || !c->dma.move || d->blk->readonly) {
        ata_fail(c, ATA_ABRT, 0);
        return;
    }
    c->is_dma = 1;
    c->is_write = 1;
    c->left = 1;
    if (ata_dma_ready(c))
        ata_disk_dma_go(c);
}

/* ------------------------------------------------------------- the rest -- */

static void io_failed(struct ata_channel *c, int result)
{
    struct ata_drive *d = ata_actor(c);

    if (c->chunk)
        put_address(c, d, c->lba);
    if (c->command == CMD_FLUSH || c->command == CMD_FLUSH_EXT)
        ata_fail(c, ATA_ABRT, ATA_DF);
    else if (c->command == CMD_DSM)
        ata_fail(c, ATA_ABRT, 0);
    else if (c->is_write)
        ata_fail(c, ATA_ABRT, ATA_DF);
    else
        ata_fail(c, ATA_UNC, 0);
}

void ata_disk_io_done(struct ata_channel *c, int result)
{
    /* A back end that cannot discard leaves the data: that is a correct TRIM. */
    if (c->command == CMD_DSM && result == -EOPNOTSUPP)
        result = 0;
    if (result)
        io_failed(c, result);
    else if (c->command == CMD_FLUSH || c->command == CMD_FLUSH_EXT)
        ata_finish(c);
    else if (c->command == CMD_DSM)
        trim_next(c);
    else if (c->command == CMD_VERIFY || c->command == CMD_VERIFY + 1 ||
             c->command == CMD_VERIFY_EXT) {
        c->lba += c->chunk;
        if (c->left)
            next_read(c);
        else
            ata_finish(c);
    } else if (c->is_dma) {
        dma_chunk_done(c);
    } else if (!c->is_write) {
        read_block(c, 0);
    } else {
        c->lba += c->chunk;
        if (c->left)
            next_write(c, true);
        else
            ata_finish(c);
    }
}

static void set_features(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);

    switch (d->tf.features[0]) {
    case 0x02:
        d->write_cache = 1;
        break;
    case 0x03:
        if (!ata_set_transfer_mode(d, d->tf.nsector[0])) {
            ata_fail(c, ATA_ABRT, 0);
            return;
        }
        break;
    case 0x55:
        d->read_ahead = 0;
        break;
    case 0xaa:
        d->read_ahead = 1;
        break;
    case 0x66: /* keep settings over a soft reset: they are kept anyway */
    case 0xcc:
        break;
    case 0x82:
        d->write_cache = 0;
        c->chunk = 0;
        c->command = CMD_FLUSH; /* what is cached must reach the medium */
        ata_submit(c, BLK_FLUSH, 0, NULL, 0, false);
        return;
    default:
        ata_fail(c, ATA_ABRT, 0);
        return;
    }
    ata_finish(c);
}

static void set_multiple(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);
    u8 n = d->tf.nsector[0];

    if (n && (n > MULTIPLE_MAX || !is_pow2(n))) {
        ata_fail(c, ATA_ABRT, 0);
        return;
    }
    d->multiple = n;
    ata_finish(c);
}

/* INITIALIZE DEVICE PARAMETERS: the translation that CHS addresses use from now on. */
static void init_parameters(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);

    if (!d->tf.nsector[0]) {
        ata_fail(c, ATA_ABRT, 0);
        return;
    }
    d->cur_heads = (d->tf.device & 15) + 1;
    d->cur_spt = d->tf.nsector[0];
    ata_finish(c);
}

static void smart_data(struct ata_channel *c)
{
    u8 *p = c->buf, sum = 0;

    memset(p, 0, ATA_SECTOR);
    switch (ata_actor(c)->tf.features[0]) {
    case 0xd0: /* READ DATA: no attributes; off-line collection never started */
        le16_put(p, 1);
        le16_put(p + 368, 0x0003); /* saves attributes by itself */
        break;
    case 0xd1: /* READ THRESHOLDS */
        le16_put(p, 1);
        break;
    case 0xd5: /* READ LOG: directory only, and it is empty */
        if (ata_actor(c)->tf.lbal[0] != 0) {
            ata_fail(c, ATA_IDNF | ATA_ABRT, 0);
            return;
        }
        le16_put(p, 1);
        break;
    }
    for (unsigned i = 0; i < ATA_SECTOR - 1; i++)
        sum += p[i];
    p[ATA_SECTOR - 1] = -sum;
    ata_data_in(c, 0, ATA_SECTOR, true);
}

static void smart(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);
    struct ata_taskfile *t = &d->tf;
    u8 op = t->features[0];

    if (t->lbam[0] != 0x4f || t->lbah[0] != 0xc2 || (!d->smart && op != 0xd8)) {
        ata_fail(c, ATA_ABRT, 0);
        return;
    }
    switch (op) {
    case 0xd0:
    case 0xd1:
    case 0xd5:
        smart_data(c);
        return;
    case 0xd2: /* attribute autosave */
    case 0xd3: /* save attribute values */
    case 0xd4: /* execute off-line immediate: done at once */
        break;
    case 0xd8:
        d->smart = 1;
        break;
    case 0xd9:
        d->smart = 0;
        break;
    case 0xda: /* RETURN STATUS: no threshold exceeded, the registers stay */
        break;
    default:
        ata_fail(c, ATA_ABRT, 0);
        return;
    }
    ata_finish(c);
}

/* Nothing moves here: a seek is over when the address is good. */
static void seek(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);
    u64 lba;

    if (!get_address(c, d, &lba) || lba >= d->sectors)
        ata_fail(c, ATA_IDNF, 0);
    else
        ata_finish(c);
}

static void read_native_max(struct ata_channel *c, bool ext)
{
    struct ata_drive *d = ata_actor(c);

    c->is_lba48 = ext;
    if (!ext && !(d->tf.device & ATA_DEV_LBA))
        d->tf.device |= ATA_DEV_LBA;
    put_address(c, d, d->sectors ? min(d->sectors - 1, ext ? UINT64_MAX : BIT64(28) - 2) : 0);
    ata_finish(c);
}

static void verify(struct ata_channel *c)
{
    if (set_range(c))
        next_read(c);
}

static void identify(struct ata_channel *c)
{
    ata_disk_identify(ata_actor(c), c->buf);
    ata_data_in(c, 0, ATA_SECTOR, true);
}

static void flush(struct ata_channel *c)
{
    c->chunk = 0;
    ata_submit(c, BLK_FLUSH, 0, NULL, 0, false);
}

/* Power management: nothing is saved, but the mode can be asked for. */
static bool power_command(struct ata_channel *c, u8 cmd)
{
    struct ata_drive *d = ata_actor(c);

    switch (cmd) {
    case 0x94: /* STANDBY IMMEDIATE */
    case 0xe0:
    case 0x96: /* STANDBY */
    case 0xe2:
    case 0x99: /* SLEEP */
    case 0xe6:
        d->standby = 1;
        c->command = CMD_FLUSH;
        flush(c);
        return true;
    case 0x95: /* IDLE IMMEDIATE */
    case 0xe1:
    case 0x97: /* IDLE */
    case 0xe3:
        d->standby = 0;
        break;
    case 0x98: /* CHECK POWER MODE */
    case 0xe5:
        d->tf.nsector[0] = d->standby ? 0x00 : 0xff;
        break;
    default:
        return false;
    }
    ata_finish(c);
    return true;
}

static bool transfer_command(struct ata_channel *c, u8 cmd)
{
    u32 multiple = ata_actor(c)->multiple;

    switch (cmd) {
    case CMD_READ_EXT:
    case CMD_READ_DMA_EXT:
    case CMD_READ_MULTIPLE_EXT:
    case CMD_WRITE_EXT:
    case CMD_WRITE_DMA_EXT:
    case CMD_WRITE_MULTIPLE_EXT:
    case CMD_WRITE_MULTIPLE_FUA_EXT:
    case CMD_WRITE_DMA_FUA_EXT:
    case CMD_VERIFY_EXT:
        c->is_lba48 = 1;
        break;
    }
    switch (cmd) {
    case CMD_READ_SECTORS:
    case CMD_READ_SECTORS + 1: /* "without retries" */
    case CMD_READ_EXT:
        start_pio(c, false, 1);
        break;
    case CMD_WRITE_SECTORS:
    case CMD_WRITE_SECTORS + 1:
    case CMD_WRITE_EXT:
    case CMD_WRITE_VERIFY:
        start_pio(c, true, 1);
        break;
    case CMD_READ_MULTIPLE:
    case CMD_READ_MULTIPLE_EXT:
        start_pio(c, false, multiple);
        break;
    case CMD_WRITE_MULTIPLE:
    case CMD_WRITE_MULTIPLE_EXT:
    case CMD_WRITE_MULTIPLE_FUA_EXT:
        start_pio(c, true, multiple);
        break;
    case CMD_READ_DMA:
    case CMD_READ_DMA + 1:
    case CMD_READ_DMA_EXT:
        start_dma(c, false);
        break;
    case CMD_WRITE_DMA:
    case CMD_WRITE_DMA + 1:
    case CMD_WRITE_DMA_EXT:
    case CMD_WRITE_DMA_FUA_EXT:
        start_dma(c, true);
        break;
    case CMD_VERIFY:
    case CMD_VERIFY + 1:
    case CMD_VERIFY_EXT:
        verify(c);
        break;
    case CMD_DSM:
        start_trim(c);
        break;
    default:
        return false;
    }
    return true;
}

void ata_disk_command(struct ata_channel *c, u8 cmd)
{
    struct ata_drive *d = ata_actor(c);

    c->chunk = 0;
    if (transfer_command(c, cmd) || power_command(c, cmd))
        return;
    switch (cmd) {
    case CMD_IDENTIFY:
        identify(c);
        break;
    case CMD_SET_FEATURES:
        set_features(c);
        break;
    case CMD_SET_MULTIPLE:
        set_multiple(c);
        break;
    case CMD_FLUSH:
    case CMD_FLUSH_EXT:
        flush(c);
        break;
    case CMD_INIT_PARAMETERS:
        init_parameters(c);
        break;
    case CMD_SMART:
        smart(c);
        break;
    case CMD_READ_BUFFER:
        ata_data_in(c, 0, ATA_SECTOR, true);
        break;
    case CMD_WRITE_BUFFER:
        ata_data_out(c, 0, ATA_SECTOR, false);
        break;
    case CMD_READ_NATIVE_MAX:
    case CMD_READ_NATIVE_MAX_EXT:
        read_native_max(c, cmd == CMD_READ_NATIVE_MAX_EXT);
        break;
    case 0x10 ... 0x1f: /* RECALIBRATE */
        d->tf.lbam[0] = d->tf.lbah[0] = 0;
        ata_finish(c);
        break;
    case 0x70 ... 0x7f:
        seek(c);
        break;
    default:
        ata_fail(c, ATA_ABRT, 0);
    }
}
