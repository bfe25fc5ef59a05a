/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCSI disk behind USB mass storage.  SPC-4 (INQUIRY, REQUEST SENSE, MODE SENSE, REPORT LUNS),
 * SBC-3 (READ, WRITE, READ CAPACITY, SYNCHRONIZE CACHE), UFI 1.0 (READ FORMAT CAPACITIES).
 */
#include "dev/usb_storage.h"

#include "base/endian.h"

#include <string.h>

enum { SECTOR = 512 };
enum { KEY_ILLEGAL = 5, KEY_PROTECT = 7 };
enum {
    ASC_OPCODE = 0x20,
    ASC_LBA = 0x21,
    ASC_FIELD = 0x24,
    ASC_PROTECTED = 0x27,
};

static void be16(u8 *p, u32 v)
{
    p[0] = (u8)(v >> 8);
    p[1] = (u8)v;
}

static void be32(u8 *p, u32 v)
{
    be16(p, v >> 16);
    be16(p + 2, v & 0xffff);
}

static u32 get_be32(const u8 *p)
{
    return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

static void fail(struct usb_storage *s, u8 key, u8 asc)
{
    s->status = 1;
    s->sense_key = key;
    s->asc = asc;
}

/* A reply of n bytes, of which the host wants at most `want`. */
static void reply(struct usb_storage *s, u32 n, u32 want)
{
    s->have = min(n, want);
}

static void inquiry(struct usb_storage *s, const u8 *cdb)
{
    u8 *p = s->buf;
    u32 want = (u32)cdb[3] << 8 | cdb[4];

    memset(p, 0, 96);
    if (cdb[1] & 1) {
        p[1] = cdb[2];
        switch (cdb[2]) {
        case 0x00: /* pages */
            p[3] = 3;
            memcpy(p + 4, "\x00\x80\x83", 3);
            reply(s, 7, want);
            return;
        case 0x80: /* serial number */
            p[3] = (u8)strlen(s->serial);
            memcpy(p + 4, s->serial, p[3]);
            reply(s, 4u + p[3], want);
            return;
        case 0x83: /* T10 vendor identification */
            p[3] = (u8)(12 + strlen(s->serial));
            p[4] = 2;
            p[5] = 1;
            p[7] = (u8)(8 + strlen(s->serial));
            memcpy(p + 8, "Wirt    ", 8);
            memcpy(p + 16, s->serial, strlen(s->serial));
            reply(s, 4u + p[3], want);
            return;
        default:
            fail(s, KEY_ILLEGAL, ASC_FIELD);
            return;
        }
    }
    p[1] = 0x80; /* removable */
    p[2] = 5;    /* SPC-3 */
    p[3] = 2;
    p[4] = 31;
    memcpy(p + 8, "Wirt    USB disk        1.0 ", 28);
    reply(s, 36, want);
}

static void request_sense(struct usb_storage *s, const u8 *cdb)
{
    u8 *p = s->buf;

    memset(p, 0, 18);
    p[0] = 0x70;
    p[2] = s->sense_key;
    p[7] = 10;
    p[12] = s->asc;
    s->sense_key = s->asc = 0;
    reply(s, 18, cdb[4]);
}

static void mode_sense(struct usb_storage *s, const u8 *cdb, bool ten)
{
    u8 *p = s->buf, protect = s->blk->readonly ? 0x80 : 0;
    u32 head = ten ? 8 : 4, n = head, page = cdb[2] & 0x3f;

    memset(p, 0, 64);
    if (page == 0x08 || page == 0x3f) { /* caching: write cache on */
        p[n] = 0x08;
        p[n + 1] = 0x12;
        p[n + 2] = 0x04;
        n += 20;
    } else if (page && page != 0x1c) {
        fail(s, KEY_ILLEGAL, ASC_FIELD);
        return;
    }
    if (ten) {
        be16(p, n - 2);
        p[3] = protect;
        reply(s, n, (u32)cdb[7] << 8 | cdb[8]);
    } else {
        p[0] = (u8)(n - 1);
        p[2] = protect;
        reply(s, n, cdb[4]);
    }
}

static void capacity(struct usb_storage *s)
{
    u64 last = s->blk->size / SECTOR - 1;

    be32(s->buf, (u32)min(last, (u64)UINT32_MAX));
    be32(s->buf + 4, SECTOR);
    reply(s, 8, 8);
}

static void capacity16(struct usb_storage *s, const u8 *cdb)
{
    u64 last = s->blk->size / SECTOR - 1;

    if ((cdb[1] & 0x1f) != 0x10) {
        fail(s, KEY_ILLEGAL, ASC_FIELD);
        return;
    }
    memset(s->buf, 0, 32);
    be32(s->buf, (u32)(last >> 32));
    be32(s->buf + 4, (u32)last);
    be32(s->buf + 8, SECTOR);
    reply(s, 32, get_be32(cdb + 10));
}

static void format_capacities(struct usb_storage *s, const u8 *cdb)
{
    memset(s->buf, 0, 12);
    s->buf[3] = 8;
    be32(s->buf + 4, (u32)min(s->blk->size / SECTOR, (u64)UINT32_MAX));
    be32(s->buf + 8, SECTOR);
    s->buf[8] = 2; /* formatted */
    reply(s, 12, (u32)cdb[7] << 8 | cdb[8]);
}

static void move(struct usb_storage *s, u64 lba, u64 count, bool write)
{
    if (!range_within(lba, count, 0, s->blk->size / SECTOR)) {
        fail(s, KEY_ILLEGAL, ASC_LBA);
    } else if (write && s->blk->readonly) {
        fail(s, KEY_PROTECT, ASC_PROTECTED);
    } else {
        s->disk = count != 0;
        s->lba = lba * SECTOR;
        s->disk_left = count * SECTOR;
    }
}

void usb_scsi_start(struct usb_storage *s, const u8 cdb[16], bool in)
{
    bool write = cdb[0] == 0x2a || cdb[0] == 0xaa || cdb[0] == 0x8a;

    s->status = 0;
    s->have = s->at = 0;
    s->disk = 0;
    if (cdb[0] != 0x03)
        s->sense_key = s->asc = 0;
    switch (cdb[0]) {
    case 0x00: /* TEST UNIT READY */
    case 0x1b: /* START STOP UNIT */
    case 0x1e: /* PREVENT ALLOW MEDIUM REMOVAL */
    case 0x2f: /* VERIFY (10) */
        break;
    case 0x03:
        request_sense(s, cdb);
        break;
    case 0x12:
        inquiry(s, cdb);
        break;
    case 0x1a:
    case 0x5a:
        mode_sense(s, cdb, cdb[0] == 0x5a);
        break;
    case 0x23:
        format_capacities(s, cdb);
        break;
    case 0x25:
        capacity(s);
        break;
    case 0x9e:
        capacity16(s, cdb);
        break;
    case 0x28:
    case 0x2a:
        move(s, get_be32(cdb + 2), (u32)cdb[7] << 8 | cdb[8], write);
        break;
    case 0xa8:
    case 0xaa:
        move(s, get_be32(cdb + 2), get_be32(cdb + 6), write);
        break;
    case 0x88:
    case 0x8a:
        move(s, (u64)get_be32(cdb + 2) << 32 | get_be32(cdb + 6), get_be32(cdb + 10), write);
        break;
    case 0x35: /* SYNCHRONIZE CACHE */
    case 0x91:
        s->wanted = BLK_FLUSH + 1;
        break;
    case 0xa0: /* REPORT LUNS: 0 */
        memset(s->buf, 0, 16);
        s->buf[3] = 8;
        reply(s, 16, get_be32(cdb + 6));
        break;
    default:
        fail(s, KEY_ILLEGAL, ASC_OPCODE);
        break;
    }
    /* The host and the command disagree on where data go (6.7, cases 8 and 10). */
    if ((s->have || s->disk) && in == write) {
        s->have = 0;
        s->disk = 0;
        s->status = 2;
    }
}
