/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floppy controller's state, for save and load.  Media are not part of it.
 */
#include "base/err.h"
#include "dev/i82078_internal.h"

#include <errno.h>

void i82078_drain(struct i82078 *f)
{
    pthread_mutex_lock(&f->lock);
    blkio_wait(&f->io_req);
    pthread_mutex_unlock(&f->lock);
}

static const struct field i82078_fields[] = {
    FIELD(struct i82078, drive[0].track),
    FIELD_MAX(struct i82078, drive[0].changed, 1),
    FIELD(struct i82078, drive[1].track),
    FIELD_MAX(struct i82078, drive[1].changed, 1),
    FIELD(struct i82078, dor),
    FIELD_MAX(struct i82078, tdr, 3),
    FIELD(struct i82078, dsr),
    FIELD_MAX(struct i82078, ccr, 3),
    FIELD_BYTES(struct i82078, config),
    FIELD_BYTES(struct i82078, specify),
    FIELD_MAX(struct i82078, locked, 1),
    FIELD(struct i82078, perpendicular),
    FIELD_MAX(struct i82078, phase, PHASE_RESULT),
    FIELD_BYTES(struct i82078, fifo),
    FIELD_MAX(struct i82078, fifo_pos, 15),
    FIELD_MAX(struct i82078, fifo_len, 15),
    FIELD_MAX(struct i82078, sense_pending, 15),
    FIELD_BYTES(struct i82078, sense_st0),
    FIELD_MAX(struct i82078, irq_level, 1),
    FIELD_BYTES(struct i82078, pcn),
    FIELD_MAX(struct i82078, busy, 15),
    FIELD_MAX(struct i82078, cmd, 31),
    FIELD_MAX(struct i82078, unit, 3),
    FIELD(struct i82078, cyl),
    FIELD_MAX(struct i82078, head, 1),
    FIELD(struct i82078, sector),
    FIELD(struct i82078, size_code),
    FIELD(struct i82078, eot),
    FIELD(struct i82078, count),
    FIELD(struct i82078, fill),
    FIELD_MAX(struct i82078, multi_track, 1),
    FIELD(struct i82078, st1),
    FIELD(struct i82078, st2),
    FIELD_MAX(struct i82078, tc, 1),
    FIELD(struct i82078, id_sector),
    FIELD_MAX(struct i82078, buf_pos, 512),
    FIELD_MAX(struct i82078, buf_len, 512),
    FIELD_BYTES(struct i82078, buf),
};

static int i82078_loaded(void *obj, struct err *e)
{
    struct i82078 *f = obj;
    bool pio = f->phase == PHASE_PIO_IN || f->phase == PHASE_PIO_OUT;

    if (f->phase == PHASE_IO || (pio && f->buf_pos >= f->buf_len) || f->buf_pos > f->buf_len ||
        (f->phase == PHASE_RESULT && f->fifo_pos >= f->fifo_len) ||
        (f->fifo_len && f->fifo_pos >= f->fifo_len))
        return err_set(e, EINVAL, "i82078: impossible transfer state");
    if (f->phase != PHASE_COMMAND && f->phase != PHASE_RESULT &&
        (!i82078_unit(f, f->unit) || !f->drive[f->unit].blk))
        return err_set(e, EINVAL, "i82078: a transfer from a drive that is not there");
    if (f->phase == PHASE_DMA)
        timer_set(f->clock, &f->timer, clock_now(f->clock));
    return 0;
}

const struct state_desc i82078_state = {
    .name = "i82078",
    .version = 1,
    .fields = i82078_fields,
    .nfields = ARRAY_SIZE(i82078_fields),
    .loaded = i82078_loaded,
};
