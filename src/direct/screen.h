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
 * set RF.
 *
 * SLDT, STR, SGDT, SIDT, SMSW, LAR, LSL, VERR and VERW show little that is nobody's secret, XSAVE
 * and its kind save state that the guest's processor has not got, INT 4 and INT 0x80 have gates on
 * the host, which lose their place or the upper half of RAX.  Their bytes are frequent in
 * constants, so they count where code that is read from somewhat earlier comes to them, and each
 * gets one of the four breakpoints that a processor has.
 */
#ifndef WIRT_DIRECT_SCREEN_H
#define WIRT_DIRECT_SCREEN_H

#include "base/types.h"

enum { SCREEN_SITES = 4 };

/* May these 4096 bytes be executed?  -1: no; else the number of offsets in site[] where it must be
 * stopped.  They must not change under the call. */
int screen_page(const u8 *page, u16 site[SCREEN_SITES]);

#endif
