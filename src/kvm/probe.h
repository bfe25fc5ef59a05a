/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does /dev/kvm work here?  For `wirt doctor`.
 */
#ifndef WIRT_KVM_PROBE_H
#define WIRT_KVM_PROBE_H

#include "base/types.h"

struct kvm_probe {
    bool exists, opens, runs;
    int api_version;
    char why[200]; /* why the first of these that is false is */
};

/* Opens the device and runs three instructions on a trial processor. */
void kvm_probe(struct kvm_probe *p);

#endif
