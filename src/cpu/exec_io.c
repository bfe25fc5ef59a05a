/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Port I/O: IN, OUT, INS, OUTS, alone and repeated.  SDM volume 1, chapter 19.
 *
 * INS checks that its destination can be written before it reads the port, since reading a port
 * may change a device.
 */
#include "core/bus.h"
#include "cpu/operand.h"
#include "cpu/ops.h"
#include "cpu/sysinsn.h"

static u64 port_read(struct cpu *c, u16 port, unsigned size)
{
    u64 v = bus_read(&c->vm->pio, port, size);
    io_breakpoint(c, port, size);
    return v;
}

static void port_write(struct cpu *c, u16 port, unsigned size, u64 v)
{
    bus_write(&c->vm->pio, port, size, v);
    io_breakpoint(c, port, size);
}

static u16 port_of(const struct cpu *c, const struct insn *i, unsigned n)
{
    return i->opnd[n].kind == OPND_IMM ? (u8)i->imm : (u16)c->s.gpr[RDX];
}

void exec_in(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opnd[0].size;
    u16 port = port_of(c, i, 1);
    io_permission(c, port, size);
    gpr_write(c, RAX, size, port_read(c, port, size));
}

void exec_out(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opnd[1].size;
    u16 port = port_of(c, i, 0);
    io_permission(c, port, size);
    port_write(c, port, size, gpr_read(c, RAX, size));
}

static void advance(struct cpu *c, const struct insn *i, unsigned reg, unsigned size)
{
    u64 step = c->s.rflags & FLAG_DF ? -(u64)size : size;
    gpr_write(c, reg, i->addrsize, c->s.gpr[reg] + step);
}

static void ins_one(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opnd[0].size;
    u16 port = (u16)c->s.gpr[RDX];
    u64 lin = seg_linear(c, ES, gpr_read(c, RDI, i->addrsize), size, SEG_WRITE);
    mmu_probe_write(c, lin, size);
    u64 v = port_read(c, port, size);
    mmu_write(c, lin, size, v);
    advance(c, i, RDI, size);
}

static void outs_one(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opnd[1].size;
    u16 port = (u16)c->s.gpr[RDX];
    u64 off = gpr_read(c, RSI, i->addrsize);
    u64 v = mmu_read(c, seg_linear(c, (enum seg_reg)i->seg, off, size, SEG_READ), size);
    port_write(c, port, size, v);
    advance(c, i, RSI, size);
}

/* A device may have raised an interrupt or moved memory: looks at events after each element.
 * (`leave` is no sign here: io_permission() sets it.) */
op_inline void repeat(struct cpu *c, const struct insn *i,
                      void (*one)(struct cpu *, const struct insn *))
{
    if (!(i->prefixes & (PFX_F3 | PFX_F2))) {
        one(c, i);
        return;
    }
    u64 left = gpr_read(c, RCX, i->addrsize);
    while (left) {
        one(c, i);
        gpr_write(c, RCX, i->addrsize, --left);
        if (left && (vcpu_events(c->vcpu) || c->code_changed || (c->s.rflags & FLAG_TF))) {
            c->next_rip = c->s.rip;
            c->leave = true; /* what follows in the block waits */
            return;
        }
    }
}

void exec_ins(struct cpu *c, const struct insn *i)
{
    io_permission(c, (u16)c->s.gpr[RDX], i->opnd[0].size);
    repeat(c, i, ins_one);
}

void exec_outs(struct cpu *c, const struct insn *i)
{
    io_permission(c, (u16)c->s.gpr[RDX], i->opnd[1].size);
    repeat(c, i, outs_one);
}
