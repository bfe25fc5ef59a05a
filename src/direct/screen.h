/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages of code may run on the host's processor as they are.
 *
 * Ring 3 has a few instructions that a processor does not trap and that show the host instead of
 * the guest.  RDTSC and RDTSCP trap (PR_SET_TSC).
 *
 * CPUID, XGETBV, RDPID, RDPRU, RDRAND and RDSEED (which a guest's processor may lack); VMCALL,
 * VMMCALL and VMFUNC, by which a host that is a guest itself asks its own; ENCLU; and SYSENTER,
 * which loses its place: a page with their bytes is not executed, in the middle of other
 * instructions too.  A breakpoint would not do: it does not come behind MOV SS, nor when IRET has
 * set RF.  But a page may be executed as a copy in which UD2 stands for CPUID and XGETBV that the
 * program is known to have executed there.
 *
 * SLDT, STR, SGDT, SIDT, SMSW, LAR, LSL, VERR and VERW show little that is nobody's secret, XSAVE
 * and its kind save state that the guest's processor has not got, INT 4 and INT 0x80 have gates on
 * the host, which lose their place or the upper half of RAX.  Their bytes are frequent in
 * constants, so they count where code that is read from somewhat earlier may come to them, and each
 * gets one of the four breakpoints that a processor has.
 */
#ifndef WIRT_DIRECT_SCREEN_H
#define WIRT_DIRECT_SCREEN_H

#include "base/types.h"

enum { SCREEN_SITES = 4, SCREEN_PATCHES = 16 };

struct screened {
    unsigned nsites, npatches;
    u16 site[SCREEN_SITES];    /* offsets where it must be stopped */
    u16 patch[SCREEN_PATCHES]; /* where UD2 must stand instead: screen_patch() */
};

/* May these 4096 bytes be executed?  CPUID and XGETBV, whose 0F lies at known[], have been executed
 * there: so they are instructions.  The bytes must not change under the call. */
bool screen_page(const u8 *page, const u16 *known, unsigned nknown, struct screened *out);

/* Puts UD2 into a copy of the page, of the same length as what it stands for. */
void screen_patch(u8 *copy, const struct screened *s);

#endif
