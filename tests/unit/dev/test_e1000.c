/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 82540EM with a back end that remembers frames.
 */
#include "dev/e1000.h"

#include "fake_pc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { BAR = 0xfe000000, TXD = 0x10000, RXD = 0x11000, BUF = 0x20000, RING = 8 };

struct nic {
    struct fake_pc pc;
    struct nic_backend b;
    struct e1000 e;
    u8 frame[64][2048];
    size_t len[64];
    unsigned sent, readies;
};

static struct nic *of(struct nic_backend *b)
{
    return container_of(b, struct nic, b);
}

static void backend_send(struct nic_backend *b, const struct iovec *iov, int niov,
                         const struct nic_offload *o)
{
    struct nic *s = of(b);
    size_t n = 0;

    assert_null(o);
    for (int i = 0; i < niov; i++) {
        memcpy(s->frame[s->sent % 64] + n, iov[i].iov_base, iov[i].iov_len);
        n += iov[i].iov_len;
    }
    s->len[s->sent++ % 64] = n;
}

static void backend_ready(struct nic_backend *b)
{
    of(b)->readies++;
}

static const u8 mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

static void wr(struct nic *s, u32 reg, u32 v)
{
    bus_write(&s->pc.mmio, BAR + reg, 4, v);
}

static u32 rd(struct nic *s, u32 reg)
{
    return bus_read(&s->pc.mmio, BAR + reg, 4);
}

static int setup(void **state)
{
    static const struct nic_backend_ops ops = {.send = backend_send, .ready = backend_ready};
    struct nic *s = calloc(1, sizeof(*s));
    struct e1000_config cfg = {.backend = &s->b};

    fake_pc_init(&s->pc);
    s->b.ops = &ops;
    memcpy(cfg.mac, mac, 6);
    assert_int_equal(e1000_init(&s->e, &s->pc.pci, 24, &cfg, s->pc.clock), 0);
    pci_config_write(&s->pc.pci, 24, 0x10, 4, BAR);
    pci_config_write(&s->pc.pci, 24, 0x04, 2, 7);
    wr(s, 0x3800, TXD);
    wr(s, 0x3808, RING * 16);
    wr(s, 0x0400, 0x0a); /* TCTL: enable, pad */
    wr(s, 0x2800, RXD);
    wr(s, 0x2808, RING * 16);
    for (unsigned i = 0; i < RING; i++)
        mem_write64(&s->pc.dma, RXD + 16 * i, BUF + i * 2048);
    wr(s, 0x2818, RING - 1);
    wr(s, 0x0100, 0x8002); /* RCTL: enable, broadcasts, 2048 */
    wr(s, 0x00d0, 0xd7);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct nic *s = *state;

    fake_pc_destroy(&s->pc);
    free(s);
    return 0;
}

static bool receive(struct nic *s, const void *data, size_t len)
{
    struct iovec iov = {(void *)data, len};

    return s->b.front->receive(s->b.front->opaque, &iov, 1, NULL);
}

static void desc(struct nic *s, unsigned i, u64 addr, u32 lower, u32 upper)
{
    mem_write64(&s->pc.dma, TXD + 16 * i, addr);
    mem_write32(&s->pc.dma, TXD + 16 * i + 8, lower);
    mem_write32(&s->pc.dma, TXD + 16 * i + 12, upper);
}

static void test_eeprom(void **state)
{
    struct nic *s = *state;
    u16 sum = 0;

    for (unsigned i = 0; i < 64; i++) {
        u32 v;

        wr(s, 0x14, i << 8 | 1);
        v = rd(s, 0x14);
        assert_int_equal(v & 0x10, 0x10);
        sum += v >> 16;
        if (i < 3)
            assert_int_equal(v >> 16, mac[2 * i] | mac[2 * i + 1] << 8);
    }
    assert_int_equal(sum, 0xbaba);
    /* By the pins: read word 2. */
    wr(s, 0x10, 0x42);
    assert_int_equal(rd(s, 0x10) & 0x80, 0x80);
    for (int i = 8; i >= 0; i--) {
        u32 di = (0x182 >> i & 1) << 2;

        wr(s, 0x10, 0x42 | di);
        wr(s, 0x10, 0x43 | di);
    }
    sum = 0;
    for (int i = 0; i < 16; i++) {
        wr(s, 0x10, 0x42);
        wr(s, 0x10, 0x43);
        sum = sum << 1 | (rd(s, 0x10) >> 3 & 1);
    }
    assert_int_equal(sum, mac[4] | mac[5] << 8);
    assert_int_equal(rd(s, 0x5400), 0x12005452);
    assert_int_equal(rd(s, 0x5404), 0x80005634);
}

static void test_phy(void **state)
{
    struct nic *s = *state;

    rd(s, 0xc0);
    wr(s, 0x20, 2 << 16 | 1 << 21 | 2 << 26);
    assert_int_equal(rd(s, 0x20) & 0x1000ffff, 0x10000141);
    wr(s, 0x20, 1 << 16 | 1 << 21 | 2 << 26);
    assert_int_equal(rd(s, 0x20) & 4, 4);
    wr(s, 0x20, 0 << 16 | 1 << 21 | 1 << 26 | 0x1340); /* restart auto-negotiation */
    clock_advance(s->pc.clock, 6000000);
    assert_int_equal(rd(s, 0xc0) & 4, 4);
    e1000_set_link(&s->e, false);
    assert_int_equal(rd(s, 0x08) & 2, 0);
    wr(s, 0x20, 1 << 16 | 3 << 21 | 2 << 26); /* another PHY */
    assert_int_equal(rd(s, 0x20) >> 30, 1);
}

static void test_transmit(void **state)
{
    struct nic *s = *state;

    memset(s->pc.mem.hva + BUF, 0x11, 100);
    desc(s, 0, BUF, 20 | 0x00u << 24, 0);
    desc(s, 1, BUF, 10 | 0x0bu << 24, 0); /* EOP, IFCS, RS */
    wr(s, 0x3818, 2);
    assert_int_equal(s->sent, 1);
    assert_int_equal(s->len[0], 60);
    assert_int_equal(s->frame[0][29], 0x11);
    assert_int_equal(s->frame[0][30], 0);
    assert_int_equal(mem_read32(&s->pc.dma, TXD + 12), 0);
    assert_int_equal(mem_read32(&s->pc.dma, TXD + 16 + 12) & 1, 1);
    assert_int_equal(rd(s, 0x3810), 2);
    assert_true(s->pc.intx[0].level);
    assert_int_equal(rd(s, 0xc0), 3);
    assert_false(s->pc.intx[0].level);
    assert_int_equal(rd(s, 0x40d4), 1); /* TPT, cleared by reading */
    assert_int_equal(rd(s, 0x40d4), 0);
}

static u16 sum(const u8 *p, size_t n, u32 v)
{
    for (size_t i = 0; i < n; i += 2)
        v += p[i] << 8 | (i + 1 < n ? p[i + 1] : 0);
    while (v >> 16)
        v = (v & 0xffff) + (v >> 16);
    return v;
}

static void test_tso(void **state)
{
    struct nic *s = *state;
    u8 *f = s->pc.mem.hva + BUF;

    memset(f, 0, 54);
    for (unsigned i = 54; i < 54 + 4000; i++)
        f[i] = i;
    be16_put(f + 12, 0x0800);
    f[14] = 0x45;
    be16_put(f + 18, 77);
    f[22] = 64;
    f[23] = 6;
    be32_put(f + 26, 0x0a00020f);
    be32_put(f + 30, 0x0a000202);
    be32_put(f + 38, 5000);
    f[46] = 0x50;
    f[47] = 0x19; /* ACK, PSH, FIN */
    be16_put(f + 50, sum(f + 26, 8, 6));
    /* ipcss 14, ipcso 24, ipcse 33; tucss 34, tucso 50; TCP, IP, TSE; header 54, MSS 1460. */
    mem_write32(&s->pc.dma, TXD, 14 | 24 << 8 | 33 << 16);
    mem_write32(&s->pc.dma, TXD + 4, 34 | 50 << 8);
    mem_write32(&s->pc.dma, TXD + 8, 4000 | 0x27u << 24);
    mem_write32(&s->pc.dma, TXD + 12, 54 << 8 | 1460 << 16);
    desc(s, 1, BUF, 54 | 1 << 20 | 0x24u << 24, 3 << 8);
    desc(s, 2, BUF + 54, 4000 | 1 << 20 | 0x2du << 24, 0);
    wr(s, 0x3818, 3);
    assert_int_equal(s->sent, 3);
    for (unsigned i = 0; i < 3; i++) {
        const u8 *p = s->frame[i];
        size_t tcp = s->len[i] - 34;

        assert_int_equal(s->len[i], i < 2 ? 1514 : 54 + 1080);
        assert_int_equal(sum(p + 14, 20, 0), 0xffff);
        assert_int_equal(sum(p + 34, tcp, sum(p + 26, 8, 6 + tcp)), 0xffff);
        assert_int_equal(be16_get(p + 18), 77 + i);
        assert_int_equal(be32_get(p + 38), 5000 + 1460 * i);
        assert_int_equal(p[47], i == 2 ? 0x19 : 0x10);
        assert_int_equal(p[54], (u8)(54 + 1460 * i));
    }
}

static void test_receive(void **state)
{
    struct nic *s = *state;
    u8 f[1514];

    memset(f, 0x77, sizeof(f));
    memcpy(f, mac, 6);
    assert_true(receive(s, f, 30)); /* padded */
    assert_int_equal(mem_read32(&s->pc.dma, RXD + 8) & 0xffff, 64);
    assert_int_equal(mem_read32(&s->pc.dma, RXD + 12) & 3, 3);
    assert_memory_equal(s->pc.mem.hva + BUF, f, 30);
    assert_int_equal(rd(s, 0xc0) & 0x80, 0x80);
    f[0] = 0x02; /* not for us */
    assert_true(receive(s, f, sizeof(f)));
    assert_int_equal(rd(s, 0x2810), 1);
    /* A multicast address by its hash. */
    memcpy(f, "\x01\x00\x5e\x00\x00\xfb", 6);
    assert_true(receive(s, f, sizeof(f)));
    assert_int_equal(rd(s, 0x2810), 1);
    wr(s, 0x5200 + 4 * (0xfb0 >> 5), 1 << (0xfb0 & 31));
    assert_true(receive(s, f, sizeof(f)));
    assert_int_equal(rd(s, 0x2810), 2);
    memcpy(f, mac, 6);
    for (unsigned i = 2; i < RING - 1; i++)
        assert_true(receive(s, f, sizeof(f)));
    assert_false(receive(s, f, sizeof(f)));
    s->readies = 0;
    wr(s, 0x2818, 3);
    assert_int_equal(s->readies, 1);
    assert_true(receive(s, f, sizeof(f)));
}

/* Small buffers, and a tag taken out. */
static void test_receive_split(void **state)
{
    struct nic *s = *state;
    u8 f[700];

    for (unsigned i = 0; i < sizeof(f); i++)
        f[i] = i;
    memcpy(f, mac, 6);
    be32_put(f + 12, 0x81000123);
    wr(s, 0x38, 0x8100);
    wr(s, 0x00, 0x40000001);
    wr(s, 0x0100, 0x8002 | 3 << 16 | 1 << 26); /* 256 bytes, no CRC */
    assert_true(receive(s, f, sizeof(f)));
    assert_int_equal(rd(s, 0x2810), 3);
    assert_int_equal(mem_read32(&s->pc.dma, RXD + 12) & 3, 1);
    assert_int_equal(mem_read32(&s->pc.dma, RXD + 32 + 8) & 0xffff, 696 - 512);
    assert_int_equal(mem_read32(&s->pc.dma, RXD + 32 + 12) & 0xffff000b, 0x0123000b);
    assert_memory_equal(s->pc.mem.hva + BUF, f, 12);
    assert_memory_equal(s->pc.mem.hva + BUF + 12, f + 16, 200);
}

static void test_moderation(void **state)
{
    struct nic *s = *state;
    u8 f[60] = {0};

    memcpy(f, mac, 6);
    wr(s, 0x2820, 100); /* RDTR: 102.4 us */
    wr(s, 0x282c, 150);
    rd(s, 0xc0);
    receive(s, f, 60);
    assert_false(s->pc.intx[0].level);
    clock_advance(s->pc.clock, 80000);
    receive(s, f, 60);
    clock_advance(s->pc.clock, 60000);
    assert_false(s->pc.intx[0].level);
    clock_advance(s->pc.clock, 20000); /* RADV */
    assert_true(s->pc.intx[0].level);
    wr(s, 0x2820, 0);
    wr(s, 0xc4, 1000); /* ITR: 256 us */
    rd(s, 0xc0);
    receive(s, f, 60);
    assert_true(s->pc.intx[0].level);
    rd(s, 0xc0);
    receive(s, f, 60);
    assert_false(s->pc.intx[0].level);
    clock_advance(s->pc.clock, 300000);
    assert_true(s->pc.intx[0].level);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_eeprom, setup, teardown),
        cmocka_unit_test_setup_teardown(test_phy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transmit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tso, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_split, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moderation, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
