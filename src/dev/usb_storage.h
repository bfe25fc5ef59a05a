/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USB mass storage: one SCSI disk, bulk-only.  USB Mass Storage Class Bulk-Only Transport 1.0;
 * SPC-4 and SBC-3 for the commands.
 */
#ifndef WIRT_DEV_USB_STORAGE_H
#define WIRT_DEV_USB_STORAGE_H

#include "dev/blkio.h"
#include "dev/usb.h"

enum { USTOR_CHUNK = 64 << 10, USTOR_CBW = 31, USTOR_CSW = 13 };

/* What the host is to do next. */
enum ustor_phase {
    USTOR_COMMAND,  /* send a CBW */
    USTOR_DATA_IN,  /* fetch data: buf[at..have), then more from the disk */
    USTOR_DATA_OUT, /* send data */
    USTOR_WAIT,     /* wait: the disk is at it before status */
    USTOR_STATUS,   /* fetch the CSW */
    USTOR_BROKEN,   /* reset: the CBW was none (5.3) */
};

struct usb_storage {
    struct usb_dev usb; /* first */
    struct blk *blk;
    struct blkio io;
    char serial[20];
    const char *strings[3]; /* with that serial number */
    struct usb_descriptors desc;

    u8 phase;  /* enum ustor_phase */
    u8 status; /* of the CSW */
    u8 sense_key, asc;
    u8 busy;      /* a disk request is under way */
    u8 abandoned; /* ... whose result nobody wants */
    u8 wanted;    /* enum blk_op + 1 to be started when it is done */
    u8 disk;      /* the data are the disk's */
    u32 tag, length, residue;
    u32 left;     /* bytes of data still to be moved by the host */
    u32 have, at; /* of buf */
    u64 lba;      /* the next byte on the disk */
    u64 disk_left;
    u8 buf[USTOR_CHUNK];
};

/* blk stays the caller's.  high: a high-speed device, else full speed. */
void usb_storage_init(struct usb_storage *s, struct blk *blk, const char *serial, bool high,
                      pthread_mutex_t *lock, struct trace *t);
/* Waits until no disk request is under way.  Takes the lock. */
void usb_storage_drain(struct usb_storage *s);

extern const struct state_desc usb_storage_state;

/* usb_scsi.c: starts the command in cdb (16 bytes): sets status and sense, and what data there
 * are: buf, have, or disk, lba and disk_left. */
void usb_scsi_start(struct usb_storage *s, const u8 cdb[16], bool in);

#endif
