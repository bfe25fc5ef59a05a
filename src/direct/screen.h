/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages of code may run on the host's processor as they are.
 *
 * Ring 3 has a few instructions that a processor does not trap and that show the host instead of
 * the guest: CPUID, XGETBV, RDPID, RDRAND and RDSEED (which a guest's processor may lack), SLDT,
 * STR, SGDT, SIDT, SMSW, LAR, LSL, VERR and VERW; and SYSENTER, which loses its place.  RDTSC and
 * RDTSCP trap (PR_SET_TSC).
 *
 * CPUID, XGETBV, RDPID, RDRAND, RDSEED and SYSENTER are found wherever their bytes are, in the
 * middle of other instructions too: a guest that looks for the host's properties does not get at
 * them.  The bytes of the others are frequent in constants, and what they show is little and
 * nobody's secret, so they count where code that is read from somewhat earlier comes to them.
 *
 * A page may be executed for all that if there are few such places, and each gets one of the four
 * breakpoints that a processor has.
 */
#ifndef WIRT_DIRECT_SCREEN_H
#define WIRT_DIRECT_SCREEN_H

#include "base/types.h"

enum { SCREEN_SITES = 4 };

/* May these 4096 bytes be executed?  -1: no; else the number of offsets in site[] where it must be
 * stopped.  They must not change under the call. */
int screen_page(const u8 *page, u16 site[SCREEN_SITES]);

#endif
