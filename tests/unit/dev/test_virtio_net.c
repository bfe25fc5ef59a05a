/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio network card between a small driver and a back end that records.
 */
#include "dev/virtio_net.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "vguest.h"

enum { DEVFN = 4 << 3, RX = 0, TX = 1, CTRL = 2 };

struct fixture {
    struct vguest g;
    struct virtio_net v;
    struct loop *loop;
    struct nic_backend back;
    u8 sent[70000];
    size_t sent_len;
    unsigned sends, readies;
    bool had_offload;
    struct nic_offload offload;
};

static void back_send(struct nic_backend *b, const struct iovec *iov, int niov,
                      const struct nic_offload *o)
{
    struct fixture *f = container_of(b, struct fixture, back);

    f->sent_len = iov_get(iov, (unsigned)niov, 0, f->sent, sizeof(f->sent));
    f->sends++;
    f->had_offload = o != NULL;
    if (o)
        f->offload = *o;
}

static void back_ready(struct nic_backend *b)
{
    container_of(b, struct fixture, back)->readies++;
}

static const struct nic_backend_ops back_ops = {.send = back_send, .ready = back_ready};

static void begin(struct fixture *f)
{
    struct virtio_net_options o = {.mac = {0x52, 0x54, 0, 1, 2, 3}, .mtu = 1500};

    memset(f, 0, sizeof(*f));
    f->back.ops = &back_ops;
    f->loop = loop_new(NULL);
    vg_open(&f->g);
    assert_int_equal(virtio_net_init(&f->v, &f->g.pci, DEVFN, f->loop, &f->back, &o, NULL), 0);
    assert_ptr_equal(f->back.front, &f->v.front);
    vg_place(&f->g, DEVFN);
}

static void end(struct fixture *f)
{
    virtio_net_destroy(&f->v);
    vg_close(&f->g);
    loop_free(f->loop);
}

static bool give(struct fixture *f, const u8 *frame, size_t len, const struct nic_offload *o)
{
    struct iovec iov[2] = {{(u8 *)frame, 10}, {(u8 *)frame + 10, len - 10}};

    return f->back.front->receive(f->back.front->opaque, iov, 2, o);
}

static void test_config(void **state)
{
    static struct fixture f;

    begin(&f);
    assert_true(vg_start(&f.g, vg_features(&f.g)));
    assert_int_equal(vg_r(&f.g, VG_DEVICE, 4), 0x01005452);
    assert_int_equal(vg_r(&f.g, VG_DEVICE + 6, 2), 1);
    assert_int_equal(vg_r(&f.g, VG_DEVICE + 10, 2), 1500);
    assert_true(f.back.front->offload);
    virtio_net_set_link(&f.v, false);
    assert_int_equal(vg_r(&f.g, VG_DEVICE + 6, 2), 0);
    assert_int_equal(vg_r(&f.g, 20, 2) >> 8, 1); /* generation */
    virtio_net_set_link(&f.v, true);
    assert_int_equal(vg_r(&f.g, VG_DEVICE + 6, 2), 3);
    vg_w(&f.g, 20, 1, 0);
    assert_false(f.back.front->offload);
    end(&f);
}

static void test_transmit(void **state)
{
    static struct fixture f;
    struct vguest *g = &f.g;
    struct vseg seg[] = {
        {VG_BUFFERS, 5, false}, {VG_BUFFERS + 5, 27, false}, {VG_BUFFERS + 0x1000, 3000, false}};
    u8 *h = vg_hva(g, VG_BUFFERS);
    u32 len;

    begin(&f);
    h = vg_hva(g, VG_BUFFERS);
    assert_true(vg_start(g, vg_features(g)));
    for (unsigned i = 0; i < 32; i++)
        h[i] = (u8)i;
    memset(h, 0, 12);
    h[0] = 1; /* needs a checksum, TCPv4 segments of 1000 */
    h[1] = 1;
    le16_put(h + 2, 54);
    le16_put(h + 4, 1000);
    le16_put(h + 6, 34);
    le16_put(h + 8, 16);
    vg_add(g, TX, seg, 3);
    vg_kick(g, TX);
    assert_true(vg_used(g, TX, false, NULL, &len));
    assert_int_equal(f.sends, 1);
    assert_int_equal(f.sent_len, 3020);
    assert_int_equal(f.sent[0], 12);
    assert_true(f.had_offload);
    assert_int_equal(f.offload.gso_size, 1000);
    assert_int_equal(f.offload.csum_start, 34);

    /* Nonsense is dropped, but its buffer comes back. */
    le16_put(h + 6, 60000);
    vg_add(g, TX, seg, 3);
    h[0] = 0;
    vg_kick(g, TX);
    assert_true(vg_used(g, TX, false, NULL, &len));
    assert_int_equal(f.sends, 1);
    /* Plain. */
    h[1] = 0;
    vg_add(g, TX, seg, 3);
    vg_kick(g, TX);
    assert_int_equal(f.sends, 2);
    assert_false(f.had_offload);
    /* Without a header the queue is broken. */
    vg_add(g, TX, seg, 1);
    vg_kick(g, TX);
    assert_true(vg_r(g, 20, 1) & VIRTIO_S_NEEDS_RESET);
    end(&f);
}

static void test_receive(void **state)
{
    static struct fixture f;
    static u8 frame[5000];
    struct vguest *g = &f.g;
    struct nic_offload o = {.flags = 1, .csum_start = 34, .csum_offset = 16};
    u32 len;

    begin(&f);
    assert_true(vg_start(g, vg_features(g)));
    for (unsigned i = 0; i < sizeof(frame); i++)
        frame[i] = (u8)(i * 13);
    /* No buffer: the back end waits and is called again. */
    assert_false(give(&f, frame, 5000, &o));
    for (unsigned i = 0; i < 2; i++) {
        struct vseg s[] = {{VG_BUFFERS + 0x1000 * i, 11, true},
                           {VG_BUFFERS + 0x1000 * i + 11, 1989, true}};

        vg_add(g, RX, s, 2);
    }
    vg_kick(g, RX);
    loop_turn(f.loop, 0);
    assert_int_equal(f.readies, 1);
    assert_false(give(&f, frame, 5000, &o)); /* two of 2000 are not enough */
    assert_false(vg_used(g, RX, false, NULL, NULL));
    struct vseg s = {VG_BUFFERS + 0x2000, 2000, true};

    vg_add(g, RX, &s, 1);
    assert_true(give(&f, frame, 5000, &o));
    assert_true(vg_used(g, RX, false, NULL, &len));
    assert_int_equal(len, 2000);
    assert_true(vg_used(g, RX, false, NULL, &len));
    assert_true(vg_used(g, RX, false, NULL, &len));
    assert_int_equal(len, 1012);
    u8 *h = vg_hva(g, VG_BUFFERS);

    assert_int_equal(h[0], 1);
    assert_int_equal(le16_get(h + 6), 34);
    assert_int_equal(le16_get(h + 10), 3);
    assert_memory_equal(h + 12, frame, 1988);
    assert_memory_equal(vg_hva(g, VG_BUFFERS + 0x1000), frame + 1988, 2000);
    assert_memory_equal(vg_hva(g, VG_BUFFERS + 0x2000), frame + 3988, 1012);
    end(&f);
}

static u8 command(struct fixture *f, u8 class, u8 cmd, const void *data, u32 len)
{
    struct vguest *g = &f->g;
    struct vseg seg[] = {{VG_BUFFERS + 0x8000, 2, false},
                         {VG_BUFFERS + 0x8010, len, false},
                         {VG_BUFFERS + 0x9000, 1, true}};

    vg_hva(g, VG_BUFFERS + 0x8000)[0] = class;
    vg_hva(g, VG_BUFFERS + 0x8000)[1] = cmd;
    memcpy(vg_hva(g, VG_BUFFERS + 0x8010), data, len);
    vg_add(g, CTRL, seg, 3);
    vg_kick(g, CTRL);
    assert_true(vg_used(g, CTRL, false, NULL, NULL));
    return *vg_hva(g, VG_BUFFERS + 0x9000);
}

static bool arrives(struct fixture *f, const u8 *frame)
{
    struct vseg s = {VG_BUFFERS, 2000, true};

    if (f->v.vp.dev.queue[RX].last_avail == f->g.q[RX].avail)
        vg_add(&f->g, RX, &s, 1);
    assert_true(give(f, frame, 64, NULL));
    return vg_used(&f->g, RX, false, NULL, NULL);
}

static void test_filter(void **state)
{
    static struct fixture f;
    u8 mine[64] = {0x52, 0x54, 0, 1, 2, 3}, other[64] = {2, 2, 2, 2, 2, 2};
    u8 multi[64] = {1, 0, 0x5e, 0, 0, 1}, all[64] = {255, 255, 255, 255, 255, 255};
    u8 off = 0, on = 1, table[] = {1, 0, 0, 0, 2, 2, 2, 2, 2, 2, 1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 1};
    u16 vlan = 7;

    begin(&f);
    assert_true(vg_start(&f.g, vg_features(&f.g)));
    assert_true(arrives(&f, other)); /* promiscuous until told otherwise */
    assert_int_equal(command(&f, 0, 0, &off, 1), 0);
    assert_true(arrives(&f, mine));
    assert_true(arrives(&f, all));
    assert_false(arrives(&f, other));
    assert_false(arrives(&f, multi));
    assert_int_equal(command(&f, 1, 0, table, sizeof(table)), 0);
    assert_true(arrives(&f, other));
    assert_true(arrives(&f, multi));
    assert_int_equal(command(&f, 1, 0, table, sizeof(table) - 1), 1);
    assert_int_equal(command(&f, 0, 5, &on, 1), 0);
    assert_false(arrives(&f, all));
    mine[12] = 0x81;
    mine[15] = 7;
    assert_false(arrives(&f, mine));
    assert_int_equal(command(&f, 2, 0, &vlan, 2), 0);
    assert_true(arrives(&f, mine));
    assert_int_equal(command(&f, 2, 1, &vlan, 2), 0);
    assert_false(arrives(&f, mine));
    assert_int_equal(command(&f, 9, 1, &vlan, 2), 1);
    assert_int_equal(command(&f, 1, 1, other, 6), 0);
    assert_int_equal(vg_r(&f.g, VG_DEVICE, 1), 2);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_transmit),
        cmocka_unit_test(test_receive),
        cmocka_unit_test(test_filter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
