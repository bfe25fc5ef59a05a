/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses to the network card, descriptors in memory, frames from the wire.
 */
#include "dev/e1000.h"

#include "fuzz_pc.h"

enum { BAR = 0xfe000000, IO = 0xc000 };

struct target {
    struct fake_pc pc;
    struct nic_backend b;
    struct e1000 e;
};

/* Looks at every byte, so that what was never written or lies outside is found. */
static void backend_send(struct nic_backend *b, const struct iovec *iov, int niov,
                         const struct nic_offload *o)
{
    u8 sum = 0;

    for (int i = 0; i < niov; i++)
        for (size_t k = 0; k < iov[i].iov_len; k += 16)
            sum += ((const u8 *)iov[i].iov_base)[k];
    __asm__ volatile("" : : "r"(sum));
}

static void backend_ready(struct nic_backend *b)
{
}

static void frame(struct target *t, struct input *in)
{
    static u8 f[20000];
    size_t len = take(in, 2) % sizeof(f);
    struct iovec iov = {f, len};

    for (int i = 0; i < 40; i++)
        f[i] = take(in, 1);
    t->e.front.receive(t->e.front.opaque, &iov, 1, NULL);
}

/* Registers that matter, so that the fuzzer need not find their places. */
static void known_register(struct target *t, struct input *in)
{
    static const u16 regs[] = {0x00,   0x10,   0x14,   0x20,   0xc0,   0xc4,   0xc8,
                               0xd0,   0xd8,   0x100,  0x400,  0x2800, 0x2808, 0x2810,
                               0x2818, 0x2820, 0x282c, 0x3800, 0x3808, 0x3810, 0x3818,
                               0x3820, 0x382c, 0x5000, 0x5400, 0x5404, 0x38};
    u8 n = take(in, 1);

    bus_write(&t->pc.mmio, BAR + regs[n % ARRAY_SIZE(regs)], 4, take(in, n & 0x80 ? 4 : 2));
}

static void one(struct target *t, struct input *in)
{
    u8 op = take(in, 1);

    switch (op % 8) {
    case 0:
        fuzz_access(in, &t->pc.mmio, BAR, E1000_MMIO_SIZE);
        break;
    case 1:
        fuzz_access(in, &t->pc.pio, IO, 64);
        break;
    case 2:
    case 3:
        known_register(t, in);
        break;
    case 4:
        fuzz_poke(in, &t->pc);
        break;
    case 5:
        frame(t, in);
        break;
    case 6:
        clock_advance(t->pc.clock, take(in, 3));
        break;
    case 7:
        if (op & 0x80)
            e1000_set_link(&t->e, op & 0x40);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct nic_backend_ops ops = {.send = backend_send, .ready = backend_ready};
    struct target *t = calloc(1, sizeof(*t));
    struct e1000_config cfg = {.backend = &t->b, .mac = {2, 0, 0, 0, 0, 1}};
    struct input in = {bytes, size};

    fake_pc_init(&t->pc);
    t->b.ops = &ops;
    e1000_init(&t->e, &t->pc.pci, 24, &cfg, t->pc.clock);
    pci_config_write(&t->pc.pci, 24, 0x10, 4, BAR);
    pci_config_write(&t->pc.pci, 24, 0x18, 4, IO);
    pci_config_write(&t->pc.pci, 24, 0x04, 2, 7);
    bus_write(&t->pc.mmio, BAR + 0x100, 4, 0x801a);
    bus_write(&t->pc.mmio, BAR + 0x400, 4, 0x0a);
    bus_write(&t->pc.mmio, BAR + 0x2808, 4, 0x400);
    bus_write(&t->pc.mmio, BAR + 0x3808, 4, 0x400);
    bus_write(&t->pc.mmio, BAR + 0x3800, 4, 0x1000);
    for (int i = 0; in.left && i < 400; i++)
        one(t, &in);
    fake_pc_destroy(&t->pc);
    free(t);
    return 0;
}
