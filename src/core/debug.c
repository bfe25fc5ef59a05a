/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The points of a debugger.
 */
#include "core/debug.h"

#include <limits.h>

unsigned debug_find(const struct debug *d, u64 addr)
{
    unsigned lo = 0, hi = d->nexec;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (d->exec[mid].addr < addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool set_exec(struct debug *d, u64 addr, enum debug_kind kind)
{
    unsigned at = debug_find(d, addr);

    if (debug_stops_at(d, addr)) {
        d->exec[at].kinds |= (u8)BIT(kind);
        d->gen++;
        return true;
    }
    if (d->nexec == DEBUG_EXEC_MAX)
        return false;
    for (unsigned i = d->nexec++; i > at; i--)
        d->exec[i] = d->exec[i - 1];
    d->exec[at] = (struct debug_stop){.addr = addr, .kinds = (u8)BIT(kind)};
    d->gen++;
    return true;
}

static struct debug_watch *find_watch(struct debug *d, enum debug_kind kind, u64 addr, u32 len)
{
    for (unsigned i = 0; i < d->nwatch; i++)
        if (d->watch[i].addr == addr && d->watch[i].len == len && d->watch[i].kind == kind)
            return &d->watch[i];
    return NULL;
}

bool debug_set(struct debug *d, enum debug_kind kind, u64 addr, u32 len)
{
    if (kind <= DEBUG_OWN)
        return set_exec(d, addr, kind);
    if (!len || len > DEBUG_WATCH_LEN_MAX || addr + len - 1 < addr)
        return false;
    if (find_watch(d, kind, addr, len))
        return true;
    if (d->nwatch == DEBUG_WATCH_MAX)
        return false;
    d->watch[d->nwatch++] = (struct debug_watch){.addr = addr, .len = len, .kind = (u8)kind};
    d->gen++;
    return true;
}

static void remove_exec(struct debug *d, u64 addr, enum debug_kind kind)
{
    unsigned at = debug_find(d, addr);

    if (!debug_stops_at(d, addr))
        return;
    d->gen++;
    d->exec[at].kinds &= (u8)~BIT(kind);
    if (d->exec[at].kinds)
        return;
    d->nexec--;
    for (unsigned i = at; i < d->nexec; i++)
        d->exec[i] = d->exec[i + 1];
}

void debug_remove(struct debug *d, enum debug_kind kind, u64 addr, u32 len)
{
    struct debug_watch *w;

    if (kind <= DEBUG_OWN) {
        remove_exec(d, addr, kind);
        return;
    }
    w = find_watch(d, kind, addr, len);
    if (!w)
        return;
    *w = d->watch[--d->nwatch];
    d->gen++;
}

void debug_clear(struct debug *d)
{
    if (d->nexec || d->nwatch)
        d->gen++;
    d->nexec = d->nwatch = 0;
}

/* ------------------------------------------------ the processor's own -- */

enum { DR7_GE = 1 << 9, DR7_LE = 1 << 8 };

/* One more register, if there is one. */
static void add(u64 dr[4], u64 *dr7, unsigned *n, u64 addr, unsigned rw, unsigned len)
{
    static const u8 len_code[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};

    if (*n < 4) {
        dr[*n] = addr;
        *dr7 |= (u64)2 << 2 * *n | (u64)(rw | len_code[len] << 2) << (16 + 4 * *n);
    }
    ++*n;
}

unsigned debug_make_registers(const struct debug *d, u64 dr[4], u64 *dr7)
{
    unsigned n = 0;

    *dr7 = 0x400 | DR7_GE | DR7_LE;
    for (unsigned i = 0; i < d->nexec; i++)
        if (d->exec[i].kinds & BIT(DEBUG_OWN))
            add(dr, dr7, &n, d->exec[i].addr, 0, 1);
    for (unsigned i = 0; i < d->nwatch; i++) {
        const struct debug_watch *w = &d->watch[i];
        if (w->kind == DEBUG_READ)
            return UINT_MAX;
        for (u64 at = 0; at < w->len;) {
            u64 len = 8;
            while ((w->addr + at) & (len - 1) || at + len > w->len)
                len /= 2;
            add(dr, dr7, &n, w->addr + at, w->kind == DEBUG_WRITE ? 1 : 3, (unsigned)len);
            at += len;
        }
    }
    return n;
}

unsigned debug_registers(const struct debug *d)
{
    u64 dr[4], dr7;

    return debug_make_registers(d, dr, &dr7);
}
