/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replies of a CD/DVD-ROM drive: MMC-3 (INCITS 360), SPC-2 for INQUIRY and sense data, SFF-8020i
 * for the older forms.  Everything is big-endian.
 */
#include "dev/atapi_replies.h"

#include "base/endian.h"

/* More than a CD holds: the drive calls it a DVD. */
enum { CD_MAX_BLOCKS = 80 * 60 * 75 };

enum { PROFILE_CD_ROM = 0x08, PROFILE_DVD_ROM = 0x10 };

bool atapi_has_medium(const struct ata_drive *d)
{
    return d->blk && !d->tray_open;
}

u32 atapi_blocks(const struct ata_drive *d)
{
    u64 n;

    if (!atapi_has_medium(d))
        return 0;
    n = d->blk->size / ATAPI_SECTOR;
    return min(n, (u64)0x7fffffff);
}

static bool is_dvd(const struct ata_drive *d)
{
    return atapi_blocks(d) > CD_MAX_BLOCKS;
}

static void put_text(u8 *p, size_t len, const char *s)
{
    for (size_t i = 0; i < len; i++)
        p[i] = *s ? (u8)*s++ : ' ';
}

u32 atapi_inquiry(const struct ata_drive *d, u8 *buf)
{
    const char *blank = strchr(d->model, ' ');

    memset(buf, 0, 36);
    buf[0] = 5;    /* CD-ROM */
    buf[1] = 0x80; /* removable */
    buf[3] = 0x21; /* ATAPI-2, response format 1 as SFF-8020 has it */
    buf[4] = 31;
    put_text(buf + 8, 8, "WIRT");
    put_text(buf + 16, 16, blank ? blank + 1 : d->model);
    put_text(buf + 32, 4, "1.0");
    return 36;
}

u32 atapi_sense(struct ata_drive *d, u8 *buf)
{
    memset(buf, 0, 18);
    buf[0] = 0x70;
    buf[2] = d->sense_key;
    buf[7] = 10;
    buf[12] = d->asc;
    buf[13] = d->ascq;
    d->sense_key = d->asc = d->ascq = 0;
    return 18;
}

/* ------------------------------------------------------------- mode pages -- */

static u32 page_error_recovery(u8 *p, bool changeable)
{
    memset(p, 0, 8);
    p[0] = 0x01;
    p[1] = 6;
    if (!changeable)
        p[3] = 5; /* retries */
    return 8;
}

/* CD capabilities and mechanical status, MMC-3 6.3.11. */
static u32 page_capabilities(const struct ata_drive *d, u8 *p, bool changeable)
{
    memset(p, 0, 22);
    p[0] = 0x2a;
    p[1] = 20;
    if (changeable)
        return 22;
    p[2] = 0x3b;                          /* reads CD-R, CD-RW, method 2, DVD-ROM, DVD-R */
    p[4] = 0x70;                          /* Mode 2 forms 1 and 2, multi-session */
    p[6] = 0x29 | (d->locked ? 0x02 : 0); /* tray, eject, lock */
    be16_put(p + 8, 706);                 /* KB/s: 4x */
    be16_put(p + 10, 2);                  /* volume levels */
    be16_put(p + 12, 512);                /* KB of buffer */
    be16_put(p + 14, 706);
    return 22;
}

static u32 page_power(u8 *p)
{
    memset(p, 0, 12);
    p[0] = 0x1a;
    p[1] = 10;
    return 12;
}

u32 atapi_mode_sense(const struct ata_drive *d, u8 *buf, unsigned control, unsigned page, bool six)
{
    u32 head = six ? 4 : 8, n = head;

    if (control == 3) /* saved values: none are */
        return 0;
    memset(buf, 0, head);
    if (page == 0x01 || page == 0x3f)
        n += page_error_recovery(buf + n, control == 1);
    if (page == 0x1a || page == 0x3f)
        n += page_power(buf + n);
    if (page == 0x2a || page == 0x3f)
        n += page_capabilities(d, buf + n, control == 1);
    if (n == head)
        return 0;
    if (six) {
        buf[0] = n - 1;
    } else {
        be16_put(buf, n - 2);
        buf[2] = !atapi_has_medium(d) ? 0x70 : 0x01; /* medium type as SFF-8020 */
    }
    return n;
}

/* -------------------------------------------------------------- features -- */

struct feature {
    u16 code;
    u8 flags; /* version << 2 | persistent << 1 | current */
    u8 len;
    u8 data[8];
};

u32 atapi_configuration(const struct ata_drive *d, u8 *buf, unsigned rt, u16 first)
{
    bool disc = atapi_has_medium(d), dvd = is_dvd(d);
    const struct feature f[] = {
        {0x0000, 0x03, 8, {0, PROFILE_DVD_ROM, dvd, 0, 0, PROFILE_CD_ROM, disc && !dvd, 0}},
        {0x0001, 0x0b, 8, {0, 0, 0, 2, 1, 0, 0, 0}}, /* core: ATAPI, device busy events */
        {0x0002, 0x07, 4, {2, 0, 0, 0}},             /* morphing: events for OCE */
        {0x0003, 0x03, 4, {0x29, 0, 0, 0}},          /* removable: tray, eject, lock */
        {0x0010, disc, 8, {0, 0, 8, 0, 0, 1, 1, 0}}, /* random readable, 2048 bytes */
        {0x001e, disc && !dvd ? 9 : 8, 4, {0}},      /* CD read */
        {0x001f, dvd, 0, {0}},                       /* DVD read */
        {0x0100, 0x03, 0, {0}},                      /* power management */
        {0x0105, 0x03, 4, {0}},                      /* time-out */
    };
    u32 n = 8;

    memset(buf, 0, 8);
    for (unsigned i = 0; i < ARRAY_SIZE(f); i++) {
        if (f[i].code < first || (rt == 1 && !(f[i].flags & 1)) || (rt == 2 && f[i].code != first))
            continue;
        be16_put(buf + n, f[i].code);
        buf[n + 2] = f[i].flags;
        buf[n + 3] = f[i].len;
        memcpy(buf + n + 4, f[i].data, f[i].len);
        n += 4 + f[i].len;
    }
    be32_put(buf, n - 4);
    be16_put(buf + 6, !disc ? 0 : dvd ? PROFILE_DVD_ROM : PROFILE_CD_ROM);
    return n;
}

u32 atapi_event_status(struct ata_drive *d, u8 *buf, u8 classes)
{
    memset(buf, 0, 8);
    buf[3] = 0x10; /* classes that are supported: media */
    if (!(classes & 0x10)) {
        be16_put(buf, 2);
        buf[2] = 0x80; /* no event available */
        return 4;
    }
    be16_put(buf, 6);
    buf[2] = 4;
    buf[4] = d->event;
    buf[5] = (d->tray_open ? 1 : 0) | (atapi_has_medium(d) ? 2 : 0);
    d->event = 0;
    return 8;
}

u32 atapi_mechanism(const struct ata_drive *d, u8 *buf)
{
    memset(buf, 0, 8);
    buf[1] = d->tray_open ? 0x10 : 0;
    buf[5] = 1; /* slots */
    return 8;
}

/* -------------------------------------------------------- what is on disc -- */

static void put_address(u8 *p, u32 lba, bool msf)
{
    if (!msf) {
        be32_put(p, lba);
        return;
    }
    lba += 150;
    p[0] = 0;
    p[1] = lba / (75 * 60);
    p[2] = lba / 75 % 60;
    p[3] = lba % 75;
}

static u32 toc_tracks(const struct ata_drive *d, u8 *buf, bool msf, u8 track)
{
    u32 n = 4;

    if (track > 1 && track != 0xaa)
        return 0;
    buf[2] = buf[3] = 1; /* first and last track */
    if (track <= 1) {
        memset(buf + n, 0, 8);
        buf[n + 1] = 0x14; /* data track, Q position */
        buf[n + 2] = 1;
        put_address(buf + n + 4, 0, msf);
        n += 8;
    }
    memset(buf + n, 0, 8);
    buf[n + 1] = 0x16;
    buf[n + 2] = 0xaa; /* lead-out */
    put_address(buf + n + 4, atapi_blocks(d), msf);
    return n + 8;
}

static u32 toc_session(u8 *buf, bool msf)
{
    memset(buf + 4, 0, 8);
    buf[2] = buf[3] = 1;
    buf[5] = 0x14;
    buf[6] = 1;
    put_address(buf + 8, 0, msf);
    return 12;
}

/* The lead-in's Q channel: points A0, A1, A2 and track 1, always in MSF. */
static u32 toc_full(const struct ata_drive *d, u8 *buf)
{
    static const u8 point[4] = {0xa0, 0xa1, 0xa2, 1};
    u32 n = 4;

    buf[2] = buf[3] = 1;
    for (unsigned i = 0; i < 4; i++, n += 11) {
        u8 *p = buf + n, msf[4];

        memset(p, 0, 11);
        p[0] = 1; /* session */
        p[1] = 0x14;
        p[3] = point[i];
        if (i < 2) {
            p[8] = 1; /* PMIN: first, last track */
            continue;
        }
        put_address(msf, i == 2 ? atapi_blocks(d) : 0, true);
        memcpy(p + 8, msf + 1, 3);
    }
    return n;
}

u32 atapi_toc(const struct ata_drive *d, u8 *buf, unsigned format, bool msf, u8 track)
{
    u32 n = 0;

    if (format == 0)
        n = toc_tracks(d, buf, msf, track);
    else if (format == 1)
        n = toc_session(buf, msf);
    else if (format == 2)
        n = toc_full(d, buf);
    if (n)
        be16_put(buf, n - 2);
    return n;
}

u32 atapi_subchannel(u8 *buf, u8 format)
{
    memset(buf, 0, 24);
    buf[1] = 0x15; /* no audio status to report */
    switch (format) {
    case 0xff:
        return 4;
    case 1: /* position: at the start of track 1 */
        buf[3] = 12;
        buf[4] = 1;
        buf[5] = 0x14;
        buf[6] = 1;
        buf[7] = 1;
        return 16;
    case 2: /* catalogue number, ISRC: not valid */
    case 3:
        buf[3] = 20;
        buf[4] = format;
        return 24;
    default:
        return 0;
    }
}

u32 atapi_disc_information(u8 *buf)
{
    memset(buf, 0, 34);
    be16_put(buf, 32);
    buf[2] = 0x0e; /* complete, last session complete */
    buf[3] = buf[4] = buf[5] = buf[6] = 1;
    buf[7] = 0x20; /* unrestricted use */
    memset(buf + 16, 0xff, 8);
    return 34;
}

/* type 0: the track that holds block `address`; 1: track `address`; 2: session `address`. */
u32 atapi_track_information(const struct ata_drive *d, u8 *buf, unsigned type, u32 address)
{
    if (type == 0 ? address >= atapi_blocks(d) : type > 2 || address != 1)
        return 0;
    memset(buf, 0, 36);
    be16_put(buf, 34);
    buf[2] = buf[3] = 1;
    buf[5] = 4; /* data track */
    buf[6] = 1; /* Mode 1 */
    be32_put(buf + 24, atapi_blocks(d));
    return 36;
}

u32 atapi_dvd_structure(const struct ata_drive *d, u8 *buf, u8 format, u8 layer)
{
    if (!is_dvd(d) || layer)
        return 0;
    switch (format) {
    case 0: /* physical format */
        memset(buf, 0, 20);
        be16_put(buf, 18);
        buf[4] = 1;    /* DVD-ROM, version 1 */
        buf[5] = 0x0f; /* 120 mm, no maximum rate */
        buf[6] = 1;    /* one layer, read-only */
        be32_put(buf + 8, 0x30000);
        be32_put(buf + 12, 0x30000 + atapi_blocks(d) - 1);
        return 20;
    case 1: /* copyright: none */
        memset(buf, 0, 8);
        be16_put(buf, 6);
        return 8;
    case 3: /* burst cutting area: empty */
        memset(buf, 0, 4);
        be16_put(buf, 2);
        return 4;
    default:
        return 0;
    }
}
