/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USB mass storage, Bulk-Only Transport 1.0: the host sends a command block (CBW, 5.1), data move,
 * the host fetches the status (CSW, 5.2).  When there is less to fetch than it said, the data end
 * with a short packet, or, where that is not possible, the endpoint halts (6.7.2).
 *
 * Data of the disk pass through a buffer, a piece at a time, so that a request of any length needs
 * no memory; while the disk is at it the host gets NAK.
 */
#include "dev/usb_storage.h"

#include "base/endian.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { EP_IN = 1, EP_OUT = 2, MAX_LUN = USB_CLASS_IN | 0xfe, BULK_RESET = USB_CLASS_OUT | 0xff };
#define CBW_SIGNATURE 0x43425355u
#define CSW_SIGNATURE 0x53425355u
enum { SECTOR = 512, STATUS_PHASE = 2, KEY_MEDIUM = 3, ASC_READ = 0x11, ASC_WRITE = 0x0c };

#define DEVICE_DESC()                                                                              \
    {                                                                                              \
        18, 1, 0x00, 0x02, 0, 0, 0, 64, 0x27, 0x06, 3, 0x00, 0x00, 0x01, 1, 2, 3, 1                \
    }
#define CONFIG_DESC(packet)                                                                        \
    {                                                                                              \
        9, 2, 32, 0, 1, 1, 0, 0x80, 50,   /* 100 mA */                                             \
            9, 4, 0, 0, 2, 8, 6, 0x50, 0, /* mass storage, SCSI, bulk-only */                      \
            7, 5, 0x80 | EP_IN, 2, (packet)&0xff, (packet) >> 8, 0, /* bulk in */                  \
            7, 5, EP_OUT, 2, (packet)&0xff, (packet) >> 8, 0        /* bulk out */                 \
    }

static const u8 device[] = DEVICE_DESC();
static const u8 config_full[] = CONFIG_DESC(64), config_high[] = CONFIG_DESC(512);

static struct usb_storage *of(struct usb_dev *d)
{
    return container_of(d, struct usb_storage, usb);
}

/* ------------------------------------------------------------------ the disk -- */

static void begin_io(struct usb_storage *s)
{
    enum blk_op op = (enum blk_op)(s->wanted - 1);
    u64 len = op == BLK_FLUSH ? 0 : op == BLK_WRITE ? s->have : min(s->disk_left, (u64)USTOR_CHUNK);

    s->wanted = 0;
    s->busy = 1;
    if (op == BLK_READ)
        s->have = (u32)len;
    blkio_submit(&s->io, s->blk, op, op == BLK_FLUSH ? 0 : s->lba, len ? s->buf : NULL, len, false);
}

static void start_io(struct usb_storage *s, enum blk_op op)
{
    s->wanted = (u8)(op + 1);
    begin_io(s);
}

static void to_status(struct usb_storage *s)
{
    s->phase = USTOR_STATUS;
    s->residue = s->left;
}

static void io_failed(struct usb_storage *s)
{
    s->status = 1;
    s->sense_key = KEY_MEDIUM;
    s->asc = s->phase == USTOR_DATA_IN ? ASC_READ : ASC_WRITE;
    s->have = s->at = 0;
    s->disk = 0;
}

/* After a write or a flush: more data, or status. */
static void written(struct usb_storage *s)
{
    if (s->disk) {
        s->lba += s->have;
        s->disk_left -= min(s->disk_left, (u64)s->have);
        s->have = 0;
        if (s->disk_left) {
            s->phase = USTOR_DATA_OUT;
            return;
        }
        s->disk = 0;
    }
    if (s->left)
        s->phase = USTOR_DATA_OUT; /* more than the command has use for: taken and dropped */
    else
        to_status(s);
}

static void io_done(void *opaque, int result)
{
    struct usb_storage *s = opaque;

    s->busy = 0;
    if (result && !s->abandoned)
        io_failed(s);
    if (s->abandoned) {
        s->abandoned = 0;
    } else if (s->phase == USTOR_DATA_IN) {
        s->at = 0;
        if (!result) {
            s->lba += s->have;
            s->disk_left -= min(s->disk_left, (u64)s->have);
        }
    } else if (s->phase == USTOR_WAIT) {
        written(s);
    }
    usb_wakeup(&s->usb, 0x80 | EP_IN);
    usb_wakeup(&s->usb, EP_OUT);
}

/* -------------------------------------------------------------------- phases -- */

static int take_cbw(struct usb_storage *s, const u8 *p, u32 len)
{
    bool in = p[12] & 0x80;

    if (len != USTOR_CBW || le32_get(p) != CBW_SIGNATURE || p[13] & 0xf || !p[14] || p[14] > 16) {
        s->phase = USTOR_BROKEN;
        usb_halt(&s->usb, 0x80 | EP_IN);
        return USB_STALL;
    }
    s->tag = le32_get(p + 4);
    s->length = s->left = le32_get(p + 8);
    s->wanted = 0;
    usb_scsi_start(s, p + 15, in);
    if (s->wanted) { /* a flush */
        s->phase = USTOR_WAIT;
        start_io(s, BLK_FLUSH);
        return (int)len;
    }
    if (s->disk && s->disk_left > s->left) { /* the host has less room than it asked for */
        s->disk_left = align_down(s->left, SECTOR);
        s->disk = s->disk_left != 0;
        s->status = STATUS_PHASE;
    }
    s->have = min(s->have, s->left);
    if (!s->left)
        to_status(s);
    else
        s->phase = in ? USTOR_DATA_IN : USTOR_DATA_OUT;
    if (s->phase == USTOR_DATA_IN && s->disk)
        start_io(s, BLK_READ);
    return (int)len;
}

static int take_data(struct usb_storage *s, const u8 *buf, u32 len)
{
    u32 room = s->disk ? (u32)min(s->disk_left, (u64)USTOR_CHUNK) - s->have : s->left;
    u32 n = min(len, s->left);

    n = min(n, room);

    s->left -= n;
    if (s->disk) {
        memcpy(s->buf + s->have, buf, n);
        s->have += n;
        if (s->have == min(s->disk_left, (u64)USTOR_CHUNK)) {
            s->phase = USTOR_WAIT;
            start_io(s, BLK_WRITE);
        }
    }
    if (s->phase == USTOR_DATA_OUT && !s->left)
        to_status(s);
    return (int)n;
}

static int storage_out(struct usb_dev *d, u8 ep, const u8 *buf, u32 len)
{
    struct usb_storage *s = of(d);

    if (ep != EP_OUT)
        return USB_STALL;
    switch (s->phase) {
    case USTOR_COMMAND:
        if (s->busy) /* with what a reset has abandoned */
            return USB_NAK;
        return len < USTOR_CBW ? take_cbw(s, (u8[USTOR_CBW]){0}, 0) : take_cbw(s, buf, len);
    case USTOR_DATA_OUT:
        return take_data(s, buf, len);
    case USTOR_WAIT:
        return USB_NAK;
    default:
        return USB_STALL;
    }
}

static int put_csw(struct usb_storage *s, u8 *buf, u32 len)
{
    u8 csw[USTOR_CSW];

    le32_put(csw, CSW_SIGNATURE);
    le32_put(csw + 4, s->tag);
    le32_put(csw + 8, s->residue);
    csw[12] = s->status;
    s->phase = USTOR_COMMAND;
    memcpy(buf, csw, min(len, (u32)sizeof(csw)));
    return (int)min(len, (u32)sizeof(csw));
}

static int give_data(struct usb_storage *s, u8 *buf, u32 len)
{
    u32 n = min(len, s->have - s->at), packet = usb_packet_size(&s->usb, 0x80 | EP_IN);

    if (s->busy || s->wanted)
        return USB_NAK;
    if (!n) { /* nothing more, and the host waits for s->left bytes */
        to_status(s);
        return USB_STALL;
    }
    memcpy(buf, s->buf + s->at, n);
    s->at += n;
    s->left -= min(n, s->left);
    if (s->at < s->have)
        return (int)n;
    if (s->disk && s->disk_left && s->left)
        start_io(s, BLK_READ);
    else if (!s->left || n % packet)
        to_status(s);
    return (int)n;
}

static int storage_in(struct usb_dev *d, u8 ep, u8 *buf, u32 len)
{
    struct usb_storage *s = of(d);

    if (ep != EP_IN)
        return USB_STALL;
    switch (s->phase) {
    case USTOR_DATA_IN:
        return give_data(s, buf, len);
    case USTOR_STATUS:
        return put_csw(s, buf, len);
    case USTOR_DATA_OUT: /* the host gives up before it sent all */
    case USTOR_BROKEN:
        return USB_STALL;
    default:
        return USB_NAK;
    }
}

static void restart(struct usb_storage *s)
{
    s->abandoned = s->busy;
    s->wanted = 0;
    s->phase = USTOR_COMMAND;
    s->have = s->at = s->left = 0;
    s->disk = 0;
}

static int storage_control(struct usb_dev *d, const struct usb_setup *setup, u8 *data)
{
    switch (setup->request) {
    case MAX_LUN:
        data[0] = 0;
        return 1;
    case BULK_RESET:
        restart(of(d));
        return 0;
    default:
        return USB_STALL;
    }
}

static void storage_reset(struct usb_dev *d)
{
    struct usb_storage *s = of(d);

    restart(s);
    s->sense_key = s->asc = 0;
}

/* Only a reset repairs it after a command block that was none (6.6.1). */
static void storage_unhalted(struct usb_dev *d, u8 ep)
{
    if (of(d)->phase == USTOR_BROKEN)
        usb_halt(d, ep);
}

static const struct usb_dev_ops ops = {.control = storage_control,
                                       .in = storage_in,
                                       .out = storage_out,
                                       .reset = storage_reset,
                                       .unhalted = storage_unhalted};

void usb_storage_init(struct usb_storage *s, struct blk *blk, const char *serial, bool high,
                      pthread_mutex_t *lock, struct trace *t)
{
    memset(s, 0, sizeof(*s));
    s->blk = blk;
    snprintf(s->serial, sizeof(s->serial), "%s", serial);
    s->strings[0] = "Wirt";
    s->strings[1] = "USB disk";
    s->strings[2] = s->serial;
    s->desc = (struct usb_descriptors){device, high ? config_high : config_full, s->strings, 3, 64};
    blkio_init(&s->io, lock, io_done, s);
    s->usb = (struct usb_dev){.ops = &ops,
                              .desc = &s->desc,
                              .name = "usb-storage",
                              .trace = t,
                              .lock = lock,
                              .speed = high ? USB_SPEED_HIGH : USB_SPEED_FULL};
    restart(s);
}

void usb_storage_drain(struct usb_storage *s)
{
    pthread_mutex_lock(s->usb.lock);
    blkio_wait(&s->io);
    pthread_mutex_unlock(s->usb.lock);
}

static int loaded(void *obj, struct err *e)
{
    struct usb_storage *s = obj;

    if (s->at > s->have || s->lba > s->blk->size || s->disk_left > s->blk->size - s->lba ||
        s->lba % SECTOR || s->disk_left % SECTOR)
        return err_set(e, EINVAL, "data beyond the disk");
    if (s->phase == USTOR_WAIT ||
        (s->phase == USTOR_DATA_OUT && s->disk && s->have >= min(s->disk_left, (u64)USTOR_CHUNK)))
        return err_set(e, EINVAL, "more data than the command has");
    s->busy = s->abandoned = s->wanted = 0;
    return 0;
}

/* Saved when no disk request is under way. */
static const struct field usb_storage_fields[] = {
    USB_DEV_FIELDS(struct usb_storage, usb),
    FIELD_MAX(struct usb_storage, phase, USTOR_BROKEN),
    FIELD(struct usb_storage, status),
    FIELD(struct usb_storage, sense_key),
    FIELD(struct usb_storage, asc),
    FIELD_MAX(struct usb_storage, disk, 1),
    FIELD(struct usb_storage, tag),
    FIELD(struct usb_storage, length),
    FIELD(struct usb_storage, residue),
    FIELD(struct usb_storage, left),
    FIELD_MAX(struct usb_storage, have, USTOR_CHUNK),
    FIELD_MAX(struct usb_storage, at, USTOR_CHUNK),
    FIELD(struct usb_storage, lba),
    FIELD(struct usb_storage, disk_left),
    FIELD_BYTES(struct usb_storage, buf),
};
const struct state_desc usb_storage_state = {.name = "usb_storage",
                                             .version = 1,
                                             .fields = usb_storage_fields,
                                             .nfields = ARRAY_SIZE(usb_storage_fields),
                                             .loaded = loaded};
