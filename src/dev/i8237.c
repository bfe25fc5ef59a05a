/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 8237A DMA controllers (231466-005) and the page registers of the PC/AT (74LS612).
 *
 * There is no bus to arbitrate: a device that wants to move bytes calls i8237_transfer(), and the
 * bytes have moved when it returns.  Single, block and demand mode therefore differ in nothing, and
 * requests are never pending.  Software requests are kept but start nothing: memory-to-memory
 * transfers, which alone would need them, do not work on a PC/AT (channel 0 was its refresh).
 * Fixed and rotating priority, compressed timing and the sense bits are kept and without effect.
 *
 * A 16-bit channel counts words; its address register holds bits 1 to 16, its page bits 17 to 23.
 * The address wraps within 64 KiB (128 KiB for words): the page never changes.
 */
#include "dev/i8237.h"

#include <string.h>

/* Mode register. */
enum { MODE_WRITE = 0x04, MODE_READ = 0x08, MODE_TYPE = 0x0c, MODE_AUTO = 0x10, MODE_DOWN = 0x20 };
enum { COMMAND_DISABLE = 0x04 };

/* Which page port belongs to which channel; the others are plain memory. */
static const s8 page_channel[16] = {-1, 2, 3, 1, -1, -1, -1, 0, -1, 6, 7, 5, -1, -1, -1, 4};

static struct i8237_channel *channel(struct i8237 *d, unsigned ch)
{
    return &d->chip[ch >> 2].ch[ch & 3];
}

/* Reads or writes half of a 16-bit register; which half, the flip-flop says. */
static u8 read_half(struct i8237_chip *c, u16 v)
{
    c->flipflop ^= 1;
    return c->flipflop ? v : v >> 8;
}

static u16 write_half(struct i8237_chip *c, u16 old, u8 v)
{
    return c->flipflop ? (old & 0x00ff) | v << 8 : (old & 0xff00) | v;
}

static void master_clear(struct i8237_chip *c)
{
    c->command = 0;
    c->request = 0;
    c->status = 0;
    c->flipflop = 0;
    c->mask = 15;
}

static u8 chip_read(struct i8237_chip *c, unsigned reg)
{
    u8 v;

    if (reg < 8) {
        const struct i8237_channel *ch = &c->ch[reg >> 1];

        return read_half(c, reg & 1 ? ch->count : ch->addr);
    }
    switch (reg) {
    case 8: /* status; reading clears the terminal counts */
        v = c->status | c->request << 4;
        c->status = 0;
        return v;
    case 13: /* temporary */
        return 0;
    case 15: /* mask, as later chips let it be read */
        return c->mask | 0xf0;
    default:
        return 0xff;
    }
}

static void chip_write(struct i8237_chip *c, unsigned reg, u8 v)
{
    struct i8237_channel *ch = &c->ch[reg < 8 ? reg >> 1 : v & 3];
    u8 bit = 1 << (v & 3);

    if (reg < 8) {
        if (reg & 1)
            ch->base_count = ch->count = write_half(c, ch->base_count, v);
        else
            ch->base_addr = ch->addr = write_half(c, ch->base_addr, v);
        c->flipflop ^= 1;
        return;
    }
    switch (reg) {
    case 8:
        c->command = v;
        break;
    case 9:
        c->request = v & 4 ? c->request | bit : c->request & ~bit;
        break;
    case 10:
        c->mask = v & 4 ? c->mask | bit : c->mask & ~bit;
        break;
    case 11:
        ch->mode = v;
        break;
    case 12:
        c->flipflop = 0;
        break;
    case 13:
        master_clear(c);
        break;
    case 14:
        c->mask = 0;
        break;
    case 15:
        c->mask = v & 15;
        break;
    }
}

static u64 io0_read(void *opaque, u64 off, unsigned size)
{
    struct i8237 *d = opaque;

    return chip_read(&d->chip[0], off);
}

static void io0_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i8237 *d = opaque;

    chip_write(&d->chip[0], off, val);
}

/* The second chip's registers lie two ports apart. */
static u64 io1_read(void *opaque, u64 off, unsigned size)
{
    struct i8237 *d = opaque;

    return chip_read(&d->chip[1], off >> 1);
}

static void io1_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i8237 *d = opaque;

    chip_write(&d->chip[1], off >> 1, val);
}

static u64 page_read(void *opaque, u64 off, unsigned size)
{
    struct i8237 *d = opaque;
    int ch = page_channel[off & 15];

    return ch < 0 ? d->scratch[off & 15] : channel(d, ch)->page;
}

static void page_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i8237 *d = opaque;
    int ch = page_channel[off & 15];

    if (ch < 0)
        d->scratch[off & 15] = val;
    else
        channel(d, ch)->page = val;
}

static const struct region_ops io0_ops = {.read = io0_read, .write = io0_write, 1, 1};
static const struct region_ops io1_ops = {.read = io1_read, .write = io1_write, 1, 1};
static const struct region_ops page_ops = {.read = page_read, .write = page_write, 1, 1};

/* ------------------------------------------------------------- transfers -- */

/* The address the channel points at now. */
static u64 gpa(const struct i8237_channel *c, unsigned ch)
{
    return ch < 4 ? (u64)c->page << 16 | c->addr : (u64)(c->page & 0xfe) << 16 | (u32)c->addr << 1;
}

/* Moves n units that lie behind each other in memory (one, when the address counts down). */
static void move_run(struct i8237 *d, unsigned ch, enum i8237_dir dir, u8 *buf, u32 n)
{
    struct i8237_channel *c = channel(d, ch);
    u32 bytes = n << (ch >> 2);

    if (!(c->mode & MODE_TYPE)) { /* verify: only counts */
        if (dir == I8237_TO_DEVICE)
            memset(buf, 0xff, bytes);
    } else if (dir == I8237_TO_MEMORY) {
        mem_write(&d->dma, gpa(c, ch), buf, bytes);
    } else {
        mem_read(&d->dma, gpa(c, ch), buf, bytes);
    }
    c->addr += c->mode & MODE_DOWN ? -n : n;
    c->count -= n;
}

static void terminal_count(struct i8237 *d, unsigned ch)
{
    struct i8237_chip *chip = &d->chip[ch >> 2];
    struct i8237_channel *c = channel(d, ch);
    u8 bit = 1 << (ch & 3);

    chip->status |= bit;
    chip->request &= ~bit;
    if (c->mode & MODE_AUTO) {
        c->addr = c->base_addr;
        c->count = c->base_count;
    } else {
        chip->mask |= bit;
    }
}

/* May channel ch move data in this direction now? */
static bool ready(struct i8237 *d, unsigned ch, enum i8237_dir dir)
{
    const struct i8237_chip *chip = &d->chip[ch >> 2];
    u8 type = channel(d, ch)->mode & MODE_TYPE;

    if (chip->command & COMMAND_DISABLE || chip->mask & 1 << (ch & 3))
        return false;
    /* Channels 0 to 3 reach the processor through the cascade, channel 4. */
    if (ch < 4 && (d->chip[1].command & COMMAND_DISABLE || d->chip[1].mask & 1))
        return false;
    return !type || type == (dir == I8237_TO_MEMORY ? MODE_WRITE : MODE_READ);
}

size_t i8237_transfer(struct i8237 *d, unsigned ch, enum i8237_dir dir, void *buf, size_t len,
                      bool *tc)
{
    struct i8237_channel *c = channel(d, ch);
    unsigned shift = ch >> 2;
    size_t units = len >> shift, done = 0;
    bool end = false;

    pthread_mutex_lock(&d->lock);
    if (ready(d, ch, dir)) {
        while (done < units && !end) {
            u32 run = min(units - done, (size_t)c->count + 1);

            run = c->mode & MODE_DOWN ? 1 : min(run, 0x10000u - c->addr);
            end = run == c->count + 1u;
            move_run(d, ch, dir, (u8 *)buf + (done << shift), run);
            done += run;
        }
        if (end)
            terminal_count(d, ch);
    }
    pthread_mutex_unlock(&d->lock);
    if (tc)
        *tc = end;
    return done << shift;
}

/* ---------------------------------------------------------------- set-up -- */

void i8237_reset(struct i8237 *d)
{
    pthread_mutex_lock(&d->lock);
    for (unsigned i = 0; i < 2; i++) {
        memset(&d->chip[i], 0, sizeof(d->chip[i]));
        master_clear(&d->chip[i]);
    }
    /* As firmware leaves it, and nobody else sets it up: the cascade is open. */
    d->chip[1].ch[0].mode = 0xc0;
    d->chip[1].mask = 14;
    memset(d->scratch, 0, sizeof(d->scratch));
    pthread_mutex_unlock(&d->lock);
}

void i8237_init(struct i8237 *d, struct dma dma, struct trace *t)
{
    memset(d, 0, sizeof(*d));
    pthread_mutex_init(&d->lock, NULL);
    d->trace = t;
    d->dma = dma;
    d->io0 = (struct region){
        .name = "i8237-0", .size = 16, .ops = &io0_ops, .opaque = d, .lock = &d->lock};
    d->io1 = (struct region){
        .name = "i8237-1", .size = 32, .ops = &io1_ops, .opaque = d, .lock = &d->lock};
    d->page = (struct region){
        .name = "i8237-page", .size = 16, .ops = &page_ops, .opaque = d, .lock = &d->lock};
    i8237_reset(d);
}

#define CHANNEL_FIELDS(c, n)                                                                       \
    FIELD(struct i8237, chip[c].ch[n].base_addr), FIELD(struct i8237, chip[c].ch[n].base_count),   \
        FIELD(struct i8237, chip[c].ch[n].addr), FIELD(struct i8237, chip[c].ch[n].count),         \
        FIELD(struct i8237, chip[c].ch[n].mode), FIELD(struct i8237, chip[c].ch[n].page)
#define CHIP_FIELDS(c)                                                                             \
    CHANNEL_FIELDS(c, 0), CHANNEL_FIELDS(c, 1), CHANNEL_FIELDS(c, 2), CHANNEL_FIELDS(c, 3),        \
        FIELD(struct i8237, chip[c].command), FIELD_MAX(struct i8237, chip[c].mask, 15),           \
        FIELD_MAX(struct i8237, chip[c].request, 15), FIELD_MAX(struct i8237, chip[c].status, 15), \
        FIELD_MAX(struct i8237, chip[c].flipflop, 1)

static const struct field i8237_fields[] = {
    CHIP_FIELDS(0),
    CHIP_FIELDS(1),
    FIELD_BYTES(struct i8237, scratch),
};

const struct state_desc i8237_state = STATE_DESC("i8237", 1, i8237_fields);
