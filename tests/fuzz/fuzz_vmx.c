/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMware's .vmx: the input is a file.
 */
#include "appliance.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_appliance(data, size);
    return 0;
}
