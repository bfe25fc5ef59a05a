/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82078 floppy disk controller with two drives.
 */
#ifndef WIRT_DEV_I82078_H
#define WIRT_DEV_I82078_H

#include "base/clock.h"
#include "base/trace.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"
#include "dev/blkio.h"
#include "dev/i8237.h"

/* CMOS byte 10h: a nibble a drive, drive 0 the upper. */
enum i82078_drive_type {
    I82078_NONE = 0,
    I82078_360K = 1,
    I82078_1200K = 2,
    I82078_720K = 3,
    I82078_1440K = 4,
    I82078_2880K = 5,
};

struct i82078_drive {
    struct blk *blk;                 /* NULL: no medium */
    u8 type;                         /* enum i82078_drive_type, I82078_NONE: no drive */
    u8 heads, tracks, sectors, rate; /* of the medium, from its size */
    u8 track;                        /* where the head stands */
    u8 changed;                      /* the disk change line */
};

struct i82078 {
    pthread_mutex_t lock;
    struct trace *trace;
    struct clock *clock;
    struct i8237 *dma;
    unsigned dma_ch;
    struct irq irq;
    struct region io;  /* 6 ports at 3f0 */
    struct region dir; /* 1 port at 3f7 */
    struct i82078_drive drive[2];
    struct timer timer; /* looks again at a DMA channel that was not ready */

    u8 dor, tdr, dsr, ccr;
    u8 config[3];     /* CONFIGURE */
    u8 specify[2];    /* SPECIFY */
    u8 locked;        /* LOCK: a software reset keeps config */
    u8 perpendicular; /* PERPENDICULAR MODE */
    u8 phase;
    u8 fifo[16]; /* bytes of a command, or of its result */
    u8 fifo_pos, fifo_len;
    u8 sense_pending; /* SENSE INTERRUPT answers due: a bit a drive */
    u8 sense_st0[4];
    u8 irq_level;
    u8 pcn[4]; /* present cylinder numbers */
    u8 busy;   /* drives that seek: bits 0-3 of the main status */

    /* The data command under way; cyl, head, sector and size_code as in an ID field. */
    u8 cmd, unit, cyl, head, sector, size_code, eot, count, fill, multi_track;
    u8 st1, st2;
    u8 tc;
    u8 io_busy, reset_wanted;
    u8 id_sector; /* what READ ID saw last */
    u16 buf_pos, buf_len;
    u8 buf[512];
    struct blkio io_req;
};

/* drives: their media, NULL = an empty drive; types as CMOS names them, I82078_NONE = no drive.
 * dma and clock stay the board's. */
struct i82078_config {
    struct blk *blk[2];
    enum i82078_drive_type type[2];
    struct irq irq;
    struct i8237 *dma;
    unsigned dma_ch;
};

void i82078_init(struct i82078 *f, const struct i82078_config *cfg, struct clock *clock,
                 struct trace *t);
void i82078_reset(struct i82078 *f);

/* What a disk of some size looks like. */
struct i82078_format {
    u16 kib;
    u8 type, tracks, heads, sectors, rate; /* rate as CCR has it */
};

/* An image of no format's size is in the smallest common one that holds it. */
const struct i82078_format *i82078_format_for(u64 size);
/* The drive type that takes an image of this many bytes: for CMOS and for i82078_config. */
enum i82078_drive_type i82078_type_for(u64 size);

/* Another disk (NULL = none); sets the disk change line.  -EBUSY while a request is under way. */
int i82078_change_medium(struct i82078 *f, unsigned drive, struct blk *b);

/* Waits until no disk request is under way; the host must not touch the controller meanwhile. */
void i82078_drain(struct i82078 *f);

extern const struct state_desc i82078_state;

#endif
