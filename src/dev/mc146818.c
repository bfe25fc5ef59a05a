/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Motorola MC146818A real-time clock, as the PC's chipsets carry it: 128 bytes, century in byte
 * 0x32 (where ACPI's FADT points), interrupts on IRQ8.
 *
 * The calendar is "virtual seconds plus an offset"; date registers are computed when read.  Only
 * while REG B's SET bit or the divider's reset holds it do they live in cmos[], and when it is let
 * go they become a new offset.  Seconds begin `phase` after the clock's; a divider reset moves
 * that, and the next update follows half a second after its end, as in the chip.
 *
 * Interrupt flags are brought up to date (sync) on each access to REG C and by a timer that runs
 * only while an interrupt is enabled.  Periodic interrupts that come while the guest has not read
 * REG C are kept, up to a second's worth, and delivered one a read: some guests count them.
 *
 * Left out: the square wave output, daylight saving (REG B.DSE is kept and does nothing).
 */
#include "dev/mc146818.h"

#include <string.h>
#include <time.h>

enum {
    SECONDS = 0x00,
    SECONDS_ALARM = 0x01,
    MINUTES = 0x02,
    MINUTES_ALARM = 0x03,
    HOURS = 0x04,
    HOURS_ALARM = 0x05,
    WEEKDAY = 0x06,
    DAY = 0x07,
    MONTH = 0x08,
    YEAR = 0x09,
    REG_A = 0x0a,
    REG_B = 0x0b,
    REG_C = 0x0c,
    REG_D = 0x0d,
    CENTURY = 0x32,

    A_UIP = 1 << 7,
    A_DV_RESET = 0x60, /* 11x */
    A_RS = 0x0f,
    B_24H = 1 << 1,
    B_BINARY = 1 << 2,
    B_UIE = 1 << 4,
    B_AIE = 1 << 5,
    B_PIE = 1 << 6,
    B_SET = 1 << 7,
    C_UF = 1 << 4,
    C_AF = 1 << 5,
    C_PF = 1 << 6,
    C_IRQF = 1 << 7,
    D_VRT = 1 << 7,

    DAY_SECONDS = 86400,
    UIP_NS = 244000, /* UIP rises this long before the update */
    CRYSTAL_HZ = 32768,
};

static bool stands(const struct mc146818 *r)
{
    return (r->cmos[REG_B] & B_SET) || (r->cmos[REG_A] & A_DV_RESET) == A_DV_RESET;
}

/* ns since the beginning of RTC second 0 (which lies before virtual time 0). */
static u64 rtc_ns(const struct mc146818 *r, u64 now)
{
    return now + NS_PER_SEC - r->phase;
}

static u64 rtc_seconds(const struct mc146818 *r, u64 now)
{
    return rtc_ns(r, now) / NS_PER_SEC;
}

/* Virtual ns at which RTC second n begins. */
static u64 second_begins(const struct mc146818 *r, u64 n)
{
    return n * NS_PER_SEC + r->phase - NS_PER_SEC;
}

/* --------------------------------------------------------------- encoding -- */

static u8 encode(const struct mc146818 *r, unsigned v)
{
    return r->cmos[REG_B] & B_BINARY ? v : (v / 10 << 4) | v % 10;
}

static unsigned decode(const struct mc146818 *r, u8 v)
{
    return r->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static u8 encode_hour(const struct mc146818 *r, unsigned h)
{
    if (r->cmos[REG_B] & B_24H)
        return encode(r, h);
    return encode(r, (h + 11) % 12 + 1) | (h >= 12 ? 0x80 : 0);
}

static unsigned decode_hour(const struct mc146818 *r, u8 v)
{
    if (r->cmos[REG_B] & B_24H)
        return decode(r, v);
    return decode(r, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

/* The date registers of this moment into cmos[]. */
static void date_to_cmos(struct mc146818 *r, u64 now)
{
    time_t t = r->offset + (s64)rtc_seconds(r, now);
    struct tm tm;
    unsigned year;

    if (!gmtime_r(&t, &tm))
        memset(&tm, 0, sizeof(tm));
    year = (unsigned)(tm.tm_year + 1900) % 10000;
    r->cmos[SECONDS] = encode(r, tm.tm_sec);
    r->cmos[MINUTES] = encode(r, tm.tm_min);
    r->cmos[HOURS] = encode_hour(r, tm.tm_hour);
    r->cmos[WEEKDAY] = encode(r, tm.tm_wday + 1);
    r->cmos[DAY] = encode(r, tm.tm_mday);
    r->cmos[MONTH] = encode(r, tm.tm_mon + 1);
    r->cmos[YEAR] = encode(r, year % 100);
    r->cmos[CENTURY] = encode(r, year / 100);
}

/* And back: whatever the guest wrote becomes some date. */
static void cmos_to_date(struct mc146818 *r, u64 now)
{
    struct tm tm = {
        .tm_sec = decode(r, r->cmos[SECONDS]),
        .tm_min = decode(r, r->cmos[MINUTES]),
        .tm_hour = decode_hour(r, r->cmos[HOURS]),
        .tm_mday = decode(r, r->cmos[DAY]),
        .tm_mon = (int)decode(r, r->cmos[MONTH]) - 1,
        .tm_year = decode(r, r->cmos[CENTURY]) * 100 + decode(r, r->cmos[YEAR]) - 1900,
    };

    r->offset = (s64)timegm(&tm) - (s64)rtc_seconds(r, now);
    r->seconds_seen = rtc_seconds(r, now);
}

/* ----------------------------------------------------------------- alarms -- */

static bool dont_care(u8 v)
{
    return v >= 0xc0;
}

/* The first RTC second after `after` at which the alarm matches; 0 = never. */
static u64 next_alarm(const struct mc146818 *r, u64 after)
{
    u8 sa = r->cmos[SECONDS_ALARM], ma = r->cmos[MINUTES_ALARM], ha = r->cmos[HOURS_ALARM];
    s64 t = r->offset + (s64)after + 1;
    unsigned tod = (unsigned)((t % DAY_SECONDS + DAY_SECONDS) % DAY_SECONDS);

    if ((!dont_care(ha) && decode_hour(r, ha) > 23) || (!dont_care(ma) && decode(r, ma) > 59) ||
        (!dont_care(sa) && decode(r, sa) > 59))
        return 0;
    /* From the current time of day on: step by the largest unit that does not match. */
    for (unsigned x = tod; x < tod + DAY_SECONDS;) {
        unsigned h = x / 3600 % 24, m = x / 60 % 60, s = x % 60;
        if (!dont_care(ha) && h != decode_hour(r, ha))
            x += 3600 - x % 3600;
        else if (!dont_care(ma) && m != decode(r, ma))
            x += 60 - x % 60;
        else if (!dont_care(sa) && s != decode(r, sa))
            x++;
        else
            return after + 1 + (x - tod);
    }
    return 0;
}

/* ------------------------------------------------------------- interrupts -- */

/* The period is 2^shift crystal ticks; -1 = no periodic interrupt. */
static int period_shift(const struct mc146818 *r)
{
    int rs = r->cmos[REG_A] & A_RS;

    if (!rs || (r->cmos[REG_A] & A_DV_RESET) == A_DV_RESET)
        return -1;
    return rs < 3 ? rs + 6 : rs - 1;
}

static u64 periods(const struct mc146818 *r, u64 now)
{
    int shift = period_shift(r);

    return shift < 0 ? 0 : muldiv64(now, CRYSTAL_HZ, NS_PER_SEC) >> shift;
}

static void update_irq(struct mc146818 *r)
{
    bool level = r->cmos[REG_C] & r->cmos[REG_B] & (C_UF | C_AF | C_PF);

    if (level)
        r->cmos[REG_C] |= C_IRQF;
    else
        r->cmos[REG_C] &= ~C_IRQF;
    if (level == r->irq_level)
        return;
    r->irq_level = level;
    irq_set(&r->irq8, level);
}

/* Sets the flags of all that has happened until now. */
static void sync(struct mc146818 *r, u64 now)
{
    u64 sec = rtc_seconds(r, now), per = periods(r, now), n, alarm;

    if (!stands(r) && sec > r->seconds_seen) {
        alarm = next_alarm(r, r->seconds_seen);
        if (alarm && alarm <= sec)
            r->cmos[REG_C] |= C_AF;
        r->cmos[REG_C] |= C_UF;
    }
    r->seconds_seen = sec;
    if (per > r->periods_seen) {
        n = per - r->periods_seen;
        if ((r->cmos[REG_B] & B_PIE) && (r->cmos[REG_C] & C_PF))
            r->backlog += min(n, (u64)CRYSTAL_HZ);
        else if (r->cmos[REG_B] & B_PIE)
            r->backlog += min(n - 1, (u64)CRYSTAL_HZ);
        r->backlog = min(r->backlog, (u32)CRYSTAL_HZ >> max(period_shift(r), 0));
        r->cmos[REG_C] |= C_PF;
    }
    r->periods_seen = per;
    update_irq(r);
}

/* Waits for the next event that would raise the line. */
static void arm(struct mc146818 *r, u64 now)
{
    u8 want = r->cmos[REG_B] & ~r->cmos[REG_C];
    u64 at = UINT64_MAX, alarm;

    if ((want & B_UIE) && !stands(r))
        at = second_begins(r, rtc_seconds(r, now) + 1);
    if ((want & B_AIE) && !stands(r)) {
        alarm = next_alarm(r, r->seconds_seen);
        if (alarm)
            at = min(at, second_begins(r, alarm));
    }
    if ((want & B_PIE) && period_shift(r) >= 0) {
        u64 tick = (periods(r, now) + 1) << period_shift(r);
        at = min(at, muldiv64(tick, NS_PER_SEC, CRYSTAL_HZ) + 1);
    }
    if (at == UINT64_MAX)
        timer_del(r->clock, &r->timer);
    else
        timer_set(r->clock, &r->timer, max(at, now + 1));
}

static void fire(void *opaque)
{
    struct mc146818 *r = opaque;
    u64 now;

    pthread_mutex_lock(&r->lock);
    now = clock_now(r->clock);
    sync(r, now);
    arm(r, now);
    pthread_mutex_unlock(&r->lock);
}

/* -------------------------------------------------------------- registers -- */

static void write_a(struct mc146818 *r, u8 val, u64 now)
{
    bool stood = stands(r);
    bool reset = (r->cmos[REG_A] & A_DV_RESET) == A_DV_RESET;

    if (!stood)
        date_to_cmos(r, now);
    r->cmos[REG_A] = val & ~A_UIP;
    if (reset && (val & A_DV_RESET) != A_DV_RESET)
        r->phase = (now + NS_PER_SEC / 2) % NS_PER_SEC;
    if (stood && !stands(r))
        cmos_to_date(r, now);
    r->periods_seen = periods(r, now);
    r->backlog = 0;
}

static void write_b(struct mc146818 *r, u8 val, u64 now)
{
    bool stood = stands(r);

    if (!stood)
        date_to_cmos(r, now);
    if (val & B_SET)
        val &= ~B_UIE;
    if (!(val & r->cmos[REG_B] & B_PIE))
        r->backlog = 0;
    r->cmos[REG_B] = val;
    if (stood && !stands(r))
        cmos_to_date(r, now);
}

static bool is_date(u8 index)
{
    return index == CENTURY || index == SECONDS || index == MINUTES || index == HOURS ||
           (index >= WEEKDAY && index <= YEAR);
}

static void write_data(struct mc146818 *r, u8 val, u64 now)
{
    u8 i = r->index;

    trace(r->trace, rtc, "write %02x = %02x", i, val);
    sync(r, now);
    if (i == REG_A) {
        write_a(r, val, now);
    } else if (i == REG_B) {
        write_b(r, val, now);
    } else if (is_date(i) && !stands(r)) {
        date_to_cmos(r, now);
        r->cmos[i] = val;
        cmos_to_date(r, now);
    } else if (i != REG_C && i != REG_D) {
        r->cmos[i] = val;
    }
    update_irq(r);
    arm(r, now);
}

static u8 read_c(struct mc146818 *r, u64 now)
{
    u8 v;

    sync(r, now);
    v = r->cmos[REG_C];
    r->cmos[REG_C] = 0;
    update_irq(r);
    if (r->backlog) {
        r->backlog--;
        r->cmos[REG_C] = C_PF;
        update_irq(r);
    }
    arm(r, now);
    return v;
}

static u8 read_data(struct mc146818 *r, u64 now)
{
    u8 v;

    if (is_date(r->index) && !stands(r))
        date_to_cmos(r, now);
    v = r->cmos[r->index];
    if (r->index == REG_C)
        v = read_c(r, now);
    else if (r->index == REG_D)
        v = D_VRT;
    else if (r->index == REG_A && !stands(r) && rtc_ns(r, now) % NS_PER_SEC >= NS_PER_SEC - UIP_NS)
        v |= A_UIP;
    trace(r->trace, rtc, "read %02x = %02x", r->index, v);
    return v;
}

static u64 rtc_read(void *opaque, u64 off, unsigned size)
{
    struct mc146818 *r = opaque;

    return off ? read_data(r, clock_now(r->clock)) : 0xff;
}

static void rtc_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct mc146818 *r = opaque;

    if (off) {
        write_data(r, val, clock_now(r->clock));
        return;
    }
    r->index = val & 0x7f;
    __atomic_store_n(&r->nmi_masked, val >> 7 & 1, __ATOMIC_RELAXED);
}

static const struct region_ops rtc_ops = {
    .read = rtc_read, .write = rtc_write, .min_width = 1, .max_width = 1};

/* ------------------------------------------------------------------ life -- */

void mc146818_set_cmos(struct mc146818 *r, u8 index, u8 val)
{
    BUG_ON(index <= REG_D || index >= sizeof(r->cmos) || index == CENTURY);
    r->cmos[index] = val;
}

u8 mc146818_cmos(const struct mc146818 *r, u8 index)
{
    return r->cmos[index & 0x7f];
}

void mc146818_reset(struct mc146818 *r)
{
    u64 now;

    pthread_mutex_lock(&r->lock);
    now = clock_now(r->clock);
    if (stands(r))
        cmos_to_date(r, now);
    r->cmos[REG_A] = 0x26; /* 32768 Hz, 1024 Hz periodic */
    r->cmos[REG_B] &= B_24H | B_BINARY;
    r->cmos[REG_C] = 0;
    r->index = 0;
    r->nmi_masked = false;
    r->backlog = 0;
    r->seconds_seen = rtc_seconds(r, now);
    r->periods_seen = periods(r, now);
    update_irq(r);
    timer_del(r->clock, &r->timer);
    pthread_mutex_unlock(&r->lock);
}

void mc146818_init(struct mc146818 *r, struct clock *c, struct irq irq8, s64 date, struct trace *t)
{
    memset(r, 0, sizeof(*r));
    r->clock = c;
    r->irq8 = irq8;
    r->trace = t;
    r->timer = (struct timer){.fn = fire, .opaque = r};
    r->cmos[REG_A] = 0x26;
    r->cmos[REG_B] = B_24H;
    r->offset = date - (s64)rtc_seconds(r, clock_now(c));
    pthread_mutex_init(&r->lock, NULL);
    r->region =
        (struct region){.name = "rtc", .size = 2, .ops = &rtc_ops, .opaque = r, .lock = &r->lock};
    mc146818_reset(r);
}

/* Only the calendar: its beats and alarms are those of the machine's own time. */
void mc146818_skip(struct mc146818 *r, u64 ns)
{
    pthread_mutex_lock(&r->lock);
    if (!stands(r)) { /* else the guest is setting it */
        r->offset += (s64)(ns / NS_PER_SEC);
        r->skip_rest += ns % NS_PER_SEC;
        r->offset += r->skip_rest / NS_PER_SEC;
        r->skip_rest %= NS_PER_SEC;
    }
    pthread_mutex_unlock(&r->lock);
}

static const struct field mc146818_fields[] = {
    FIELD_ARRAY(struct mc146818, cmos),
    FIELD_MAX(struct mc146818, index, 0x7f),
    FIELD_MAX(struct mc146818, nmi_masked, 1),
    FIELD(struct mc146818, offset),
    FIELD_MAX(struct mc146818, phase, NS_PER_SEC - 1),
    FIELD(struct mc146818, seconds_seen),
    FIELD(struct mc146818, periods_seen),
    FIELD_MAX(struct mc146818, skip_rest, NS_PER_SEC - 1),
    FIELD_MAX(struct mc146818, backlog, CRYSTAL_HZ),
    FIELD_MAX(struct mc146818, irq_level, 1),
};

static int mc146818_loaded(void *obj, struct err *e)
{
    struct mc146818 *r = obj;

    pthread_mutex_lock(&r->lock);
    arm(r, clock_now(r->clock));
    pthread_mutex_unlock(&r->lock);
    return 0;
}

const struct state_desc mc146818_state = {
    .name = "mc146818",
    .version = 1,
    .fields = mc146818_fields,
    .nfields = ARRAY_SIZE(mc146818_fields),
    .loaded = mc146818_loaded,
};
