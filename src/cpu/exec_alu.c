/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer arithmetic and logic, with and without LOCK: ADD OR ADC SBB AND SUB XOR CMP TEST, INC
 * DEC NEG NOT, XADD, CMPXCHG(8B/16B), ADCX, ADOX, and the flag instructions that any program may
 * use.  The host's own ALU computes results and flags (cpu/hostalu.h).  SDM volume 2.
 *
 * A memory destination is always written, and so needs write rights, also where CMPXCHG fails.
 */
#include "cpu/hostalu.h"
#include "cpu/ops.h"

HOST2(add, "add", "")
HOST2(or, "or", "")
HOST2(and, "and", "")
HOST2(sub, "sub", "")
HOST2(xor, "xor", "")
HOST2(adc, "adc", FLAGS_IN)
HOST2(sbb, "sbb", FLAGS_IN)
HOST1(inc, "inc", FLAGS_IN)
HOST1(dec, "dec", FLAGS_IN)
HOST1(neg, "neg", "")

typedef u64 host2_fn(u64 a, u64 b, unsigned size, u32 *ax);
typedef void host2_mem_fn(void *p, u64 b, unsigned size, u32 *ax);
typedef u64 host1_fn(u64 a, unsigned size, u32 *ax);
typedef void host1_mem_fn(void *p, unsigned size, u32 *ax);

enum { NO_FLAGS_IN, NEEDS_FLAGS_IN };

op_inline void alu2_mem(struct cpu *c, const struct insn *i, host2_mem_fn *mem, host2_mem_fn *lock,
                        u32 ax)
{
    unsigned size = i->opnd[0].size;
    u64 b = i->opnd[1].kind == OPND_IMM ? i->imm : reg_read(c, &i->opnd[1]);
    struct rmw r;
    bool locked = i->prefixes & PFX_LOCK;
    rmw_begin(c, i, &r, size, locked);
    if (unlikely(locked))
        lock(r.p, b, size, &ax);
    else
        mem(r.p, b, size, &ax);
    rmw_end(c, &r, size);
    flags_from_ax(c, ax);
}

op_inline void alu2(struct cpu *c, const struct insn *i, host2_fn *reg, host2_mem_fn *mem,
                    host2_mem_fn *lock, int flags_in)
{
    u32 ax = flags_in == NEEDS_FLAGS_IN ? flags_to_ax(c->s.rflags) : 0;
    const struct operand *d = &i->opnd[0];
    if (d->kind == OPND_MEM) {
        alu2_mem(c, i, mem, lock, ax);
        return;
    }
    u64 b = operand_read(c, i, 1);
    u64 v = reg(reg_read(c, d), b, d->size, &ax);
    reg_write(c, d, v);
    flags_from_ax(c, ax);
}

void exec_add(struct cpu *c, const struct insn *i)
{
    alu2(c, i, host_add, host_add_mem, host_add_lock, NO_FLAGS_IN);
}

void exec_or(struct cpu *c, const struct insn *i)
{
    alu2(c, i, host_or, host_or_mem, host_or_lock, NO_FLAGS_IN);
}

void exec_adc(struct cpu *c, const struct insn *i)
{
    alu2(c, i, host_adc, host_adc_mem, host_adc_lock, NEEDS_FLAGS_IN);
}

void exec_sbb(struct cpu *c, const struct insn *i)
{
    alu2(c, i, host_sbb, host_sbb_mem, host_sbb_lock, NEEDS_FLAGS_IN);
}

void exec_and(struct cpu *c, const struct insn *i)
{
    alu2(c, i, host_and, host_and_mem, host_and_lock, NO_FLAGS_IN);
}

void exec_sub(struct cpu *c, const struct insn *i)
{
    alu2(c, i, host_sub, host_sub_mem, host_sub_lock, NO_FLAGS_IN);
}

void exec_xor(struct cpu *c, const struct insn *i)
{
    alu2(c, i, host_xor, host_xor_mem, host_xor_lock, NO_FLAGS_IN);
}

void exec_cmp(struct cpu *c, const struct insn *i)
{
    u64 a = operand_read(c, i, 0), b = operand_read(c, i, 1);
    u32 ax = 0;
    host_sub(a, b, i->opnd[0].size, &ax);
    flags_from_ax(c, ax);
}

void exec_test(struct cpu *c, const struct insn *i)
{
    u64 a = operand_read(c, i, 0), b = operand_read(c, i, 1);
    u32 ax = 0;
    host_and(a, b, i->opnd[0].size, &ax);
    flags_from_ax(c, ax);
}

op_inline void alu1(struct cpu *c, const struct insn *i, host1_fn *reg, host1_mem_fn *mem,
                    host1_mem_fn *lock)
{
    const struct operand *d = &i->opnd[0];
    u32 ax = flags_to_ax(c->s.rflags);
    if (d->kind == OPND_MEM) {
        struct rmw r;
        bool locked = i->prefixes & PFX_LOCK;
        rmw_begin(c, i, &r, d->size, locked);
        if (unlikely(locked))
            lock(r.p, d->size, &ax);
        else
            mem(r.p, d->size, &ax);
        rmw_end(c, &r, d->size);
    } else {
        reg_write(c, d, reg(reg_read(c, d), d->size, &ax));
    }
    flags_from_ax(c, ax);
}

void exec_inc(struct cpu *c, const struct insn *i)
{
    alu1(c, i, host_inc, host_inc_mem, host_inc_lock);
}

void exec_dec(struct cpu *c, const struct insn *i)
{
    alu1(c, i, host_dec, host_dec_mem, host_dec_lock);
}

void exec_neg(struct cpu *c, const struct insn *i)
{
    alu1(c, i, host_neg, host_neg_mem, host_neg_lock);
}

/* NOT changes no flag; XOR with ones is the same operation on memory. */
void exec_not(struct cpu *c, const struct insn *i)
{
    const struct operand *d = &i->opnd[0];
    if (d->kind != OPND_MEM) {
        reg_write(c, d, ~reg_read(c, d));
        return;
    }
    struct rmw r;
    u32 ax = 0;
    bool locked = i->prefixes & PFX_LOCK;
    rmw_begin(c, i, &r, d->size, locked);
    if (locked)
        host_xor_lock(r.p, UINT64_MAX, d->size, &ax);
    else
        host_xor_mem(r.p, UINT64_MAX, d->size, &ax);
    rmw_end(c, &r, d->size);
}

/* ----------------------------------------------- exchange and add -- */

/* Old value of *p, which becomes *p + b. */
static u64 fetch_add(void *p, u64 b, unsigned size, bool locked)
{
    if (locked) {
        switch (size) {
        case 8:
            return __atomic_fetch_add((u64 *)p, b, __ATOMIC_SEQ_CST);
        case 4:
            return __atomic_fetch_add((u32 *)p, (u32)b, __ATOMIC_SEQ_CST);
        case 2:
            return __atomic_fetch_add((u16 *)p, (u16)b, __ATOMIC_SEQ_CST);
        default:
            return __atomic_fetch_add((u8 *)p, (u8)b, __ATOMIC_SEQ_CST);
        }
    }
    u64 old = host_load(p, size);
    host_store(p, size, old + b);
    return old;
}

void exec_xadd(struct cpu *c, const struct insn *i)
{
    const struct operand *d = &i->opnd[0], *s = &i->opnd[1];
    u64 b = reg_read(c, s), old;
    u32 ax = 0;
    if (d->kind == OPND_MEM) {
        struct rmw r;
        bool locked = i->prefixes & PFX_LOCK;
        rmw_begin(c, i, &r, d->size, locked);
        old = fetch_add(r.p, b, d->size, locked);
        rmw_end(c, &r, d->size);
        host_add(old, b, d->size, &ax);
        reg_write(c, s, old);
    } else {
        old = reg_read(c, d);
        reg_write(c, s, old);
        reg_write(c, d, host_add(old, b, d->size, &ax));
    }
    flags_from_ax(c, ax);
}

/* Old value of *p, which becomes b if it was a. */
static u64 compare_exchange(void *p, u64 a, u64 b, unsigned size, bool locked)
{
    if (!locked) {
        u64 old = host_load(p, size);
        u64 mask = size == 8 ? UINT64_MAX : BIT64(size * 8) - 1;
        host_store(p, size, old == (a & mask) ? b : old);
        return old;
    }
    switch (size) {
    case 8:
        __atomic_compare_exchange_n((u64 *)p, &a, b, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        return a;
    case 4: {
        u32 v = (u32)a;
        __atomic_compare_exchange_n((u32 *)p, &v, (u32)b, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST);
        return v;
    }
    case 2: {
        u16 v = (u16)a;
        __atomic_compare_exchange_n((u16 *)p, &v, (u16)b, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST);
        return v;
    }
    default: {
        u8 v = (u8)a;
        __atomic_compare_exchange_n((u8 *)p, &v, (u8)b, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        return v;
    }
    }
}

/* What a 32-bit CMPXCHG that compares unequal does to its destination register. */
static void host_cmpxchg_fails(u64 *reg, u64 acc, u64 b)
{
    asm("cmpxchgl %k2, %k0" : "+r"(*reg), "+a"(acc) : "r"(b) : "cc");
}

void exec_cmpxchg(struct cpu *c, const struct insn *i)
{
    const struct operand *d = &i->opnd[0], *s = &i->opnd[1];
    unsigned size = d->size;
    u64 acc = gpr_read(c, RAX, size), b = reg_read(c, s), old;
    u32 ax = 0;
    if (d->kind == OPND_MEM) {
        struct rmw r;
        bool locked = i->prefixes & PFX_LOCK;
        rmw_begin(c, i, &r, size, locked);
        old = compare_exchange(r.p, acc, b, size, locked);
        rmw_end(c, &r, size);
    } else {
        old = reg_read(c, d);
        if (old == acc)
            reg_write(c, d, b);
    }
    host_sub(acc, old, size, &ax);
    flags_from_ax(c, ax);
    /* EAX is written, and zero-extended, only on failure; whether a 32-bit register destination
     * is zero-extended then differs between processors: as on the host. */
    if (old != acc) {
        if (d->kind == OPND_GPR && size == 4)
            host_cmpxchg_fails(&c->s.gpr[d->reg], acc, b);
        gpr_write(c, RAX, size, old);
    }
}

static void set_zf(struct cpu *c, bool zf)
{
    c->s.rflags = (c->s.rflags & ~(u64)FLAG_ZF) | (zf ? FLAG_ZF : 0);
}

static void cmpxchg8b(struct cpu *c, const struct insn *i)
{
    u64 acc = (u64)(u32)c->s.gpr[RDX] << 32 | (u32)c->s.gpr[RAX];
    u64 b = (u64)(u32)c->s.gpr[RCX] << 32 | (u32)c->s.gpr[RBX];
    struct rmw r;
    bool locked = i->prefixes & PFX_LOCK;
    rmw_begin(c, i, &r, 8, locked);
    u64 old = compare_exchange(r.p, acc, b, 8, locked);
    rmw_end(c, &r, 8);
    set_zf(c, old == acc);
    if (old != acc) {
        c->s.gpr[RAX] = (u32)old;
        c->s.gpr[RDX] = old >> 32;
    }
}

/* lock cmpxchg16b on host memory; p is 16-byte aligned. */
static bool host_cmpxchg16b(void *p, u64 old[2], u64 lo, u64 hi)
{
    u8 ok;
    __asm__ volatile("lock; cmpxchg16b %1\n\tsete %0"
                     : "=q"(ok), "+m"(*(char(*)[16])p), "+a"(old[0]), "+d"(old[1])
                     : "b"(lo), "c"(hi)
                     : "cc", "memory");
    return ok;
}

static void cmpxchg16b(struct cpu *c, const struct insn *i)
{
    u64 lin = mem_linear(c, i, 16, SEG_WRITE);
    if (lin & 15)
        cpu_gp(c, 0);
    u64 old[2] = {c->s.gpr[RAX], c->s.gpr[RDX]};
    u64 lo = c->s.gpr[RBX], hi = c->s.gpr[RCX];
    bool ok;
    void *p = mmu_rmw(c, lin, 16);
    if (p) {
        ok = host_cmpxchg16b(p, old, lo, hi);
        mmu_rmw_done(c, lin, 16);
    } else {
        /* Not plain memory: two halves, exclusive against other locked accesses only. */
        mmu_probe_write(c, lin, 16);
        mmu_split_lock(c);
        u64 now[2] = {mmu_read(c, lin, 8), mmu_read(c, lin + 8, 8)};
        ok = now[0] == old[0] && now[1] == old[1];
        mmu_write(c, lin, 8, ok ? lo : now[0]);
        mmu_write(c, lin + 8, 8, ok ? hi : now[1]);
        mmu_split_unlock(c);
        old[0] = now[0];
        old[1] = now[1];
    }
    set_zf(c, ok);
    if (!ok) {
        c->s.gpr[RAX] = old[0];
        c->s.gpr[RDX] = old[1];
    }
}

void exec_cmpxchg8b(struct cpu *c, const struct insn *i)
{
    if (i->opsize == 8)
        cmpxchg16b(c, i);
    else
        cmpxchg8b(c, i);
}

/* ------------------------------------------------ two carry chains -- */

static void add_with(struct cpu *c, const struct insn *i, u64 flag)
{
    unsigned size = i->opnd[0].size;
    u64 b = operand_read(c, i, 1), a = reg_read(c, &i->opnd[0]);
    unsigned __int128 sum = (unsigned __int128)a + b + !!(c->s.rflags & flag);
    reg_write(c, &i->opnd[0], (u64)sum);
    bool carry = sum >> size * 8 & 1;
    c->s.rflags = (c->s.rflags & ~flag) | (carry ? flag : 0);
}

void exec_adcx(struct cpu *c, const struct insn *i)
{
    add_with(c, i, FLAG_CF);
}

void exec_adox(struct cpu *c, const struct insn *i)
{
    add_with(c, i, FLAG_OF);
}

/* ----------------------------------------------------------- flags -- */

void exec_cmc(struct cpu *c, const struct insn *i)
{
    c->s.rflags ^= FLAG_CF;
}

void exec_clc(struct cpu *c, const struct insn *i)
{
    c->s.rflags &= ~(u64)FLAG_CF;
}

void exec_stc(struct cpu *c, const struct insn *i)
{
    c->s.rflags |= FLAG_CF;
}

void exec_cld(struct cpu *c, const struct insn *i)
{
    c->s.rflags &= ~(u64)FLAG_DF;
}

void exec_std(struct cpu *c, const struct insn *i)
{
    c->s.rflags |= FLAG_DF;
}

void exec_lahf(struct cpu *c, const struct insn *i)
{
    u64 ah = (c->s.rflags & 0xd5) | FLAG_1;
    c->s.gpr[RAX] = (c->s.gpr[RAX] & ~0xff00ull) | ah << 8;
}

void exec_sahf(struct cpu *c, const struct insn *i)
{
    c->s.rflags = (c->s.rflags & ~0xd5ull) | (c->s.gpr[RAX] >> 8 & 0xd5);
}
