/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every user-mode row of the op table, on the real processor and on an engine: registers, flags
 * (save those that the table calls undefined), vector and x87 state, memory, faults.
 *
 *   test_insn [--engine interp|soft|kvm] [--count N] [--seed N] [--row MNEMONIC] [--mode 16|32|64]
 *             [--verbose]
 *
 * On a KVM that is no whole processor (kvm/trial.h) only 64-bit cases run, and what differs there
 * is the host's: `skipped`.
 *
 * count: cases a row and mode.  Not compared: the x87 instruction and data pointers (processors
 * differ in when they keep them), RF, and what make.c's row_skipped() names.
 */
#include "insn_test.h"

#include "kvm/trial.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const struct engine_ops *engine;
    unsigned count;
    u64 seed;
    const char *row;
    unsigned mode; /* 0 = all */
    bool verbose;
};

struct totals {
    u64 cases, ran, wrong;
    unsigned rows, rows_wrong, never_ran;
};

static const char *const reg_names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

static bool ran(const struct insn_result *r)
{
    return r->vector == EXC_BP || r->vector == EXC_DB;
}

static u64 flags_compared(const struct insn_case *c, const struct insn_result *native)
{
    u64 mask = FLAGS_ARITH | FLAG_DF | FLAG_AC | FLAG_NT | FLAG_ID | FLAG_IF | FLAG_IOPL;
    return ran(native) ? mask & ~(u64)op_rows[c->insn.row].flags_undefined : mask;
}

/* Where processors differ from each other, or two faults compete. */
static bool vector_differs(const struct insn_case *c, const struct insn_result *n,
                           const struct insn_result *g)
{
    const struct op_row *r = &op_rows[c->insn.row];
    /* which string is read first; whether the push or the target faults first */
    if ((r->op == OP_cmps || r->op == OP_call) && !ran(n) && !ran(g))
        return false;
    /* which part of a state image is looked at first */
    if (c->size == 255 && !ran(n) && !ran(g))
        return false;
    if (n->vector == g->vector && n->error == g->error)
        return n->vector == EXC_PF && n->cr2 != g->cr2;
    /* unaligned and not canonical, both */
    return !(r->attr & OPA_ALIGN && n->vector == EXC_GP && g->vector == EXC_SS);
}

/* CMPXCHG that fails writes its 32-bit register back on Intel, and does not on AMD. */
static bool cmpxchg_keeps(const struct insn_case *c, const struct insn_result *n, unsigned reg)
{
    const struct operand *o = &c->insn.opnd[0];
    return c->insn.op == OP_cmpxchg && o->kind == OPND_GPR && o->size == 4 && o->reg == reg &&
           n->gpr[reg] == c->gpr[reg];
}

/* Takes out of a state image what differs between processors: the x87's instruction and data
 * pointers, MXCSR_MASK, which components are said to be in their initial state. */
static void clean_image(const struct insn_case *c, u8 *data)
{
    u8 *image = data + c->target;
    switch (c->insn.op) {
    case OP_fnstenv:
    case OP_fnsave:
        if (c->insn.opsize == 2)
            memset(image + 6, 0, 8);
        else
            memset(image + 12, 0, 16);
        break;
    case OP_xsave:
    case OP_xsavec:
        memset(image + 512, 0, 8);
        /* fall through */
    case OP_fxsave:
        memset(image + 6, 0, 18);
        memset(image + 28, 0, 4);
        break;
    default:
        break;
    }
}

/* The host's kernel is mapped where the guest has nothing. */
static bool incomparable(const struct insn_result *n)
{
    return n->vector == EXC_PF && n->error & PF_P && n->cr2 >> 63;
}

/* Writes what differs to f (NULL: only asks). */
static bool differ(const struct insn_case *c, const struct insn_result *n,
                   const struct insn_result *g, FILE *f)
{
    bool d = false;
    u64 flags = (n->rflags ^ g->rflags) & flags_compared(c, n);
    const struct op_row *row = &op_rows[c->insn.row];
    /* An instruction that faults may have changed the x87 from x87 to MMX use before; a gather may
     * have got some elements. */
    bool x87 = ran(n) || row->unit != UNIT_mmx, vectors = ran(n) || !(row->attr & OPA_VSIB);
    bool popa = c->insn.op == OP_popa; /* may have popped some when it faults */
    if (vector_differs(c, n, g)) {
        d = true;
        if (f)
            fprintf(f,
                    "    vector %u error %" PRIx64 " cr2 %" PRIx64 ", engine: %u %" PRIx64
                    " %" PRIx64 "\n",
                    n->vector, n->error, n->cr2, g->vector, g->error, g->cr2);
    }
    if (n->rip != g->rip) {
        d = true;
        if (f)
            fprintf(f, "    rip %" PRIx64 ", engine: %" PRIx64 "\n", n->rip, g->rip);
    }
    if (flags) {
        d = true;
        if (f)
            fprintf(f, "    rflags %" PRIx64 ", engine: %" PRIx64 " (was %" PRIx64 ")\n", n->rflags,
                    g->rflags, c->rflags);
    }
    for (unsigned r = 0; r < (c->insn.mode == CODE64 ? 16 : 8); r++)
        if (n->gpr[r] != g->gpr[r] && !cmpxchg_keeps(c, n, r) && !(popa && !ran(n))) {
            d = true;
            if (f)
                fprintf(f, "    %s %" PRIx64 ", engine: %" PRIx64 " (was %" PRIx64 ")\n",
                        reg_names[r], n->gpr[r], g->gpr[r], c->gpr[r]);
        }
    if ((x87 && (n->x.fcw != g->x.fcw || n->x.fsw != g->x.fsw || n->x.ftw != g->x.ftw)) ||
        n->x.mxcsr != g->x.mxcsr) {
        d = true;
        if (f)
            fprintf(f, "    fcw %x fsw %x ftw %x mxcsr %x, engine: %x %x %x %x (was %x %x %x %x)\n",
                    n->x.fcw, n->x.fsw, n->x.ftw, n->x.mxcsr, g->x.fcw, g->x.fsw, g->x.ftw,
                    g->x.mxcsr, c->x.fcw, c->x.fsw, c->x.ftw, c->x.mxcsr);
    }
    for (unsigned r = 0; x87 && r < 8; r++)
        if (memcmp(n->x.st[r], g->x.st[r], 10)) {
            d = true;
            if (f)
                fprintf(f, "    st%u\n", r);
        }
    for (unsigned r = 0; vectors && r < (c->insn.mode == CODE64 ? 16 : 8); r++)
        if (memcmp(n->x.xmm[r], g->x.xmm[r], 16) ||
            (!c->no_avx && memcmp(n->x.ymmh[r], g->x.ymmh[r], 16))) {
            d = true;
            if (f)
                fprintf(f, "    ymm%u\n", r);
        }
    if (memcmp(n->data, g->data, DATA_SIZE)) {
        d = true;
        for (unsigned o = 0; f && o < DATA_SIZE; o++)
            if (n->data[o] != g->data[o]) {
                fprintf(f, "    memory %llx (image %x): %02x, engine: %02x (was %02x)\n",
                        (unsigned long long)DATA_BASE + o, c->target ? o - c->target : 0,
                        n->data[o], g->data[o], c->data[o]);
                break;
            }
    }
    return d;
}

static void report(const struct insn_case *c, const struct insn_result *n,
                   const struct insn_result *g)
{
    char text[128];
    insn_print(&c->insn, case_rip(c), text, sizeof(text));
    fprintf(stderr, "%u bits: %s (", c->insn.mode * 8, text);
    for (unsigned k = 0; k < c->insn.len; k++)
        fprintf(stderr, "%s%02x", k ? " " : "", c->code[k]);
    fprintf(stderr, "): vector %u\n", n->vector);
    differ(c, n, g, stderr);
}

/*
 * Is the table right about flags, as the translator takes it?  Runs the case again on the processor
 * with every flag turned that the row does not read: nothing else may come out than before, flags
 * not written must be as they went in, and those cleared or set must be.
 */
static bool flags_as_told(struct insn_case *c, const struct insn_result *first)
{
    static struct insn_result again;
    const struct op_row *r = &op_rows[c->insn.row];
    u64 arith = FLAGS_ARITH, turned = arith & ~(u64)r->flags_read;
    u64 written = r->flags_written & arith, defined = written & ~(u64)r->flags_undefined;
    u64 in = c->rflags;
    bool ok = !((first->rflags ^ in) & arith & ~written);
    if (r->attr & OPA_COND && !((first->rflags ^ in) & arith))
        return ok;
    ok &= !(first->rflags & r->flags_cleared & arith);
    ok &= (first->rflags & r->flags_set & arith) == (r->flags_set & arith);
    c->rflags ^= turned;
    native_run(c, &again);
    c->rflags = in;
    ok &= again.vector == first->vector && again.rip == first->rip;
    ok &= !((again.rflags ^ first->rflags) & defined);
    ok &= !((again.rflags ^ in ^ turned) & arith & ~written);
    ok &= !memcmp(again.gpr, first->gpr, sizeof(again.gpr));
    ok &= c->target || !memcmp(again.data, first->data, DATA_SIZE);
    ok &= !memcmp(again.x.xmm, first->x.xmm, sizeof(again.x.xmm));
    ok &= !memcmp(again.x.st, first->x.st, sizeof(again.x.st));
    return ok;
}

static void run_row(const struct options *o, struct guest *g, const struct op_row *r,
                    enum code_mode mode, struct totals *t)
{
    static struct insn_case c;
    static struct insn_result native, engine;
    u64 seed = o->seed + (r - op_rows) * 0x9e3779b97f4a7c15ull + mode;
    unsigned cases = 0, wrong = 0, table_wrong = 0, ok = 0;
    for (unsigned tries = 0; cases < o->count && tries < o->count * 20; tries++) {
        if (!case_make(&c, r, mode, &seed))
            continue;
        cases++;
        c.no_avx = !guest_has_avx(g);
        native_run(&c, &native);
        guest_run(g, &c, &engine);
        if (c.target && ran(&native)) {
            clean_image(&c, native.data);
            clean_image(&c, engine.data);
        }
        ok += ran(&native);
        if (ran(&native) && cases % 4 == 0 && !flags_as_told(&c, &native) && table_wrong++ < 2) {
            fprintf(stderr, "the table is wrong about flags:\n");
            report(&c, &native, &engine);
        }
        if (!incomparable(&native) && differ(&c, &native, &engine, NULL) && wrong++ < 2)
            report(&c, &native, &engine);
    }
    if (o->verbose || wrong || (cases && !ok && !(r->attr & OPA_CPL0)))
        fprintf(stderr, "%-12s %02x mode %u: %u cases, %u ran, %u differ\n", op_names[r->op],
                r->opcode, mode * 8, cases, ok, wrong);
    t->cases += cases;
    t->ran += ok;
    t->wrong += wrong + table_wrong;
    t->rows += cases > 0;
    t->rows_wrong += wrong + table_wrong > 0;
}

static bool parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){.engine = &engine_interp, .count = 200, .seed = 1};
    for (int n = 1; n < argc; n++) {
        const char *v = n + 1 < argc ? argv[n + 1] : NULL;
        if (!strcmp(argv[n], "--verbose")) {
            o->verbose = true;
            continue;
        }
        if (!v)
            return false;
        if (!strcmp(argv[n], "--engine"))
            o->engine = !strcmp(v, "soft")  ? &engine_soft
                        : !strcmp(v, "kvm") ? &engine_kvm
                                            : &engine_interp;
        else if (!strcmp(argv[n], "--count"))
            o->count = strtoul(v, NULL, 0);
        else if (!strcmp(argv[n], "--seed"))
            o->seed = strtoull(v, NULL, 0);
        else if (!strcmp(argv[n], "--row"))
            o->row = v;
        else if (!strcmp(argv[n], "--mode"))
            o->mode = strtoul(v, NULL, 0);
        else
            return false;
        n++;
    }
    return true;
}

int main(int argc, char **argv)
{
    static const enum code_mode modes[] = {CODE64, CODE32, CODE16};
    struct options o;
    struct totals t = {0};
    struct kvm_trial trial = {0};
    if (!parse(&o, argc, argv)) {
        fprintf(stderr, "usage: test_insn [--engine E] [--count N] [--seed N] [--row MNEMONIC]"
                        " [--mode 16|32|64] [--verbose]\n");
        return 2;
    }
    if (o.engine == &engine_kvm) {
        kvm_trial(&trial, false);
        if (!(trial.modes & MODE_LONG)) {
            printf("skipped: /dev/kvm: %s\n", trial.why);
            return 77;
        }
    }
    struct guest *g = guest_open(o.engine);
    if (!g)
        return 2;
    if (!native_open()) {
        fprintf(stderr, "this host cannot take part: FSGSBASE, AVX2 or fixed addresses missing\n");
        return 77; /* Meson: skipped */
    }
    for (unsigned n = 1; n < OP_ROWS; n++) {
        const struct op_row *r = &op_rows[n];
        if ((o.row && strcmp(op_names[r->op], o.row)) || row_skipped(r) || !guest_offers(g, r))
            continue;
        for (unsigned m = 0; m < ARRAY_SIZE(modes); m++)
            if ((!o.mode || o.mode == modes[m] * 8u) && native_has(modes[m]) &&
                (modes[m] == CODE64 || !*trial.why))
                run_row(&o, g, r, modes[m], &t);
    }
    if (o.verbose)
        guest_stats(g);
    guest_close(g);
    printf("%u rows, %" PRIu64 " cases, %" PRIu64 " ran, %" PRIu64 " differ in %u rows\n", t.rows,
           t.cases, t.ran, t.wrong, t.rows_wrong);
    if (t.wrong && *trial.why) {
        printf("skipped: the KVM of this host is no whole processor: %s\n", trial.why);
        return 77;
    }
    return t.wrong ? 1 : 0;
}
