/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg: each 8 bytes of input are one access: port, size, value.
 */
#include "base/endian.h"
#include "dev/fw_cfg.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct trace trace;
    struct mem mem;
    struct bus pio, mmio;
    struct fw_cfg f;
    struct region ram;
    trace_init(&trace);
    bus_init(&pio, "port", 16, &trace);
    bus_init(&mmio, "memory", 52, &trace);
    BUG_ON(mem_open(&mem, MIB, NULL));
    ram = (struct region){.name = "ram", .size = MIB, .hva = mem.hva, .whva = mem.hva};
    BUG_ON(bus_map(&mmio, &ram, 0));
    fw_cfg_init(&f, (struct dma){&mmio, &mem}, &trace);
    fw_cfg_add_file(&f, "a", "contents", 8);
    fw_cfg_finish(&f);
    BUG_ON(bus_map(&pio, &f.ports, 0x510) || bus_map(&pio, &f.dma_ports, 0x514));
    if (size >= 256) { /* guest memory, with descriptors in it */
        memcpy(mem.hva, data, 256);
        data += 256;
        size -= 256;
    }
    for (; size >= 8; data += 8, size -= 8) {
        unsigned port = 0x510 + data[0] % 12, width = 1u << (data[1] & 3);
        if (data[1] & 4)
            bus_read(&pio, port, width);
        else
            bus_write(&pio, port, width, le32_get(data + 4));
    }
    fw_cfg_destroy(&f);
    mem_close(&mem);
    bus_destroy(&pio);
    bus_destroy(&mmio);
    trace_destroy(&trace);
    return 0;
}
