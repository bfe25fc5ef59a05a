/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 82078's commands: how long each is, and what it begins.  Intel 290468, "Command set".
 */
#include "dev/i82078_internal.h"

#include <string.h>

/* READ, WRITE, VERIFY and their like: unit/head, C, H, R, N, EOT, GPL, DTL. */
static void start_data(struct i82078 *f)
{
    const u8 *p = f->fifo;
    struct i82078_drive *d;

    f->unit = p[1] & 3;
    f->cyl = p[2];
    f->head = p[3];
    f->sector = f->cmd == CMD_READ_TRACK ? 1 : p[4];
    f->size_code = p[5];
    f->eot = p[6];
    f->count = f->cmd == CMD_VERIFY && p[1] & 0x80 ? p[8] : 0;
    d = i82078_unit(f, f->unit);
    if ((p[1] >> 2 & 1) != (p[3] & 1) || p[3] > 1)
        i82078_data_error(f, ST1_ND, 0);
    else if (i82078_is_write(f) && d && d->blk && d->blk->readonly)
        i82078_data_error(f, ST1_NW, 0);
    else
        i82078_next_sector(f);
}

/* FORMAT: unit/head, N, sectors a track, GPL, fill byte. */
static void start_format(struct i82078 *f)
{
    const u8 *p = f->fifo;
    struct i82078_drive *d;

    f->unit = p[1] & 3;
    f->head = p[1] >> 2 & 1;
    f->size_code = p[2];
    f->count = p[3];
    f->fill = p[5];
    d = i82078_unit(f, f->unit);
    f->cyl = d ? d->track : 0;
    f->sector = 1;
    if (!d || !d->blk || !i82078_rate_fits(f, d) || f->size_code != 2)
        i82078_data_error(f, ST1_MA, 0);
    else if (d->blk->readonly)
        i82078_data_error(f, ST1_NW, 0);
    else if (!f->count)
        i82078_data_result(f, 0);
    else
        i82078_next_sector(f);
}

static void read_id(struct i82078 *f)
{
    struct i82078_drive *d;

    f->unit = f->fifo[1] & 3;
    f->head = f->fifo[1] >> 2 & 1;
    f->size_code = 2;
    d = i82078_unit(f, f->unit);
    f->cyl = d ? d->track : 0;
    f->sector = 1;
    if (!d || !d->blk || !i82078_rate_fits(f, d) || f->head >= d->heads || d->track >= d->tracks) {
        i82078_data_error(f, ST1_MA, 0);
        return;
    }
    /* The disk turns between two looks. */
    f->id_sector = f->id_sector % d->sectors + 1;
    f->sector = f->id_sector;
    i82078_data_result(f, 0);
}

static void seek_to(struct i82078 *f, unsigned unit, u8 track, u8 st0)
{
    struct i82078_drive *d = i82078_unit(f, unit);

    if (d) {
        if (d->track != track && d->blk)
            d->changed = 0;
        d->track = track;
    }
    f->pcn[unit] = track;
    f->busy |= 1 << unit;
    f->sense_pending |= 1 << unit;
    f->sense_st0[unit] = ST0_SE | st0 | unit;
    i82078_command_phase(f);
    i82078_set_irq(f, true);
}

static void seek(struct i82078 *f)
{
    const u8 *p = f->fifo;
    unsigned unit = p[1] & 3;
    int track = p[2];

    if (p[0] & 0x80) /* RELATIVE SEEK: 40h is inwards */
        track = f->pcn[unit] + (p[0] & 0x40 ? p[2] : -p[2]);
    seek_to(f, unit, track < 0 ? 0 : min(track, 255), p[1] & 4);
}

static void recalibrate(struct i82078 *f)
{
    unsigned unit = f->fifo[1] & 3;

    seek_to(f, unit, 0, i82078_unit(f, unit) ? 0 : ST0_ABNORMAL | ST0_EC);
}

static void sense_interrupt(struct i82078 *f)
{
    unsigned unit;

    i82078_set_irq(f, false);
    if (!f->sense_pending) {
        f->fifo[0] = ST0_INVALID;
        i82078_result_phase(f, 1, false);
        return;
    }
    unit = __builtin_ctz(f->sense_pending);
    f->sense_pending &= ~(1 << unit);
    f->busy &= ~(1 << unit);
    f->fifo[0] = f->sense_st0[unit];
    f->fifo[1] = f->pcn[unit];
    i82078_result_phase(f, 2, false);
}

static void drive_status(struct i82078 *f)
{
    unsigned unit = f->fifo[1] & 3;
    const struct i82078_drive *d = i82078_unit(f, unit);
    u8 st3 = 0x28 | (f->fifo[1] & 7); /* ready, two sides */

    if (d && !d->track)
        st3 |= 0x10;
    if (d && d->blk && d->blk->readonly)
        st3 |= 0x40;
    f->fifo[0] = st3;
    i82078_result_phase(f, 1, false);
}

static void dumpreg(struct i82078 *f)
{
    u8 *r = f->fifo;

    memcpy(r, f->pcn, 4);
    r[4] = f->specify[0];
    r[5] = f->specify[1];
    r[6] = f->eot;
    r[7] = f->locked << 7 | (f->perpendicular & 0x3f);
    r[8] = f->config[1];
    r[9] = f->config[2];
    i82078_result_phase(f, 10, false);
}

void i82078_one_byte(struct i82078 *f, u8 v)
{
    f->fifo[0] = v;
    i82078_result_phase(f, 1, false);
}

/* Bytes of the command, its first included; 0 = invalid. */
unsigned i82078_command_length(u8 c)
{
    switch (c & 0x1f) {
    case CMD_READ_TRACK:
    case CMD_WRITE:
    case CMD_READ:
    case CMD_WRITE_DELETED:
    case CMD_READ_DELETED:
    case CMD_VERIFY:
        return 9;
    case CMD_FORMAT:
        return c & 0xa0 ? 0 : 6;
    case CMD_READ_ID:
        return 2;
    case CMD_SEEK:
        return 3;
    }
    switch (c) {
    case CMD_SPECIFY:
        return 3;
    case CMD_CONFIGURE:
        return 4;
    case CMD_DRIVE_STATUS:
    case CMD_RECALIBRATE:
    case CMD_PERPENDICULAR:
    case CMD_POWERDOWN:
        return 2;
    case CMD_SENSE_INTERRUPT:
    case CMD_DUMPREG:
    case CMD_VERSION:
    case CMD_LOCK:
    case CMD_LOCK | 0x80:
    case CMD_PARTID:
        return 1;
    default:
        return 0;
    }
}

void i82078_execute(struct i82078 *f)
{
    const u8 *p = f->fifo;

    trace(f->trace, fdc, "command %02x %02x %02x %02x %02x %02x %02x", p[0], p[1], p[2], p[3], p[4],
          p[5], p[6]);
    f->cmd = p[0] & 0x1f;
    f->multi_track = p[0] >> 7;
    f->st1 = f->st2 = f->tc = 0;
    switch (f->cmd) {
    case CMD_SPECIFY:
        f->specify[0] = p[1];
        f->specify[1] = p[2];
        i82078_command_phase(f);
        break;
    case CMD_DRIVE_STATUS:
        drive_status(f);
        break;
    case CMD_RECALIBRATE:
        recalibrate(f);
        break;
    case CMD_SENSE_INTERRUPT:
        sense_interrupt(f);
        break;
    case CMD_READ_ID:
        read_id(f);
        break;
    case CMD_FORMAT:
        start_format(f);
        break;
    case CMD_DUMPREG:
        dumpreg(f);
        break;
    case CMD_SEEK:
        seek(f);
        break;
    case CMD_VERSION:
        i82078_one_byte(f, 0x90); /* enhanced controller */
        break;
    case CMD_PERPENDICULAR: /* OW lets the drive bits be written */
        f->perpendicular = p[1] & 0x80 ? p[1] & 0x3f : (f->perpendicular & 0x3c) | (p[1] & 3);
        i82078_command_phase(f);
        break;
    case CMD_CONFIGURE:
        memcpy(f->config, p + 1, 3);
        i82078_command_phase(f);
        break;
    case CMD_LOCK:
        f->locked = p[0] >> 7;
        i82078_one_byte(f, f->locked << 4);
        break;
    case CMD_POWERDOWN:
        i82078_one_byte(f, p[1]);
        break;
    case CMD_PARTID:
        i82078_one_byte(f, 0x41);
        break;
    default:
        start_data(f);
    }
}
