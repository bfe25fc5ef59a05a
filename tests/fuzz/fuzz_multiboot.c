/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The multiboot loader: the input is a kernel file; the machine is small, so that most lies are
 * seen.
 */
#include "fuzz_loader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_loader(FUZZ_MULTIBOOT, data, size);
}
