/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers as a debugger counts them: their numbers, their descriptions (target.xml,
 * "Debugging with GDB", appendix G), and their places in struct cpu_state.
 */
#ifndef WIRT_GDB_REGS_H
#define WIRT_GDB_REGS_H

#include "core/arch.h"

enum { GDB_REG_BYTES_MAX = 16 };

struct gdb_regs;
extern const struct gdb_regs gdb_regs_i386, gdb_regs_x86_64;

unsigned gdb_regs_count(const struct gdb_regs *r);
/* How many of them `g` and `G` hold: all of the core and SSE features. */
unsigned gdb_regs_general(const struct gdb_regs *r);
/* Its bytes, little-endian; how many, 0 = no such register. */
unsigned gdb_reg_size(const struct gdb_regs *r, unsigned n);
/* cr8: the task priority, which is the local APIC's. */
void gdb_reg_read(const struct gdb_regs *r, unsigned n, const struct cpu_state *s, u8 cr8, u8 *buf);
/* False: it cannot be written, or not with this value. */
bool gdb_reg_write(const struct gdb_regs *r, unsigned n, struct cpu_state *s, const u8 *buf);
/* The description, to be freed; NULL: no memory. */
char *gdb_regs_xml(const struct gdb_regs *r);
/* Which register is the program counter. */
unsigned gdb_regs_pc(const struct gdb_regs *r);

#endif
