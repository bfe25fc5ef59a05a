/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An ATA channel: the task file, and up to two drives on the cable, hard disks (ata_disk.c) and
 * CD-ROMs (atapi.c).  ATA/ATAPI-7 (T13 1532D), MMC-3 for packet commands.
 *
 * The host adapter (piix3_ide.c) owns the lock, maps the two regions and moves DMA data.
 */
#ifndef WIRT_DEV_ATA_H
#define WIRT_DEV_ATA_H

#include "base/trace.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"
#include "dev/blkio.h"

enum ata_kind { ATA_EMPTY, ATA_DISK, ATA_CDROM };

/* What the board says of a drive.  A CD-ROM may have no medium (blk NULL); blk stays the board's.
 */
struct ata_drive_config {
    enum ata_kind kind;
    struct blk *blk;
    const char *serial; /* at most 20 characters, NULL = made up */
    const char *model;  /* at most 40 characters, NULL = made up */
};

enum { ATA_BUF_SIZE = 128 * 1024, ATA_SECTOR = 512, ATAPI_SECTOR = 2048 };

/* The registers as one drive shows them; the host's writes go to both drives of the cable.
 * index 1 holds the older byte of the two-deep LBA48 registers. */
struct ata_taskfile {
    u8 features[2], nsector[2], lbal[2], lbam[2], lbah[2];
    u8 device, status, error;
};

struct ata_drive {
    struct ata_taskfile tf;
    enum ata_kind kind;
    u8 index; /* 0 master, 1 slave */
    struct blk *blk;
    char serial[21], model[41];
    u64 sectors; /* disks: of 512 bytes */
    u16 cyls;    /* default CHS translation */
    u8 heads, spt;
    u8 cur_heads, cur_spt; /* as INITIALIZE DEVICE PARAMETERS set it */
    u8 multiple;           /* sectors a block of READ MULTIPLE, 0 = not set */
    u8 xfer_mode;          /* SET FEATURES 03h: 08h PIO, 20h MWDMA, 40h UDMA, + mode */
    u8 write_cache, read_ahead, standby, smart;
    /* ATAPI */
    u8 sense_key, asc, ascq;
    u8 unit_attention; /* medium changed or reset since the last report */
    u8 locked, tray_open, event;
    u8 cd_speed;
};

/* What a channel's data register or DMA is doing. */
enum ata_phase { ATA_IDLE, ATA_PIO_IN, ATA_PIO_OUT, ATA_PACKET_OUT, ATA_DMA_WAIT, ATA_BUSY };

struct ata_channel;

/* The host adapter's half of a DMA transfer; NULL fn = no DMA.  All with the lock held. */
struct ata_dma {
    bool (*active)(void *opaque);
    /* Moves bytes between buf and guest memory; returns how many the guest's table took. */
    size_t (*move)(void *opaque, void *buf, size_t len, bool to_memory);
    void (*ended)(void *opaque, bool error); /* the command is over; before its interrupt */
    void (*interrupt)(void *opaque);         /* the drive raised INTRQ */
    void *opaque;
};

struct ata_channel {
    struct trace *trace;
    const char *name;
    pthread_mutex_t *lock;
    struct irq irq;
    struct ata_dma dma;
    struct region cmd; /* 8 ports; the board maps it at 1f0 or 170 */
    struct region ctl; /* 1 port, 3f6 or 376 */
    struct ata_drive drive[2];
    u8 selected;
    u8 control;     /* device control register */
    u8 irq_pending; /* INTRQ before nIEN */

    /* The command under way. */
    u8 command;
    u8 actor; /* the drive that executes it */
    u8 is_dma, is_lba48, is_write;
    u8 reset_wanted;      /* a reset came while a disk request was under way */
    u8 resetting;         /* SRST is held */
    u32 phase;            /* enum ata_phase */
    u64 lba;              /* next unit of the medium */
    u32 left;             /* units still to go after buf */
    u32 chunk;            /* units in buf or under way */
    u32 block;            /* sectors a DRQ block */
    u32 buf_pos, buf_len; /* DRQ block: next byte, end */
    u32 data_len;         /* ATAPI: bytes in buf, or of the whole reply */
    u32 byte_limit;       /* ATAPI: bytes a DRQ block */
    u8 packet[12];
    u32 cd_raw;    /* READ CD: bytes a sector that the host gets */
    u32 cd_fields; /* READ CD: main channel selection */
    struct blkio io;
    u8 io_busy;
    u8 buf[ATA_BUF_SIZE];
};

/* lock, irq and dma are the adapter's; a drive of kind ATA_EMPTY is absent. */
void ata_init(struct ata_channel *c, const char *name, struct trace *t, pthread_mutex_t *lock,
              const struct ata_drive_config cfg[2]);
/* Power-on reset; with the lock held. */
void ata_reset(struct ata_channel *c);
/* The adapter's DMA engine was started: a command that waits for it goes on.  With the lock. */
void ata_dma_started(struct ata_channel *c);
/* Puts another medium (NULL = none) into a CD-ROM; the tray closes.  Takes the lock.  The old blk
 * is no longer used when this returns 0; -EBUSY while a request is under way. */
int ata_change_medium(struct ata_channel *c, unsigned drive, struct blk *b);

/* Waits until no disk request is under way; the host must not touch the channel meanwhile.  Takes
 * the lock. */
void ata_drain(struct ata_channel *c);

extern const struct state_desc ata_channel_state; /* of struct ata_channel, between requests */

#endif
