/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82078 floppy disk controller (290468), in PC/AT mode, with two drives.
 *
 * A command goes through three phases: bytes of the command, execution (data by DMA or through the
 * FIFO), bytes of the result.  Sectors go one at a time through a buffer; disk requests and a DMA
 * channel that is not set up yet leave the controller in its execution phase.  Heads move at once.
 *
 * The format of a medium follows from its size.  A data rate that does not fit gives "missing
 * address mark", by which drivers find the format.  Behind the end of an image that is shorter than
 * its format, sectors read as zeros.
 *
 * Left out: SCAN, SAVE, RESTORE, OPTION, DRIVE SPECIFICATION, FORMAT AND WRITE (they answer as
 * invalid commands), sectors other than 512 bytes, deleted data marks on the medium, tape drives.
 */
#include "dev/i82078_internal.h"

#include "base/err.h"

#include <errno.h>
#include <string.h>

enum { PORT_SRA, PORT_SRB, PORT_DOR, PORT_TDR, PORT_MSR, PORT_FIFO };
enum { DOR_NRESET = 0x04, DOR_DMAGATE = 0x08 };
enum { MSR_CB = 0x10, MSR_NONDMA = 0x20, MSR_DIO = 0x40, MSR_RQM = 0x80 };
enum { CONFIG_POLL_OFF = 0x10, CONFIG_EFIFO_OFF = 0x20, CONFIG_EIS = 0x40 };

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

enum { RATE_300K = 1, RATE_250K = 2 };

static void load_medium(struct i82078_drive *d)
{
    const struct i82078_format *f;

    d->changed = 1;
    if (!d->blk)
        return;
    f = i82078_format_for(d->blk->size);
    d->tracks = f->tracks;
    d->heads = f->heads;
    d->sectors = f->sectors;
    d->rate = f->rate;
}

/* A 360 KiB disk turns faster in a 1.2 MiB drive. */
static bool rate_fits(const struct i82078 *f, const struct i82078_drive *d)
{
    u8 rate = f->ccr & 3;

    return rate == d->rate || (d->rate == RATE_250K && d->tracks == 40 && rate == RATE_300K);
}

static void set_irq(struct i82078 *f, bool level)
{
    f->irq_level = level;
    irq_set(&f->irq, level && f->dor & DOR_DMAGATE);
}

/* ---------------------------------------------------------------- phases -- */

static void command_phase(struct i82078 *f)
{
    f->phase = PHASE_COMMAND;
    f->fifo_pos = 0;
    f->fifo_len = 0;
}

/* n result bytes are in fifo. */
static void result_phase(struct i82078 *f, unsigned n, bool interrupt)
{
    f->phase = PHASE_RESULT;
    f->fifo_pos = 0;
    f->fifo_len = n;
    if (interrupt)
        set_irq(f, true);
}

/* The seven bytes that end a data command; C, H, R and N as they are. */
static void data_result(struct i82078 *f, u8 st0)
{
    u8 *r = f->fifo;

    trace(f->trace, fdc, "command %02x ends: st0 %02x st1 %02x st2 %02x at %u/%u/%u", f->cmd, st0,
          f->st1, f->st2, f->cyl, f->head, f->sector);
    r[0] = st0 | f->head << 2 | f->unit;
    r[1] = f->st1;
    r[2] = f->st2;
    r[3] = f->cyl;
    r[4] = f->head;
    r[5] = f->sector;
    r[6] = f->size_code;
    result_phase(f, 7, true);
}

static void data_error(struct i82078 *f, u8 st1, u8 st2)
{
    f->st1 |= st1;
    f->st2 |= st2;
    data_result(f, ST0_ABNORMAL);
}

/* Steps the ID to the sector after this one; false when that is past the end of the cylinder. */
static bool advance(struct i82078 *f)
{
    if (f->sector != f->eot) {
        f->sector++;
        return true;
    }
    f->sector = 1;
    if (f->multi_track && !f->head) {
        f->head = 1;
        return true;
    }
    if (f->multi_track)
        f->head = 0;
    f->cyl++;
    return false;
}

static bool is_write(const struct i82078 *f)
{
    return f->cmd == CMD_WRITE || f->cmd == CMD_WRITE_DELETED || f->cmd == CMD_FORMAT;
}

/* ------------------------------------------------------------ data moving -- */

static void next_sector(struct i82078 *f);
static void collect(struct i82078 *f);

/* Where the sector that the ID names lies in the image. */
static u64 position(struct i82078 *f, const struct i82078_drive *d)
{
    return (((u64)f->cyl * d->heads + f->head) * d->sectors + f->sector - 1) * sizeof(f->buf);
}

static void submit(struct i82078 *f, enum blk_op op)
{
    struct i82078_drive *d = &f->drive[f->unit];

    f->phase = PHASE_IO;
    f->io_busy = 1;
    blkio_submit(&f->io_req, d->blk, op, position(f, d), f->buf, sizeof(f->buf), false);
}

/* Is the sector that the ID names on this medium, under this head?  Else ends the command. */
static bool find_sector(struct i82078 *f)
{
    struct i82078_drive *d = i82078_unit(f, f->unit);

    if (!d || !d->blk || !rate_fits(f, d) || f->size_code != 2) {
        data_error(f, ST1_MA, 0);
        return false;
    }
    if (f->config[1] & CONFIG_EIS) {
        if (d->track != f->cyl)
            d->changed = 0;
        d->track = f->cyl;
        f->pcn[f->unit] = f->cyl;
    }
    if (f->cyl != d->track) {
        data_error(f, ST1_ND, ST2_WC);
        return false;
    }
    if (f->cyl >= d->tracks || f->head >= d->heads || !f->sector || f->sector > d->sectors) {
        data_error(f, ST1_ND, 0);
        return false;
    }
    return true;
}

/* One sector is done, data and all. */
static void sector_done(struct i82078 *f)
{
    bool more;

    if (f->cmd == CMD_FORMAT) {
        f->count--;
        if (f->count && !f->tc)
            next_sector(f);
        else
            data_result(f, 0);
        return;
    }
    more = advance(f);
    if (f->cmd == CMD_VERIFY && f->count && !--f->count) {
        data_result(f, 0);
    } else if (f->tc) {
        data_result(f, 0);
    } else if (f->cmd == CMD_READ_DELETED) {
        f->st2 |= ST2_CM; /* what was found is ordinary data */
        data_result(f, 0);
    } else if (!more) {
        data_error(f, f->cmd == CMD_VERIFY ? 0 : ST1_EN, 0);
    } else {
        next_sector(f);
    }
}

/* Data of buf[buf_pos, buf_len) that DMA can take or give now. */
static void move_dma(struct i82078 *f)
{
    bool out = is_write(f), tc;
    size_t n = i8237_transfer(f->dma, f->dma_ch, out ? I8237_TO_DEVICE : I8237_TO_MEMORY,
                              f->buf + f->buf_pos, f->buf_len - f->buf_pos, &tc);

    f->buf_pos += n;
    f->tc |= tc;
    if (f->buf_pos == f->buf_len || f->tc) {
        collect(f);
        return;
    }
    /* The channel is not set up, or not any more: DREQ stays. */
    f->phase = PHASE_DMA;
    timer_set(f->clock, &f->timer, clock_now(f->clock) + 1000000);
}

static void move_data(struct i82078 *f, u16 len)
{
    f->buf_pos = 0;
    f->buf_len = len;
    if (!(f->specify[1] & 1)) {
        move_dma(f);
        return;
    }
    f->phase = is_write(f) ? PHASE_PIO_OUT : PHASE_PIO_IN;
    set_irq(f, true);
}

/* FORMAT gave the ID of a sector that is to be written. */
static void format_sector(struct i82078 *f)
{
    struct i82078_drive *d = &f->drive[f->unit];
    u8 id[4];

    memcpy(id, f->buf, sizeof(id));
    f->cyl = id[0];
    f->head = id[1];
    f->sector = id[2];
    f->size_code = id[3];
    /* IDs that this image cannot hold: other places, other sizes. */
    if (id[0] != d->track || id[1] >= d->heads || !id[2] || id[2] > d->sectors || id[3] != 2) {
        data_error(f, ST1_MA, 0);
        return;
    }
    memset(f->buf, f->fill, sizeof(f->buf));
    submit(f, BLK_WRITE);
}

/* The data of one sector have been moved, or what was there until terminal count. */
static void collect(struct i82078 *f)
{
    if (f->cmd == CMD_FORMAT) {
        if (f->buf_pos < f->buf_len)
            data_result(f, 0);
        else
            format_sector(f);
    } else if (is_write(f)) {
        if (!f->buf_pos) { /* terminal count came with the sector before */
            data_result(f, 0);
            return;
        }
        memset(f->buf + f->buf_pos, 0, sizeof(f->buf) - f->buf_pos);
        submit(f, BLK_WRITE);
    } else {
        sector_done(f);
    }
}

static void next_sector(struct i82078 *f)
{
    const struct i82078_drive *d;

    if (f->cmd == CMD_FORMAT) {
        move_data(f, 4);
        return;
    }
    if (!find_sector(f))
        return;
    d = &f->drive[f->unit];
    if (is_write(f)) {
        move_data(f, sizeof(f->buf));
    } else if (position(f, d) + sizeof(f->buf) > d->blk->size) {
        memset(f->buf, 0, sizeof(f->buf));
        if (f->cmd == CMD_VERIFY)
            sector_done(f);
        else
            move_data(f, sizeof(f->buf));
    } else {
        submit(f, BLK_READ);
    }
}

static void finish_reset(struct i82078 *f);

static void io_done(void *opaque, int result)
{
    struct i82078 *f = opaque;

    f->io_busy = 0;
    if (f->reset_wanted)
        finish_reset(f);
    else if (result)
        data_error(f, ST1_DE, 0);
    else if (is_write(f) || f->cmd == CMD_VERIFY)
        sector_done(f);
    else
        move_data(f, sizeof(f->buf));
}

static void timer_fired(void *opaque)
{
    struct i82078 *f = opaque;

    pthread_mutex_lock(&f->lock);
    if (f->phase == PHASE_DMA)
        move_dma(f);
    pthread_mutex_unlock(&f->lock);
}

/* -------------------------------------------------------------- commands -- */

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
        data_error(f, ST1_ND, 0);
    else if (is_write(f) && d && d->blk && d->blk->readonly)
        data_error(f, ST1_NW, 0);
    else
        next_sector(f);
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
    if (!d || !d->blk || !rate_fits(f, d) || f->size_code != 2)
        data_error(f, ST1_MA, 0);
    else if (d->blk->readonly)
        data_error(f, ST1_NW, 0);
    else if (!f->count)
        data_result(f, 0);
    else
        next_sector(f);
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
    if (!d || !d->blk || !rate_fits(f, d) || f->head >= d->heads || d->track >= d->tracks) {
        data_error(f, ST1_MA, 0);
        return;
    }
    /* The disk turns between two looks. */
    f->id_sector = f->id_sector % d->sectors + 1;
    f->sector = f->id_sector;
    data_result(f, 0);
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
    command_phase(f);
    set_irq(f, true);
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

    set_irq(f, false);
    if (!f->sense_pending) {
        f->fifo[0] = ST0_INVALID;
        result_phase(f, 1, false);
        return;
    }
    unit = __builtin_ctz(f->sense_pending);
    f->sense_pending &= ~(1 << unit);
    f->busy &= ~(1 << unit);
    f->fifo[0] = f->sense_st0[unit];
    f->fifo[1] = f->pcn[unit];
    result_phase(f, 2, false);
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
    result_phase(f, 1, false);
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
    result_phase(f, 10, false);
}

static void one_byte(struct i82078 *f, u8 v)
{
    f->fifo[0] = v;
    result_phase(f, 1, false);
}

/* Bytes of the command, its first included; 0 = invalid. */
static unsigned command_length(u8 c)
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

static void execute(struct i82078 *f)
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
        command_phase(f);
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
        one_byte(f, 0x90); /* enhanced controller */
        break;
    case CMD_PERPENDICULAR: /* OW lets the drive bits be written */
        f->perpendicular = p[1] & 0x80 ? p[1] & 0x3f : (f->perpendicular & 0x3c) | (p[1] & 3);
        command_phase(f);
        break;
    case CMD_CONFIGURE:
        memcpy(f->config, p + 1, 3);
        command_phase(f);
        break;
    case CMD_LOCK:
        f->locked = p[0] >> 7;
        one_byte(f, f->locked << 4);
        break;
    case CMD_POWERDOWN:
        one_byte(f, p[1]);
        break;
    case CMD_PARTID:
        one_byte(f, 0x41);
        break;
    default:
        start_data(f);
    }
}

/* ------------------------------------------------------------- registers -- */

static void write_fifo(struct i82078 *f, u8 v)
{
    if (!(f->dor & DOR_NRESET) || f->reset_wanted)
        return;
    if (f->phase == PHASE_PIO_OUT) {
        f->buf[f->buf_pos++] = v;
        if (f->buf_pos == f->buf_len) {
            set_irq(f, false);
            collect(f);
        }
        return;
    }
    if (f->phase != PHASE_COMMAND)
        return;
    if (!f->fifo_len) {
        memset(f->fifo, 0, sizeof(f->fifo));
        f->fifo_len = command_length(v);
        if (!f->fifo_len) {
            trace(f->trace, fdc, "invalid command %02x", v);
            one_byte(f, ST0_INVALID);
            return;
        }
    }
    f->fifo[f->fifo_pos++] = v;
    if (f->fifo_pos == f->fifo_len)
        execute(f);
}

static u8 read_fifo(struct i82078 *f)
{
    u8 v;

    if (f->phase == PHASE_PIO_IN) {
        v = f->buf[f->buf_pos++];
        if (f->buf_pos == f->buf_len) {
            set_irq(f, false);
            collect(f);
        }
        return v;
    }
    if (f->phase != PHASE_RESULT)
        return 0xff;
    v = f->fifo[f->fifo_pos++];
    /* The interrupt of a data command ends with its first result byte; a reset's or seek's, that
     * came since, is SENSE INTERRUPT's. */
    if (!f->sense_pending)
        set_irq(f, false);
    if (f->fifo_pos == f->fifo_len)
        command_phase(f);
    return v;
}

static u8 main_status(const struct i82078 *f)
{
    u8 v = f->busy;

    if (!(f->dor & DOR_NRESET) || f->reset_wanted)
        return 0;
    switch (f->phase) {
    case PHASE_COMMAND:
        return v | MSR_RQM | (f->fifo_pos ? MSR_CB : 0);
    case PHASE_PIO_IN:
        return v | MSR_RQM | MSR_DIO | MSR_NONDMA | MSR_CB;
    case PHASE_PIO_OUT:
        return v | MSR_RQM | MSR_NONDMA | MSR_CB;
    case PHASE_RESULT:
        return v | MSR_RQM | MSR_DIO | MSR_CB;
    default:
        return v | MSR_CB;
    }
}

/* What a reset leaves, when it is over; with polling on, four drives report a change. */
static void finish_reset(struct i82078 *f)
{
    f->reset_wanted = 0;
    if (!(f->dor & DOR_NRESET))
        return;
    if (f->config[1] & CONFIG_POLL_OFF)
        return;
    f->sense_pending = 15;
    for (unsigned i = 0; i < 4; i++)
        f->sense_st0[i] = ST0_POLL | i;
    set_irq(f, true);
}

static void soft_reset(struct i82078 *f)
{
    set_irq(f, false);
    timer_del(f->clock, &f->timer);
    command_phase(f);
    f->sense_pending = 0;
    f->busy = 0;
    f->perpendicular &= 0x3c;
    memset(f->pcn, 0, sizeof(f->pcn));
    if (!f->locked) {
        f->config[1] = CONFIG_EFIFO_OFF;
        f->config[2] = 0;
    }
    if (f->io_busy)
        f->reset_wanted = 1;
}

static void write_dor(struct i82078 *f, u8 v)
{
    u8 old = f->dor;

    f->dor = v;
    if (!(v & DOR_NRESET)) {
        if (old & DOR_NRESET)
            soft_reset(f);
    } else if (!(old & DOR_NRESET) && !f->reset_wanted) {
        finish_reset(f);
    }
    set_irq(f, f->irq_level);
}

static u64 io_read(void *opaque, u64 off, unsigned size)
{
    struct i82078 *f = opaque;

    switch (off) {
    case PORT_SRA: /* PS/2 mode only */
    case PORT_SRB:
        return 0xff;
    case PORT_DOR:
        return f->dor;
    case PORT_TDR:
        return f->tdr | 0xfc;
    case PORT_MSR:
        return main_status(f);
    default:
        return read_fifo(f);
    }
}

static void io_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i82078 *f = opaque;

    switch (off) {
    case PORT_DOR:
        write_dor(f, val);
        break;
    case PORT_TDR:
        f->tdr = val & 3;
        break;
    case PORT_MSR: /* data rate select */
        f->dsr = val & 0x7f;
        f->ccr = val & 3;
        if (val & 0x80) {
            soft_reset(f);
            if (!f->reset_wanted)
                finish_reset(f);
        }
        break;
    case PORT_FIFO:
        write_fifo(f, val);
        break;
    }
}

/* Only bit 7 belongs to the floppy; the line is that of the selected drive with its motor on. */
static u64 dir_read(void *opaque, u64 off, unsigned size)
{
    struct i82078 *f = opaque;
    unsigned unit = f->dor & 3;
    const struct i82078_drive *d = i82078_unit(f, unit);

    if (!d || !(f->dor & 0x10 << unit))
        return 0x7f;
    return d->changed ? 0xff : 0x7f;
}

static void dir_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i82078 *f = opaque;

    f->ccr = val & 3;
}

static const struct region_ops io_ops = {.read = io_read, .write = io_write, 1, 1};
static const struct region_ops dir_ops = {.read = dir_read, .write = dir_write, 1, 1};

/* ---------------------------------------------------------------- set-up -- */

void i82078_reset(struct i82078 *f)
{
    pthread_mutex_lock(&f->lock);
    f->locked = 0;
    f->perpendicular = 0;
    soft_reset(f);
    f->dor = 0;
    f->tdr = f->dsr = 0;
    f->ccr = RATE_250K;
    memset(f->specify, 0, sizeof(f->specify));
    pthread_mutex_unlock(&f->lock);
}

void i82078_init(struct i82078 *f, const struct i82078_config *cfg, struct clock *clock,
                 struct trace *t)
{
    memset(f, 0, sizeof(*f));
    pthread_mutex_init(&f->lock, NULL);
    f->trace = t;
    f->clock = clock;
    f->dma = cfg->dma;
    f->dma_ch = cfg->dma_ch;
    f->irq = cfg->irq;
    f->timer = (struct timer){.fn = timer_fired, .opaque = f};
    blkio_init(&f->io_req, &f->lock, io_done, f);
    f->io =
        (struct region){.name = "i82078", .size = 6, .ops = &io_ops, .opaque = f, .lock = &f->lock};
    f->dir = (struct region){
        .name = "i82078-dir", .size = 1, .ops = &dir_ops, .opaque = f, .lock = &f->lock};
    for (unsigned i = 0; i < 2; i++) {
        f->drive[i].blk = cfg->blk[i];
        f->drive[i].type = cfg->type[i];
        load_medium(&f->drive[i]);
    }
    i82078_reset(f);
}

int i82078_change_medium(struct i82078 *f, unsigned n, struct blk *b)
{
    int rc = 0;

    pthread_mutex_lock(&f->lock);
    if (f->phase != PHASE_COMMAND || f->io_busy) {
        rc = -EBUSY;
    } else {
        f->drive[n].blk = b;
        load_medium(&f->drive[n]);
    }
    pthread_mutex_unlock(&f->lock);
    return rc;
}
