/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does this host let Wirt run programs directly, and what does a turn cost?  For `wirt doctor`.
 */
#ifndef WIRT_DIRECT_TRIAL_H
#define WIRT_DIRECT_TRIAL_H

#include <stdbool.h>

struct direct_trial {
    char why[128];  /* it does not; empty: it does */
    double turn_us; /* from the processor's state to a system call of the program, and back; the
                       least of some */
    bool stops;     /* the processor's breakpoints can be had (child_stop_at()) */
};

/* Takes a few milliseconds.  The calling thread makes and ends a process. */
void direct_trial(struct direct_trial *t);

#endif
