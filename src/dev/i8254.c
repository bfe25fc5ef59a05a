/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 8254 programmable interval timer (data sheet 231164), and the PC's port 0x61.
 *
 * A channel is a count and the virtual time at which it was loaded; count, output and the next edge
 * are computed from the ticks elapsed since, so nothing adds up and an idle timer costs nothing.  A
 * count takes effect when it is written, where the chip waits for the next tick (0.8 us).
 *
 * Channel 0 drives IRQ0.  Only its rising edges matter there; each is shown as low-high, and the
 * low tick of mode 2 is not shown by itself.  Edges that the host was too late for, and those that
 * came while the one before waited for its processor, are caught up one by one, up to a second's
 * worth, for guests that count ticks to know the time.
 */
#include "dev/i8254.h"

#include <errno.h>
#include <string.h>

enum {
    CATCH_UP = I8254_HZ,  /* ticks: what is older is given up */
    MIN_INTERVAL = 20000, /* ns between two callbacks, however small the count */
    LATE_GAP = 100000,    /* ns between two edges that are caught up */

    STATUS_OUT = 1 << 7,
    STATUS_NULL = 1 << 6,

    PORT61_GATE2 = 1 << 0,
    PORT61_TOGGLE = 1 << 4,
    PORT61_OUT2 = 1 << 5,
    REFRESH_NS = 15085, /* DRAM refresh request, half a period */
};

/* Virtual ns of the n-th tick after `start`, rounded up so that n ticks have passed by then. */
static u64 tick_time(u64 start, u64 n)
{
    return start + (u64)(((unsigned __int128)n * NS_PER_SEC + I8254_HZ - 1) / I8254_HZ);
}

static u64 elapsed(const struct i8254_ch *c, u64 now)
{
    return c->halted ? c->stopped : muldiv64(now - c->start, I8254_HZ, NS_PER_SEC);
}

static bool periodic(const struct i8254_ch *c)
{
    return c->mode == 2 || c->mode == 3;
}

/* A count written to a running mode 2 or 3 takes over at the end of the period. */
static void take_next(struct i8254 *p, struct i8254_ch *c, u64 now)
{
    if (!c->next || now < c->next_at)
        return;
    if (c == &p->ch[0])
        p->edges_seen = 0;
    c->start = c->next_at;
    c->count = c->next;
    c->next = 0;
    c->null_count = false;
}

static bool output(const struct i8254_ch *c, u64 now)
{
    u64 d = elapsed(c, now);

    switch (c->mode) {
    case 0:
        return c->running && d >= c->count;
    case 1:
        return !c->running || d >= c->count;
    case 2:
        return !c->running || !c->gate || d % c->count != c->count - 1;
    case 3:
        return !c->running || !c->gate || d % c->count < (c->count + 1) / 2;
    default:
        return !c->running || d != c->count;
    }
}

/* The counting element as it reads, in the channel's number system. */
static u16 counter(const struct i8254_ch *c, u64 now)
{
    u64 d = elapsed(c, now);
    u32 modulus = c->bcd ? 10000 : 65536;
    u32 v, digit = 1, bcd = 0;

    if (!c->running)
        v = c->count;
    else if (c->mode == 2)
        v = c->count - d % c->count;
    else if (c->mode == 3)
        v = c->count - d % c->count * 2 % c->count;
    else
        v = (c->count + modulus - d % modulus) % modulus;
    if (c->mode == 3)
        v &= ~1u;
    if (!c->bcd)
        return v;
    for (v %= 10000; v; v /= 10, digit *= 16)
        bcd += v % 10 * digit;
    return bcd;
}

/* ---------------------------------------------------------- channel 0's line -- */

/* How many rising edges there were in d ticks, and the tick of the n-th (n >= 1); 0 = never. */
static u64 edges_in(const struct i8254_ch *c, u64 d)
{
    if (!c->running)
        return 0;
    if (periodic(c))
        return d / c->count;
    return d >= c->count + (c->mode >= 4);
}

static u64 edge_tick(const struct i8254_ch *c, u64 n)
{
    if (!c->running || c->halted)
        return 0;
    if (periodic(c))
        return n * c->count;
    return n == 1 ? c->count + (c->mode >= 4) : 0;
}

/* gap: ns until the next edge that is late */
static void arm(struct i8254 *p, u64 now, u64 gap)
{
    struct i8254_ch *c = &p->ch[0];
    u64 tick = edge_tick(c, p->edges_seen + 1);
    u64 at;

    if (!tick) {
        timer_del(p->clock, &p->timer);
        return;
    }
    at = tick_time(c->start, tick);
    if (at <= now)
        at = now + gap;
    timer_set(p->clock, &p->timer, max(at, now + (periodic(c) ? MIN_INTERVAL : 1)));
}

static void fire(void *opaque)
{
    struct i8254 *p = opaque;
    struct i8254_ch *c = &p->ch[0];
    u64 now, edges, gap = LATE_GAP;

    pthread_mutex_lock(&p->lock);
    now = clock_now(p->clock);
    edges = edges_in(c, elapsed(c, now));
    if (edges > p->edges_seen && periodic(c) && irq_pending(&p->irq0)) {
        gap = max(gap, tick_time(0, c->count / 8)); /* it may wait for long */
    } else if (edges > p->edges_seen) {
        p->edges_seen++;
        if (periodic(c) && edges - p->edges_seen > CATCH_UP / c->count)
            p->edges_seen = edges - CATCH_UP / c->count;
        /* Counts that come faster than callbacks are not caught up. */
        if (periodic(c) && tick_time(0, c->count) < MIN_INTERVAL)
            p->edges_seen = edges;
        irq_pulse(&p->irq0);
        irq_set(&p->irq0, true);
    }
    take_next(p, c, now);
    arm(p, now, gap);
    pthread_mutex_unlock(&p->lock);
}

/* After channel 0 changed: the line shows its output, and the timer waits for its next edge. */
static void channel0_changed(struct i8254 *p, u64 now)
{
    p->edges_seen = edges_in(&p->ch[0], elapsed(&p->ch[0], now));
    irq_set(&p->irq0, output(&p->ch[0], now));
    arm(p, now, LATE_GAP);
}

/* ------------------------------------------------------------------ counts -- */

static void load_count(struct i8254 *p, struct i8254_ch *c, u16 val, u64 now)
{
    u32 n = c->bcd ? (val >> 12) * 1000 + (val >> 8 & 15) * 100 + (val >> 4 & 15) * 10 + (val & 15)
                   : val;

    if (!n)
        n = c->bcd ? 10000 : 65536;
    if (n == 1 && periodic(c))
        n = 2; /* illegal; the chip's output would stand still */
    if (periodic(c) && c->running && !c->halted) {
        u64 d = elapsed(c, now);
        c->next = n;
        c->next_at = tick_time(c->start, (d / c->count + 1) * c->count);
        c->null_count = true;
        return;
    }
    c->count = n;
    if (c->mode == 1 || c->mode == 5) {
        c->null_count = !c->running; /* it waits for a trigger */
        return;
    }
    c->start = now;
    c->stopped = 0;
    c->running = true;
    c->halted = !c->gate;
    c->null_count = false;
    if (c == &p->ch[0])
        channel0_changed(p, now);
}

static void write_count(struct i8254 *p, struct i8254_ch *c, u8 val, u64 now)
{
    switch (c->access) {
    case 1:
        load_count(p, c, val, now);
        break;
    case 2:
        load_count(p, c, val << 8, now);
        break;
    default:
        if (!c->write_high) {
            c->write_low = val;
            c->write_high = true;
            if (c->mode == 0) { /* the first byte stops the count */
                c->running = false;
                if (c == &p->ch[0])
                    channel0_changed(p, now);
            }
        } else {
            c->write_high = false;
            load_count(p, c, val << 8 | c->write_low, now);
        }
    }
}

static void set_gate(struct i8254_ch *c, bool gate, u64 now)
{
    bool rises = gate && !c->gate;
    bool falls = !gate && c->gate;

    c->gate = gate;
    if (c->mode == 1 || c->mode == 5) {
        if (rises && c->count) {
            c->start = now;
            c->running = true;
            c->null_count = false;
        }
        return;
    }
    if (falls && c->running) {
        c->stopped = elapsed(c, now);
        c->halted = true;
    } else if (rises && c->running) {
        c->halted = false;
        if (periodic(c)) { /* starts anew */
            c->count = c->next ? c->next : c->count;
            c->next = 0;
            c->null_count = false;
            c->start = now;
        } else {
            c->start = now - muldiv64(c->stopped, NS_PER_SEC, I8254_HZ);
        }
    }
}

/* ------------------------------------------------------------- registers -- */

static void latch_count(struct i8254_ch *c, u64 now)
{
    if (c->latched)
        return;
    c->latch = counter(c, now);
    c->latched = c->access == 3 ? 2 : 1;
    if (c->access == 3 && c->read_high)
        c->latched = 1; /* the low byte has gone */
}

static void read_back(struct i8254 *p, u8 val, u64 now)
{
    for (unsigned i = 0; i < 3; i++) {
        struct i8254_ch *c = &p->ch[i];
        if (!(val & BIT(i + 1)))
            continue;
        take_next(p, c, now);
        if (!(val & 0x20))
            latch_count(c, now);
        if (!(val & 0x10) && !c->status_latched) {
            c->status = (output(c, now) ? STATUS_OUT : 0) | (c->null_count ? STATUS_NULL : 0) |
                        c->access << 4 | c->mode << 1 | c->bcd;
            c->status_latched = true;
        }
    }
}

static void write_control(struct i8254 *p, u8 val, u64 now)
{
    struct i8254_ch *c = &p->ch[(val >> 6) % 3];
    bool gate = c->gate;

    if (val >> 6 == 3) {
        read_back(p, val, now);
        return;
    }
    take_next(p, c, now);
    if (!(val & 0x30)) {
        latch_count(c, now);
        return;
    }
    memset(c, 0, sizeof(*c));
    c->gate = gate;
    c->access = val >> 4 & 3;
    c->mode = val >> 1 & 7;
    c->bcd = val & 1;
    c->null_count = true;
    if (c->mode > 5)
        c->mode -= 4; /* don't-care bit of modes 2 and 3 */
    trace(p->trace, timer, "pit channel %u: mode %u", val >> 6, c->mode);
    if (c == &p->ch[0])
        channel0_changed(p, now);
}

static u8 read_count(struct i8254_ch *c, u64 now)
{
    u16 v;

    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    v = c->latched ? c->latch : counter(c, now);
    if (c->latched)
        c->latched--;
    if (c->access == 1)
        return v;
    if (c->access == 2)
        return v >> 8;
    c->read_high = !c->read_high;
    return c->read_high ? v : v >> 8;
}

static u64 pit_read(void *opaque, u64 off, unsigned size)
{
    struct i8254 *p = opaque;
    u64 now = clock_now(p->clock);

    if (off == 3)
        return 0xff; /* the control word is write-only */
    take_next(p, &p->ch[off], now);
    return read_count(&p->ch[off], now);
}

static void pit_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i8254 *p = opaque;
    u64 now = clock_now(p->clock);

    if (off == 3) {
        write_control(p, val, now);
        return;
    }
    take_next(p, &p->ch[off], now);
    write_count(p, &p->ch[off], val, now);
}

static u64 speaker_read(void *opaque, u64 off, unsigned size)
{
    struct i8254 *p = opaque;
    u64 now = clock_now(p->clock);

    take_next(p, &p->ch[2], now);
    return p->port61 | (now / REFRESH_NS & 1 ? PORT61_TOGGLE : 0) |
           (output(&p->ch[2], now) ? PORT61_OUT2 : 0);
}

static void speaker_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct i8254 *p = opaque;
    u64 now = clock_now(p->clock);

    take_next(p, &p->ch[2], now);
    p->port61 = val & 0x0f;
    set_gate(&p->ch[2], val & PORT61_GATE2, now);
}

static const struct region_ops pit_ops = {
    .read = pit_read, .write = pit_write, .min_width = 1, .max_width = 1};
static const struct region_ops speaker_ops = {
    .read = speaker_read, .write = speaker_write, .min_width = 1, .max_width = 1};

/* ------------------------------------------------------------------ life -- */

void i8254_reset(struct i8254 *p)
{
    pthread_mutex_lock(&p->lock);
    memset(p->ch, 0, sizeof(p->ch));
    for (unsigned i = 0; i < 3; i++) {
        p->ch[i].access = 3;
        p->ch[i].mode = 3;
        p->ch[i].gate = i != 2;
    }
    p->port61 = 0;
    p->edges_seen = 0;
    timer_del(p->clock, &p->timer);
    irq_set(&p->irq0, false);
    pthread_mutex_unlock(&p->lock);
}

void i8254_init(struct i8254 *p, struct clock *c, struct irq irq0, struct trace *t)
{
    memset(p, 0, sizeof(*p));
    p->clock = c;
    p->irq0 = irq0;
    p->trace = t;
    p->timer = (struct timer){.fn = fire, .opaque = p};
    pthread_mutex_init(&p->lock, NULL);
    p->region =
        (struct region){.name = "pit", .size = 4, .ops = &pit_ops, .opaque = p, .lock = &p->lock};
    p->speaker = (struct region){
        .name = "port61", .size = 1, .ops = &speaker_ops, .opaque = p, .lock = &p->lock};
    i8254_reset(p);
}

#define CH_FIELDS(n)                                                                               \
    FIELD(struct i8254, ch[n].start), FIELD(struct i8254, ch[n].stopped),                          \
        FIELD_MAX(struct i8254, ch[n].count, 65536), FIELD_MAX(struct i8254, ch[n].next, 65536),   \
        FIELD(struct i8254, ch[n].next_at), FIELD_MAX(struct i8254, ch[n].access, 3),              \
        FIELD_MAX(struct i8254, ch[n].mode, 5), FIELD_MAX(struct i8254, ch[n].bcd, 1),             \
        FIELD_MAX(struct i8254, ch[n].gate, 1), FIELD_MAX(struct i8254, ch[n].running, 1),         \
        FIELD_MAX(struct i8254, ch[n].halted, 1), FIELD(struct i8254, ch[n].latch),                \
        FIELD_MAX(struct i8254, ch[n].latched, 2), FIELD(struct i8254, ch[n].status),              \
        FIELD_MAX(struct i8254, ch[n].status_latched, 1), FIELD(struct i8254, ch[n].write_low),    \
        FIELD_MAX(struct i8254, ch[n].write_high, 1), FIELD_MAX(struct i8254, ch[n].read_high, 1), \
        FIELD_MAX(struct i8254, ch[n].null_count, 1)

static const struct field i8254_fields[] = {
    CH_FIELDS(0),
    CH_FIELDS(1),
    CH_FIELDS(2),
    FIELD_BITS(struct i8254, port61, 0x0f),
    FIELD(struct i8254, edges_seen),
};

static int i8254_loaded(void *obj, struct err *e)
{
    struct i8254 *p = obj;
    u64 now = clock_now(p->clock);

    for (unsigned i = 0; i < 3; i++) {
        const struct i8254_ch *c = &p->ch[i];
        if ((c->running && !c->count) || c->start > now ||
            c->stopped > muldiv64(now, I8254_HZ, NS_PER_SEC))
            return err_set(e, EINVAL, "i8254: channel %u counts nothing or from the future", i);
    }
    pthread_mutex_lock(&p->lock);
    arm(p, now, LATE_GAP);
    pthread_mutex_unlock(&p->lock);
    return 0;
}

const struct state_desc i8254_state = {
    .name = "i8254",
    .version = 1,
    .fields = i8254_fields,
    .nfields = ARRAY_SIZE(i8254_fields),
    .loaded = i8254_loaded,
};
