/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio block device over its PCI transport, modern and legacy, with a disk in a temporary
 * file; and what a guest that breaks the rules gets.
 */
#include "dev/virtio_blk.h"
#include "disk/disk.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vguest.h"

enum { DISK_SIZE = 4 << 20, DEVFN = 3 << 3 };

struct fixture {
    struct vguest g;
    struct virtio_blk v;
    struct blk *disk;
    char path[64];
};

static void begin(struct fixture *f, bool readonly, unsigned queues)
{
    struct virtio_blk_options o = {.serial = "wirt0001", .queues = queues};
    struct disk_options d = {.readonly = readonly};
    int fd;

    memset(f, 0, sizeof(*f));
    strcpy(f->path, "/tmp/wirt-vblk-XXXXXX");
    fd = mkstemp(f->path);
    assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
    for (u32 i = 0; i < DISK_SIZE / 512; i++)
        assert_int_equal(pwrite(fd, &i, 4, i * 512), 4);
    close(fd);
    assert_int_equal(disk_open(&f->disk, f->path, &d, NULL), 0);
    vg_open(&f->g);
    assert_int_equal(virtio_blk_init(&f->v, &f->g.pci, DEVFN, f->disk, &o, NULL), 0);
    vg_place(&f->g, DEVFN);
}

static void end(struct fixture *f)
{
    virtio_blk_destroy(&f->v);
    f->disk->ops->close(f->disk);
    unlink(f->path);
    vg_close(&f->g);
}

/* A request with its data in one piece at VG_BUFFERS + 0x1000; the status. */
static u8 request(struct fixture *f, u32 type, u64 sector, u32 len, bool in)
{
    struct vguest *g = &f->g;
    struct vseg seg[] = {
        {VG_BUFFERS, 16, false}, {VG_BUFFERS + 0x1000, len, in}, {VG_BUFFERS + 0x800, 1, true}};
    u8 *h = vg_hva(g, VG_BUFFERS);
    u32 id, used, head;

    le32_put(h, type);
    le32_put(h + 4, 0);
    le64_put(h + 8, sector);
    *vg_hva(g, VG_BUFFERS + 0x800) = 0xee;
    if (!len)
        seg[1] = seg[2];
    head = vg_add(g, 0, seg, len ? 3 : 2);
    vg_kick(g, 0);
    assert_true(vg_used(g, 0, true, &id, &used));
    assert_int_equal(id, head);
    assert_int_equal(used, (in ? len : 0) + 1);
    return *vg_hva(g, VG_BUFFERS + 0x800);
}

static void test_modern(void **state)
{
    static struct fixture f;
    u8 *data;
    u64 features;

    begin(&f, false, 1);
    data = vg_hva(&f.g, VG_BUFFERS + 0x1000);
    features = vg_features(&f.g);
    assert_true(features & BIT64(32));
    assert_false(features & BIT64(5));
    assert_false(features & BIT64(27));
    assert_false(vg_start(&f.g, features | BIT64(50)));
    assert_false(vg_start(&f.g, features & ~BIT64(32)));
    assert_true(vg_start(&f.g, features));
    assert_int_equal(vg_r(&f.g, VG_DEVICE, 4), DISK_SIZE / 512);
    assert_int_equal(vg_r(&f.g, VG_DEVICE + 12, 4), 254);
    assert_int_equal(vg_r(&f.g, VG_DEVICE + 20, 4), 512); /* blk_size */
    f.disk->sector = f.disk->block_size = 4096;
    assert_int_equal(vg_r(&f.g, VG_DEVICE, 4), DISK_SIZE / 512);
    assert_int_equal(vg_r(&f.g, VG_DEVICE + 20, 4), 4096);
    assert_int_equal(vg_r(&f.g, VG_DEVICE + 24, 1), 0); /* physical blocks are logical ones */
    assert_int_equal(vg_r(&f.g, VG_DEVICE + 26, 2), 1);
    assert_int_equal(vg_r(&f.g, VG_DEVICE + 44, 4), 8); /* discard alignment, in 512 bytes */
    f.disk->sector = f.disk->block_size = 512;

    assert_int_equal(request(&f, 0, 100, 4096, true), 0);
    for (u32 i = 0; i < 8; i++)
        assert_int_equal(le32_get(data + 512 * i), 100 + i);
    memset(data, 0x5a, 8192);
    assert_int_equal(request(&f, 1, 1000, 8192, false), 0);
    assert_int_equal(request(&f, 4, 0, 0, false), 0);
    memset(data, 0, 8192);
    assert_int_equal(request(&f, 0, 1000, 8192, true), 0);
    assert_int_equal(data[8191], 0x5a);
    assert_int_equal(request(&f, 8, 0, 20, true), 0);
    assert_string_equal((char *)data, "wirt0001");

    /* Discard and write-zeroes: two ranges. */
    le64_put(data, 1000);
    le32_put(data + 8, 4);
    le32_put(data + 12, 0);
    le64_put(data + 16, 1008);
    le32_put(data + 24, 2);
    le32_put(data + 28, 0);
    assert_int_equal(request(&f, 13, 0, 32, false), 0);
    assert_int_equal(request(&f, 0, 1000, 8192, true), 0);
    assert_int_equal(data[0], 0);
    assert_int_equal(data[2047], 0);
    assert_int_equal(data[2048], 0x5a);
    assert_int_equal(data[4096], 0);
    assert_int_equal(data[5120], 0x5a);
    le64_put(data, 1000);
    le32_put(data + 8, 4);
    le32_put(data + 12, 0);
    assert_int_equal(request(&f, 11, 0, 16, false), 0);
    le32_put(data + 12, 1);
    assert_int_equal(request(&f, 11, 0, 16, false), 2);
    le64_put(data, UINT64_MAX);
    le32_put(data + 12, 0);
    assert_int_equal(request(&f, 11, 0, 16, false), 1);

    /* Errors. */
    assert_int_equal(request(&f, 0, DISK_SIZE / 512, 512, true), 1);
    assert_int_equal(request(&f, 0, UINT64_MAX, 512, true), 1);
    assert_int_equal(request(&f, 0, 0, 511, true), 1);
    assert_int_equal(request(&f, 77, 0, 512, true), 2);
    assert_false(vg_r(&f.g, 20, 1) & VIRTIO_S_NEEDS_RESET);
    end(&f);
}

static void test_readonly(void **state)
{
    static struct fixture f;

    begin(&f, true, 1);
    assert_true(vg_features(&f.g) & BIT64(5));
    assert_true(vg_start(&f.g, vg_features(&f.g)));
    assert_int_equal(request(&f, 1, 0, 512, false), 1);
    assert_int_equal(request(&f, 0, 7, 512, true), 0);
    assert_int_equal(le32_get(vg_hva(&f.g, VG_BUFFERS + 0x1000)), 7);
    end(&f);
}

static void test_interrupts(void **state)
{
    static struct fixture f;
    struct vguest *g = &f.g;

    begin(&f, false, 1);
    assert_true(vg_start(g, vg_features(g) & ~VIRTIO_F_EVENT_IDX));
    request(&f, 0, 0, 512, true);
    pthread_mutex_lock(&f.v.vp.pci.lock); /* the interrupt comes after the used entry */
    pthread_mutex_unlock(&f.v.vp.pci.lock);
    assert_true(g->intx);
    assert_int_equal(vg_r(g, VG_ISR, 1), 1);
    assert_false(g->intx);
    assert_int_equal(vg_r(g, VG_ISR, 1), 0);
    /* Suppressed. */
    le16_put(vg_hva(g, vg_queue_at(0) + 0x4000), 1);
    request(&f, 0, 0, 512, true);
    pthread_mutex_lock(&f.v.vp.pci.lock);
    pthread_mutex_unlock(&f.v.vp.pci.lock);
    assert_false(g->intx);

    vg_msix_on(g, &f.v.vp.pci);
    assert_true(vg_start(g, vg_features(g)));
    for (unsigned i = 0; i < 4; i++) {
        /* used_event: interrupt at the third. */
        le16_put(vg_hva(g, vg_queue_at(0) + 0x4000 + 4 + 2 * g->q[0].size), 2);
        request(&f, 0, 0, 512, true);
        pthread_mutex_lock(&f.v.vp.pci.lock);
        pthread_mutex_unlock(&f.v.vp.pci.lock);
        /* The first decision after a reset always interrupts. */
        assert_int_equal(g->msis, i < 2 ? 1 : 2);
    }
    assert_int_equal(g->last_msi, 1);
    assert_false(g->intx);
    virtio_blk_resized(&f.v);
    assert_int_equal(g->msis, 3);
    assert_int_equal(g->last_msi, 0);
    end(&f);
}

static void test_indirect(void **state)
{
    static struct fixture f;
    struct vguest *g = &f.g;
    u64 table = VG_BUFFERS + 0x20000;
    u32 id, len;
    u8 *h;

    begin(&f, false, 1);
    assert_true(vg_start(g, vg_features(g)));
    h = vg_hva(g, VG_BUFFERS);
    le32_put(h, 0);
    le64_put(h + 8, 64);
    vg_desc(g, table, VG_BUFFERS, 16, 1, 1);
    for (u16 i = 1; i <= 100; i++)
        vg_desc(g, table + 16u * i, VG_BUFFERS + 0x1000 + 512u * i, 512, 3, (u16)(i + 1));
    vg_desc(g, table + 16 * 101, VG_BUFFERS + 0x800, 1, 2, 0);
    vg_desc(g, vg_queue_at(0), table, 16 * 102, 4, 0);
    vg_publish(g, 0, 0);
    vg_kick(g, 0);
    assert_true(vg_used(g, 0, true, &id, &len));
    assert_int_equal(len, 51201);
    for (u32 i = 1; i <= 100; i++)
        assert_int_equal(le32_get(vg_hva(g, VG_BUFFERS + 0x1000 + 512u * i)), 63 + i);
    end(&f);
}

/* Each row makes a chain that must break the queue; the device must survive a reset after it. */
static void test_hostile(void **state)
{
    static struct fixture f;
    struct vguest *g = &f.g;
    u64 q = vg_queue_at(0);

    begin(&f, false, 1);
    for (unsigned i = 0; i < 12; i++) {
        assert_true(vg_start(g, vg_features(g)));
        u16 head = 0;

        vg_desc(g, q, VG_BUFFERS, 16, 1, 1);
        vg_desc(g, q + 16, VG_BUFFERS + 0x800, 1, 2, 0);
        switch (i) {
        case 0: /* loop */
            vg_desc(g, q + 16, VG_BUFFERS + 0x800, 1, 3, 0);
            break;
        case 1: /* out of memory */
            vg_desc(g, q + 16, VG_RAM, 1, 2, 0);
            break;
        case 2: /* runs out of memory */
            vg_desc(g, q + 16, VG_RAM - 1, 2, 2, 0);
            break;
        case 3: /* address wraps */
            vg_desc(g, q + 16, UINT64_MAX, 2, 2, 0);
            break;
        case 4: /* out after in */
            vg_desc(g, q, VG_BUFFERS, 16, 3, 1);
            vg_desc(g, q + 16, VG_BUFFERS + 0x800, 1, 0, 0);
            break;
        case 5: /* next out of range */
            vg_desc(g, q, VG_BUFFERS, 16, 1, 0x7fff);
            break;
        case 6: /* head out of range */
            head = 0xffff;
            break;
        case 7: /* indirect table of odd length */
            vg_desc(g, q, VG_BUFFERS, 17, 4, 0);
            break;
        case 8: /* indirect in indirect */
            vg_desc(g, VG_BUFFERS, VG_BUFFERS, 16, 4, 0);
            vg_desc(g, q, VG_BUFFERS, 16, 4, 0);
            break;
        case 9: /* no status */
            vg_desc(g, q, VG_BUFFERS, 16, 0, 0);
            break;
        case 10: /* short header */
            vg_desc(g, q, VG_BUFFERS, 15, 1, 1);
            break;
        case 11: /* index jumps */
            g->q[0].avail = 1000;
            break;
        }
        vg_publish(g, 0, head);
        vg_kick(g, 0);
        assert_true(vg_r(g, 20, 1) & VIRTIO_S_NEEDS_RESET);
        assert_false(vg_used(g, 0, false, NULL, NULL));
    }
    assert_true(vg_start(g, vg_features(g)));
    assert_int_equal(request(&f, 0, 0, 512, true), 0);
    end(&f);
}

static void test_legacy(void **state)
{
    static struct fixture f;
    struct vguest *g = &f.g;
    u64 at = 0x40000;
    u8 *h;

    begin(&f, false, 1);
    assert_int_equal(pci_config_read(&g->pci, DEVFN, 0, 4), 0x10011af4);
    assert_int_equal(pci_config_read(&g->pci, DEVFN, 0x2c, 4), 0x00021af4);
    pci_config_write(&g->pci, DEVFN, 4, 2, 3); /* no bus mastering: DRIVER_OK brings it */
    bus_write(&g->pio, VG_LEGACY + 18, 1, 0);
    bus_write(&g->pio, VG_LEGACY + 18, 1, 3);
    assert_int_equal(bus_read(&g->pio, VG_LEGACY + 20, 4), DISK_SIZE / 512);
    bus_write(&g->pio, VG_LEGACY + 4, 4, 0);
    bus_write(&g->pio, VG_LEGACY + 14, 2, 0);
    u16 size = (u16)bus_read(&g->pio, VG_LEGACY + 12, 2);

    assert_int_equal(size, 256);
    bus_write(&g->pio, VG_LEGACY + 8, 4, at >> 12);
    bus_write(&g->pio, VG_LEGACY + 18, 1, 7);
    h = vg_hva(g, VG_BUFFERS);
    le32_put(h, 0);
    le64_put(h + 8, 5);
    vg_desc(g, at, VG_BUFFERS, 16, 1, 1);
    vg_desc(g, at + 16, VG_BUFFERS + 0x1000, 512, 3, 2);
    vg_desc(g, at + 32, VG_BUFFERS + 0x800, 1, 2, 0);
    le16_put(vg_hva(g, at + 16u * size + 2), 1);
    bus_write(&g->pio, VG_LEGACY + 16, 2, 0);
    u16 *used = (u16 *)vg_hva(g, at + 0x2000 + 2);

    for (unsigned i = 0; i < 50000 && !__atomic_load_n(used, __ATOMIC_ACQUIRE); i++)
        usleep(100);
    assert_int_equal(*used, 1);
    assert_int_equal(le32_get(vg_hva(g, VG_BUFFERS + 0x1000)), 5);
    pthread_mutex_lock(&f.v.vp.pci.lock);
    pthread_mutex_unlock(&f.v.vp.pci.lock);
    assert_true(g->intx);
    assert_int_equal(bus_read(&g->pio, VG_LEGACY + 19, 1), 1);
    assert_false(g->intx);
    end(&f);
}

/* The configuration space's own window to the BAR. */
static void test_cfg_window(void **state)
{
    static struct fixture f;
    struct vguest *g = &f.g;
    u8 cap;

    begin(&f, false, 1);
    cap = (u8)pci_config_read(&g->pci, DEVFN, 0x34, 1);
    while (cap && !(pci_config_read(&g->pci, DEVFN, cap, 1) == 9 &&
                    pci_config_read(&g->pci, DEVFN, cap + 3u, 1) == 5))
        cap = (u8)pci_config_read(&g->pci, DEVFN, cap + 1u, 1);
    assert_true(cap);
    pci_config_write(&g->pci, DEVFN, cap + 4u, 1, 4);
    pci_config_write(&g->pci, DEVFN, cap + 8u, 4, VG_DEVICE);
    pci_config_write(&g->pci, DEVFN, cap + 12u, 4, 4);
    assert_int_equal(pci_config_read(&g->pci, DEVFN, cap + 16u, 4), DISK_SIZE / 512);
    pci_config_write(&g->pci, DEVFN, cap + 8u, 4, 20);
    pci_config_write(&g->pci, DEVFN, cap + 12u, 4, 1);
    pci_config_write(&g->pci, DEVFN, cap + 16u, 1, 3);
    assert_int_equal(vg_r(g, 20, 1), 3);
    pci_config_write(&g->pci, DEVFN, cap + 8u, 4, 0xffffffff);
    pci_config_read(&g->pci, DEVFN, cap + 16u, 4);
    end(&f);
}

static void test_queues_and_reset(void **state)
{
    static struct fixture f;
    struct vguest *g = &f.g;
    struct vseg seg[] = {
        {VG_BUFFERS, 16, false}, {VG_BUFFERS + 0x1000, 4096, true}, {VG_BUFFERS + 0x800, 1, true}};

    begin(&f, false, 4);
    assert_true(vg_features(g) & BIT64(12));
    for (unsigned round = 0; round < 20; round++) {
        assert_true(vg_start(g, vg_features(g)));
        assert_int_equal(vg_r(g, VG_DEVICE + 34, 2), 4);
        memset(vg_hva(g, VG_BUFFERS), 0, 16);
        *vg_hva(g, VG_BUFFERS) = round % 2; /* reads, writes */
        seg[1].write = round % 2 == 0;
        for (unsigned q = 0; q < 4; q++) {
            for (unsigned i = 0; i < 60; i++)
                vg_add(g, q, seg, 3);
            vg_kick(g, q);
        }
        pci_bus_reset(&g->pci); /* with requests under way */
        assert_int_equal(f.v.in_flight, 0);
        vg_place(g, DEVFN);
    }
    end(&f);
}

static void test_state(void **state)
{
    static struct fixture f;
    static u8 buf[16384];
    struct err e = {0};
    size_t n;

    begin(&f, false, 1);
    assert_true(vg_start(&f.g, vg_features(&f.g)));
    request(&f, 0, 0, 512, true);
    n = state_size(&virtio_state);
    assert_true(n < sizeof(buf));
    state_save(&virtio_state, &f.v.vp.dev, buf);
    u16 last = f.v.vp.dev.queue[0].last_avail;

    f.v.vp.dev.queue[0].last_avail = 99;
    assert_int_equal(state_load(&virtio_state, &f.v.vp.dev, buf, n, &e), 0);
    assert_int_equal(f.v.vp.dev.queue[0].last_avail, last);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modern),     cmocka_unit_test(test_readonly),
        cmocka_unit_test(test_interrupts), cmocka_unit_test(test_indirect),
        cmocka_unit_test(test_hostile),    cmocka_unit_test(test_legacy),
        cmocka_unit_test(test_cfg_window), cmocka_unit_test(test_queues_and_reset),
        cmocka_unit_test(test_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
