/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of --net, and frames with offload that have to be finished in software.
 */
#include "net/net.h"
#include "net/offload.h"

#include <stdlib.h>
#include <string.h>

static void emit(void *opaque, const u8 *frame, size_t len)
{
    u8 sum = 0;

    for (size_t i = 0; i < len; i += 16)
        sum += frame[i];
    __asm__ volatile("" : : "r"(sum));
}

static void parse(const u8 *p, size_t size)
{
    struct net_config c;
    struct err e;
    char *text = malloc(size + 1);

    memcpy(text, p, size);
    text[size] = 0;
    net_parse(&c, text, &e);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nic_offload o;
    u8 *frame;

    if (size < 1 + sizeof(o))
        return 0;
    if (data[0] & 1) {
        parse(data + 1, size - 1);
        return 0;
    }
    memcpy(&o, data + 1, sizeof(o));
    size -= 1 + sizeof(o);
    frame = malloc(size ? size : 1);
    memcpy(frame, data + 1 + sizeof(o), size);
    net_offload_finish(frame, size, &o, emit, NULL);
    free(frame);
    return 0;
}
