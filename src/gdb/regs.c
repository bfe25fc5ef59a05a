/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers and order of the core, SSE and AVX features are gdb's own for these processors
 * (features/i386 in its sources name them); its "system" registers are in a feature of ours, with
 * QEMU's names.
 *
 * What would make a state that no processor is in is not written: mode bits of CR0, CR4 and EFER,
 * and VM in RFLAGS.  A selector is written as real mode would load it where the guest is in real or
 * virtual-8086 mode; elsewhere the descriptor is not looked up, and the selector cannot be written.
 */
#include "gdb/regs.h"

#include "base/endian.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum reg_kind {
    R_GPR,
    R_RIP,
    R_FLAGS,
    R_SEG,
    R_ST,
    R_X87,
    R_XMM,
    R_MXCSR,
    R_BASE,
    R_U64,
    R_CR8,
    R_DR,
    R_YMMH,
};

enum { X_FCTRL, X_FSTAT, X_FTAG, X_FISEG, X_FIOFF, X_FOSEG, X_FOOFF, X_FOP };

struct reg {
    const char *name, *type;
    u8 size, kind;
    u16 n; /* which of its kind; R_U64: offset in struct cpu_state */
};

struct gdb_regs {
    const char *arch;
    const struct feature {
        const char *name, *types;
        const struct reg *reg;
        unsigned count;
    } * feature;
    unsigned features, general, pc;
};

#define GPR64(name, n)                                                                             \
    {                                                                                              \
        name, "int64", 8, R_GPR, n                                                                 \
    }
#define GPR32(name, n)                                                                             \
    {                                                                                              \
        name, "int32", 4, R_GPR, n                                                                 \
    }
#define SEGS                                                                                       \
    {"cs", "int32", 4, R_SEG, CS}, {"ss", "int32", 4, R_SEG, SS}, {"ds", "int32", 4, R_SEG, DS},   \
        {"es", "int32", 4, R_SEG, ES}, {"fs", "int32", 4, R_SEG, FS},                              \
    {                                                                                              \
        "gs", "int32", 4, R_SEG, GS                                                                \
    }
#define ST(n)                                                                                      \
    {                                                                                              \
        "st" #n, "i387_ext", 10, R_ST, n                                                           \
    }
#define X87                                                                                        \
    ST(0), ST(1), ST(2), ST(3), ST(4), ST(5), ST(6), ST(7), {"fctrl", "int", 4, R_X87, X_FCTRL},   \
        {"fstat", "int", 4, R_X87, X_FSTAT}, {"ftag", "int", 4, R_X87, X_FTAG},                    \
        {"fiseg", "int", 4, R_X87, X_FISEG}, {"fioff", "int", 4, R_X87, X_FIOFF},                  \
        {"foseg", "int", 4, R_X87, X_FOSEG}, {"fooff", "int", 4, R_X87, X_FOOFF},                  \
    {                                                                                              \
        "fop", "int", 4, R_X87, X_FOP                                                              \
    }
#define XMM(n)                                                                                     \
    {                                                                                              \
        "xmm" #n, "vec128", 16, R_XMM, n                                                           \
    }
#define XMM_LOW XMM(0), XMM(1), XMM(2), XMM(3), XMM(4), XMM(5), XMM(6), XMM(7)
#define YMMH(n)                                                                                    \
    {                                                                                              \
        "ymm" #n "h", "uint128", 16, R_YMMH, n                                                     \
    }
#define YMMH_LOW YMMH(0), YMMH(1), YMMH(2), YMMH(3), YMMH(4), YMMH(5), YMMH(6), YMMH(7)
#define MXCSR                                                                                      \
    {                                                                                              \
        "mxcsr", "i386_mxcsr", 4, R_MXCSR, 0                                                       \
    }
#define SYS(name, type, size, field)                                                               \
    {                                                                                              \
        name, type, size, R_U64, offsetof(struct cpu_state, field)                                 \
    }
#define DRS(type, size)                                                                            \
    {"dr0", type, size, R_DR, 0}, {"dr1", type, size, R_DR, 1}, {"dr2", type, size, R_DR, 2},      \
        {"dr3", type, size, R_DR, 3}, {"dr6", type, size, R_DR, 6},                                \
    {                                                                                              \
        "dr7", type, size, R_DR, 7                                                                 \
    }

static const struct reg core64[] = {
    GPR64("rax", RAX),
    GPR64("rbx", RBX),
    GPR64("rcx", RCX),
    GPR64("rdx", RDX),
    GPR64("rsi", RSI),
    GPR64("rdi", RDI),
    {"rbp", "data_ptr", 8, R_GPR, RBP},
    {"rsp", "data_ptr", 8, R_GPR, RSP},
    GPR64("r8", R8),
    GPR64("r9", R9),
    GPR64("r10", R10),
    GPR64("r11", R11),
    GPR64("r12", R12),
    GPR64("r13", R13),
    GPR64("r14", R14),
    GPR64("r15", R15),
    {"rip", "code_ptr", 8, R_RIP, 0},
    {"eflags", "i386_eflags", 4, R_FLAGS, 0},
    SEGS,
    X87,
};
static const struct reg core32[] = {
    GPR32("eax", RAX),
    GPR32("ecx", RCX),
    GPR32("edx", RDX),
    GPR32("ebx", RBX),
    {"esp", "data_ptr", 4, R_GPR, RSP},
    {"ebp", "data_ptr", 4, R_GPR, RBP},
    GPR32("esi", RSI),
    GPR32("edi", RDI),
    {"eip", "code_ptr", 4, R_RIP, 0},
    {"eflags", "i386_eflags", 4, R_FLAGS, 0},
    SEGS,
    X87,
};
static const struct reg sse64[] = {
    XMM_LOW, XMM(8), XMM(9), XMM(10), XMM(11), XMM(12), XMM(13), XMM(14), XMM(15), MXCSR,
};
static const struct reg sse32[] = {XMM_LOW, MXCSR};
static const struct reg segments64[] = {
    {"fs_base", "int", 8, R_BASE, FS},
    {"gs_base", "int", 8, R_BASE, GS},
};
static const struct reg avx64[] = {
    YMMH_LOW, YMMH(8), YMMH(9), YMMH(10), YMMH(11), YMMH(12), YMMH(13), YMMH(14), YMMH(15),
};
static const struct reg avx32[] = {YMMH_LOW};
static const struct reg system64[] = {
    SYS("k_gs_base", "int64", 8, kernel_gs_base),
    SYS("cr0", "int64", 8, cr0),
    SYS("cr2", "int64", 8, cr2),
    SYS("cr3", "int64", 8, cr3),
    SYS("cr4", "int64", 8, cr4),
    {"cr8", "int64", 8, R_CR8, 0},
    SYS("efer", "int64", 8, efer),
    DRS("int64", 8),
};
static const struct reg system32[] = {
    {"fs_base", "int32", 4, R_BASE, FS},
    {"gs_base", "int32", 4, R_BASE, GS},
    SYS("cr0", "int32", 4, cr0),
    SYS("cr2", "int32", 4, cr2),
    SYS("cr3", "int32", 4, cr3),
    SYS("cr4", "int32", 4, cr4),
    {"cr8", "int32", 4, R_CR8, 0},
    SYS("efer", "int32", 4, efer),
    DRS("int32", 4),
};

/* ------------------------------------------------------------ descriptions -- */

static const char core_types[] =
    "<flags id=\"i386_eflags\" size=\"4\">"
    "<field name=\"\" start=\"22\" end=\"31\"/><field name=\"ID\" start=\"21\" end=\"21\"/>"
    "<field name=\"VIP\" start=\"20\" end=\"20\"/><field name=\"VIF\" start=\"19\" end=\"19\"/>"
    "<field name=\"AC\" start=\"18\" end=\"18\"/><field name=\"VM\" start=\"17\" end=\"17\"/>"
    "<field name=\"RF\" start=\"16\" end=\"16\"/><field name=\"\" start=\"15\" end=\"15\"/>"
    "<field name=\"NT\" start=\"14\" end=\"14\"/><field name=\"IOPL\" start=\"12\" end=\"13\"/>"
    "<field name=\"OF\" start=\"11\" end=\"11\"/><field name=\"DF\" start=\"10\" end=\"10\"/>"
    "<field name=\"IF\" start=\"9\" end=\"9\"/><field name=\"TF\" start=\"8\" end=\"8\"/>"
    "<field name=\"SF\" start=\"7\" end=\"7\"/><field name=\"ZF\" start=\"6\" end=\"6\"/>"
    "<field name=\"\" start=\"5\" end=\"5\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"
    "<field name=\"\" start=\"3\" end=\"3\"/><field name=\"PF\" start=\"2\" end=\"2\"/>"
    "<field name=\"\" start=\"1\" end=\"1\"/><field name=\"CF\" start=\"0\" end=\"0\"/></flags>";

static const char sse_types[] =
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
    "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
    "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
    "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
    "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
    "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
    "<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/>"
    "<field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
    "<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/></union>"
    "<flags id=\"i386_mxcsr\" size=\"4\"><field name=\"IE\" start=\"0\" end=\"0\"/>"
    "<field name=\"DE\" start=\"1\" end=\"1\"/><field name=\"ZE\" start=\"2\" end=\"2\"/>"
    "<field name=\"OE\" start=\"3\" end=\"3\"/><field name=\"UE\" start=\"4\" end=\"4\"/>"
    "<field name=\"PE\" start=\"5\" end=\"5\"/><field name=\"DAZ\" start=\"6\" end=\"6\"/>"
    "<field name=\"IM\" start=\"7\" end=\"7\"/><field name=\"DM\" start=\"8\" end=\"8\"/>"
    "<field name=\"ZM\" start=\"9\" end=\"9\"/><field name=\"OM\" start=\"10\" end=\"10\"/>"
    "<field name=\"UM\" start=\"11\" end=\"11\"/><field name=\"PM\" start=\"12\" end=\"12\"/>"
    "<field name=\"FZ\" start=\"15\" end=\"15\"/></flags>";

#define FEATURE(name, types, regs)                                                                 \
    {                                                                                              \
        name, types, regs, ARRAY_SIZE(regs)                                                        \
    }

static const struct feature features64[] = {
    FEATURE("org.gnu.gdb.i386.core", core_types, core64),
    FEATURE("org.gnu.gdb.i386.sse", sse_types, sse64),
    FEATURE("org.gnu.gdb.i386.segments", "", segments64),
    FEATURE("org.gnu.gdb.i386.avx", "", avx64),
    FEATURE("wirt.system", "", system64),
};
static const struct feature features32[] = {
    FEATURE("org.gnu.gdb.i386.core", core_types, core32),
    FEATURE("org.gnu.gdb.i386.sse", sse_types, sse32),
    FEATURE("org.gnu.gdb.i386.avx", "", avx32),
    FEATURE("wirt.system", "", system32),
};

const struct gdb_regs gdb_regs_x86_64 = {"i386:x86-64", features64, ARRAY_SIZE(features64),
                                         ARRAY_SIZE(core64) + ARRAY_SIZE(sse64), 16};
const struct gdb_regs gdb_regs_i386 = {"i386", features32, ARRAY_SIZE(features32),
                                       ARRAY_SIZE(core32) + ARRAY_SIZE(sse32), 8};

char *gdb_regs_xml(const struct gdb_regs *r)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return NULL;
    fprintf(f,
            "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
            "<target version=\"1.0\"><architecture>%s</architecture>",
            r->arch);
    for (unsigned i = 0; i < r->features; i++) {
        const struct feature *t = &r->feature[i];
        fprintf(f, "<feature name=\"%s\">%s", t->name, t->types);
        for (unsigned k = 0; k < t->count; k++)
            fprintf(f, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"%s/>", t->reg[k].name,
                    t->reg[k].size * 8, t->reg[k].type,
                    t->reg[k].kind == R_X87 ? " group=\"float\"" : "");
        fputs("</feature>", f);
    }
    fputs("</target>", f);
    if (fclose(f)) {
        free(text);
        return NULL;
    }
    return text;
}

/* ------------------------------------------------------------------ finding -- */

static const struct reg *find(const struct gdb_regs *r, unsigned n)
{
    for (unsigned i = 0; i < r->features; i++) {
        if (n < r->feature[i].count)
            return &r->feature[i].reg[n];
        n -= r->feature[i].count;
    }
    return NULL;
}

unsigned gdb_regs_count(const struct gdb_regs *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r->features; i++)
        n += r->feature[i].count;
    return n;
}

unsigned gdb_regs_general(const struct gdb_regs *r)
{
    return r->general;
}

unsigned gdb_regs_pc(const struct gdb_regs *r)
{
    return r->pc;
}

unsigned gdb_reg_size(const struct gdb_regs *r, unsigned n)
{
    const struct reg *g = find(r, n);

    return g ? g->size : 0;
}

/* ------------------------------------------------------------------ reading -- */

/* The tag word in full: 2 bits a register (valid 0, zero 1, special 2, empty 3); SDM volume 1,
 * 8.1.7. */
static u16 full_tags(const struct xsave_area *x)
{
    unsigned top = x->fsw >> 11 & 7;
    u16 tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        const u8 *st = x->st[(i - top) & 7];
        u64 m = le64_get(st);
        unsigned exp = le16_get(st + 8) & 0x7fff, tag = 0;
        if (!(x->ftw >> i & 1))
            tag = 3;
        else if (!exp && !m)
            tag = 1;
        else if (!exp || exp == 0x7fff || !(m >> 63))
            tag = 2;
        tags |= (u16)(tag << 2 * i);
    }
    return tags;
}

static u8 short_tags(u64 full)
{
    unsigned tags = 0;

    for (unsigned i = 0; i < 8; i++)
        tags |= (unsigned)((full >> 2 * i & 3) != 3) << i;
    return (u8)tags;
}

static u64 x87_read(const struct xsave_area *x, unsigned n)
{
    switch (n) {
    case X_FCTRL:
        return x->fcw;
    case X_FSTAT:
        return x->fsw;
    case X_FTAG:
        return full_tags(x);
    case X_FISEG:
        return x->fip >> 32;
    case X_FIOFF:
        return (u32)x->fip;
    case X_FOSEG:
        return x->fdp >> 32;
    case X_FOOFF:
        return (u32)x->fdp;
    default:
        return x->fop;
    }
}

static u64 value(const struct reg *g, const struct cpu_state *s, u8 cr8)
{
    switch (g->kind) {
    case R_GPR:
        return s->gpr[g->n];
    case R_RIP:
        return s->rip;
    case R_FLAGS:
        return s->rflags;
    case R_SEG:
        return s->seg[g->n].sel;
    case R_BASE:
        return s->seg[g->n].base;
    case R_X87:
        return x87_read(&s->x, g->n);
    case R_MXCSR:
        return s->x.mxcsr;
    case R_CR8:
        return cr8;
    case R_DR:
        return s->dr[g->n];
    default:
        return *(const u64 *)((const u8 *)s + g->n);
    }
}

static u8 *vector(const struct reg *g, struct cpu_state *s)
{
    switch (g->kind) {
    case R_ST:
        return s->x.st[g->n];
    case R_XMM:
        return s->x.xmm[g->n];
    case R_YMMH:
        return s->x.ymmh[g->n];
    default:
        return NULL;
    }
}

void gdb_reg_read(const struct gdb_regs *r, unsigned n, const struct cpu_state *s, u8 cr8, u8 *buf)
{
    const struct reg *g = find(r, n);
    const u8 *from = vector(g, (struct cpu_state *)s);
    u8 le[8];

    if (!from) {
        le64_put(le, value(g, s, cr8));
        from = le;
    }
    memcpy(buf, from, g->size);
}

/* ------------------------------------------------------------------ writing -- */

static bool x87_write(struct xsave_area *x, unsigned n, u64 v)
{
    switch (n) {
    case X_FCTRL:
        x->fcw = (u16)v;
        break;
    case X_FSTAT:
        x->fsw = (u16)v;
        break;
    case X_FTAG:
        x->ftw = short_tags(v);
        break;
    case X_FISEG:
        x->fip = (u32)x->fip | v << 32;
        break;
    case X_FIOFF:
        x->fip = (x->fip & ~0xffffffffull) | (u32)v;
        break;
    case X_FOSEG:
        x->fdp = (u32)x->fdp | v << 32;
        break;
    case X_FOOFF:
        x->fdp = (x->fdp & ~0xffffffffull) | (u32)v;
        break;
    default:
        x->fop = v & 0x7ff;
        break;
    }
    return true;
}

static bool selector_write(struct cpu_state *s, unsigned n, u64 v)
{
    struct segment *g = &s->seg[n];

    if (v == g->sel)
        return true;
    if ((s->cr0 & CR0_PE) && !(s->rflags & FLAG_VM))
        return false;
    g->sel = (u16)v;
    g->base = (v & 0xffff) << 4;
    return true;
}

/* Those that have 64 bits on the wire and may hold any value. */
static bool plain_write(const struct reg *g, struct cpu_state *s, u64 v)
{
    u64 *to = (u64 *)((u8 *)s + g->n);

    if (g->n == offsetof(struct cpu_state, cr2)) {
        *to = v;
    } else if (g->n == offsetof(struct cpu_state, kernel_gs_base)) {
        if (!canonical(v))
            return false;
        *to = v;
    } else if (g->n == offsetof(struct cpu_state, cr3)) {
        if (v >> 52)
            return false;
        *to = v;
    }
    return *to == v || (g->size == 4 && (u32)*to == v);
}

static bool flags_write(struct cpu_state *s, u64 v)
{
    const u64 may = FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF |
                    FLAG_AC | FLAG_ID;

    if ((v ^ s->rflags) & FLAG_VM)
        return false;
    s->rflags = (s->rflags & ~may) | (v & may) | FLAG_1;
    return true;
}

static bool dr_write(struct cpu_state *s, unsigned n, u64 v)
{
    if (v >> 32 && n >= 6)
        return false;
    if (n < 4)
        s->dr[n] = v;
    else if (n == 6)
        s->dr[6] = (s->dr[6] & ~0xe00full) | (v & 0xe00f);
    else
        s->dr[7] = (v & 0xffff23ff) | 0x400;
    return true;
}

static bool write_value(const struct reg *g, struct cpu_state *s, u64 v)
{
    switch (g->kind) {
    case R_GPR:
        s->gpr[g->n] = v;
        return true;
    case R_RIP:
        if (!canonical(v))
            return false;
        s->rip = v;
        return true;
    case R_FLAGS:
        return flags_write(s, v);
    case R_SEG:
        return selector_write(s, g->n, v);
    case R_BASE:
        if (!canonical(v))
            return false;
        s->seg[g->n].base = v;
        return true;
    case R_X87:
        return x87_write(&s->x, g->n, v);
    case R_MXCSR:
        if (v & ~(u64)0xffff)
            return false;
        s->x.mxcsr = (u32)v;
        return true;
    case R_DR:
        return dr_write(s, g->n, v);
    case R_U64:
        return plain_write(g, s, v);
    default:
        return false;
    }
}

bool gdb_reg_write(const struct gdb_regs *r, unsigned n, struct cpu_state *s, const u8 *buf)
{
    const struct reg *g = find(r, n);
    u8 *to = vector(g, s), le[8] = {0};

    if (to) {
        memcpy(to, buf, g->size);
        s->x.xstate_bv |= g->kind == R_ST ? 1 : g->kind == R_XMM ? 2 : 4;
        return true;
    }
    memcpy(le, buf, g->size);
    u64 v = le64_get(le);
    if (g->kind == R_X87)
        s->x.xstate_bv |= 1;
    return write_value(g, s, v);
}
