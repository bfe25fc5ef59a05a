/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptions in XML, and VMCX: the input is a file, of OVF, VirtualBox, libvirt, Parallels,
 * Virtual PC or Hyper-V, as its content says.
 */
#include "appliance.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_appliance(data, size);
    return 0;
}
