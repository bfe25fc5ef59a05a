/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vector and x87 instructions through hostrun against the same bytes run by this processor.
 *
 * Every row of the op table that runs on the host's units is encoded with random registers and
 * operands, and run twice on the same state: by exec_hostrun(), and natively between an XRSTOR and
 * an XSAVE.  The test's RAM is also mapped at its guest address, so that both use one address.
 * Then come the exceptions, which need a guest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "fixture.h"

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { LOW = 0x100000, LOW_SIZE = 0x100000, ROUNDS = 300 };

static struct fx fx;

/* What the native stub loads and stores. */
struct native {
    u64 gpr[16];
    u64 rflags;
    u64 pad[7];
    struct xsave_area x;
};
_Static_assert(offsetof(struct native, x) == 192, "the stub's displacements");

static struct native nat __attribute__((aligned(64)));
static u8 *native_code;
static u64 native_exit;
static volatile bool native_faulted;
static struct sigaction hostrun_action;

/* ------------------------------------------------- the native side -- */

static u8 *put(u8 *p, const void *b, unsigned n)
{
    memcpy(p, b, n);
    return p + n;
}

#define PUT(p, ...) p = put(p, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static u8 *put_gprs(u8 *p, bool store)
{
    for (unsigned n = 0; n < 15; n++)
        if (n != RSP)
            PUT(p, 0x49 | (n >= 8 ? 4 : 0), store ? 0x89 : 0x8b, 0x47 | (n & 7) << 3, (u8)(8 * n));
    return p;
}

static void native_build(const u8 *insn, unsigned len)
{
    u8 *p = native_code;
    PUT(p, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); /* push rbx ... r15 */
    PUT(p, 0x49, 0x89, 0xff);                                           /* mov r15, rdi */
    PUT(p, 0xb8, 7, 0, 0, 0, 0x31, 0xd2);                               /* eax = 7, edx = 0 */
    PUT(p, 0x41, 0x0f, 0xae, 0xaf, 192, 0, 0, 0);                       /* xrstor [r15+192] */
    PUT(p, 0x41, 0xff, 0xb7, 128, 0, 0, 0, 0x9d);                       /* push rflags; popfq */
    p = put_gprs(p, false);
    p = put(p, insn, len);
    native_exit = (u64)p;
    p = put_gprs(p, true);
    PUT(p, 0x9c, 0x41, 0x8f, 0x87, 128, 0, 0, 0); /* pushfq; pop rflags */
    PUT(p, 0xb8, 7, 0, 0, 0, 0x31, 0xd2);
    PUT(p, 0x41, 0x0f, 0xae, 0xa7, 192, 0, 0, 0); /* xsave [r15+192] */
    PUT(p, 0xdb, 0xe3, 0xfc);                     /* fninit; cld */
    PUT(p, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
}

static void on_sigfpe(int sig, siginfo_t *si, void *uc_)
{
    ucontext_t *uc = uc_;
    u64 rip = (u64)uc->uc_mcontext.gregs[REG_RIP];
    if (rip - (u64)native_code < 4096) {
        native_faulted = true;
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)native_exit;
        return;
    }
    hostrun_action.sa_sigaction(sig, si, uc_);
}

/* In each test that needs it: cmocka takes the signal for itself around every test. */
static void take_sigfpe(void)
{
    struct sigaction sa = {.sa_sigaction = on_sigfpe, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &sa, NULL);
}

static void native_run(void)
{
    u32 mxcsr = 0x1f80;
    nat.x.xstate_bv = 7;
    native_faulted = false;
    ((void (*)(struct native *))(void *)native_code)(&nat);
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
}

/* ------------------------------------------------------ random state -- */

static u64 seed = 0x853c49e6748fea9bull;

static u64 rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1dull;
}

static double interesting(void)
{
    static const double v[] = {0.0,   -0.0,  1.0,     -1.5,     0.1,  1e300, 1e-310, 3e38,
                               1e-40, 2e-45, 123456., -65536.5, 1e19, 0.5,   -2.5,   7e-320};
    unsigned n = rnd() % 20;
    return n < 16    ? v[n]
           : n == 16 ? __builtin_inf()
           : n == 17 ? -__builtin_inf()
                     : __builtin_nan("");
}

static void random_vector(u8 *p)
{
    for (unsigned n = 0; n < 2; n++) {
        u64 v = rnd();
        unsigned kind = rnd() % 4;
        if (kind == 1) {
            double d = interesting();
            memcpy(&v, &d, 8);
        } else if (kind == 2) {
            float f[2] = {(float)interesting(), (float)interesting()};
            memcpy(&v, f, 8);
        }
        memcpy(p + 8 * n, &v, 8);
    }
}

static void random_st(u8 *p)
{
    memset(p, 0, 16);
    u64 m = rnd();
    u16 e = (u16)rnd();
    if (rnd() % 2) {
        long double d = interesting();
        memcpy(p, &d, 10);
        return;
    }
    switch (rnd() % 6) {
    case 0:
        m &= ~(1ull << 63);
        break;
    case 1:
        e &= 0x8000;
        break;
    case 2:
        e |= 0x7fff;
        break;
    default:
        m |= 1ull << 63;
        e = (u16)((e & 0x8000) | (0x3fff + (s64)(rnd() % 140) - 70));
        break;
    }
    memcpy(p, &m, 8);
    memcpy(p + 8, &e, 2);
}

static void random_state(bool unmask)
{
    struct cpu_state *s = &fx.cpu->s;
    struct xsave_area *x = &s->x;
    for (unsigned n = 0; n < 16; n++) {
        s->gpr[n] = rnd() % 3 ? rnd() : rnd() % 40;
        random_vector(x->xmm[n]);
        random_vector(x->ymmh[n]);
    }
    for (unsigned n = 0; n < 8; n++)
        random_st(x->st[n]);
    x->fcw = (u16)(0x40 | (rnd() & 0xf00) | 0x3f);
    if (unmask)
        x->fcw &= ~(rnd() & 0x3f);
    x->fsw = (u16)(rnd() & 0x7f00);
    x->ftw = (u8)(rnd() % 2 ? 0xff : rnd());
    x->fip = x->fdp = x->fop = 0;
    x->mxcsr = 0x1f80 | (rnd() & 0x6000);
    if (rnd() % 4 == 0)
        x->mxcsr |= rnd() & 0x8040;
    if (unmask)
        x->mxcsr &= ~(rnd() & 0x1f80);
    s->rflags = FLAG_1 | (rnd() & FLAGS_ARITH);
    for (unsigned n = 0; n < 0x100; n += 16)
        random_vector(fx.ram + LOW + 0x1000 + n);
    /* Outside the user's 47 bits nothing is mapped either way; the base of memory operands: */
    s->gpr[RBX] = LOW + 0x1000;
    s->rip = FX_CODE;
}

/* --------------------------------------------------------- encoding -- */

/* Random bytes that should decode as this row; memory operands at [rbx]. */
static void encode(const struct op_row *r, u8 b[16])
{
    static const u8 prefix[] = {[OPP_66] = 0x66, [OPP_F3] = 0xf3, [OPP_F2] = 0xf2};
    unsigned n = 0, pp = r->prefix == OPP_ANY ? OPP_NP : r->prefix;
    static const u8 vex_pp[] = {[OPP_NP] = 0, [OPP_66] = 1, [OPP_F3] = 2, [OPP_F2] = 3};
    u64 x = rnd();
    for (unsigned k = 0; k < 16; k++)
        b[k] = (u8)rnd();
    unsigned mod = r->mod == 0 ? 0 : r->mod == 1 ? 3 : (x & 1 ? 3 : 0);
    unsigned reg = r->reg >= 0 ? (unsigned)r->reg : (unsigned)(x >> 8 & 7);
    unsigned rm = mod == 0 ? RBX : r->rm >= 0 ? (unsigned)r->rm : (unsigned)(x >> 16 & 7);
    unsigned w = r->w >= 0 ? (unsigned)r->w : (unsigned)(x >> 24 & 1);
    unsigned l = r->l >= 0 ? (unsigned)r->l : (unsigned)(x >> 25 & 1);
    unsigned rr = (unsigned)(x >> 26 & 1), rb = mod == 3 ? (unsigned)(x >> 27 & 1) : 0;
    if (r->vex) {
        unsigned v = r->attr & OPA_VVVV ? (unsigned)(x >> 32 & 15) : 15;
        b[n++] = 0xc4;
        b[n++] = (u8)((rr ? 0 : 0x80) | 0x40 | (rb ? 0 : 0x20) | r->map);
        b[n++] = (u8)(w << 7 | v << 3 | l << 2 | vex_pp[pp]);
    } else {
        if (pp != OPP_NP)
            b[n++] = prefix[pp];
        if (r->map || r->unit != UNIT_x87) {
            b[n++] = (u8)(0x40 | w << 3 | rr << 2 | rb);
        }
        if (r->map)
            b[n++] = 0x0f;
        if (r->map >= 2)
            b[n++] = r->map == 2 ? 0x38 : 0x3a;
    }
    b[n++] = r->opcode;
    if (r->attr & OPA_MODRM)
        b[n++] = (u8)(mod << 6 | reg << 3 | rm);
}

static bool usable(const struct insn *i)
{
    for (unsigned n = 0; n < i->nops; n++) {
        const struct operand *o = &i->opnd[n];
        if ((o->kind == OPND_GPR || o->kind == OPND_GPR8H) &&
            (o->reg == RSP || o->reg == 15 || (i->has_mem && o->reg == RBX)))
            return false;
    }
    return true;
}

static void show(const struct insn *i, const u8 *b)
{
    char text[80];
    insn_print(i, FX_CODE, text, sizeof(text));
    fprintf(stderr, "%s   bytes", text);
    for (unsigned n = 0; n < i->len; n++)
        fprintf(stderr, " %02x", b[n]);
    fprintf(stderr, "\n");
}

static bool same(const char *what, const void *a, const void *b, unsigned n)
{
    if (!memcmp(a, b, n))
        return true;
    const u8 *p = a, *q = b;
    fprintf(stderr, "%s differs: wirt", what);
    for (unsigned k = 0; k < n; k++)
        fprintf(stderr, " %02x", p[k]);
    fprintf(stderr, " / processor");
    for (unsigned k = 0; k < n; k++)
        fprintf(stderr, " %02x", q[k]);
    fprintf(stderr, "\n");
    return false;
}

static bool compare(const struct cpu_state *s, const struct native *n)
{
    const struct xsave_area *a = &s->x, *b = &n->x;
    bool ok = same("fcw fsw ftw", a, b, 5) && same("mxcsr", &a->mxcsr, &b->mxcsr, 4) &&
              same("st", a->st, b->st, sizeof(a->st));
    for (unsigned k = 0; k < 16; k++) {
        char name[8];
        snprintf(name, sizeof(name), "xmm%u", k);
        ok = ok && same(name, a->xmm[k], b->xmm[k], 16) &&
             same("upper half", a->ymmh[k], b->ymmh[k], 16);
    }
    for (unsigned k = 0; k < 15; k++)
        if (k != RSP)
            ok = ok && same("gpr", &s->gpr[k], &n->gpr[k], 8);
    u64 fa = s->rflags & FLAGS_ARITH, fb = n->rflags & FLAGS_ARITH;
    return ok && same("flags", &fa, &fb, 8);
}

/* Runs one random encoding of a row both ways; false: this one could not be used. */
static bool one_row(unsigned row, bool unmask)
{
    u8 bytes[16], before[0x100], after[0x100];
    struct insn i;
    encode(&op_rows[row], bytes);
    if (decode(&i, bytes, sizeof(bytes), CODE64) != DECODE_OK || i.row != row || !usable(&i))
        return false;
    random_state(unmask);
    u8 *mem = fx.ram + LOW + 0x1000;
    memcpy(before, mem, sizeof(before));
    memcpy(nat.gpr, fx.cpu->s.gpr, sizeof(nat.gpr));
    nat.rflags = fx.cpu->s.rflags;
    nat.x = fx.cpu->s.x;

    int exc = fx_run(&fx, &i);
    memcpy(after, mem, sizeof(after));
    memcpy(mem, before, sizeof(before));
    native_build(bytes, i.len);
    native_run();
    if (native_faulted != (exc == EXC_XM) || (exc != -1 && exc != EXC_XM)) {
        show(&i, bytes);
        fail_msg("exception %d, the processor %s", exc, native_faulted ? "faults" : "does not");
    }
    if (!compare(&fx.cpu->s, &nat) || !same("memory", after, mem, sizeof(after))) {
        show(&i, bytes);
        fail_msg("differs from the processor");
    }
    return true;
}

static void run_rows(bool unmask)
{
    unsigned rows = 0, runs = 0;
    fx_mode(&fx, FX_LONG_USER);
    for (unsigned row = 1; row < OP_ROWS; row++) {
        const struct op_row *r = &op_rows[row];
        if (!(r->attr & OPA_HOST) || op_exec[r->op] != exec_hostrun || (r->attr & OPA_VSIB) ||
            (r->feature != OP_ANY_CPU && !cpuid_has(fx.cpu->model, (enum feature)r->feature)))
            continue;
        unsigned n = 0, good = 0;
        for (; n < ROUNDS; n++)
            good += one_row(row, unmask);
        if (!good)
            fprintf(stderr, "row %u (%s) was never encoded\n", row, op_names[r->op]);
        rows += good != 0;
        runs += good;
    }
    printf("%u rows, %u runs\n", rows, runs);
    assert_true(rows > 700);
}

static void test_masked(void **state)
{
    run_rows(false);
}

static void test_unmasked(void **state)
{
    take_sigfpe();
    run_rows(true);
}

/* ------------------------------------------------------- exceptions -- */

static void test_checks(void **state)
{
    struct cpu_state *s = &fx.cpu->s;
    fx_mode(&fx, FX_LONG);
    s->cr0 |= CR0_TS;
    assert_int_equal(FX(&fx, 0x0f, 0x58, 0xc1), EXC_NM);       /* addps */
    assert_int_equal(FX(&fx, 0xd8, 0xc1), EXC_NM);             /* fadd */
    assert_int_equal(FX(&fx, 0x0f, 0xfc, 0xc1), EXC_NM);       /* paddb mm */
    assert_int_equal(FX(&fx, 0xc5, 0xf8, 0x58, 0xc1), EXC_NM); /* vaddps */
    assert_int_equal(FX(&fx, 0x9b), EXC_NM);                   /* fwait, MP set */
    s->cr0 = (s->cr0 & ~(u64)CR0_TS) | CR0_EM;
    assert_int_equal(FX(&fx, 0x0f, 0x58, 0xc1), EXC_UD);
    assert_int_equal(FX(&fx, 0x0f, 0xfc, 0xc1), EXC_UD);
    assert_int_equal(FX(&fx, 0xd8, 0xc1), EXC_NM);
    s->cr0 &= ~(u64)CR0_EM;
    s->cr4 &= ~(u64)(CR4_OSFXSR | CR4_OSXSAVE);
    assert_int_equal(FX(&fx, 0x0f, 0x58, 0xc1), EXC_UD);
    assert_int_equal(FX(&fx, 0x0f, 0xfc, 0xc1), -1);
    assert_int_equal(FX(&fx, 0xc5, 0xf8, 0x58, 0xc1), EXC_UD);
    s->cr4 |= CR4_OSFXSR;
    s->gpr[RBX] = 0x10008;
    assert_int_equal(FX(&fx, 0x0f, 0x28, 0x03), EXC_GP); /* movaps, not aligned */
    assert_int_equal(FX(&fx, 0x0f, 0x10, 0x03), -1);     /* movups */
    s->gpr[RBX] = FX_RAM - 8;
    assert_int_equal(FX(&fx, 0x0f, 0x11, 0x03), EXC_PF); /* movups store over the end */
}

static void test_simd_exception(void **state)
{
    struct cpu_state *s = &fx.cpu->s;
    take_sigfpe();
    fx_mode(&fx, FX_LONG);
    s->x.mxcsr = 0x1f80 & ~0x200; /* unmask division by zero */
    float a[4] = {1, 2, 3, 4};
    memcpy(s->x.xmm[0], a, 16);
    memset(s->x.xmm[1], 0, 16);
    assert_int_equal(FX(&fx, 0x0f, 0x5e, 0xc1), EXC_XM); /* divps */
    assert_memory_equal(s->x.xmm[0], a, 16);
    assert_int_equal(s->x.mxcsr, (0x1f80 & ~0x200) | 4);
    s->cr4 &= ~(u64)CR4_OSXMMEXCPT;
    assert_int_equal(FX(&fx, 0x0f, 0x5e, 0xc1), EXC_UD);
}

static void test_x87_exception(void **state)
{
    struct cpu_state *s = &fx.cpu->s;
    fx_mode(&fx, FX_LONG);
    assert_int_equal(FX(&fx, 0xdb, 0xe3), -1); /* fninit */
    s->x.fcw &= ~4;
    assert_int_equal(FX(&fx, 0xd9, 0xe8), -1); /* fld1 */
    assert_int_equal(FX(&fx, 0xd9, 0xee), -1); /* fldz */
    u64 at = s->rip;
    assert_int_equal(FX(&fx, 0xd8, 0xf9), -1); /* fdivr: 1/0, pending */
    assert_int_equal(FX(&fx, 0xdf, 0xe0), -1); /* fnstsw ax */
    assert_int_equal(s->gpr[RAX] & 0x84, 0x84);
    assert_int_equal(s->x.fip, at);
    assert_int_equal(s->x.fop, 0xf9);
    assert_int_equal(FX(&fx, 0xd9, 0xe8), EXC_MF);
    assert_int_equal(FX(&fx, 0x9b), EXC_MF);       /* fwait */
    assert_int_equal(FX(&fx, 0x0f, 0x77), EXC_MF); /* emms */
    s->cr0 &= ~(u64)CR0_NE;
    assert_int_equal(FX(&fx, 0xd9, 0xe8), -1); /* ignored */
    s->cr0 |= CR0_NE;
    assert_int_equal(FX(&fx, 0xdb, 0xe2), -1); /* fnclex */
    assert_int_equal(FX(&fx, 0xd9, 0xe8), -1);
}

/* XSAVE areas that the guest made are read back, by Wirt and by the processor. */
static void test_xsave(void **state)
{
    struct cpu_state *s = &fx.cpu->s;
    struct xsave_area *area = (struct xsave_area *)(fx.ram + LOW), was;
    fx_mode(&fx, FX_LONG_USER);
    random_state(false);
    s->gpr[RBX] = LOW;
    s->gpr[RAX] = s->gpr[RDX] = UINT64_MAX;
    was = s->x;
    memset(area, 0, sizeof(*area));
    assert_int_equal(FX(&fx, 0x48, 0x0f, 0xae, 0x23), -1); /* xsave64 [rbx] */
    assert_int_equal(area->xstate_bv, 7);
    assert_memory_equal(area->xmm, was.xmm, 256);
    assert_memory_equal(area->ymmh, was.ymmh, 256);
    nat.x = *area;
    nat.rflags = 2;
    native_build((const u8[]){0x90}, 1);
    native_run();
    assert_memory_equal(nat.x.xmm, was.xmm, 256);
    assert_memory_equal(nat.x.st, was.st, 128);
    memset(s->x.xmm, 0, 256);
    memset(s->x.ymmh, 0, 256);
    memset(s->x.st, 0, 128);
    assert_int_equal(FX(&fx, 0x48, 0x0f, 0xae, 0x2b), -1); /* xrstor64 [rbx] */
    assert_memory_equal(&s->x, &was, 416);
    assert_memory_equal(s->x.ymmh, was.ymmh, 256);

    memset(area, 0xcc, sizeof(*area));
    memset(s->x.ymmh, 0, 256);
    assert_int_equal(FX(&fx, 0x48, 0x0f, 0xc7, 0x23), -1); /* xsavec64 [rbx] */
    assert_int_equal(area->xstate_bv, 3);
    assert_int_equal(area->xcomp_bv, 7 | BIT64(63));
    assert_int_equal(FX(&fx, 0x48, 0x0f, 0xae, 0x2b), EXC_GP); /* garbage in the header */
    memset(area->rsvd2, 0, sizeof(area->rsvd2));
    memset(s->x.ymmh, 0xff, 256);
    assert_int_equal(FX(&fx, 0x48, 0x0f, 0xae, 0x2b), -1);
    assert_int_equal(s->x.ymmh[3][3], 0);
    area->xcomp_bv = 0;
    area->xstate_bv = 8;
    assert_int_equal(FX(&fx, 0x48, 0x0f, 0xae, 0x2b), EXC_GP);
    area->xstate_bv = 0;
    area->mxcsr = 0x10000;
    assert_int_equal(FX(&fx, 0x48, 0x0f, 0xae, 0x2b), EXC_GP);
    area->mxcsr = 0x1f80;
    assert_int_equal(FX(&fx, 0x48, 0x0f, 0xae, 0x2b), -1);
    assert_int_equal(s->x.fcw, 0x37f);
    assert_int_equal(s->x.xmm[5][0], 0);
    s->gpr[RBX] = LOW + 8;
    assert_int_equal(FX(&fx, 0x48, 0x0f, 0xae, 0x2b), EXC_GP);
}

static void test_environment(void **state)
{
    struct cpu_state *s = &fx.cpu->s;
    fx_mode(&fx, FX_PROT32);
    assert_int_equal(FX(&fx, 0xdb, 0xe3), -1); /* fninit */
    assert_int_equal(FX(&fx, 0xd9, 0xe8), -1); /* fld1 */
    assert_int_equal(FX(&fx, 0xd9, 0xee), -1); /* fldz */
    s->gpr[RBX] = 0x10000;
    struct xsave_area was = s->x;
    assert_int_equal(FX(&fx, 0xd9, 0x33), -1); /* fnstenv [ebx] */
    u32 *env = (u32 *)(fx.ram + 0x10000);
    assert_int_equal(env[0], 0xffff037f);
    assert_int_equal(env[1], 0xffff3000);
    assert_int_equal(env[2], 0xffff1fff);      /* 7 valid, 6 zero, the others empty */
    assert_int_equal(FX(&fx, 0xdd, 0x33), -1); /* fnsave [ebx] */
    assert_int_equal(s->x.ftw, 0);
    assert_int_equal(FX(&fx, 0xdd, 0x23), -1); /* frstor [ebx] */
    assert_int_equal(s->x.ftw, 0xc0);
    assert_memory_equal(s->x.st, was.st, 128);
    assert_int_equal(FX(&fx, 0xdb, 0xe3), -1);
    assert_int_equal(FX(&fx, 0xd9, 0x23), -1); /* fldenv [ebx] */
    assert_int_equal(s->x.fsw, was.fsw);
}

/* Outside 64-bit mode the high bit of VEX.vvvv means nothing. */
static void test_vvvv32(void **state)
{
    struct cpu_state *s = &fx.cpu->s;
    float a[4] = {1, 2, 3, 4}, b[4] = {10, 20, 30, 40}, sum[4] = {11, 22, 33, 44};
    fx_mode(&fx, FX_PROT32);
    memcpy(s->x.xmm[1], a, 16);
    memcpy(s->x.xmm[2], b, 16);
    assert_int_equal(FX(&fx, 0xc4, 0xe1, 0x30, 0x58, 0xc2), -1); /* vaddps xmm0, xmm1, xmm2 */
    assert_memory_equal(s->x.xmm[0], sum, 16);
}

/* A gather that faults keeps what it has, and goes on from there. */
static void test_gather(void **state)
{
    struct cpu_state *s = &fx.cpu->s;
    fx_mode(&fx, FX_LONG);
    s32 index[4] = {0, 4, FX_RAM - 0x10000, 8};
    memcpy(fx.ram + 0x10000, "abcdefghijkl", 12);
    memcpy(s->x.xmm[1], index, 16);
    memset(s->x.xmm[2], 0xff, 16);
    memset(s->x.xmm[0], 0, 16);
    s->gpr[RBX] = 0x10000;
    /* vpgatherdd xmm0, [rbx+xmm1], xmm2 */
    assert_int_equal(FX(&fx, 0xc4, 0xe2, 0x69, 0x90, 0x04, 0x0b), EXC_PF);
    assert_memory_equal(s->x.xmm[0], "abcdefgh", 8);
    assert_int_equal(*(u64 *)s->x.xmm[2], 0);
    index[2] = 4;
    memcpy(s->x.xmm[1], index, 16);
    assert_int_equal(FX(&fx, 0xc4, 0xe2, 0x69, 0x90, 0x04, 0x0b), -1);
    assert_memory_equal(s->x.xmm[0], "abcdefghefghijkl", 16);
    assert_int_equal(*(u64 *)(s->x.xmm[2] + 8), 0);
}

static int setup(void **state)
{
    fx_open(&fx);
    void *low = mmap((void *)LOW, LOW_SIZE, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_FIXED_NOREPLACE, fx.vm.mem.fd, LOW);
    assert_ptr_equal(low, (void *)LOW);
    native_code =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(native_code, MAP_FAILED);
    assert_int_equal(sigaction(SIGFPE, NULL, &hostrun_action), 0);
    return 0;
}

static int teardown(void **state)
{
    fx_close(&fx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masked),        cmocka_unit_test(test_unmasked),
        cmocka_unit_test(test_checks),        cmocka_unit_test(test_simd_exception),
        cmocka_unit_test(test_x87_exception), cmocka_unit_test(test_xsave),
        cmocka_unit_test(test_environment),   cmocka_unit_test(test_gather),
        cmocka_unit_test(test_vvvv32),
    };
    return cmocka_run_group_tests_name("hostrun", tests, setup, teardown);
}
