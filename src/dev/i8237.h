/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two Intel 8237A DMA controllers and their page registers, as the PC/AT wires them: channels 0-3
 * move bytes, 4 cascades, 5-7 move words.
 */
#ifndef WIRT_DEV_I8237_H
#define WIRT_DEV_I8237_H

#include "base/trace.h"
#include "core/bus.h"
#include "core/mem.h"
#include "core/state.h"

struct i8237_channel {
    u16 base_addr, base_count;
    u16 addr, count; /* count: transfers left, minus one; ffff = done */
    u8 mode;
    u8 page;
};

struct i8237_chip {
    struct i8237_channel ch[4];
    u8 command, mask, request, status; /* status: bits 0-3 terminal count reached */
    u8 flipflop;
};

struct i8237 {
    pthread_mutex_t lock; /* order: after the lock of the device that transfers */
    struct trace *trace;
    struct dma dma;
    struct i8237_chip chip[2]; /* 0: channels 0-3, 1: channels 4-7 */
    u8 scratch[16];            /* page ports that no channel uses */
    struct region io0;         /* 16 ports at 00 */
    struct region io1;         /* 32 ports at c0 */
    struct region page;        /* 16 ports at 80 */
};

void i8237_init(struct i8237 *d, struct dma dma, struct trace *t);
void i8237_reset(struct i8237 *d);

enum i8237_dir { I8237_TO_MEMORY, I8237_TO_DEVICE };

/*
 * A device on channel ch (0-3, 5-7) asserts DREQ and moves up to len bytes between buf and memory,
 * in the direction it wants.  Returns the bytes moved: fewer than len when terminal count was
 * reached, 0 when the channel is masked or the controller is off.  A channel in verify mode counts
 * without touching memory; one programmed for the other direction moves nothing.  *tc (may be
 * NULL) tells whether terminal count was reached.  From any thread; takes the controller's lock.
 */
size_t i8237_transfer(struct i8237 *d, unsigned ch, enum i8237_dir dir, void *buf, size_t len,
                      bool *tc);

extern const struct state_desc i8237_state;

#endif
