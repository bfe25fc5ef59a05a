/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IA-PC HPET (High Precision Event Timers) Specification, revision 1.0a.
 *
 * The main counter counts 10 ns ticks of the virtual clock plus an offset.  A comparator is a
 * number; its next match is computed when something changes, and a timer waits for it only while
 * the comparator's interrupt is enabled.  In periodic mode the comparator reads as the next match,
 * however long nobody looked.  Matches that the host was too late for are owed, and so are those
 * that come while the one before waits for its processor: they follow one by one, since guests
 * count ticks to know the time, and Linux, which looks in this way whether its timer works, gives
 * up when half of them are missing on a busy host.
 *
 * A one-shot comparator that is written less than LATE ticks behind the counter fires at once: a
 * guest that computed it from a fresh counter value on a slow machine would otherwise wait for the
 * counter to wrap.  Real chips do not do this, but guests that check for it bear the interrupt.
 */
#include "dev/hpet.h"

#include <errno.h>
#include <string.h>

enum {
    REG_CAP = 0x00,
    REG_CONFIG = 0x10,
    REG_ISR = 0x20,
    REG_COUNTER = 0xf0,
    REG_TIMERS = 0x100, /* 0x20 bytes each */

    TIMER_CONFIG = 0x00,
    TIMER_COMPARATOR = 0x08,
    TIMER_FSB = 0x10,

    CONFIG_ENABLE = 1 << 0,
    CONFIG_LEGACY = 1 << 1,

    T_LEVEL = 1 << 1,
    T_ENABLE = 1 << 2,
    T_PERIODIC = 1 << 3,
    T_CAPS = 1 << 4 | 1 << 5 | 1 << 15, /* can be periodic, has 64 bits, can send by FSB */
    T_SET = 1 << 6,
    T_32 = 1 << 8,
    T_ROUTE = 0x3e00,
    T_FSB = 1 << 14,
    T_WRITABLE = T_LEVEL | T_ENABLE | T_PERIODIC | T_SET | T_32 | T_ROUTE | T_FSB,

    LATE = 100000,        /* ticks: 1 ms */
    MIN_INTERVAL = 20000, /* ns between two callbacks of a timer */
    OWED_MAX = 250,       /* late matches that are caught up, */
    OWED_GAP = 100000,    /* ns between two of them */
};

static bool running(const struct hpet *h)
{
    return h->config & CONFIG_ENABLE;
}

static u64 counter(const struct hpet *h, u64 now)
{
    return running(h) ? now / HPET_PERIOD_NS + h->offset : h->counter;
}

static u64 width_mask(const struct hpet_timer *t)
{
    return t->config & T_32 ? UINT32_MAX : UINT64_MAX;
}

/* ------------------------------------------------------------------ lines -- */

static bool legacy(const struct hpet *h)
{
    return h->config & CONFIG_LEGACY;
}

static unsigned route_of(const struct hpet_timer *t)
{
    if (legacy(t->h) && t->n < 2)
        return t->n ? 8 : 0;
    return (t->config & T_ROUTE) >> 9;
}

static bool routable(const struct hpet_timer *t)
{
    return (legacy(t->h) && t->n < 2) || (t->h->routes & BIT(route_of(t)));
}

/* Shows a level-triggered timer's interrupt, wherever it is routed now. */
static void update_level(struct hpet_timer *t)
{
    struct hpet *h = t->h;
    bool level =
        (h->isr & BIT64(t->n)) && (t->config & T_ENABLE) && !(t->config & T_FSB) && routable(t);

    if (t->level && (!level || t->route != route_of(t))) {
        t->level = false;
        irq_set(&h->gsi[t->route], false);
    }
    if (level && !t->level) {
        t->level = true;
        t->route = route_of(t);
        irq_set(&h->gsi[t->route], true);
    }
}

static void interrupt(struct hpet_timer *t)
{
    struct hpet *h = t->h;

    if (t->config & T_LEVEL) {
        h->isr |= BIT64(t->n);
        update_level(t);
        if (!(t->config & T_FSB))
            return;
    }
    if (t->config & T_FSB)
        msi_send(&h->msi, t->fsb >> 32, t->fsb);
    else if (routable(t))
        irq_pulse(&h->gsi[route_of(t)]);
}

/* The edge before has not been taken yet. */
static bool would_merge(struct hpet_timer *t)
{
    return !(t->config & (T_LEVEL | T_FSB)) && routable(t) && irq_pending(&t->h->gsi[route_of(t)]);
}

/* ------------------------------------------------------------ comparators -- */

/* Moves a periodic comparator past the counter; what it reached on the way is owed. */
static void advance(struct hpet_timer *t, u64 count)
{
    u64 mask = width_mask(t);
    u64 ahead = (t->comparator - count) & mask;

    /* Ahead by less than half the range: still to come. */
    if (!(t->config & T_PERIODIC) || !t->period || (ahead && ahead <= mask / 2))
        return;
    u64 n = ((count - t->comparator) & mask) / t->period + 1;
    t->comparator = (t->comparator + n * t->period) & mask;
    t->owed = t->config & T_LEVEL ? 1 : (u8)min(t->owed + n, (u64)OWED_MAX);
}

/* Ticks until the next match, at least 1. */
static u64 ticks_ahead(const struct hpet_timer *t, u64 count)
{
    u64 d = (t->comparator - count) & width_mask(t);

    return d ? d : width_mask(t) + (t->config & T_32 ? 1 : 0);
}

/* gap: ns until the next one that is owed */
static void arm(struct hpet_timer *t, u64 now, u64 gap)
{
    struct hpet *h = t->h;
    u64 count = counter(h, now);
    u64 ticks, at;

    if (!running(h) || !(t->config & T_ENABLE)) {
        timer_del(h->clock, &t->timer);
        return;
    }
    ticks = ticks_ahead(t, count);
    if (ticks > INT64_MAX / HPET_PERIOD_NS - now / HPET_PERIOD_NS) {
        timer_del(h->clock, &t->timer); /* not in this machine's life */
        return;
    }
    at = (now / HPET_PERIOD_NS + ticks) * HPET_PERIOD_NS;
    if (t->config & T_PERIODIC && t->period) {
        if (t->owed)
            at = min(at, now + gap);
        at = max(at, now + MIN_INTERVAL);
    }
    timer_set(h->clock, &t->timer, at);
}

static void fire(void *opaque)
{
    struct hpet_timer *t = opaque;
    struct hpet *h = t->h;
    u64 now;

    pthread_mutex_lock(&h->lock);
    now = clock_now(h->clock);
    if (running(h) && (t->config & T_ENABLE) && now >= t->timer.deadline &&
        !timer_armed(&t->timer)) {
        advance(t, counter(h, now));
        bool one_shot = !(t->config & T_PERIODIC) || !t->period;
        u64 gap = OWED_GAP;
        if (!one_shot && t->owed && would_merge(t)) {
            gap = max(gap, t->period * HPET_PERIOD_NS / 8); /* it may wait for long */
        } else if (one_shot || t->owed) {
            t->owed -= t->owed > 0;
            interrupt(t);
        }
        arm(t, now, gap);
    }
    pthread_mutex_unlock(&h->lock);
}

static void write_comparator(struct hpet_timer *t, u64 val, u64 now)
{
    u64 mask = width_mask(t);
    u64 count = counter(t->h, now);

    val &= mask;
    if (t->config & T_PERIODIC) {
        t->period = val;
        if (t->config & T_SET)
            t->comparator = val;
        t->config &= ~(u64)T_SET;
        if (running(t->h))
            advance(t, count);
        t->owed = 0;
    } else {
        t->comparator = val;
        if (running(t->h) && (t->config & T_ENABLE) && ((count - val) & mask) < LATE)
            interrupt(t);
    }
    arm(t, now, OWED_GAP);
}

/* -------------------------------------------------------------- registers -- */

static void write_timer_config(struct hpet_timer *t, u64 val, u64 now)
{
    u64 cleared = t->config & ~val;

    t->config = val & T_WRITABLE;
    t->owed = 0;
    trace(t->h->trace, timer, "hpet timer %u: configuration %04llx", t->n,
          (unsigned long long)t->config);
    if (t->config & T_32) {
        t->comparator &= UINT32_MAX;
        t->period &= UINT32_MAX;
    }
    if (cleared & T_LEVEL)
        t->h->isr &= ~BIT64(t->n);
    update_level(t);
    arm(t, now, OWED_GAP);
}

static void write_config(struct hpet *h, u64 val, u64 now)
{
    u64 changed = (val ^ h->config) & (CONFIG_ENABLE | CONFIG_LEGACY);
    u64 count = counter(h, now);

    h->config ^= changed;
    if (changed & CONFIG_ENABLE) {
        h->counter = count;
        h->offset = count - now / HPET_PERIOD_NS;
    }
    trace(h->trace, timer, "hpet configuration %llx", (unsigned long long)h->config);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        update_level(&h->timer[i]);
        if (changed & CONFIG_ENABLE)
            arm(&h->timer[i], now, OWED_GAP);
    }
    if (changed & CONFIG_LEGACY)
        for (unsigned i = 0; i < 2; i++)
            irq_set(&h->gsi[i ? 8 : 0], h->legacy_in[i] && !legacy(h));
}

static void write_counter(struct hpet *h, u64 val, u64 now)
{
    h->counter = val;
    h->offset = val - now / HPET_PERIOD_NS;
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        arm(&h->timer[i], now, OWED_GAP);
}

static u64 read64(struct hpet *h, u64 off, u64 now)
{
    unsigned n = (off - REG_TIMERS) / 0x20;
    struct hpet_timer *t = &h->timer[n % HPET_TIMERS];

    switch (off) {
    case REG_CAP:
        return (u64)(HPET_PERIOD_NS * 1000000) << 32 | HPET_ID;
    case REG_CONFIG:
        return h->config;
    case REG_ISR:
        return h->isr;
    case REG_COUNTER:
        return counter(h, now);
    }
    if (off < REG_TIMERS || n >= HPET_TIMERS)
        return 0;
    switch (off & 0x1f) {
    case TIMER_CONFIG:
        return t->config | T_CAPS | (u64)h->routes << 32;
    case TIMER_COMPARATOR:
        if (running(h) && !timer_armed(&t->timer))
            advance(t, counter(h, now));
        return t->comparator;
    case TIMER_FSB:
        return t->fsb;
    default:
        return 0;
    }
}

static void write64(struct hpet *h, u64 off, u64 val, u64 now)
{
    unsigned n = (off - REG_TIMERS) / 0x20;
    struct hpet_timer *t = &h->timer[n % HPET_TIMERS];

    switch (off) {
    case REG_CONFIG:
        write_config(h, val, now);
        return;
    case REG_ISR: /* write 1 to clear; only level-triggered timers set bits */
        h->isr &= ~val;
        for (unsigned i = 0; i < HPET_TIMERS; i++)
            update_level(&h->timer[i]);
        return;
    case REG_COUNTER:
        write_counter(h, val, now);
        return;
    }
    if (off < REG_TIMERS || n >= HPET_TIMERS)
        return;
    switch (off & 0x1f) {
    case TIMER_CONFIG:
        write_timer_config(t, val, now);
        break;
    case TIMER_COMPARATOR:
        write_comparator(t, val, now);
        break;
    case TIMER_FSB:
        t->fsb = val;
        break;
    }
}

static u64 hpet_read(void *opaque, u64 off, unsigned size)
{
    struct hpet *h = opaque;
    u64 v = read64(h, off & ~7ull, clock_now(h->clock));

    return size == 8 ? v : (u32)(v >> (off & 4 ? 32 : 0));
}

/* Half a register keeps its other half; halves that a write would give a second meaning (ISR's
 * ones clear, a periodic comparator's period) are zero or what was last written. */
static u64 other_half(struct hpet *h, u64 reg, u64 now)
{
    unsigned n = (reg - REG_TIMERS) / 0x20;

    if (reg == REG_ISR)
        return 0;
    if (reg >= REG_TIMERS && n < HPET_TIMERS && (reg & 0x1f) == TIMER_COMPARATOR &&
        (h->timer[n].config & T_PERIODIC))
        return h->timer[n].period;
    return read64(h, reg, now);
}

static void hpet_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct hpet *h = opaque;
    u64 now = clock_now(h->clock);
    u64 reg = off & ~7ull;

    if (size == 4 && (off & 4))
        val = val << 32 | (u32)other_half(h, reg, now);
    else if (size == 4)
        val = (other_half(h, reg, now) & ~(u64)UINT32_MAX) | (u32)val;
    write64(h, reg, val, now);
}

static const struct region_ops hpet_ops = {
    .read = hpet_read, .write = hpet_write, .min_width = 4, .max_width = 8, .aligned = true};

/* ------------------------------------------------------------------ life -- */

void hpet_legacy_in(void *opaque, unsigned n, bool level)
{
    struct hpet *h = opaque;

    pthread_mutex_lock(&h->lock);
    h->legacy_in[n & 1] = level;
    if (!legacy(h))
        irq_set(&h->gsi[n & 1 ? 8 : 0], level);
    pthread_mutex_unlock(&h->lock);
}

bool hpet_legacy_pending(void *opaque, unsigned n)
{
    struct hpet *h = opaque;

    pthread_mutex_lock(&h->lock);
    bool is = !legacy(h) && irq_pending(&h->gsi[n & 1 ? 8 : 0]);
    pthread_mutex_unlock(&h->lock);
    return is;
}

void hpet_reset(struct hpet *h)
{
    pthread_mutex_lock(&h->lock);
    h->config = 0;
    h->isr = 0;
    h->counter = 0;
    h->offset = 0;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        struct hpet_timer *t = &h->timer[i];
        timer_del(h->clock, &t->timer);
        t->config = 0;
        t->comparator = UINT64_MAX;
        t->period = 0;
        t->fsb = 0;
        t->owed = 0;
        update_level(t);
    }
    pthread_mutex_unlock(&h->lock);
}

void hpet_init(struct hpet *h, struct clock *c, const struct irq *gsi, u32 routes,
               struct msi_sink msi, struct trace *t)
{
    memset(h, 0, sizeof(*h));
    memcpy(h->gsi, gsi, sizeof(h->gsi));
    h->routes = routes;
    h->msi = msi;
    h->clock = c;
    h->trace = t;
    pthread_mutex_init(&h->lock, NULL);
    h->region = (struct region){
        .name = "hpet", .size = 0x400, .ops = &hpet_ops, .opaque = h, .lock = &h->lock};
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        h->timer[i].h = h;
        h->timer[i].n = i;
        h->timer[i].timer = (struct timer){.fn = fire, .opaque = &h->timer[i]};
    }
    hpet_reset(h);
}

#define TIMER_FIELDS(i)                                                                            \
    FIELD_BITS(struct hpet, timer[i].config, T_WRITABLE), FIELD(struct hpet, timer[i].comparator), \
        FIELD(struct hpet, timer[i].period), FIELD(struct hpet, timer[i].fsb),                     \
        FIELD_MAX(struct hpet, timer[i].level, 1),                                                 \
        FIELD_MAX(struct hpet, timer[i].owed, OWED_MAX),                                           \
        FIELD_MAX(struct hpet, timer[i].route, HPET_ROUTES - 1)

static const struct field hpet_fields[] = {
    FIELD_BITS(struct hpet, config, CONFIG_ENABLE | CONFIG_LEGACY),
    FIELD_MAX(struct hpet, isr, 7),
    FIELD(struct hpet, counter),
    FIELD(struct hpet, offset),
    TIMER_FIELDS(0),
    TIMER_FIELDS(1),
    TIMER_FIELDS(2),
    FIELD_MAX(struct hpet, legacy_in[0], 1),
    FIELD_MAX(struct hpet, legacy_in[1], 1),
};

static int hpet_loaded(void *obj, struct err *e)
{
    struct hpet *h = obj;

    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        arm(&h->timer[i], clock_now(h->clock), OWED_GAP);
    pthread_mutex_unlock(&h->lock);
    return 0;
}

const struct state_desc hpet_state = {
    .name = "hpet",
    .version = 1,
    .fields = hpet_fields,
    .nfields = ARRAY_SIZE(hpet_fields),
    .loaded = hpet_loaded,
};
