/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the floppy controller share.
 */
#ifndef WIRT_DEV_I82078_INTERNAL_H
#define WIRT_DEV_I82078_INTERNAL_H

#include "dev/i82078.h"

/* PHASE_DMA: DREQ is up and the channel not ready; PHASE_IO: a disk request is under way. */
enum { PHASE_COMMAND, PHASE_DMA, PHASE_IO, PHASE_PIO_IN, PHASE_PIO_OUT, PHASE_RESULT };

enum { DOR_NRESET = 0x04, DOR_DMAGATE = 0x08 };
enum { CONFIG_POLL_OFF = 0x10, CONFIG_EFIFO_OFF = 0x20, CONFIG_EIS = 0x40 };
enum { RATE_300K = 1, RATE_250K = 2 };

/* Status registers. */
enum { ST0_EC = 0x10, ST0_SE = 0x20, ST0_ABNORMAL = 0x40, ST0_INVALID = 0x80, ST0_POLL = 0xc0 };
enum { ST1_MA = 0x01, ST1_NW = 0x02, ST1_ND = 0x04, ST1_DE = 0x20, ST1_EN = 0x80 };
enum { ST2_WC = 0x10, ST2_CM = 0x40 };

/* Commands without their option bits. */
enum {
    CMD_READ_TRACK = 0x02,
    CMD_SPECIFY = 0x03,
    CMD_DRIVE_STATUS = 0x04,
    CMD_WRITE = 0x05,
    CMD_READ = 0x06,
    CMD_RECALIBRATE = 0x07,
    CMD_SENSE_INTERRUPT = 0x08,
    CMD_WRITE_DELETED = 0x09,
    CMD_READ_ID = 0x0a,
    CMD_READ_DELETED = 0x0c,
    CMD_FORMAT = 0x0d,
    CMD_DUMPREG = 0x0e,
    CMD_SEEK = 0x0f,
    CMD_VERSION = 0x10,
    CMD_PERPENDICULAR = 0x12,
    CMD_CONFIGURE = 0x13,
    CMD_LOCK = 0x14,
    CMD_VERIFY = 0x16,
    CMD_POWERDOWN = 0x17,
    CMD_PARTID = 0x18,
};

/* The drive of a command's unit bits; NULL = there is none. */
static inline struct i82078_drive *i82078_unit(struct i82078 *f, unsigned unit)
{
    return unit < 2 && f->drive[unit].type != I82078_NONE ? &f->drive[unit] : NULL;
}

/* ---- All with the controller's lock held. ---- */

/* i82078.c */
void i82078_finish_reset(struct i82078 *f); /* a reset that waited for a disk request */

/* i82078_data.c */
void i82078_set_irq(struct i82078 *f, bool level);
void i82078_command_phase(struct i82078 *f);
/* n result bytes are in fifo. */
void i82078_result_phase(struct i82078 *f, unsigned n, bool interrupt);
/* The seven bytes that end a data command; C, H, R and N as they are. */
void i82078_data_result(struct i82078 *f, u8 st0);
void i82078_data_error(struct i82078 *f, u8 st1, u8 st2);
bool i82078_rate_fits(const struct i82078 *f, const struct i82078_drive *d);
bool i82078_is_write(const struct i82078 *f); /* the command under way */
/* Goes on with the sector that the ID names. */
void i82078_next_sector(struct i82078 *f);
/* The data of one sector have been moved, or what was there until terminal count. */
void i82078_collect(struct i82078 *f);
void i82078_io_done(void *opaque, int result); /* for blkio */
void i82078_timer_fired(void *opaque);         /* takes the lock */

/* i82078_commands.c */
/* Bytes of the command, its first included; 0 = invalid. */
unsigned i82078_command_length(u8 c);
void i82078_execute(struct i82078 *f);        /* the command in fifo */
void i82078_one_byte(struct i82078 *f, u8 v); /* a result of one byte */

#endif
