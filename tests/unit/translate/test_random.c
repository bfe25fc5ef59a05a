/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs, run by the translator and by the interpreter: registers, flags, vector and x87
 * state and memory must agree at the end.
 *
 * A program is a few hundred random instructions from the op table, with conditional jumps forward,
 * calls, loops, and runs of accesses by one register.  Memory operands are made to point into a
 * data area, now and then across a page. Arguments: how many programs, and the first seed (to
 * repeat a failure).
 */
#include "machine.h"

enum {
    DATA = 0x200000,
    DATA_SIZE = 0x10000,
    STACK = 0x300000,
    FUNCS = 0x180000,
    INSNS = 200,
};

static u64 seed, programs = 400, first_seed = 1, insns = INSNS;

static u64 rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* ------------------------------------------------------------ programs -- */

struct prog {
    u8 *p;
    bool long_mode;
};

static void put(struct prog *g, const void *p, size_t n)
{
    memcpy(g->p, p, n);
    g->p += n;
}

static void put_mov(struct prog *g, unsigned reg, u64 v)
{
    if (g->long_mode)
        *g->p++ = (u8)(0x48 | reg >> 3);
    *g->p++ = (u8)(0xb8 | (reg & 7));
    put(g, &v, g->long_mode ? 8 : 4);
}

/* Which instructions a program may have: no faults of their own, no privilege, no control flow. */
static bool wanted(const struct insn *i)
{
    const struct op_row *r = &op_rows[i->row];

    if (r->attr & (OPA_CPL0 | OPA_IOPL | OPA_END | OPA_VSIB))
        return false;
    if (i->addrsize == 2 || (i->has_mem && i->seg >= FS))
        return false;
    if (i->has_mem && i->addrsize != (i->mode == CODE64 ? 8 : 4))
        return false;
    switch (i->op) {
    case OP_none:
    case OP_rdrand:
    case OP_rdseed:
    case OP_rdtsc:
    case OP_rdtscp:
    case OP_cpuid:
    case OP_std:
    case OP_fxrstor:
    case OP_xrstor:
    case OP_xsave:
    case OP_xsaveopt:
    case OP_xsavec:
    case OP_fxsave:
    case OP_ldmxcsr:
    case OP_fldcw:
    case OP_fldenv:
    case OP_fnstenv:
    case OP_fnsave:
    case OP_frstor:
    case OP_movsr:
    case OP_enter:
    case OP_leave:
    case OP_popa:
    case OP_pusha:
    case OP_bound:
    case OP_les:
    case OP_lds:
    case OP_lss:
    case OP_lfs:
    case OP_lgs:
    case OP_xlat:
    case OP_wrfsbase:
    case OP_wrgsbase:
        return false;
    default:
        break;
    }
    for (unsigned n = 0; n < i->nops; n++) {
        const struct operand *o = &i->opnd[n];
        u8 k = o->kind;
        if (k == OPND_SREG || k == OPND_CR || k == OPND_DR || k == OPND_STR_SRC ||
            k == OPND_STR_DST || r->mode[n] == AM_DI || o->size == 255)
            return false;
        if (k == OPND_GPR && o->reg == RSP && r->access[n] & OPN_W)
            return false;
        if (k == OPND_GPR8H || (k == OPND_GPR && o->size == 1)) {
            if (o->reg == RSP && k == OPND_GPR)
                return false;
        }
    }
    if (i->base == MEM_RIP || (i->has_mem && !i->has_modrm))
        return false;
    return true;
}

/* One random instruction, after what makes its operands right. */
static void random_insn(struct prog *g)
{
    static const u8 common[] = {0x01, 0x03, 0x29, 0x2b, 0x39, 0x3b, 0x89, 0x8b, 0x88, 0x8a,
                                0x83, 0x81, 0xc1, 0xd3, 0x8d, 0xff, 0xf7, 0x85, 0x50, 0x58,
                                0x31, 0x11, 0x19, 0x21, 0x09, 0x87, 0xc7, 0x69, 0x63, 0xd1};
    u8 b[16];
    struct insn i;

    for (;;) {
        unsigned n = 0;
        u64 r = rnd();
        for (unsigned k = 0; k < 16; k++)
            b[k] = (u8)rnd();
        if ((r & 7) == 0)
            b[n++] = 0x66;
        if (g->long_mode && (r & 0x30))
            b[n++] = 0x40 | (r >> 8 & 15);
        if (r & 0x800)
            b[n++] = 0x0f;
        else if (r & 0x7000)
            b[n++] = common[rnd() % sizeof(common)];
        if (r >> 20 & 1 && b[n] < 0xc0 && (b[n] & 7) != 5)
            b[n] = (b[n] & 7) | 0x80 | (b[n] & 0x38); /* more memory operands */
        if (decode(&i, b, 16, g->long_mode ? CODE64 : CODE32) == DECODE_OK && wanted(&i) &&
            (op_rows[i.row].feature == OP_ANY_CPU || 1))
            break;
    }
    if (i.has_mem && i.op != OP_lea && i.op != OP_nop) {
        u64 at = DATA + 256 + rnd() % (DATA_SIZE - 1024);
        if (rnd() & 3)
            at &= ~63ull;
        else if (!(rnd() & 7))
            at = (at & ~0xfffull) | (0xff0 + (rnd() & 15));
        u64 index = rnd() & 31;
        if (i.index == i.base)
            i.index = MEM_NONE; /* base + index: solved below */
        if (i.base == RSP || i.base == MEM_NONE || (i.index != MEM_NONE && i.index == RSP))
            return;
        const struct operand *bit = &i.opnd[1];
        if ((i.op == OP_bt || i.op == OP_bts || i.op == OP_btr || i.op == OP_btc) &&
            bit->kind == OPND_GPR) {
            if (bit->reg == i.base || bit->reg == i.index)
                return;
            put_mov(g, bit->reg, rnd() & 1023);
        }
        u8 sib_index = 0;
        struct insn again;
        decode(&again, b, 16, g->long_mode ? CODE64 : CODE32);
        if (again.index != MEM_NONE && again.index == again.base)
            return;
        (void)sib_index;
        if (i.index != MEM_NONE) {
            put_mov(g, i.index, index);
            put_mov(g, i.base, at - (u64)i.disp - (index << i.scale));
        } else {
            put_mov(g, i.base, at - (u64)i.disp);
        }
    }
    if (i.op == OP_div || i.op == OP_idiv) {
        if (rnd() & 3) {
            put_mov(g, RDX, rnd() & 1 ? 0 : rnd() & 15);
        }
        if (i.has_mem && (i.base == RDX || i.index == RDX))
            return;
    }
    put(g, b, i.len);
    if (op_rows[i.row].flags_undefined) /* cmp eax, ebx: what is not defined is not compared */
        put(g, "\x39\xd8", 2);
}

/* One instruction with [base + disp8], which leaves the base alone; false: none was found. */
static bool random_field(struct prog *g, u8 base, u64 at)
{
    for (unsigned try = 0; try < 10000; try++) {
        u8 b[16];
        struct insn i;
        bool lost = false;
        unsigned k = 0;

        for (unsigned x = 0; x < 16; x++)
            b[x] = (u8)rnd();
        if (g->long_mode && (b[15] & 3))
            b[k++] = 0x40 | (b[14] & 12);
        if (b[15] & 0x10)
            b[k++] = 0x0f;
        b[k + 1] = (u8)(0x40 | (b[k + 1] & 0x38) | base);
        b[k + 2] &= 0xbf;
        if (decode(&i, b, 16, g->long_mode ? CODE64 : CODE32) != DECODE_OK || !wanted(&i) ||
            !i.has_mem || i.base != base || i.index != MEM_NONE || i.op == OP_div ||
            i.op == OP_idiv || (i.op >= OP_bt && i.op <= OP_bts && i.opnd[1].kind != OPND_IMM))
            continue;
        if (op_rows[i.row].attr & OPA_ALIGN && rnd() & 63) { /* aligned, but now and then */
            if (at & 15)
                continue;
            b[k + 2] &= 0xf0;
        }
        for (unsigned n = 0; n < i.nops; n++)
            lost |= op_rows[i.row].access[n] & OPN_W &&
                    (i.opnd[n].kind == OPND_GPR || i.opnd[n].kind == OPND_GPR8H) &&
                    (i.opnd[n].reg == base || i.opnd[n].reg == RSP ||
                     (i.opnd[n].size == 1 && i.opnd[n].reg + 4 == base));
        if (lost)
            continue;
        put(g, b, i.len);
        if (op_rows[i.row].flags_undefined)
            put(g, "\x39\xd8", 2);
        return true;
    }
    return false;
}

/* The fields of a structure: several accesses by one register that keeps its value or moves a
 * little, here and there one that is jumped over, with pushes and pops in between. */
static void random_fields(struct prog *g)
{
    static const u8 bases[] = {RBX, RBP, RSI, RDI};
    u8 base = bases[rnd() & 3], *jump = NULL;
    u64 at = DATA + 4096 + rnd() % (DATA_SIZE - 8192);

    at = rnd() & 3 ? at & ~63ull : (at & ~0xfffull) | (0xf80 + (rnd() & 127));
    put_mov(g, base, at);
    for (unsigned n = 0; n < 12; n++) {
        u64 r = rnd();
        if (jump && (r & 3) == 0) {
            *jump = (u8)(g->p - jump - 1);
            jump = NULL;
        }
        if ((r & 0x70) == 0) { /* the base moves: add base, imm8 */
            if (g->long_mode)
                *g->p++ = 0x48;
            put(g, (const u8[]){0x83, (u8)(0xc0 | base), (u8)(r >> 8 & 0x30)}, 3);
        } else if ((r & 0x70) == 0x10) { /* push rcx; pop rdx */
            put(g, r & 0x100 ? "\x51\x90\x5a" : "\x51\x51\x5a\x5a", r & 0x100 ? 3 : 4);
        } else if ((r & 0x70) == 0x20 && !jump) {
            *g->p++ = (u8)(0x70 | (r >> 8 & 15));
            jump = g->p++;
        }
        if (!random_field(g, base, at))
            break;
    }
    if (jump)
        *jump = (u8)(g->p - jump - 1);
}

static void make_program(struct machine *m, bool long_mode)
{
    struct prog g = {m->vm.mem.hva + CODE, long_mode};

    memset(m->vm.mem.hva + CODE, 0xf4, 0x40000);
    memset(m->vm.mem.hva + FUNCS, 0xf4, 0x1000);
    for (unsigned n = 0; n < insns; n++) {
        u64 r = rnd();
        if ((r & 15) == 0) { /* jcc over a few */
            u8 *at = g.p;
            g.p += 2;
            for (unsigned k = 0; k < 1 + (r >> 8 & 1); k++)
                random_insn(&g);
            at[0] = (u8)(0x70 | (r >> 16 & 15));
            at[1] = (u8)(g.p - at - 2);
            if (g.p - at - 2 > 127)
                g.p = at;
        } else if ((r & 31) == 5) {
            random_fields(&g);
        } else if ((r & 31) == 1) { /* a call over a few and back: call +1; jmp +1...; ret */
            static const u8 code[] = {0xe8, 2, 0, 0, 0, 0xeb, 1, 0xc3};
            put(&g, code, sizeof(code));
        } else if ((r & 63) == 2) { /* a loop */
            put_mov(&g, RCX, 1 + (r >> 8 & 7));
            u8 *at = g.p;
            random_insn(&g);
            struct insn i;
            bool bad = g.p == at || g.p - at > 100;
            for (u8 *q = at; q < g.p && !bad; q += i.len) {
                if (decode(&i, q, 16, long_mode ? CODE64 : CODE32) != DECODE_OK)
                    break;
                for (unsigned k = 0; k < i.nops; k++)
                    bad |= i.opnd[k].kind == OPND_GPR8H || i.opnd[k].kind == OPND_GPR;
                bad |= op_rows[i.row].attr & OPA_IMP;
            }
            if (bad) {
                g.p = at;
                continue;
            }
            *g.p = 0xe2;
            g.p[1] = (u8)(at - g.p - 2);
            g.p += 2;
        } else {
            random_insn(&g);
        }
    }
    *g.p = 0xf4; /* hlt */
}

/* ------------------------------------------------------------ comparing -- */

static void dump_program(struct machine *m, u64 rip, bool long_mode)
{
    const u8 *p = m->vm.mem.hva + CODE, *end = p + 0x20000;
    char text[100];
    struct insn i;

    for (u64 at = CODE; p < end; p += i.len, at += i.len) {
        if (decode(&i, p, 16, long_mode ? CODE64 : CODE32) != DECODE_OK || i.op == OP_hlt)
            break;
        insn_print(&i, at, text, sizeof(text));
        printf("%s%llx: %s\n", at == rip ? "*" : " ", (unsigned long long)at, text);
    }
}

static bool same(const char *what, u64 a, u64 b)
{
    if (a != b)
        printf("%s: soft %llx interp %llx\n", what, (unsigned long long)a, (unsigned long long)b);
    return a == b;
}

static bool compare(struct machine *soft, struct machine *interp, bool flags)
{
    const struct cpu_state *a = &soft->c->s, *b = &interp->c->s;
    bool ok = same("rip", a->rip, b->rip);
    char name[16];

    for (unsigned r = 0; r < 16; r++) {
        snprintf(name, sizeof(name), "gpr%u", r);
        ok &= same(name, a->gpr[r], b->gpr[r]);
    }
    if (flags)
        ok &= same("rflags", a->rflags, b->rflags);
    ok &= same("fcw", a->x.fcw, b->x.fcw);
    ok &= same("fsw", a->x.fsw, b->x.fsw);
    ok &= same("ftw", a->x.ftw, b->x.ftw);
    ok &= same("mxcsr", a->x.mxcsr, b->x.mxcsr);
    for (unsigned r = 0; r < 16; r++) {
        snprintf(name, sizeof(name), "xmm%u", r);
        ok &= same(name, !!memcmp(a->x.xmm[r], b->x.xmm[r], 16), 0);
        ok &= same(name, !!memcmp(a->x.ymmh[r], b->x.ymmh[r], 16), 0);
        if (r < 8)
            ok &= same("st", !!memcmp(a->x.st[r], b->x.st[r], 10), 0);
    }
    for (u64 n = 0; n < RAM; n += 8) {
        u64 x = *(u64 *)(soft->vm.mem.hva + n), y = *(u64 *)(interp->vm.mem.hva + n);
        if (x != y) {
            printf("memory at %llx\n", (unsigned long long)n);
            ok = same("memory", x, y);
            break;
        }
    }
    return ok;
}

static void run_interp(struct machine *m)
{
    for (unsigned n = 0; n < 100000 && !m->c->s.halted && !m->c->triple_fault; n++)
        interp_step(m->c);
}

static void run_soft(struct machine *m)
{
    struct soft *sc = (struct soft *)m->c;

    soft_bind(sc);
    for (unsigned n = 0; n < 100000 && !m->c->s.halted && !m->c->triple_fault; n++)
        soft_turn(sc);
    vec_save(sc);
}

static void one(struct machine *soft, struct machine *interp, u64 n)
{
    struct cpu_state start = {0};
    bool long_mode = n & 1;
    u64 first;

    seed = n * 0x9e3779b97f4a7c15ull + 1;
    for (unsigned k = 0; k < 10; k++)
        rnd();
    first = seed;
    for (unsigned r = 0; r < 16; r++)
        start.gpr[r] = long_mode ? rnd() : (r < 8 ? (u32)rnd() : 0);
    start.gpr[RSP] = STACK + (rnd() & 0xff8);
    start.rflags = rnd() & FLAGS_ARITH;
    start.x.fcw = 0x37f;
    start.x.mxcsr = 0x1f80;
    start.x.xstate_bv = 7;
    for (unsigned r = 0; r < (long_mode ? 16 : 8); r++) {
        for (unsigned k = 0; k < 16; k++) {
            start.x.xmm[r][k] = (u8)rnd();
            start.x.ymmh[r][k] = (u8)rnd();
        }
    }
    for (u64 k = 0; k < DATA_SIZE; k += 8)
        *(u64 *)(soft->vm.mem.hva + DATA + k) = rnd();
    memset(soft->vm.mem.hva + STACK - 0x10000, 0x5a, 0x12000);
    make_program(soft, long_mode);
    set_state(soft, long_mode, &start);
    memcpy(interp->vm.mem.hva, soft->vm.mem.hva, RAM);
    set_state(interp, long_mode, &start);
    cache_wrote((struct soft *)soft->c, 0, RAM);
    for (u64 page = 0; page < RAM >> PAGE_SHIFT; page++) {
        interp->vm.mem.page_gen[page]++;
        soft->vm.mem.page_gen[page]++;
    }
    run_interp(interp);
    run_soft(soft);
    (void)first;
    if (!compare(soft, interp, !interp->c->triple_fault)) {
        dump_program(soft, interp->c->s.rip, long_mode);
        fail_msg("program %llu differs", (unsigned long long)n);
    }
}

static void test_random(void **state)
{
    struct machine *soft = calloc(1, sizeof(*soft)), *interp = calloc(1, sizeof(*interp));

    open_machine(soft, &engine_soft, false);
    open_machine(interp, &engine_interp, false);
    for (u64 n = first_seed; n < first_seed + programs; n++)
        one(soft, interp, n);
    vm_destroy(&soft->vm);
    vm_destroy(&interp->vm);
    free(soft);
    free(interp);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};

    if (argc > 1)
        programs = strtoull(argv[1], NULL, 0);
    if (argc > 2)
        first_seed = strtoull(argv[2], NULL, 0);
    if (argc > 3)
        insns = strtoull(argv[3], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
