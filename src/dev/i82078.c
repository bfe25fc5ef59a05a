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
enum { MSR_CB = 0x10, MSR_NONDMA = 0x20, MSR_DIO = 0x40, MSR_RQM = 0x80 };

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

/* ------------------------------------------------------------- registers -- */

static void write_fifo(struct i82078 *f, u8 v)
{
    if (!(f->dor & DOR_NRESET) || f->reset_wanted)
        return;
    if (f->phase == PHASE_PIO_OUT) {
        f->buf[f->buf_pos++] = v;
        if (f->buf_pos == f->buf_len) {
            i82078_set_irq(f, false);
            i82078_collect(f);
        }
        return;
    }
    if (f->phase != PHASE_COMMAND)
        return;
    if (!f->fifo_len) {
        memset(f->fifo, 0, sizeof(f->fifo));
        f->fifo_len = i82078_command_length(v);
        if (!f->fifo_len) {
            trace(f->trace, fdc, "invalid command %02x", v);
            i82078_one_byte(f, ST0_INVALID);
            return;
        }
    }
    f->fifo[f->fifo_pos++] = v;
    if (f->fifo_pos == f->fifo_len)
        i82078_execute(f);
}

static u8 read_fifo(struct i82078 *f)
{
    u8 v;

    if (f->phase == PHASE_PIO_IN) {
        v = f->buf[f->buf_pos++];
        if (f->buf_pos == f->buf_len) {
            i82078_set_irq(f, false);
            i82078_collect(f);
        }
        return v;
    }
    if (f->phase != PHASE_RESULT)
        return 0xff;
    v = f->fifo[f->fifo_pos++];
    /* The interrupt of a data command ends with its first result byte; a reset's or seek's, that
     * came since, is SENSE INTERRUPT's. */
    if (!f->sense_pending)
        i82078_set_irq(f, false);
    if (f->fifo_pos == f->fifo_len)
        i82078_command_phase(f);
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
void i82078_finish_reset(struct i82078 *f)
{
    f->reset_wanted = 0;
    if (!(f->dor & DOR_NRESET))
        return;
    if (f->config[1] & CONFIG_POLL_OFF)
        return;
    f->sense_pending = 15;
    for (unsigned i = 0; i < 4; i++)
        f->sense_st0[i] = ST0_POLL | i;
    i82078_set_irq(f, true);
}

static void soft_reset(struct i82078 *f)
{
    i82078_set_irq(f, false);
    timer_del(f->clock, &f->timer);
    i82078_command_phase(f);
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
        i82078_finish_reset(f);
    }
    i82078_set_irq(f, f->irq_level);
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
                i82078_finish_reset(f);
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
    f->timer = (struct timer){.fn = i82078_timer_fired, .opaque = f};
    blkio_init(&f->io_req, &f->lock, i82078_io_done, f);
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
