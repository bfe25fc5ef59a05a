/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs in ring 3, on the host's processor and in the interpreter: at each system call,
 * interrupt and fault registers, flags, vectors, what was pushed and the program's memory must
 * agree, at the end all memory, with the A and D bits of the page tables.
 *
 * Between random instructions (translate/program.h) are those that leave the program or are not to
 * be the host's: calls, software interrupts, faults of all kinds, CPUID, POPF with TF or AC, code
 * that is rewritten.  The kernel is a HLT behind each gate; the test then sends the program on
 * behind what faulted.
 *
 * Arguments: how many programs, the first seed (to repeat a failure), seconds (0: no limit).
 */
#include "../translate/program.h"

#include "cpu/exception.h"
#include "direct/direct.h"

#include <time.h>

enum {
    PML4 = 0x1000,
    PDPT_LOW = 0x2000,
    PD_LOW = 0x3000,
    PDPT_HIGH = 0x4000,
    PD_HIGH = 0x5000,
    PT = 0x6000, /* two of them */
    GDT = 0x8000,
    IDT = 0x9000,
    GATES = 0xa000, /* a HLT for each vector, and one for SYSCALL */
    CALL_GATE = GATES + 256,
    TSS = 0xb000,
    KSTACK = 0xd000,
    INSNS = 150,
    STOPS_MAX = 2000,
    END = 0x81, /* the program's last interrupt */
    KCS = 0x08,
    UCS = 0x33,
    UDS = 0x2b,
};

/* The program's half, where pages with SYSCALL may be executed. */
#define HIGH 0x550000000000ull

static u64 programs = 150, first_seed = 1, seconds;

/* ------------------------------------------------------------ the machine -- */

static void put64(struct machine *m, u64 at, u64 v)
{
    memcpy(m->vm.mem.hva + at, &v, sizeof(v));
}

/* Some pages are read-only or not there; A and D are set or not. */
static u64 random_pte(u64 gpa)
{
    u64 r = rnd(), pte = gpa | 1 | 4;

    if (gpa < CODE)
        return 0;
    if (gpa >= DATA && gpa < DATA + DATA_SIZE) {
        pte |= r & 0x1f0 ? 2 : 0;
        pte &= r & 0x1f000 ? ~0ull : ~1ull;
    } else {
        pte |= 2;
    }
    if (r >> 32 & 1)
        pte |= 0x20 | (r >> 33 & 1 ? 0x40 : 0);
    return pte;
}

static void make_tables(struct machine *m)
{
    memset(m->vm.mem.hva, 0, KSTACK);
    put64(m, PML4, PDPT_LOW | 0x27);
    put64(m, PDPT_LOW, PD_LOW | 0x27);
    put64(m, PD_LOW, 0xe3);
    put64(m, PD_LOW + 8, 0x200000 | 0xe3);
    put64(m, PML4 + 8 * (HIGH >> 39), PDPT_HIGH | 7);
    put64(m, PDPT_HIGH, PD_HIGH | 7);
    put64(m, PD_HIGH, PT | 7);
    put64(m, PD_HIGH + 8, (PT + 0x1000) | 7);
    for (u64 n = 0; n < RAM >> 12; n++)
        put64(m, PT + 8 * n, random_pte(n << 12));
    put64(m, GDT + 0x08, 0x00af9b000000ffff);
    put64(m, GDT + 0x10, 0x00cf93000000ffff);
    put64(m, GDT + 0x20, 0x00cffb000000ffff);
    put64(m, GDT + 0x28, 0x00cff3000000ffff);
    put64(m, GDT + 0x30, 0x00affb000000ffff);
    for (u64 v = 0; v < 256; v++) {
        u64 to = GATES + v, dpl = v == 3 || v == 4 || v == 0x80 || v == END ? 3 : 0;
        put64(m, IDT + 16 * v,
              (to & 0xffff) | KCS << 16 | (0x8e00 | dpl << 13) << 32 | to >> 16 << 48);
        m->vm.mem.hva[to] = 0xf4;
    }
    m->vm.mem.hva[CALL_GATE] = 0xf4;
    put64(m, TSS + 4, KSTACK);
}

static void to_ring3(struct cpu *c, u64 rip, u64 rsp, u64 flags)
{
    for (unsigned n = 0; n < SEG_COUNT; n++) {
        u64 base = n >= FS ? c->s.seg[n].base : 0;
        c->s.seg[n] = (struct segment){.base = base};
    }
    c->s.seg[CS] = (struct segment){.sel = UCS, .limit = UINT32_MAX, .attr = 0xfb | SEG_G | SEG_L};
    c->s.seg[SS] = (struct segment){.sel = UDS, .limit = UINT32_MAX, .attr = 0xf3 | SEG_G | SEG_DB};
    c->s.rip = rip;
    c->s.gpr[RSP] = rsp;
    c->s.rflags = (flags & (FLAGS_ARITH | FLAG_DF | FLAG_AC | FLAG_ID)) | FLAG_IF | FLAG_1;
    c->s.halted = false;
    cpu_derive(c);
}

static void begin(struct machine *m, const struct cpu_state *start)
{
    struct cpu *c = m->c;

    cpu_state_reset(&c->s, true);
    c->s.cr0 = CR0_ET | CR0_NE | CR0_MP | CR0_PE | CR0_PG | CR0_WP;
    c->s.cr3 = PML4;
    c->s.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_PAE | CR4_FSGSBASE;
    c->s.efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    c->s.xcr0 = 7;
    c->s.gdtr.base = GDT;
    c->s.gdtr.limit = 0x37;
    c->s.idtr.base = IDT;
    c->s.idtr.limit = 0xfff;
    c->s.tr = (struct segment){.sel = 0x38, .base = TSS, .limit = 0x67, .attr = 0x8b};
    c->s.star = (u64)(0x20 | 3) << 48 | (u64)KCS << 32;
    c->s.lstar = CALL_GATE;
    c->s.sfmask = 0x47700;
    memcpy(c->s.gpr, start->gpr, sizeof(c->s.gpr));
    c->s.x = start->x;
    c->triple_fault = false;
    to_ring3(c, HIGH + CODE, start->gpr[RSP], start->rflags);
    mmu_flush_all(c);
    c->leave = false;
}

/* ------------------------------------------------------------ programs -- */

static void bytes(struct prog *g, const char *b, unsigned n)
{
    put(g, b, n);
}
#define BYTES(g, s) bytes(g, s, sizeof(s) - 1)

/* Leaves the program, or asks what is the host's. */
static void special(struct prog *g)
{
    u64 r = rnd(), page = HIGH + DATA + (r >> 32 & 15) * PAGE_SIZE;
    u32 flags = 0x202 | (r >> 40 & 0xcd5);

    switch (r % 24) {
    case 0 ... 3:
        BYTES(g, "\x0f\x05"); /* syscall */
        break;
    case 4:
        BYTES(g, "\xcd\x80");
        break;
    case 5:
        BYTES(g, "\xcc");
        break;
    case 6:
        BYTES(g, "\xcd\x03");
        break;
    case 7:
        BYTES(g, "\x0f\x0b"); /* ud2 */
        break;
    case 8:
        BYTES(g, "\xf4");
        break;
    case 9: /* a call of the host's */
        put_mov(g, RAX, (u64[]){60, 231, 9, 11, 10, 62, 101, 158}[r >> 16 & 7]);
        BYTES(g, "\x0f\x05");
        break;
    case 10: /* xor ecx, ecx; div ecx; cmp */
        BYTES(g, "\x31\xc9\xf7\xf1\x39\xd8");
        break;
    case 11: /* rarely: its page is refused */
        if (r >> 20 & 7)
            break;
        put_mov(g, RAX, r >> 24 & 1 ? 0x80000002 : 1);
        BYTES(g, "\x31\xc9\x0f\xa2");
        break;
    case 12: /* not present at all; the kernel's half; not canonical */
        put_mov(g, RSI,
                (u64[]){HIGH + RAM + 5, 0xffff800000001234, 0x0123456789abcdef, 0x10}[r >> 16 & 3]);
        if (r >> 20 & 1)
            BYTES(g, "\x48\x89\x06");
        else
            BYTES(g, "\x48\x8b\x06");
        break;
    case 13: /* two pages */
        put_mov(g, RDI, page - 1 - (r >> 16 & 7));
        BYTES(g, "\x48\x89\x07\x48\x8b\x07\xf0\x48\x01\x07");
        break;
    case 14: /* push flags; popf; pushf; pop */
        flags |= (r >> 20 & 3) ? 0 : (u32)(FLAG_AC | FLAG_ID) & (u32)(r >> 8);
        *g->p++ = 0x68;
        put(g, &flags, 4);
        BYTES(g, "\x9d\x9c\x5a");
        break;
    case 15: /* single step of one instruction */
        BYTES(g, "\x9c\x48\x81\x0c\x24\x00\x01\x00\x00\x9d\x90");
        break;
    case 16: /* wrfsbase rbx; mov rax, fs:[0]; rdfsbase rdx */
        put_mov(g, RBX, page);
        BYTES(g, "\xf3\x48\x0f\xae\xd3\x64\x48\x8b\x04\x25\0\0\0\0\xf3\x48\x0f\xae\xc2");
        break;
    case 17: { /* movb $n, 1f(%rip); 1: mov $.., %eax */
        BYTES(g, "\xc6\x05\x01\x00\x00\x00");
        *g->p++ = (u8)(r >> 16);
        BYTES(g, "\xb8\x11\x22\x33\x44");
        break;
    }
    case 18: /* cli; in; mov cr0; rdmsr */
        bytes(g,
              (const char *[]){"\xfa\x90\x90", "\xe4\x60\x90", "\x0f\x20\xc0",
                               "\x0f\x32\x90"}[r >> 16 & 3],
              3);
        break;
    case 19: /* mov ds, kernel's data; null */
        BYTES(g, "\xb8\x10\x00\x00\x00\x8e\xd8\x31\xc0\x8e\xc0");
        break;
    case 20: /* cld; rep stosb over pages */
        put_mov(g, RDI, page + (r >> 16 & 0xfff));
        put_mov(g, RCX, r >> 48 & 0x1fff);
        BYTES(g, "\xfc\xf3\xaa");
        break;
    case 21: /* rep movsq */
        put_mov(g, RDI, page + (r >> 16 & 0xff8));
        put_mov(g, RSI, HIGH + DATA + 0x8000);
        put_mov(g, RCX, r >> 48 & 0x1ff);
        BYTES(g, "\xfc\xf3\x48\xa5");
        break;
    case 22: /* int of a gate that is the kernel's */
        BYTES(g, "\xcd");
        *g->p++ = (u8)(r >> 16 & 15) ?: 0x20;
        break;
    default: /* a 16-byte operand that is not aligned, perhaps */
        put_mov(g, RBX, page + (r >> 16 & 0x1ff));
        BYTES(g, "\x0f\x28\x03");
        break;
    }
}

static void make_program(struct machine *m)
{
    struct prog g = {m->vm.mem.hva + CODE + (rnd() & 1 ? 0 : 0xf00), true};

    memset(m->vm.mem.hva + CODE, 0x90, 0x40000);
    for (unsigned n = 0; n < INSNS; n++) {
        u64 r = rnd();
        if (r % 10 == 0) {
            special(&g);
        } else if (r % 31 == 1) {
            random_fields(&g);
        } else if (r % 17 == 2) { /* jcc over one */
            u8 *at = g.p;
            g.p += 2;
            random_insn(&g);
            at[0] = (u8)(0x70 | (r >> 16 & 15));
            at[1] = (u8)(g.p - at - 2);
        } else {
            random_insn(&g);
        }
    }
    *g.p++ = 0xcd;
    *g.p++ = END;
}

/* ------------------------------------------------------------ running -- */

static void run_until_halt(struct machine *m, bool direct)
{
    struct soft *sc = (struct soft *)m->c;
    struct cpu *c = m->c;

    for (unsigned n = 0; n < 200000 && !c->s.halted && !c->triple_fault; n++) {
        if (direct)
            soft_turn(sc);
        else
            interp_step(c);
    }
    if (direct)
        vec_save(sc);
}

/* The vector that came; 256: SYSCALL. */
static unsigned came(const struct machine *m)
{
    return (unsigned)(m->c->s.rip - 1 - GATES);
}

static bool has_error(unsigned v)
{
    return v == 8 || (v >= 10 && v <= 14) || v == 17;
}

static bool is_fault(unsigned v)
{
    return v != 1 && v != 3 && v != 4 && v < 0x20;
}

/* Where a page is refused the translator runs the program, and drops arithmetic flags that a
 * faulting instruction would write. */
static void forgive_flags(struct machine *direct, const struct machine *interp)
{
    unsigned v = came(interp);
    u64 at = interp->c->s.gpr[RSP] + (has_error(v) ? 8 : 0) + 16, x, y;

    if (!is_fault(v) || at >= KSTACK || direct->c->s.gpr[RSP] != interp->c->s.gpr[RSP])
        return;
    memcpy(&x, direct->vm.mem.hva + at, 8);
    memcpy(&y, interp->vm.mem.hva + at, 8);
    put64(direct, at, (x & ~(u64)FLAGS_ARITH) | (y & FLAGS_ARITH));
    direct->c->s.rflags &= ~(u64)FLAGS_ARITH;
    direct->c->s.rflags |= interp->c->s.rflags & FLAGS_ARITH;
}

/* What the host says of a fault is not whether it was a write: that of a read-only page is taken
 * for a read first, and sets the A bit, as a processor is free to do. */
static void forgive_accessed(struct machine *direct, struct machine *interp)
{
    for (u64 at = PT; at < PT + 0x2000; at += 8) {
        u64 x, y;
        memcpy(&x, direct->vm.mem.hva + at, 8);
        memcpy(&y, interp->vm.mem.hva + at, 8);
        if (x == (y | 0x20) && (y & 3) == 1)
            put64(interp, at, x);
    }
}

/* Sends the program on, behind what stopped it. */
static void go_on(struct machine *m)
{
    struct cpu *c = m->c;
    unsigned v = came(m);
    struct insn i;

    if (v == 256) {
        to_ring3(c, c->s.gpr[RCX], c->s.gpr[RSP], c->s.gpr[R11]);
        return;
    }
    u64 frame[5];
    memcpy(frame, m->vm.mem.hva + c->s.gpr[RSP] + (has_error(v) ? 8 : 0), sizeof(frame));
    if (is_fault(v)) {
        const u8 *p = m->vm.mem.hva + frame[0] - HIGH;
        frame[0] += decode(&i, p, 16, CODE64) == DECODE_OK ? i.len : 1;
    }
    to_ring3(c, frame[0], frame[3], frame[2]);
}

static bool same_memory(struct machine *a, struct machine *b, u64 from, u64 len)
{
    if (!memcmp(a->vm.mem.hva + from, b->vm.mem.hva + from, len))
        return true;
    for (u64 n = from; n < from + len; n += 8) {
        u64 x, y;
        memcpy(&x, a->vm.mem.hva + n, 8);
        memcpy(&y, b->vm.mem.hva + n, 8);
        if (x != y) {
            printf("memory at %llx\n", (unsigned long long)n);
            return same("memory", x, y);
        }
    }
    return true;
}

static void start_state(struct cpu_state *start)
{
    for (unsigned r = 0; r < 16; r++)
        start->gpr[r] = rnd();
    start->gpr[RSP] = HIGH + STACK + (rnd() & 0xff8);
    start->rflags = rnd() & FLAGS_ARITH;
    start->x.fcw = 0x37f;
    start->x.mxcsr = 0x1f80;
    start->x.xstate_bv = 7;
    for (unsigned r = 0; r < 16; r++) {
        for (unsigned k = 0; k < 16; k++) {
            start->x.xmm[r][k] = (u8)rnd();
            start->x.ymmh[r][k] = (u8)rnd();
        }
    }
}

/* What led there: jumps are not followed. */
static void show(const struct machine *m, u64 from, u64 to)
{
    enum { LAST = 24 };
    char text[LAST][120];
    struct insn i;
    unsigned n = 0;

    for (; from >= HIGH && from < HIGH + RAM - 16 && from <= to; from += i.len) {
        if (decode(&i, m->vm.mem.hva + from - HIGH, 16, CODE64) != DECODE_OK)
            i.len = 1;
        int k = snprintf(text[n % LAST], 20, "%llx: ", (unsigned long long)from);
        insn_print(&i, from, text[n % LAST] + k, 100);
        n++;
    }
    for (unsigned k = n > LAST ? n - LAST : 0; k < n; k++)
        puts(text[k % LAST]);
}

static void one(struct machine *direct, struct machine *interp, u64 n)
{
    struct cpu_state start = {0};
    u8 *ram = direct->vm.mem.hva;
    u64 last = HIGH + CODE;

    seed = n * 0x9e3779b97f4a7c15ull + 1;
    for (unsigned k = 0; k < 10; k++)
        rnd();
    start_state(&start);
    memset(ram, 0, RAM);
    for (u64 k = 0; k < DATA_SIZE; k += 8)
        put64(direct, DATA + k, rnd());
    make_tables(direct);
    make_program(direct);
    begin(direct, &start);
    memcpy(interp->vm.mem.hva, ram, RAM);
    begin(interp, &start);
    cache_wrote((struct soft *)direct->c, 0, RAM);
    for (u64 page = 0; page < RAM >> PAGE_SHIFT; page++) {
        interp->vm.mem.page_gen[page]++;
        direct->vm.mem.page_gen[page]++;
    }
    for (unsigned stop = 0; stop < STOPS_MAX; stop++) {
        run_until_halt(interp, false);
        run_until_halt(direct, true);
        forgive_flags(direct, interp);
        forgive_accessed(direct, interp);
        bool ok = compare_state(direct, interp, !interp->c->triple_fault) &&
                  same("cr2", direct->c->s.cr2, interp->c->s.cr2) &&
                  same("fs base", direct->c->s.seg[FS].base, interp->c->s.seg[FS].base) &&
                  same_memory(direct, interp, KSTACK - 256, 256) &&
                  same_memory(direct, interp, DATA, DATA_SIZE) &&
                  same_memory(direct, interp, PT, 0x2000) &&
                  same_memory(direct, interp, STACK - 0x10000, 0x12000);
        if (!ok) {
            u64 rip;
            memcpy(&rip, interp->vm.mem.hva + KSTACK - 40, 8);
            if (came(interp) == 256)
                rip = interp->c->s.gpr[RCX];
            printf("stop %u: vector %u, rip %llx, since %llx\n", stop, came(interp),
                   (unsigned long long)rip, (unsigned long long)last);
            show(interp, last, rip);
            fail_msg("program %llu differs", (unsigned long long)n);
        }
        if (interp->c->triple_fault || !interp->c->s.halted || came(interp) == END)
            break;
        go_on(interp);
        go_on(direct);
        last = interp->c->s.rip;
    }
    if (!same_memory(direct, interp, 0, RAM))
        fail_msg("program %llu: memory differs", (unsigned long long)n);
}

static void test_random(void **state)
{
    struct machine *direct = calloc(1, sizeof(*direct)), *interp = calloc(1, sizeof(*interp));
    time_t end = time(NULL) + (time_t)seconds;

    open_machine_as(direct, &engine_soft, &(struct cpu_config){.direct = DIRECT_ALWAYS});
    open_machine(interp, &engine_interp, false);
    data_at = HIGH + DATA;
    only_offered = interp->c->model;
    struct soft *sc = (struct soft *)direct->c;
    soft_bind(sc);
    u64 n;
    for (n = first_seed; n < first_seed + programs && (!seconds || time(NULL) < end); n++)
        one(direct, interp, n);
    const struct direct_stats *s = direct_stats(sc->direct);
    printf("%llu programs, %llu turns on the host's processor, %llu calls, %llu faults\n",
           (unsigned long long)(n - first_seed), (unsigned long long)s->runs,
           (unsigned long long)s->calls, (unsigned long long)s->faults);
    /* a host that forbids it is not what this tests; one that allows it has many turns a program */
    assert_true(s->processes == 0 || programs < 100 || s->runs > 5 * (n - first_seed));
    vm_destroy(&direct->vm);
    vm_destroy(&interp->vm);
    free(direct);
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
        seconds = strtoull(argv[3], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
