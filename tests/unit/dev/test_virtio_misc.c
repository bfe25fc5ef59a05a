/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small virtio devices: entropy, console, balloon.
 */
#include "dev/virtio_balloon.h"
#include "dev/virtio_console.h"
#include "dev/virtio_rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vguest.h"

enum { DEVFN = 5 << 3 };

static void test_rng(void **state)
{
    static struct vguest g;
    static struct virtio_rng v;
    struct clock *c = clock_new_manual();
    struct vseg s = {VG_BUFFERS, 100000, true};
    u32 len, zeros = 0;

    vg_open(&g);
    assert_int_equal(virtio_rng_init(&v, &g.pci, DEVFN, c), 0);
    vg_place(&g, DEVFN);
    assert_true(vg_start(&g, vg_features(&g)));
    clock_advance(c, NS_PER_SEC);
    vg_add(&g, 0, &s, 1);
    vg_add(&g, 0, &s, 1);
    vg_add(&g, 0, &s, 1);
    vg_kick(&g, 0);
    assert_true(vg_used(&g, 0, false, NULL, &len));
    assert_int_equal(len, 100000);
    for (u32 i = 0; i < 100000; i++)
        zeros += vg_hva(&g, VG_BUFFERS)[i] == 0;
    assert_in_range(zeros, 200, 600);
    assert_true(vg_used(&g, 0, false, NULL, &len)); /* what is left of the budget */
    assert_int_equal(len, 131072 - 100000);
    assert_false(vg_used(&g, 0, false, NULL, &len));
    clock_advance(c, NS_PER_SEC / 10);
    assert_true(vg_used(&g, 0, false, NULL, &len));
    assert_int_equal(len, 100000);
    virtio_rng_destroy(&v);
    vg_close(&g);
    clock_free(c);
}

struct tty {
    struct chardev c;
    char out[100];
    size_t len;
    unsigned readies;
};

static void tty_write(struct chardev *c, const u8 *buf, size_t len)
{
    struct tty *t = container_of(c, struct tty, c);

    len = min(len, sizeof(t->out) - t->len);
    memcpy(t->out + t->len, buf, len);
    t->len += len;
}

static void tty_ready(struct chardev *c)
{
    container_of(c, struct tty, c)->readies++;
}

static void test_console(void **state)
{
    static struct vguest g;
    static struct virtio_console v;
    const struct chardev_ops tty_ops = {.write = tty_write, .ready = tty_ready};
    struct tty t = {.c = {.ops = &tty_ops}};
    struct loop *l = loop_new(NULL);
    struct vseg out[] = {{VG_BUFFERS, 2, false}, {VG_BUFFERS + 2, 4, false}};
    struct vseg in = {VG_BUFFERS + 100, 4, true};
    u32 len;

    vg_open(&g);
    assert_int_equal(virtio_console_init(&v, &g.pci, DEVFN, l, &t.c), 0);
    vg_place(&g, DEVFN);
    assert_int_equal(t.c.input(t.c.opaque, (const u8 *)"lost", 4), 4); /* nobody listens yet */
    assert_true(vg_start(&g, vg_features(&g)));
    memcpy(vg_hva(&g, VG_BUFFERS), "hello\n", 6);
    vg_add(&g, 1, out, 2);
    vg_kick(&g, 1);
    assert_true(vg_used(&g, 1, false, NULL, &len));
    assert_int_equal(t.len, 6);
    assert_memory_equal(t.out, "hello\n", 6);
    vg_w(&g, VG_DEVICE + 8, 4, '!');
    assert_int_equal(t.out[6], '!');

    vg_add(&g, 0, &in, 1);
    assert_int_equal(t.c.input(t.c.opaque, (const u8 *)"abcdefg", 7), 4);
    assert_true(vg_used(&g, 0, false, NULL, &len));
    assert_int_equal(len, 4);
    assert_memory_equal(vg_hva(&g, VG_BUFFERS + 100), "abcd", 4);
    vg_add(&g, 0, &in, 1);
    vg_kick(&g, 0);
    loop_turn(l, 0);
    assert_int_equal(t.readies, 1);
    assert_int_equal(t.c.input(t.c.opaque, (const u8 *)"efg", 3), 3);
    assert_true(vg_used(&g, 0, false, NULL, &len));
    assert_int_equal(len, 3);
    virtio_console_resize(&v, 132, 50);
    assert_int_equal(vg_r(&g, VG_DEVICE, 2), 132);
    assert_int_equal(vg_r(&g, VG_DEVICE + 2, 2), 50);
    virtio_console_destroy(&v);
    vg_close(&g);
    loop_free(l);
}

static bool page_there(struct vguest *g, u64 gpa)
{
    unsigned char there;

    assert_int_equal(mincore(vg_hva(g, gpa), 4096, &there), 0);
    return there & 1;
}

static void test_balloon(void **state)
{
    static struct vguest g;
    static struct virtio_balloon v;
    struct loop *l = loop_new(NULL);
    struct vseg list = {VG_BUFFERS, 16, false}, stats = {VG_BUFFERS, 20, false};
    struct vseg freed = {VG_BUFFERS + 0x40000, 0x10000, true};
    u8 *p;

    vg_open(&g);
    assert_int_equal(virtio_balloon_init(&v, &g.pci, DEVFN, l), 0);
    vg_place(&g, DEVFN);
    assert_true(vg_start(&g, vg_features(&g)));
    virtio_balloon_set_target(&v, 4 << 20);
    assert_int_equal(vg_r(&g, VG_DEVICE, 4), 1024);
    vg_w(&g, VG_DEVICE + 4, 4, 3);
    assert_int_equal(v.actual, 3);

    memset(vg_hva(&g, 0x300000), 0xaa, 0x10000);
    p = vg_hva(&g, VG_BUFFERS);
    le32_put(p, 0x302);
    le32_put(p + 4, 0x301);
    le32_put(p + 8, 0xffffffff);
    le32_put(p + 12, 0x305);
    vg_add(&g, 0, &list, 1);
    vg_kick(&g, 0);
    loop_turn(l, 0);
    assert_true(vg_used(&g, 0, false, NULL, NULL));
    assert_true(page_there(&g, 0x300000));
    assert_false(page_there(&g, 0x301000));
    assert_false(page_there(&g, 0x302000));
    assert_true(page_there(&g, 0x303000));
    assert_false(page_there(&g, 0x305000));
    assert_int_equal(vg_hva(&g, 0x301000)[5], 0);
    vg_add(&g, 1, &list, 1);
    vg_kick(&g, 1);
    loop_turn(l, 0);
    assert_true(vg_used(&g, 1, false, NULL, NULL));

    le16_put(p, 4); /* free memory */
    le64_put(p + 2, 12345);
    le16_put(p + 10, 99);
    vg_add(&g, 2, &stats, 1);
    vg_kick(&g, 2);
    assert_int_equal(v.stat[4], 12345);
    assert_false(vg_used(&g, 2, false, NULL, NULL));
    virtio_balloon_ask_stats(&v);
    assert_true(vg_used(&g, 2, false, NULL, NULL));

    memset(vg_hva(&g, VG_BUFFERS + 0x40000), 1, 0x10000);
    vg_add(&g, 3, &freed, 1);
    vg_kick(&g, 3);
    loop_turn(l, 0);
    assert_true(vg_used(&g, 3, false, NULL, NULL));
    assert_false(page_there(&g, VG_BUFFERS + 0x4f000));
    virtio_balloon_destroy(&v);
    vg_close(&g);
    loop_free(l);
}

static void ring(struct loop *l, const struct region *r, unsigned queue)
{
    u64 one = 1;

    assert_int_equal(write(r->bell[queue].fd, &one, 8), 8);
    loop_turn(l, 0);
}

/* What an engine with doorbells does in place of a write. */
static void test_bells(void **state)
{
    static struct vguest g;
    static struct virtio_console v;
    const struct chardev_ops tty_ops = {.write = tty_write, .ready = tty_ready};
    struct tty t = {.c = {.ops = &tty_ops}};
    struct loop *l = loop_new(NULL);
    struct vseg out = {VG_BUFFERS, 2, false};

    vg_open(&g);
    assert_int_equal(virtio_console_init(&v, &g.pci, DEVFN, l, &t.c), 0);
    assert_int_equal(virtio_pci_add_bells(&v.vp, l, NULL), 0);
    vg_place(&g, DEVFN);
    assert_int_equal(v.vp.legacy.nbells, 2);
    assert_int_equal(v.vp.legacy.bell[1].off, 16);
    assert_int_equal(v.vp.legacy.bell[1].value, 1);
    assert_true(v.vp.legacy.bell[1].match);
    assert_int_equal(v.vp.modern.nbells, 2);
    assert_int_equal(v.vp.modern.bell[1].off, 0x3004);
    assert_false(v.vp.modern.bell[1].match);

    ring(l, &v.vp.modern, 1); /* no driver yet */
    assert_int_equal(t.len, 0);
    assert_true(vg_start(&g, vg_features(&g)));
    memcpy(vg_hva(&g, VG_BUFFERS), "ab", 2);
    vg_add(&g, 1, &out, 1);
    ring(l, &v.vp.modern, 0);
    assert_int_equal(t.len, 0); /* another queue */
    ring(l, &v.vp.modern, 1);
    assert_int_equal(t.len, 2);
    vg_add(&g, 1, &out, 1);
    ring(l, &v.vp.legacy, 1);
    assert_int_equal(t.len, 4);
    ring(l, &v.vp.legacy, 1); /* nothing there */
    assert_int_equal(t.len, 4);
    virtio_pci_free_bells(&v.vp);
    virtio_console_destroy(&v);
    vg_close(&g);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rng),
        cmocka_unit_test(test_console),
        cmocka_unit_test(test_balloon),
        cmocka_unit_test(test_bells),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
