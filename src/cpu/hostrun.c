/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87, MMX, SSE to SSE4.2, AVX, AVX2, FMA, F16C, AES, PCLMULQDQ and SHA on the host's own units.
 *
 * Each instruction becomes a small piece of host code, a stub, called as
 *
 *     stub(x, mem, frame):   rdi = the guest's XSAVE area   rsi = the memory operand
 *                            rdx (moved to r8) = struct frame
 *
 * which loads the vector registers that it names (or, for x87 and MMX, the whole FXSAVE image),
 * the guest's MXCSR and the general registers, runs the guest's instruction and stores back what
 * it wrote.  In the instruction itself only these change: a memory operand becomes [rsi], a general
 * register in ModRM.rm becomes rdx, in ModRM.reg rcx.  So results are bit-exact by construction.
 *
 * Stubs lie in a memfd that is mapped twice, writable and executable, and are found by a key made
 * of everything that shapes them.  Table and code are bounded; when the code is full, all is thrown
 * away.
 *
 * Exceptions.  An x87 instruction that finds an unmasked exception only sets FSW.ES, and the next
 * one faults: that is checked before a stub runs.  An unmasked SIMD exception does trap, with
 * nothing but MXCSR's flags changed: the SIGFPE handler leaves the stub by its common exit, and the
 * guest gets #XM.  Instruction and data pointers of the x87 are the guest's, never the host's.
 *
 * Left out: FERR# and IRQ 13.  With CR0.NE clear a pending x87 exception is ignored, as on a board
 * that holds IGNNE# active.
 */
#include "cpu/hostrun.h"

#include "cpu/operand.h"
#include "cpu/ops.h"

#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    CODE_SIZE = 1 << 20,
    STUB_MAX = 256,
    TABLE_BITS = 12,
    TABLE_SIZE = 1 << TABLE_BITS,
    MXCSR_HOST = 0x1f80,
};

/* What a stub takes and gives besides the register image; offsets fit in a signed byte. */
struct frame {
    u64 rax, rcx, rdx;
    u32 mxcsr_in, mxcsr_out, mxcsr_host;
    u32 ax; /* flags, as cpu/operand.h packs them */
    u8 faulted;
};

typedef void stub_fn(struct xsave_area *x, void *mem, struct frame *f);

/* stub_entry.what */
enum {
    WHAT_MEM_WRITE = 1 << 0,
    WHAT_ALIGN = 1 << 1,   /* memory must be aligned to its size */
    WHAT_FLAGS = 1 << 2,   /* writes RFLAGS */
    WHAT_X87 = 1 << 3,     /* the FXSAVE image goes in and out */
    WHAT_IMP_IN = 1 << 4,  /* RAX and RDX are read */
    WHAT_IMP_OUT = 1 << 5, /* RCX is written */
    WHAT_GPR_RCX = 1 << 6, /* the written GPR comes back in rcx (else in rdx) */
    WHAT_GPR_RAX = 1 << 7, /* or in rax */
};

enum { NO_OPERAND = 0xff };

/* A stub and what is to be done around it. */
struct stub_entry {
    u64 key; /* 0 = empty */
    stub_fn *fn;
    u8 what;
    u8 mem, gpr_in, gpr_out; /* which operand, or NO_OPERAND */
};

struct hostrun {
    u8 bounce[64] __attribute__((aligned(64)));
    struct frame frame;
    u8 *rw, *rx; /* the same memory, CODE_SIZE bytes */
    u32 used;
    u32 fault_exit[2]; /* offsets of the exits after a SIMD exception; [1]: saves the x87 too */
    bool x87;          /* which one is for the stub now running */
    struct stub_entry table[TABLE_SIZE];
};

/* The stubs that this thread may be inside of, for the signal handler. */
static __thread struct hostrun *current;

/* ------------------------------------------------------ emitting -- */

struct emit {
    u8 *p;
    unsigned n;
};

static void emit_bytes(struct emit *e, const u8 *b, unsigned n)
{
    BUG_ON(e->n + n > STUB_MAX);
    memcpy(e->p + e->n, b, n);
    e->n += n;
}

#define EMIT(e, ...) emit_bytes(e, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

#define FRAME_AT(field) ((u8)offsetof(struct frame, field))

static void emit_disp32(struct emit *e, u32 d)
{
    EMIT(e, (u8)d, (u8)(d >> 8), (u8)(d >> 16), (u8)(d >> 24));
}

static void emit_mxcsr_load(struct emit *e, u8 at)
{
    EMIT(e, 0x41, 0x0f, 0xae, 0x50, at);
}

static void emit_mxcsr_store(struct emit *e, u8 at)
{
    EMIT(e, 0x41, 0x0f, 0xae, 0x58, at);
}

/* movaps between xmm n and the image. */
static void emit_xmm(struct emit *e, unsigned n, bool store)
{
    if (n >= 8)
        EMIT(e, 0x44);
    EMIT(e, 0x0f, store ? 0x29 : 0x28, 0x87 | (n & 7) << 3);
    emit_disp32(e, offsetof(struct xsave_area, xmm) + 16 * n);
}

/* The same with VEX: also the upper half; loading 128 bits clears it. */
static void emit_ymm(struct emit *e, unsigned n, bool store, bool wide)
{
    u8 r = n >= 8 ? 0x60 : 0xe0, modrm = 0x87 | (n & 7) << 3;
    EMIT(e, 0xc4, r | 1, 0x78, store ? 0x29 : 0x28, modrm);
    emit_disp32(e, offsetof(struct xsave_area, xmm) + 16 * n);
    if (!wide)
        return;
    u8 v = store ? 0x7d : (u8)(0x05 | (~n & 15) << 3); /* vvvv, L = 1, pp = 66 */
    EMIT(e, 0xc4, r | 3, v, store ? 0x19 : 0x18, modrm);
    emit_disp32(e, offsetof(struct xsave_area, ymmh) + 16 * n);
    EMIT(e, 1);
}

/* ------------------------------------------------ rows and keys -- */

static bool reads_xmm0(const struct op_row *r)
{
    return r->op == OP_pblendvb || r->op == OP_blendvps || r->op == OP_blendvpd ||
           r->op == OP_sha256rnds2;
}

static bool writes_xmm0(const struct op_row *r)
{
    return (r->attr & OPA_IMP) && (r->opcode == 0x60 || r->opcode == 0x62);
}

/* Does it look at or change MXCSR?  By opcode; taking one too many does no harm. */
static bool uses_mxcsr(const struct op_row *r)
{
    u8 o = r->opcode;
    switch (r->map) {
    case 1:
        return (o >= 0x2a && o <= 0x2f && o != 0x2b) || (o >= 0x51 && o <= 0x5f) || o == 0x7c ||
               o == 0x7d || o == 0xc2 || o == 0xd0 || o == 0xe6;
    case 2:
        return o == 0x13 || o >= 0x96;
    case 3:
        return (o >= 0x08 && o <= 0x0b) || o == 0x1d || o == 0x40 || o == 0x41;
    default:
        return false;
    }
}

static bool uses_x87(const struct op_row *r)
{
    return r->unit == UNIT_x87 || r->unit == UNIT_mmx;
}

static bool in_rm(u8 mode)
{
    return mode == AM_E || mode == AM_R || mode == AM_F;
}

/* The instruction's own encoding with its operands replaced. */
struct shape {
    u8 modrm;
    u8 rex; /* REX_R, REX_B, REX_W */
    bool has_imm;
};

static struct shape shape_of(const struct insn *i, const struct op_row *r)
{
    struct shape s = {.modrm = i->modrm, .rex = i->rex & (REX_R | REX_B)};
    bool wide = r->w >= 0 ? r->w : i->mode == CODE64 && (i->rex & REX_W);
    for (unsigned n = 0; n < i->nops; n++) {
        const struct operand *o = &i->opnd[n];
        if (o->kind == OPND_IMM || r->mode[n] == AM_L)
            s.has_imm = true;
        if (o->kind != OPND_GPR && o->kind != OPND_GPR8H)
            continue;
        if (in_rm(r->mode[n])) {
            s.modrm = (s.modrm & ~7) | 2;
            s.rex &= ~REX_B;
        } else if (r->mode[n] == AM_G) {
            s.modrm = (s.modrm & ~0x38) | 1 << 3;
            s.rex &= ~REX_R;
        }
    }
    if (i->has_mem) {
        s.modrm = (s.modrm & 0x38) | 6;
        s.rex &= ~REX_B;
    }
    if (wide)
        s.rex |= REX_W;
    return s;
}

/* Everything that shapes a stub; where memory lies does not. */
op_inline u64 key_of(const struct insn *i)
{
    u64 modrm = i->modrm, rex = i->rex & 15;
    if (i->has_mem) {
        modrm &= 0x38;
        rex &= REX_R | REX_W;
    }
    return BIT64(63) | i->row | modrm << 16 | rex << 24 | (u64)i->has_mem << 28 |
           (u64)(i->mode == CODE64) << 29 | (u64)i->vex_v << 32 | (u64)i->vex_l << 36 |
           (u64)(u8)i->imm << 40 | (u64)(i->opcode & 7) << 48;
}

static void emit_guest(struct emit *e, const struct insn *i, const struct op_row *r,
                       const struct shape *s)
{
    static const u8 prefix_byte[] = {[OPP_66] = 0x66, [OPP_F3] = 0xf3, [OPP_F2] = 0xf2};
    static const u8 prefix_pp[] = {[OPP_66] = 1, [OPP_F3] = 2, [OPP_F2] = 3};
    unsigned prefix = r->prefix == OPP_ANY ? OPP_NP : r->prefix;
    if (r->vex) {
        u8 w = s->rex & REX_W ? 0x80 : 0;
        EMIT(e, 0xc4, (s->rex & REX_R ? 0 : 0x80) | 0x40 | (s->rex & REX_B ? 0 : 0x20) | r->map,
             w | (~i->vex_v & 15) << 3 | i->vex_l << 2 | prefix_pp[prefix], i->opcode);
    } else {
        if (prefix != OPP_NP)
            EMIT(e, prefix_byte[prefix]);
        if (s->rex)
            EMIT(e, 0x40 | s->rex);
        if (r->map)
            EMIT(e, 0x0f);
        if (r->map >= 2)
            EMIT(e, r->map == 2 ? 0x38 : 0x3a);
        EMIT(e, i->opcode);
    }
    if (i->has_modrm)
        EMIT(e, s->modrm);
    if (s->has_imm)
        EMIT(e, (u8)i->imm);
}

/* --------------------------------------------------------- stubs -- */

static void emit_vectors(struct emit *e, const struct insn *i, const struct op_row *r, bool store)
{
    if (uses_x87(r))
        return; /* the FXSAVE image has them */
    for (unsigned n = 0; n < i->nops; n++) {
        const struct operand *o = &i->opnd[n];
        if (o->kind != OPND_VEC || !(r->access[n] & (store ? OPN_W : OPN_R)))
            continue;
        if (r->vex)
            emit_ymm(e, o->reg, store, store || i->vex_l);
        else
            emit_xmm(e, o->reg, store);
    }
    if (store ? writes_xmm0(r) : reads_xmm0(r)) {
        if (r->vex)
            emit_ymm(e, 0, store, store);
        else
            emit_xmm(e, 0, store);
    }
}

static void emit_before(struct emit *e, const struct insn *i, const struct op_row *r)
{
    EMIT(e, 0x49, 0x89, 0xd0); /* mov r8, rdx */
    if (uses_x87(r))
        EMIT(e, 0x48, 0x0f, 0xae, 0x0f); /* fxrstor64 [rdi] */
    emit_vectors(e, i, r, false);
    if (uses_mxcsr(r) && !uses_x87(r))
        emit_mxcsr_load(e, FRAME_AT(mxcsr_in));
    EMIT(e, 0x49, 0x8b, 0x50, FRAME_AT(rdx)); /* mov rdx, [r8+rdx] */
    EMIT(e, 0x49, 0x8b, 0x48, FRAME_AT(rcx));
    if (r->flags_read) {
        EMIT(e, 0x41, 0x8b, 0x40, FRAME_AT(ax)); /* mov eax, [r8+ax] */
        EMIT(e, 0x04, 0x7f, 0x9e);               /* add al, 0x7f; sahf */
    } else {
        EMIT(e, 0x49, 0x8b, 0x40, FRAME_AT(rax));
    }
}

static void emit_leave(struct emit *e, bool mxcsr, bool x87, bool vex)
{
    if (x87)
        EMIT(e, 0xdb, 0xe3); /* fninit */
    if (mxcsr || x87) {
        emit_mxcsr_store(e, FRAME_AT(mxcsr_out));
        emit_mxcsr_load(e, FRAME_AT(mxcsr_host));
    }
    if (vex)
        EMIT(e, 0xc5, 0xf8, 0x77); /* vzeroupper */
    EMIT(e, 0xc3);
}

static void emit_after(struct emit *e, const struct insn *i, const struct op_row *r)
{
    if (r->flags_written) {
        EMIT(e, 0x9f, 0x0f, 0x90, 0xc0);         /* lahf; seto al */
        EMIT(e, 0x41, 0x89, 0x40, FRAME_AT(ax)); /* mov [r8+ax], eax */
    } else {
        EMIT(e, 0x49, 0x89, 0x40, FRAME_AT(rax));
    }
    EMIT(e, 0x49, 0x89, 0x50, FRAME_AT(rdx));
    EMIT(e, 0x49, 0x89, 0x48, FRAME_AT(rcx));
    emit_vectors(e, i, r, true);
    if (uses_x87(r))
        EMIT(e, 0x48, 0x0f, 0xae, 0x07); /* fxsave64 [rdi] */
    emit_leave(e, uses_mxcsr(r), uses_x87(r), r->vex);
}

/* A faulting conversion from an MMX register has entered MMX mode already. */
static void reset_code(struct hostrun *h)
{
    struct emit e = {.p = h->rw};
    memset(h->table, 0, sizeof(h->table));
    for (unsigned x87 = 0; x87 < 2; x87++) {
        h->fault_exit[x87] = e.n;
        EMIT(&e, 0x41, 0xc6, 0x40, FRAME_AT(faulted), 1); /* mov byte [r8+faulted], 1 */
        if (x87)
            EMIT(&e, 0x48, 0x0f, 0xae, 0x07); /* fxsave64 [rdi] */
        emit_leave(&e, true, x87, __builtin_cpu_supports("avx"));
    }
    h->used = (e.n + 15) & ~15u;
}

/* Code that is reached at another address than it was written at: the processor must be
 * serialized. */
static void serialize(void)
{
    u32 a, b, c, d;
    __cpuid(0, a, b, c, d);
}

static void plan(struct stub_entry *s, const struct insn *i, const struct op_row *r)
{
    s->what = (r->attr & OPA_ALIGN ? WHAT_ALIGN : 0) | (r->flags_written ? WHAT_FLAGS : 0) |
              (uses_x87(r) ? WHAT_X87 : 0);
    s->mem = s->gpr_in = s->gpr_out = NO_OPERAND;
    if (r->attr & OPA_IMP)
        s->what |= WHAT_IMP_IN | (r->opcode & 1 ? WHAT_IMP_OUT : 0);
    for (unsigned n = 0; n < i->nops; n++) {
        u8 kind = i->opnd[n].kind, mode = r->mode[n];
        if (kind == OPND_MEM) {
            s->mem = (u8)n;
            s->what |= r->access[n] & OPN_W ? WHAT_MEM_WRITE : 0;
        } else if (kind == OPND_GPR || kind == OPND_GPR8H) {
            if (in_rm(mode))
                s->gpr_in = (u8)n;
            if (r->access[n] & OPN_W) {
                s->gpr_out = (u8)n;
                s->what |= in_rm(mode) ? 0 : mode == AM_G ? WHAT_GPR_RCX : WHAT_GPR_RAX;
            }
        }
    }
}

static __attribute__((noinline)) const struct stub_entry *make_stub(struct hostrun *h,
                                                                    const struct insn *i,
                                                                    const struct op_row *r, u64 key,
                                                                    struct stub_entry *entry)
{
    struct shape s = shape_of(i, r);
    if (h->used + STUB_MAX > CODE_SIZE)
        reset_code(h);
    struct emit e = {.p = h->rw + h->used};
    emit_before(&e, i, r);
    emit_guest(&e, i, r, &s);
    emit_after(&e, i, r);
    serialize();
    plan(entry, i, r);
    entry->key = key;
    entry->fn = (stub_fn *)(h->rx + h->used);
    h->used += (e.n + 15) & ~15u;
    return entry;
}

op_inline const struct stub_entry *find_stub(struct hostrun *h, const struct insn *i,
                                             const struct op_row *r)
{
    u64 key = key_of(i);
    struct stub_entry *entry = &h->table[key * 0x9e3779b97f4a7c15ull >> (64 - TABLE_BITS)];
    if (likely(entry->key == key))
        return entry;
    return make_stub(h, i, r, key, entry);
}

/* -------------------------------------------------------- checks -- */

static bool x87_pending(const struct cpu *c)
{
    return c->s.x.fsw & ~c->s.x.fcw & 0x3f;
}

void x87_check_nm(struct cpu *c)
{
    if (c->s.cr0 & (CR0_EM | CR0_TS))
        cpu_raise(c, EXC_NM, NO_ERROR_CODE);
}

void x87_check_pending(struct cpu *c)
{
    if (unlikely(x87_pending(c)) && (c->s.cr0 & CR0_NE))
        cpu_raise(c, EXC_MF, NO_ERROR_CODE);
}

/* FNINIT, FNCLEX and their like run with an exception pending, and leave FIP, FDP and FOP. */
static bool x87_control(const struct op_row *r)
{
    switch (r->op) {
    case OP_fninit:
    case OP_fnclex:
    case OP_fneni:
    case OP_fndisi:
    case OP_fnsetpm:
    case OP_fnstcw:
    case OP_fnstsw:
    case OP_fnstenv:
    case OP_fnsave:
    case OP_fldcw:
    case OP_fldenv:
    case OP_frstor:
        return true;
    default:
        return false;
    }
}

static bool x87_waits(const struct op_row *r)
{
    return !x87_control(r) || r->op == OP_fldcw || r->op == OP_fldenv || r->op == OP_frstor;
}

static bool has_vector(const struct insn *i)
{
    for (unsigned n = 0; n < i->nops; n++)
        if (i->opnd[n].kind == OPND_VEC)
            return true;
    return false;
}

void hostrun_check(struct cpu *c, const struct insn *i)
{
    const struct op_row *r = &op_rows[i->row];
    const struct cpu_state *s = &c->s;
    if (r->feature != OP_ANY_CPU && !cpuid_has(c->model, (enum feature)r->feature))
        cpu_ud(c);
    switch (r->unit) {
    case UNIT_x87:
        x87_check_nm(c);
        if (x87_waits(r))
            x87_check_pending(c);
        return;
    case UNIT_mmx:
        if ((s->cr0 & CR0_EM) || (!(s->cr4 & CR4_OSFXSR) && has_vector(i)))
            cpu_ud(c);
        break;
    case UNIT_sse:
        if ((s->cr0 & CR0_EM) || !(s->cr4 & CR4_OSFXSR))
            cpu_ud(c);
        break;
    default:
        if (!(s->cr4 & CR4_OSXSAVE) || (s->xcr0 & 6) != 6)
            cpu_ud(c);
        break;
    }
    if (s->cr0 & CR0_TS)
        cpu_raise(c, EXC_NM, NO_ERROR_CODE);
    if (r->unit == UNIT_mmx)
        x87_check_pending(c);
}

/* ------------------------------------------------------- running -- */

struct memop {
    u64 lin;
    unsigned size;
    bool write;
    void *p; /* host memory, or the bounce buffer */
};

op_inline void memop_begin(struct cpu *c, const struct insn *i, const struct stub_entry *s,
                           struct memop *m)
{
    struct hostrun *h = c->hostrun;
    m->p = h->bounce;
    m->size = 0;
    m->lin = 0;
    m->write = s->what & WHAT_MEM_WRITE;
    if (s->mem == NO_OPERAND)
        return;
    m->size = i->opnd[s->mem].size;
    m->lin = mem_linear(c, i, m->size, m->write ? SEG_WRITE : SEG_READ);
    if ((s->what & WHAT_ALIGN) && unlikely(m->lin & (m->size - 1)))
        cpu_gp(c, 0);
    void *p = tlb_lookup(c->tlb, m->lin, m->size, m->write ? TLB_WRITE : TLB_READ);
    if (likely(p)) {
        m->p = p;
        m->size = 0; /* nothing to write back */
        return;
    }
    if (m->write) {
        mmu_probe_write(c, m->lin, m->size);
        memset(h->bounce, 0xa5, sizeof(h->bounce));
    } else {
        mmu_read_bytes(c, m->lin, h->bounce, m->size);
    }
}

/* An x87 store that meets an unmasked exception leaves memory as it is; then the buffer still holds
 * what memop_begin() filled it with. */
static bool memop_written(const struct cpu *c, const struct hostrun *h, const struct memop *m)
{
    if (!(c->s.x.fsw & 0x80))
        return true;
    for (unsigned n = 0; n < m->size; n++)
        if (h->bounce[n] != 0xa5)
            return true;
    return false;
}

op_inline void gprs_in(struct cpu *c, const struct insn *i, const struct stub_entry *s,
                       struct frame *f)
{
    if (s->gpr_in != NO_OPERAND)
        f->rdx = reg_read(c, &i->opnd[s->gpr_in]);
    if (unlikely(s->what & WHAT_IMP_IN)) {
        f->rax = c->s.gpr[RAX];
        f->rdx = c->s.gpr[RDX];
    }
}

op_inline void gprs_out(struct cpu *c, const struct insn *i, const struct stub_entry *s,
                        const struct frame *f)
{
    if (unlikely(s->what & WHAT_IMP_OUT))
        c->s.gpr[RCX] = (u32)f->rcx;
    if (s->gpr_out == NO_OPERAND)
        return;
    u64 v = s->what & WHAT_GPR_RCX ? f->rcx : s->what & WHAT_GPR_RAX ? f->rax : f->rdx;
    reg_write(c, &i->opnd[s->gpr_out], v);
}

/* The last x87 instruction's own address, operand and opcode. */
static void x87_pointers(struct cpu *c, const struct insn *i, u64 ea)
{
    struct xsave_area *x = &c->s.x;
    bool linear = c->real || c->vm86;
    x->fip = c->s.rip + (linear ? c->s.seg[CS].base : 0);
    x->fop = (u16)((i->opcode & 7) << 8 | i->modrm);
    if (i->has_mem)
        x->fdp = ea + (linear ? c->s.seg[i->seg].base : 0);
}

static _Noreturn void simd_fault(struct cpu *c)
{
    if (c->s.cr4 & CR4_OSXMMEXCPT)
        cpu_raise(c, EXC_XM, NO_ERROR_CODE);
    cpu_ud(c);
}

static void vector_zero(struct cpu *c, bool all)
{
    unsigned n = c->code == CODE64 ? 16 : 8;
    memset(c->s.x.ymmh, 0, n * 16);
    if (all)
        memset(c->s.x.xmm, 0, n * 16);
}

/* Around an x87 or MMX stub: pointers stay the guest's, and with CR0.NE clear an exception that is
 * pending is masked for this one instruction. */
static void run_x87(struct cpu *c, const struct insn *i, const struct op_row *r, stub_fn *stub,
                    void *mem)
{
    struct xsave_area *x = &c->s.x;
    struct hostrun *h = c->hostrun;
    u64 fip = x->fip, fdp = x->fdp, ea = i->has_mem ? insn_ea(c, i) : 0;
    u16 fop = x->fop, fcw = x->fcw;
    bool ignne = unlikely(x87_pending(c)) && x87_waits(r);
    if (ignne)
        x->fcw |= 0x3f;
    h->x87 = true;
    stub(x, mem, &h->frame);
    h->x87 = false;
    if (ignne && r->op != OP_fldcw)
        x->fcw = fcw;
    x->fip = fip;
    x->fdp = fdp;
    x->fop = fop;
    if (r->op == OP_fninit)
        x->fip = x->fdp = x->fop = 0;
    else if (r->unit == UNIT_x87 && !x87_control(r))
        x87_pointers(c, i, ea);
}

void exec_hostrun(struct cpu *c, const struct insn *i)
{
    const struct op_row *r = &op_rows[i->row];
    struct hostrun *h = c->hostrun;
    struct frame *f = &h->frame;
    struct memop m;

    hostrun_check(c, i);
    if (unlikely(r->op == OP_vzeroupper || r->op == OP_vzeroall)) {
        vector_zero(c, r->op == OP_vzeroall);
        return;
    }
    const struct stub_entry *s = find_stub(h, i, r);
    memop_begin(c, i, s, &m);
    gprs_in(c, i, s, f);
    f->mxcsr_in = f->mxcsr_out = c->s.x.mxcsr;
    f->ax = flags_to_ax(c->s.rflags);
    f->faulted = 0;
    current = h;
    if (s->what & WHAT_X87)
        run_x87(c, i, r, s->fn, m.p);
    else
        s->fn(&c->s.x, m.p, f);
    c->s.x.mxcsr = f->mxcsr_out;
    if (unlikely(f->faulted))
        simd_fault(c);
    if (s->what & WHAT_FLAGS)
        flags_from_ax(c, f->ax);
    gprs_out(c, i, s, f);
    if (unlikely(m.size) && m.write && (r->unit != UNIT_x87 || memop_written(c, h, &m)))
        mmu_write_bytes(c, m.lin, h->bounce, m.size);
}

/* ------------------------------------------- opening and closing -- */

/* Leaves the stub by its common exit; any other SIGFPE is a bug of Wirt and ends it. */
static void on_sigfpe(int sig, siginfo_t *si, void *uc_)
{
    ucontext_t *uc = uc_;
    greg_t *rip = &uc->uc_mcontext.gregs[REG_RIP];
    struct hostrun *h = current;
    if (h && (u64)*rip - (u64)h->rx < CODE_SIZE) {
        *rip = (greg_t)(h->rx + h->fault_exit[h->x87]);
        return;
    }
    signal(SIGFPE, SIG_DFL);
}

static pthread_once_t sigfpe_once = PTHREAD_ONCE_INIT;

static void install_sigfpe(void)
{
    struct sigaction sa = {.sa_sigaction = on_sigfpe, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &sa, NULL);
}

int hostrun_open(struct cpu *c, struct err *e)
{
    struct hostrun *h = aligned_alloc(64, align_up(sizeof(*h), 64));
    if (!h)
        return err_set(e, ENOMEM, "no memory for the vector unit");
    memset(h, 0, sizeof(*h));
    h->rw = h->rx = MAP_FAILED;
    h->frame.mxcsr_host = MXCSR_HOST;
    c->hostrun = h;
    int fd = memfd_create("wirt-stubs", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, CODE_SIZE) < 0)
        goto fail;
    h->rw = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    h->rx = mmap(NULL, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (h->rw == MAP_FAILED || h->rx == MAP_FAILED)
        goto fail;
    close(fd);
    reset_code(h);
    serialize();
    pthread_once(&sigfpe_once, install_sigfpe);
    return 0;
fail:;
    int err = errno;
    if (fd >= 0)
        close(fd);
    hostrun_close(c);
    return err_set(e, err, "cannot map executable memory for the vector unit: %s", strerror(err));
}

void hostrun_close(struct cpu *c)
{
    struct hostrun *h = c->hostrun;
    if (!h)
        return;
    if (current == h)
        current = NULL;
    if (h->rw != MAP_FAILED)
        munmap(h->rw, CODE_SIZE);
    if (h->rx != MAP_FAILED)
        munmap(h->rx, CODE_SIZE);
    free(h);
    c->hostrun = NULL;
}
