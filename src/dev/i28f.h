/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flash memory that firmware writes its variables to: Intel's basic command set, as 28FxxxJ3 chips
 * have it.
 */
#ifndef WIRT_DEV_I28F_H
#define WIRT_DEV_I28F_H

#include "base/trace.h"
#include "core/bus.h"
#include "core/state.h"

enum { I28F_BLOCK = 4096, I28F_BUFFER = 32 };

struct i28f {
    u8 *data; /* size bytes, the caller's */
    u64 size;
    u8 mode;
    u8 status;
    u8 expected, got; /* of the write buffer, in bytes */
    u32 buffer_at[I28F_BUFFER];
    u8 buffer[I28F_BUFFER];
    struct region region; /* the whole chip; base is a multiple of I28F_BLOCK */
    /* Bytes of data have changed; false: they cannot be kept, and the chip says that it failed.
     * With the lock held. */
    bool (*changed)(void *opaque, u64 off, u64 len);
    void *opaque;
    struct trace *trace;
    pthread_mutex_t lock;
};

/* data: a multiple of I28F_BLOCK; changed may be NULL. */
void i28f_init(struct i28f *f, u8 *data, u64 size, bool (*changed)(void *, u64, u64), void *opaque,
               struct trace *t);
void i28f_reset(struct i28f *f);

extern const struct state_desc i28f_state; /* without data */

#endif
