/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An ATAPI CD/DVD-ROM drive: the packet interface of ATA/ATAPI-7 and the commands of MMC-3
 * (INCITS 360) and SPC-2 that systems and firmware send to a read-only drive.
 *
 * A medium is one session with one data track of 2048-byte sectors (Mode 1).  READ CD also gives
 * raw 2352-byte sectors, with sync and header made up and the EDC and ECC fields zero.
 *
 * Replies are made whole in the channel's buffer, sector data comes in chunks of it; both go out in
 * DRQ blocks of at most the byte count the host asked for, or by DMA.
 *
 * Left out: audio, sessions, writing; such commands end with INVALID COMMAND OPERATION CODE.
 */
#include "base/endian.h"
#include "dev/ata_internal.h"
#include "dev/atapi_replies.h"

enum { CMD_PACKET = 0xa0, CMD_IDENTIFY_PACKET = 0xa1, CMD_IDENTIFY = 0xec, CMD_NOP = 0x00 };

/* Interrupt reason, in the sector count register. */
enum { REASON_CD = 1, REASON_IO = 2 };

enum { RAW_SECTOR = 2352 };

void atapi_init(struct ata_drive *d)
{
    d->event = 0;
}

void atapi_reset(struct ata_drive *d, bool power_on)
{
    d->sense_key = d->asc = d->ascq = 0;
    d->cd_speed = 0;
    if (!power_on)
        return;
    d->locked = 0;
    d->tray_open = 0;
    d->unit_attention = 0;
    d->xfer_mode = 0x08;
}

/* ------------------------------------------------------------- endings -- */

static void atapi_ok(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);

    d->sense_key = d->asc = d->ascq = 0;
    d->tf.nsector[0] = REASON_IO | REASON_CD;
    ata_finish(c);
}

/* CHECK CONDITION: the host asks for the rest with REQUEST SENSE. */
static void check(struct ata_channel *c, u8 key, u8 asc, u8 ascq)
{
    struct ata_drive *d = ata_actor(c);

    d->sense_key = key;
    d->asc = asc;
    d->ascq = ascq;
    d->tf.nsector[0] = REASON_IO | REASON_CD;
    ata_fail(c, key << 4 | (key == SENSE_ABORTED ? ATA_ABRT : 0), 0);
}

static void invalid_field(struct ata_channel *c)
{
    check(c, SENSE_ILLEGAL, 0x24, 0);
}

static void no_medium(struct ata_channel *c)
{
    check(c, SENSE_NOT_READY, 0x3a, ata_actor(c)->tray_open ? 2 : 1);
}

/* ----------------------------------------------------------- data to host -- */

/* The next DRQ block from `from`, within data_len. */
static void next_block(struct ata_channel *c, u32 from)
{
    struct ata_taskfile *t = &ata_actor(c)->tf;
    u32 n = c->data_len - from;

    if (n > c->byte_limit)
        n = c->byte_limit;
    t->nsector[0] = REASON_IO;
    t->lbam[0] = n;
    t->lbah[0] = n >> 8;
    ata_data_in(c, from, n, true);
}

/* buf[0, data_len) goes to the host. */
static void deliver(struct ata_channel *c);

static void next_read(struct ata_channel *c)
{
    c->chunk = min(c->left, (u32)ATA_BUF_SIZE / c->cd_raw);
    c->left -= c->chunk;
    ata_submit(c, BLK_READ, c->lba * ATAPI_SECTOR, c->buf, (u64)c->chunk * ATAPI_SECTOR, false);
}

/* The host has all of data_len. */
static void delivered(struct ata_channel *c)
{
    c->lba += c->chunk;
    if (c->left)
        next_read(c);
    else
        atapi_ok(c);
}

static void deliver(struct ata_channel *c)
{
    if (!c->is_dma)
        next_block(c, 0);
    else if (!ata_dma_ready(c))
        return;
    else if (ata_dma_move(c, c->data_len, true))
        delivered(c);
}

void atapi_dma_go(struct ata_channel *c)
{
    ata_busy(c);
    deliver(c);
}

void atapi_data_end(struct ata_channel *c)
{
    if (c->command != CMD_PACKET) { /* IDENTIFY */
        c->phase = ATA_IDLE;
        ata_actor(c)->tf.status = ATA_DRDY | ATA_DSC;
    } else if (c->buf_pos < c->data_len) {
        next_block(c, c->buf_pos);
    } else {
        delivered(c);
    }
}

/* A whole reply of len bytes in buf, of which the host wants at most `want`. */
static void reply(struct ata_channel *c, u32 len, u32 want)
{
    c->left = 0;
    c->chunk = 0;
    c->data_len = min(len, want);
    if (c->data_len)
        deliver(c);
    else
        atapi_ok(c);
}

static u8 bcd(u32 v)
{
    return v / 10 % 10 << 4 | v % 10;
}

/* Spreads the chunk's 2048-byte sectors to raw ones, last first, so that none is overwritten. */
static void make_raw(struct ata_channel *c)
{
    for (u32 i = c->chunk; i--;) {
        u8 *p = c->buf + i * RAW_SECTOR;
        u32 lba = c->lba + i + 150;

        memmove(p + 16, c->buf + i * ATAPI_SECTOR, ATAPI_SECTOR);
        memset(p, 0xff, 12);
        p[0] = p[11] = 0;
        p[12] = bcd(lba / (75 * 60));
        p[13] = bcd(lba / 75 % 60);
        p[14] = bcd(lba % 75);
        p[15] = 1;
        memset(p + 16 + ATAPI_SECTOR, 0, RAW_SECTOR - 16 - ATAPI_SECTOR);
    }
}

void atapi_io_done(struct ata_channel *c, int result)
{
    if (result) {
        check(c, SENSE_MEDIUM, 0x11, 0);
        return;
    }
    if (c->cd_raw == RAW_SECTOR)
        make_raw(c);
    c->data_len = c->chunk * c->cd_raw;
    deliver(c);
}

/* n sectors from lba on, `raw` bytes each. */
static void start_read(struct ata_channel *c, u32 lba, u32 n, u32 raw)
{
    u32 total = atapi_blocks(ata_actor(c));

    if (!n || !raw) {
        atapi_ok(c);
    } else if (!range_within(lba, n, 0, total)) {
        check(c, SENSE_ILLEGAL, 0x21, 0);
    } else {
        c->lba = lba;
        c->left = n;
        c->cd_raw = raw;
        next_read(c);
    }
}

static void read_cd(struct ata_channel *c)
{
    u32 n = be32_get(c->packet + 5) & 0xffffff; /* bytes 6 to 8 */
    unsigned type = c->packet[1] >> 2 & 7;

    if (type != 0 && type != 2) { /* any, Mode 1 */
        check(c, SENSE_ILLEGAL, 0x64, 0);
        return;
    }
    switch (c->packet[9] & 0xf8) {
    case 0x00:
        start_read(c, 0, 0, 0);
        break;
    case 0x10:
        start_read(c, be32_get(c->packet + 2), n, ATAPI_SECTOR);
        break;
    case 0xf8:
        start_read(c, be32_get(c->packet + 2), n, RAW_SECTOR);
        break;
    default:
        invalid_field(c);
    }
}

/* -------------------------------------------------------------- commands -- */

static void start_stop(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);
    bool start = c->packet[4] & 1, load_eject = c->packet[4] & 2;

    if (c->packet[4] >> 4 || !load_eject) { /* power conditions, spin up and down */
        atapi_ok(c);
        return;
    }
    if (start) {
        if (d->tray_open && d->blk) {
            d->event = 2;
            d->unit_attention = 1;
        }
        d->tray_open = 0;
    } else {
        if (d->locked) {
            check(c, d->blk ? SENSE_ILLEGAL : SENSE_NOT_READY, 0x53, 2);
            return;
        }
        if (!d->tray_open)
            d->event = 3;
        d->tray_open = 1;
    }
    atapi_ok(c);
}

static void read_toc(struct ata_channel *c)
{
    u8 format = c->packet[2] & 15;
    u32 n;

    if (!format)
        format = c->packet[9] >> 6; /* where SFF-8020 has it */
    n = atapi_toc(ata_actor(c), c->buf, format, c->packet[1] & 2, c->packet[6]);
    if (n)
        reply(c, n, be16_get(c->packet + 7));
    else
        invalid_field(c);
}

static void mode_sense(struct ata_channel *c, bool six)
{
    u32 n = atapi_mode_sense(ata_actor(c), c->buf, c->packet[2] >> 6, c->packet[2] & 0x3f, six);

    if (!n)
        invalid_field(c);
    else
        reply(c, n, six ? c->packet[4] : be16_get(c->packet + 7));
}

static void event_status(struct ata_channel *c)
{
    if (!(c->packet[1] & 1)) { /* asynchronous reports are not supported */
        invalid_field(c);
        return;
    }
    reply(c, atapi_event_status(ata_actor(c), c->buf, c->packet[4]), be16_get(c->packet + 7));
}

/* Commands that need no medium; false = not one of them. */
static bool command_any(struct ata_channel *c, u8 op)
{
    struct ata_drive *d = ata_actor(c);
    const u8 *p = c->packet;

    switch (op) {
    case 0x03: /* REQUEST SENSE */
        if (d->unit_attention && !d->sense_key) {
            d->unit_attention = 0;
            d->sense_key = SENSE_UNIT_ATTENTION;
            d->asc = 0x28;
        }
        reply(c, atapi_sense(d, c->buf), p[4]);
        break;
    case 0x12: /* INQUIRY */
        if (p[1] & 1 || p[2])
            invalid_field(c);
        else
            reply(c, atapi_inquiry(d, c->buf), be16_get(p + 3));
        break;
    case 0x1a: /* MODE SENSE(6) */
        mode_sense(c, true);
        break;
    case 0x5a: /* MODE SENSE(10) */
        mode_sense(c, false);
        break;
    case 0x1b: /* START STOP UNIT */
        start_stop(c);
        break;
    case 0x1e: /* PREVENT ALLOW MEDIUM REMOVAL */
        d->locked = p[4] & 1;
        atapi_ok(c);
        break;
    case 0x46: /* GET CONFIGURATION */
        reply(c, atapi_configuration(d, c->buf, p[1] & 3, be16_get(p + 2)), be16_get(p + 7));
        break;
    case 0x4a: /* GET EVENT STATUS NOTIFICATION */
        event_status(c);
        break;
    case 0xbd: /* MECHANISM STATUS */
        reply(c, atapi_mechanism(d, c->buf), be16_get(p + 8));
        break;
    case 0xbb: /* SET CD SPEED */
    case 0xda:
        atapi_ok(c);
        break;
    default:
        return false;
    }
    return true;
}

static bool command_medium(struct ata_channel *c, u8 op)
{
    struct ata_drive *d = ata_actor(c);
    const u8 *p = c->packet;
    u32 n;

    switch (op) {
    case 0x00: /* TEST UNIT READY */
    case 0x2f: /* VERIFY(10) */
    case 0x35: /* SYNCHRONIZE CACHE */
    case 0x4e: /* STOP PLAY/SCAN */
        atapi_ok(c);
        break;
    case 0x25: /* READ CAPACITY */
        be32_put(c->buf, atapi_blocks(d) ? atapi_blocks(d) - 1 : 0);
        be32_put(c->buf + 4, ATAPI_SECTOR);
        reply(c, 8, 8);
        break;
    case 0x28: /* READ(10) */
        start_read(c, be32_get(p + 2), be16_get(p + 7), ATAPI_SECTOR);
        break;
    case 0xa8: /* READ(12) */
        start_read(c, be32_get(p + 2), be32_get(p + 6), ATAPI_SECTOR);
        break;
    case 0xbe:
        read_cd(c);
        break;
    case 0x2b: /* SEEK(10) */
        start_read(c, be32_get(p + 2), 0, ATAPI_SECTOR);
        break;
    case 0x42: /* READ SUB-CHANNEL */
        n = atapi_subchannel(c->buf, p[2] & 0x40 ? p[3] : 0xff);
        if (n)
            reply(c, n, be16_get(p + 7));
        else
            invalid_field(c);
        break;
    case 0x43: /* READ TOC/PMA/ATIP */
        read_toc(c);
        break;
    case 0x51: /* READ DISC INFORMATION */
        reply(c, atapi_disc_information(c->buf), be16_get(p + 7));
        break;
    case 0x52: /* READ TRACK INFORMATION */
        n = atapi_track_information(d, c->buf, p[1] & 3, be32_get(p + 2));
        if (n)
            reply(c, n, be16_get(p + 7));
        else
            invalid_field(c);
        break;
    case 0xad: /* READ DVD STRUCTURE */
        n = atapi_dvd_structure(d, c->buf, p[7], p[6]);
        if (n)
            reply(c, n, be16_get(p + 8));
        else
            check(c, SENSE_ILLEGAL, 0x30, 2); /* not for this medium */
        break;
    default:
        return false;
    }
    return true;
}

/* The twelve bytes of the packet have come. */
void atapi_packet(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);
    u8 op = c->packet[0];

    trace(c->trace, ata, "%s.%u packet %02x %02x %02x%02x%02x%02x %02x%02x%02x%02x", c->name,
          c->actor, op, c->packet[1], c->packet[2], c->packet[3], c->packet[4], c->packet[5],
          c->packet[6], c->packet[7], c->packet[8], c->packet[9]);
    ata_busy(c);
    c->left = c->chunk = 0;
    c->cd_raw = ATAPI_SECTOR;
    /* A new medium is reported once; these commands look past it (MMC-3, 4.1.6.1). */
    if (d->unit_attention && op != 0x03 && op != 0x12 && op != 0x46 && op != 0x4a) {
        d->unit_attention = 0;
        check(c, SENSE_UNIT_ATTENTION, 0x28, 0);
        return;
    }
    if (command_any(c, op))
        return;
    if (!atapi_has_medium(d)) {
        no_medium(c);
        return;
    }
    if (!command_medium(c, op))
        check(c, SENSE_ILLEGAL, 0x20, 0);
}

static void start_packet(struct ata_channel *c)
{
    struct ata_taskfile *t = &ata_actor(c)->tf;
    u32 limit = t->lbam[0] | t->lbah[0] << 8;

    if (t->features[0] & 2) { /* overlapped */
        ata_fail(c, ATA_ABRT, 0);
        return;
    }
    c->is_dma = (t->features[0] & 1) && c->dma.move;
    /* Whole words, and whole sectors if one fits: drivers rely on that.  0 is no limit to those
     * who mean to transfer nothing. */
    if (!limit || limit == 0xffff)
        limit = 0xfffe;
    if (limit > 1)
        limit &= ~1u;
    if (limit >= ATAPI_SECTOR)
        limit -= limit % ATAPI_SECTOR;
    c->byte_limit = limit;
    t->nsector[0] = REASON_CD;
    t->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    c->phase = ATA_PACKET_OUT;
    c->buf_pos = 0;
    c->buf_len = sizeof(c->packet);
}

void atapi_command(struct ata_channel *c, u8 cmd)
{
    struct ata_drive *d = ata_actor(c);

    switch (cmd) {
    case CMD_PACKET:
        start_packet(c);
        break;
    case CMD_IDENTIFY_PACKET:
        atapi_identify(d, c->buf);
        ata_data_in(c, 0, ATA_SECTOR, true);
        break;
    case CMD_IDENTIFY: /* a packet device shows its signature and aborts */
        ata_set_signature(d);
        ata_fail(c, ATA_ABRT, 0);
        break;
    case 0xef: /* SET FEATURES */
        if (d->tf.features[0] == 0x03 && !ata_set_transfer_mode(d, d->tf.nsector[0]))
            ata_fail(c, ATA_ABRT, 0);
        else if (d->tf.features[0] == 0x03 || d->tf.features[0] == 0x66 ||
                 d->tf.features[0] == 0xcc)
            ata_finish(c);
        else
            ata_fail(c, ATA_ABRT, 0);
        break;
    case 0x98: /* CHECK POWER MODE */
    case 0xe5:
        d->tf.nsector[0] = 0xff;
        ata_finish(c);
        break;
    case 0x94: /* STANDBY, IDLE (IMMEDIATE) and SLEEP */
    case 0x95:
    case 0x99:
    case 0xe0:
    case 0xe1:
    case 0xe2:
    case 0xe3:
    case 0xe6:
        ata_finish(c);
        break;
    case CMD_NOP:
    default:
        ata_fail(c, ATA_ABRT, 0);
    }
}
