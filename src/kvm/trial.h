/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the KVM of this host a whole processor, and is it fast?  For the choice of an engine and for
 * `wirt doctor`.  /dev/kvm may be there and still lack permission, or be offered by a kernel that
 * has no VT and emulates: slowly, and not every instruction.
 */
#ifndef WIRT_KVM_TRIAL_H
#define WIRT_KVM_TRIAL_H

#include "base/types.h"

/* Processor modes, a bit each. */
enum {
    MODE_REAL = 1 << 0,
    MODE_FLAT = 1 << 1,  /* protected mode without paging */
    MODE_PAGED = 1 << 2, /* 32-bit or PAE paging */
    MODE_LONG = 1 << 3,
    MODE_ALL = MODE_REAL | MODE_FLAT | MODE_PAGED | MODE_LONG,
};

struct kvm_trial {
    bool exists, opens;
    unsigned modes; /* in which integer code ran */
    unsigned whole; /* in which an SSE2 instruction ran, too */
    double loop_us; /* 1000 turns of a loop in long mode, with one exit; 0 = not measured */
    char why[160];  /* one line: what is wrong; empty if KVM is fit to be used */
};

/* Runs trial guests in four modes; at most half a second, some milliseconds where KVM works.
 * stop_early: not the other modes once something is wrong. */
void kvm_trial(struct kvm_trial *t, bool stop_early);

#endif
