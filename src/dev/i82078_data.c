/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 82078's phases, and the execution phase of commands that move data: sector after sector,
 * between the disk and DMA or the FIFO.
 */
#include "dev/i82078_internal.h"

#include <string.h>

/* A 360 KiB disk turns faster in a 1.2 MiB drive. */
bool i82078_rate_fits(const struct i82078 *f, const struct i82078_drive *d)
{
    u8 rate = f->ccr & 3;

    return rate == d->rate || (d->rate == RATE_250K && d->tracks == 40 && rate == RATE_300K);
}

void i82078_set_irq(struct i82078 *f, bool level)
{
    f->irq_level = level;
    irq_set(&f->irq, level && f->dor & DOR_DMAGATE);
}

void i82078_command_phase(struct i82078 *f)
{
    f->phase = PHASE_COMMAND;
    f->fifo_pos = 0;
    f->fifo_len = 0;
}

/* n result bytes are in fifo. */
void i82078_result_phase(struct i82078 *f, unsigned n, bool interrupt)
{
    f->phase = PHASE_RESULT;
    f->fifo_pos = 0;
    f->fifo_len = n;
    if (interrupt)
        i82078_set_irq(f, true);
}

/* The seven bytes that end a data command; C, H, R and N as they are. */
void i82078_data_result(struct i82078 *f, u8 st0)
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
    i82078_result_phase(f, 7, true);
}

void i82078_data_error(struct i82078 *f, u8 st1, u8 st2)
{
    f->st1 |= st1;
    f->st2 |= st2;
    i82078_data_result(f, ST0_ABNORMAL);
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

bool i82078_is_write(const struct i82078 *f)
{
    return f->cmd == CMD_WRITE || f->cmd == CMD_WRITE_DELETED || f->cmd == CMD_FORMAT;
}

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

    if (!d || !d->blk || !i82078_rate_fits(f, d) || f->size_code != 2) {
        i82078_data_error(f, ST1_MA, 0);
        return false;
    }
    if (f->config[1] & CONFIG_EIS) {
        if (d->track != f->cyl)
            d->changed = 0;
        d->track = f->cyl;
        f->pcn[f->unit] = f->cyl;
    }
    if (f->cyl != d->track) {
        i82078_data_error(f, ST1_ND, ST2_WC);
        return false;
    }
    if (f->cyl >= d->tracks || f->head >= d->heads || !f->sector || f->sector > d->sectors) {
        i82078_data_error(f, ST1_ND, 0);
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
            i82078_next_sector(f);
        else
            i82078_data_result(f, 0);
        return;
    }
    more = advance(f);
    if (f->cmd == CMD_VERIFY && f->count && !--f->count) {
        i82078_data_result(f, 0);
    } else if (f->tc) {
        i82078_data_result(f, 0);
    } else if (f->cmd == CMD_READ_DELETED) {
        f->st2 |= ST2_CM; /* what was found is ordinary data */
        i82078_data_result(f, 0);
    } else if (!more) {
        i82078_data_error(f, f->cmd == CMD_VERIFY ? 0 : ST1_EN, 0);
    } else {
        i82078_next_sector(f);
    }
}

/* Data of buf[buf_pos, buf_len) that DMA can take or give now. */
static void move_dma(struct i82078 *f)
{
    bool out = i82078_is_write(f), tc;
    size_t n = i8237_transfer(f->dma, f->dma_ch, out ? I8237_TO_DEVICE : I8237_TO_MEMORY,
                              f->buf + f->buf_pos, f->buf_len - f->buf_pos, &tc);

    f->buf_pos += n;
    f->tc |= tc;
    if (f->buf_pos == f->buf_len || f->tc) {
        i82078_collect(f);
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
    f->phase = i82078_is_write(f) ? PHASE_PIO_OUT : PHASE_PIO_IN;
    i82078_set_irq(f, true);
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
        i82078_data_error(f, ST1_MA, 0);
        return;
    }
    memset(f->buf, f->fill, sizeof(f->buf));
    submit(f, BLK_WRITE);
}

/* The data of one sector have been moved, or what was there until terminal count. */
void i82078_collect(struct i82078 *f)
{
    if (f->cmd == CMD_FORMAT) {
        if (f->buf_pos < f->buf_len)
            i82078_data_result(f, 0);
        else
            format_sector(f);
    } else if (i82078_is_write(f)) {
        if (!f->buf_pos) { /* terminal count came with the sector before */
            i82078_data_result(f, 0);
            return;
        }
        memset(f->buf + f->buf_pos, 0, sizeof(f->buf) - f->buf_pos);
        submit(f, BLK_WRITE);
    } else {
        sector_done(f);
    }
}

void i82078_next_sector(struct i82078 *f)
{
    const struct i82078_drive *d;

    if (f->cmd == CMD_FORMAT) {
        move_data(f, 4);
        return;
    }
    if (!find_sector(f))
        return;
    d = &f->drive[f->unit];
    if (i82078_is_write(f)) {
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

void i82078_io_done(void *opaque, int result)
{
    struct i82078 *f = opaque;

    f->io_busy = 0;
    if (f->reset_wanted)
        i82078_finish_reset(f);
    else if (result)
        i82078_data_error(f, ST1_DE, 0);
    else if (i82078_is_write(f) || f->cmd == CMD_VERIFY)
        sector_done(f);
    else
        move_data(f, sizeof(f->buf));
}

void i82078_timer_fired(void *opaque)
{
    struct i82078 *f = opaque;

    pthread_mutex_lock(&f->lock);
    if (f->phase == PHASE_DMA)
        move_dma(f);
    pthread_mutex_unlock(&f->lock);
}
