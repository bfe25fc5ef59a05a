/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the floppy controller share.
 */
#ifndef WIRT_DEV_I82078_INTERNAL_H
#define WIRT_DEV_I82078_INTERNAL_H

#include "dev/i82078.h"

/* PHASE_DMA: DREQ is up and the channel not ready; PHASE_IO: a disk request is under way. */
enum { PHASE_COMMAND, PHASE_DMA, PHASE_IO, PHASE_PIO_IN, PHASE_PIO_OUT, PHASE_RESULT };

/* The drive of a command's unit bits; NULL = there is none. */
static inline struct i82078_drive *i82078_unit(struct i82078 *f, unsigned unit)
{
    return unit < 2 && f->drive[unit].type != I82078_NONE ? &f->drive[unit] : NULL;
}

#endif
