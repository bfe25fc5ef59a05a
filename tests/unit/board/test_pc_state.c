/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole machines to a file and back: what is loaded and saved again is the same bytes, in whatever
 * state random accesses have brought the devices; files that do not fit are refused.
 */
#include "base/endian.h"
#include "board/pc_state.h"
#include "core/lazymem.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/wirt-state-XXXXXX";
static char disk_path[80], floppy_path[80], first[80], second[80];

struct machine {
    struct vm vm;
    struct pc *pc;
};

static void open_machine(struct machine *m, struct machine_config *c)
{
    struct cpu_config cpu = {.count = c->cpus, .model = "max"};
    struct err e = {0};
    assert_int_equal(vm_init(&m->vm, c->name, c->memory, &e), 0);
    assert_int_equal(vm_open_cpus(&m->vm, &engine_interp, &cpu, &e), 0);
    m->pc = calloc(1, sizeof(*m->pc));
    if (pc_open(m->pc, &m->vm, c, &e))
        fail_msg("%s", e.msg);
}

static void close_machine(struct machine *m)
{
    pc_close(m->pc);
    vm_destroy(&m->vm);
    free(m->pc);
}

static void no_write(struct chardev *c, const u8 *buf, size_t len)
{
}

static void no_close(struct chardev *c)
{
}

static const struct chardev_ops nobody_ops = {.write = no_write, .close = no_close};

/* One of every device that a PC can have; two of some. */
static struct machine_config everything(struct chardev *nobody)
{
    struct machine_config c;
    struct err e;
    static const char options[] = "memory\00016M";

    machine_config_init(&c);
    c.memory = 16 * MIB;
    c.cpus = 2;
    c.disk[c.ndisks++] = (struct disk_config){.path = disk_path, .bus = DISK_BUS_IDE};
    c.disk[c.ndisks++] = (struct disk_config){.path = floppy_path, .bus = DISK_BUS_VIRTIO};
    c.cdrom[c.ncdroms++] = NULL;
    c.floppy[c.nfloppies++] = NULL;
    c.nserials = 2;
    assert_int_equal(net_parse(&c.nic[c.nnics++], "user", &e), 0);
    assert_int_equal(net_parse(&c.nic[c.nnics++], "user,model=e1000", &e), 0);
    *nobody = (struct chardev){.ops = &nobody_ops};
    c.console = nobody;
    c.options = options;
    c.options_len = sizeof(options);
    return c;
}

/* Reaches devices by their ports, configuration space and memory, as a guest out of its mind. */
static void stir(struct machine *m, u32 *seed)
{
    static const u16 ports[] = {0x00,  0x20,  0x40,  0x43,  0x60,  0x61,   0x64,   0x70,
                                0x71,  0x80,  0xa0,  0xc0,  0x170, 0x1ce,  0x1f0,  0x1f6,
                                0x2f8, 0x376, 0x3b0, 0x3c0, 0x3d4, 0x3f2,  0x3f5,  0x3f8,
                                0x4d0, 0x510, 0xb2,  0xcf8, 0xcfc, 0xc000, 0xc040, 0x600};
    for (unsigned i = 0; i < 400; i++) {
        u32 r = *seed = *seed * 1664525 + 1013904223, v = r * 2654435761u;
        u16 port = (u16)(ports[r >> 8 & 31] + (r >> 16 & 7));
        if (port == 0x64 || port == 0x92 || port == 0xcf9) /* may ask for a reset */
            continue;
        if (r & 1)
            bus_write(&m->vm.pio, port, 1u << (r >> 28) % 3, v);
        else
            bus_read(&m->vm.pio, port, 1u << (r >> 28) % 3);
        if (i % 8 == 0)
            pci_config_write(&m->pc->pci, (r >> 3) % 80, 4 + (r >> 12) % 60, 1, v >> 24);
        if (i % 8 == 1)
            bus_write(&m->vm.mmio, 0xfec00000 + (r >> 9 & 0x10), 4, v & 0xfeffffff);
        if (i % 8 == 2)
            bus_write(&m->vm.mmio, 0xfed00000 + (r >> 9 & 0x1f8), 8, v);
    }
}

/* Sections of two files are the same, but for the host's TSC rate, which is measured. */
static void same(void)
{
    struct save_in *a, *b;
    struct err e = {0};
    const struct save_section *x, *y;

    assert_int_equal(save_open(&a, first, &e), 0);
    assert_int_equal(save_open(&b, second, &e), 0);
    for (unsigned i = 0; (x = save_at(a, i)); i++) {
        y = save_find(b, x->name);
        if (!y || x->version != y->version || x->len != y->len)
            fail_msg("%s is not the same in both", x->name);
        if (!strcmp(x->name, "memory"))
            continue; /* its index has the sums */
        for (u64 k = 0; k < x->len; k++)
            if (x->data[k] != y->data[k] && !(!strcmp(x->name, "clock") && k / 8 == 2))
                fail_msg("byte %llu of %s: %02x became %02x", (unsigned long long)k, x->name,
                         x->data[k], y->data[k]);
    }
    assert_null(save_at(b, 200));
    save_close(a);
    save_close(b);
}

static void round_trip(u32 seed, enum vm_memory how)
{
    struct machine m, n;
    struct chardev c1, c2;
    struct machine_config c = everything(&c1);
    struct save_in *in;
    struct err e = {0};

    open_machine(&m, &c);
    vm_pause(&m.vm);
    vm_reset_now(&m.vm);
    stir(&m, &seed);
    if (m.vm.reset_wanted) /* it hit upon that too */
        vm_reset_now(&m.vm);
    memset(m.vm.mem.hva + 5 * MIB, 0x5a, 3 * 4096);
    m.vm.vcpu[1].sipi_vector = 0x9a;
    vcpu_raise(&m.vm.vcpu[1], VCPU_SIPI);
    if (pc_save(m.pc, first, &e))
        fail_msg("%s", e.msg);
    close_machine(&m);

    c = everything(&c2);
    c.loading = true;
    assert_int_equal(save_open(&in, first, &e), 0);
    open_machine(&n, &c);
    if (pc_load(n.pc, in, how, &e))
        fail_msg("seed %u: %s", seed, e.msg);
    assert_int_equal(n.vm.vcpu[1].sipi_vector, 0x9a);
    assert_true(vcpu_events(&n.vm.vcpu[1]) & VCPU_SIPI);
    assert_int_equal(n.vm.mem.hva[5 * MIB + 4096], 0x5a);
    if (pc_save(n.pc, second, &e))
        fail_msg("%s", e.msg);
    close_machine(&n);
    save_close(in);
    same();
}

static void a_machine_comes_back_the_same(void **state)
{
    for (u32 seed = 1; seed <= (getenv("WIRT_SEEDS") ? strtoul(getenv("WIRT_SEEDS"), NULL, 10) : 6);
         seed++)
        round_trip(seed, seed % 3 == 0   ? VM_MEMORY_NOW
                         : seed % 3 == 1 ? VM_MEMORY_LAZY
                                         : VM_MEMORY_CLONE);
}

static int try_load(struct machine_config *c, unsigned cpus, u64 memory, struct err *e)
{
    struct machine n;
    struct save_in *in;

    assert_int_equal(save_open(&in, first, e), 0);
    c->loading = true;
    c->cpus = cpus;
    c->memory = memory;
    open_machine(&n, c);
    int r = pc_load(n.pc, in, VM_MEMORY_NOW, e);
    close_machine(&n);
    save_close(in);
    return r;
}

static void what_does_not_fit_is_refused(void **state)
{
    struct machine m;
    struct chardev c1;
    struct machine_config c = everything(&c1);
    struct err e = {0};

    open_machine(&m, &c);
    vm_pause(&m.vm);
    vm_reset_now(&m.vm);
    assert_int_equal(pc_save(m.pc, first, &e), 0);
    close_machine(&m);

    c = everything(&c1);
    assert_int_equal(try_load(&c, 1, 16 * MIB, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "layout: 2 processors were saved, this machine has 1"));
    c = everything(&c1);
    assert_int_equal(try_load(&c, 2, 32 * MIB, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "layout: 16 MiB of memory were saved, this machine has 32"));
    c = everything(&c1);
    c.nnics = 1;
    assert_int_equal(try_load(&c, 2, 16 * MIB, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "this machine has no such part"));
    c = everything(&c1);
    c.nserials = 3;
    assert_int_equal(try_load(&c, 2, 16 * MIB, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "ns16550.2"));
    c = everything(&c1);
    assert_int_equal(try_load(&c, 2, 16 * MIB, &e), 0);
}

static void make_file(char *path, size_t room, const char *name, off_t size)
{
    snprintf(path, room, "%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    if (size)
        assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
}

static int set_up(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    make_file(disk_path, sizeof(disk_path), "disk", 1 << 20);
    make_file(floppy_path, sizeof(floppy_path), "disk2", 1 << 20);
    snprintf(first, sizeof(first), "%s/first", folder);
    snprintf(second, sizeof(second), "%s/second", folder);
    return 0;
}

static int tear_down(void **state)
{
    char command[100];

    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_comes_back_the_same),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
