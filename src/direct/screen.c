/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opcodes: SDM volume 2, appendix A; the groups 6, 7 and 9 in table A-6. */
#include "direct/screen.h"

#include "cpu/insn.h"

enum { PAGE = 4096 };

/* What follows 0F 01: VMCALL, VMFUNC, ENCLU, VMMCALL and RDPRU. */
static bool asks_hypervisor(u8 b)
{
    return b == 0xc1 || b == 0xd4 || b == 0xd7 || b == 0xd9 || b == 0xfd;
}

/* What follows 0F, wherever that is: CPUID, SYSENTER, XGETBV and its neighbours, RDRAND, RDSEED and
 * RDPID.  Of those that are told by a third byte two are enough at the page's end. */
static bool shows_host(const u8 *p, unsigned left)
{
    switch (left ? p[0] : 0) {
    case 0xa2:
    case 0x34:
        return true;
    case 0x01:
        return left < 2 || p[1] == 0xd0 || asks_hypervisor(p[1]);
    case 0xc7:
        return left < 2 || p[1] >= 0xf0;
    default:
        return false;
    }
}

/* Where an instruction begins. */
static bool shows_tables(const u8 *p, unsigned left)
{
    if (p[0] != 0x0f || left < 3)
        return p[0] == 0x0f && left == 2 && p[1] < 4;
    unsigned reg = p[2] >> 3 & 7, is_reg = p[2] >> 6 == 3;

    switch (p[1]) {
    case 0x00: /* SLDT, STR, VERR, VERW */
        return reg < 2 || reg == 4 || reg == 5;
    case 0x01: /* SGDT, SIDT; SMSW */
        return (reg < 2 && !is_reg) || reg == 4;
    case 0x02: /* LAR */
    case 0x03: /* LSL */
        return true;
    default:
        return false;
    }
}

/* INT 4 and INT 0x80, which the host has gates for; XSAVE, XSAVEOPT and XSAVEC.  What the page's
 * end cuts off may be one. */
static bool acts_wrongly(const u8 *p, unsigned left)
{
    if (p[0] == 0xcd)
        return left < 2 || p[1] == 0x04 || p[1] == 0x80;
    if (p[0] != 0x0f || left < 2 || (p[1] != 0xae && p[1] != 0xc7))
        return false;
    if (left < 3)
        return true;
    if (p[2] >> 6 == 3)
        return false;
    unsigned reg = p[2] >> 3 & 7;
    return (p[1] == 0xae && (reg == 4 || reg == 6)) || (p[1] == 0xc7 && reg == 4);
}

/* Length of what decodes at p; what does not is taken for one byte. */
static unsigned length(const u8 *p, unsigned left)
{
    struct insn i;

    return decode(&i, p, left, CODE64) == DECODE_OK ? i.len : 1;
}

/* These instructions may have any. */
static bool is_prefix(u8 b)
{
    switch (b) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64 ... 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3:
        return true;
    default:
        return (b & 0xf0) == REX;
    }
}

static unsigned skip_prefixes(const u8 *p, unsigned left)
{
    unsigned n = 0;

    while (n < left && is_prefix(p[n]))
        n++;
    return n;
}

/* Does code that is read from `start` come to an instruction at `at`?  Read from anywhere, x86 code
 * falls into step after a few instructions. */
static bool comes_to(const u8 *page, unsigned start, unsigned at)
{
    unsigned pos = start;

    while (pos < at) {
        if (pos + skip_prefixes(page + pos, PAGE - pos) == at)
            return true;
        pos += length(page + pos, PAGE - pos);
    }
    return pos == at;
}

/* How many of sixteen readings that begin before `at` come there. */
static unsigned readings(const u8 *page, unsigned at)
{
    enum { NEAREST = 40, READINGS = 16 };
    unsigned n = 0;

    for (unsigned k = 0; k < READINGS; k++) {
        unsigned start = at >= NEAREST + READINGS ? at - NEAREST - k : k;
        n += start < at && comes_to(page, start, at);
    }
    return n;
}

static bool is_read(const u8 *page, unsigned at)
{
    return 2 * readings(page, at) >= min(at, 16u);
}

/* Code full of constants is read wrongly more often than not, so one reading is enough to be
 * careful.  In the page's first bytes, where an instruction from before it may end, it is none. */
static bool is_stop(const u8 *page, unsigned at)
{
    enum { LONGEST = INSN_MAX - 1 };
    unsigned left = PAGE - at;

    if (acts_wrongly(page + at, left))
        return at <= LONGEST || readings(page, at);
    return shows_tables(page + at, left) && (!at || readings(page, at));
}

static bool is_known(const u16 *known, unsigned n, unsigned at)
{
    while (n-- > 0)
        if (known[n] == at)
            return true;
    return false;
}

bool screen_page(const u8 *page, const u16 *known, unsigned nknown, struct screened *out)
{
    *out = (struct screened){0};
    if (shows_host(page, PAGE))
        return false; /* the page before may end in 0F */
    for (unsigned at = 0; at < PAGE; at++) {
        const u8 *p = page + at;
        unsigned left = PAGE - at;

        if (p[0] == 0x0f && shows_host(p + 1, left - 1)) {
            /* a program can do without a breakpoint: IRET with RF, MOV SS before */
            if (left < 3 || !is_known(known, nknown, at) || !is_read(page, at) ||
                out->npatches == SCREEN_PATCHES)
                return false;
            out->patch[out->npatches++] = (u16)at;
            continue;
        }
        if (!is_stop(page, at))
            continue;
        /* a breakpoint is where the instruction begins */
        if (out->nsites == SCREEN_SITES || !at || is_prefix(page[at - 1]))
            return false;
        out->site[out->nsites++] = (u16)at;
    }
    return true;
}

/* 0F 0B is UD2; the third byte of XGETBV stays, behind it.  Nothing that shows the host begins in
 * what is left of them: 0B does not, and of 0F there is none but the first. */
void screen_patch(u8 *copy, const struct screened *s)
{
    for (unsigned i = 0; i < s->npatches; i++)
        copy[s->patch[i] + 1] = 0x0b;
}
