/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole machines, built and taken apart: the memory map, two machines in one process, firmware
 * that runs until it says its name, and machines that cannot be built.
 */
#include "base/endian.h"
#include "board/pc.h"
#include "board/pc_map.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct machine {
    struct vm vm;
    struct pc *pc;
};

static int open_machine(struct machine *m, struct machine_config *c, struct err *e)
{
    struct cpu_config cpu = {.count = c->cpus, .model = "max"};
    assert_int_equal(vm_init(&m->vm, c->name, c->memory, e), 0);
    assert_int_equal(vm_open_cpus(&m->vm, &engine_interp, &cpu, e), 0);
    m->pc = calloc(1, sizeof(*m->pc));
    return pc_open(m->pc, &m->vm, c, e);
}

static void close_machine(struct machine *m)
{
    pc_close(m->pc);
    vm_destroy(&m->vm);
    free(m->pc);
}

static struct machine_config small(void)
{
    struct machine_config c;
    machine_config_init(&c);
    c.memory = 16 * MIB;
    return c;
}

static void test_memory_map(void **state)
{
    struct machine m;
    struct machine_config c = small();
    c.memory = 5 * GIB;
    c.cpus = 2;
    assert_int_equal(open_machine(&m, &c, NULL), 0);
    struct bus *b = &m.vm.mmio;
    bus_write(b, 0x1000, 4, 0x12345678);
    assert_int_equal(le32_get(m.vm.mem.hva + 0x1000), 0x12345678);
    bus_write(b, MAP_4G, 4, 0x9abcdef0);
    assert_int_equal(le32_get(m.vm.mem.hva + MAP_RAM_BELOW), 0x9abcdef0);
    bus_write(b, MAP_4G + 2 * GIB - 8, 8, 1);
    assert_int_equal(bus_read(b, MAP_4G + 2 * GIB - 8, 8), 1);
    assert_int_equal(bus_read(b, MAP_4G + 2 * GIB, 4), UINT32_MAX);
    assert_int_equal(bus_read(b, MAP_RAM_BELOW, 4), UINT32_MAX);
    assert_int_equal(bus_read(b, 0xfffffff0, 1), 0xea); /* a far jump at the reset vector */
    assert_int_equal(bus_read(b, 0xffff0, 1), 0xea);    /* and its shadow */
    bus_write(b, 0xfffffff0, 1, 0);
    assert_int_equal(bus_read(b, 0xfffffff0, 1), 0xea);
    assert_int_equal(bus_read(b, MAP_HPET, 4) & 0xffff, 0xa201);
    assert_int_equal(bus_read(&m.vm.pio, 0x511, 1), 'Q'); /* fw_cfg's signature */
    bus_write(&m.vm.pio, 0xcf8, 4, 0x80000000);
    assert_int_equal(bus_read(&m.vm.pio, 0xcfc, 4), 0x12378086);
    close_machine(&m);
}

static void test_many_devices(void **state)
{
    struct machine m;
    struct machine_config c = small();
    struct err e;
    char disk[40];
    snprintf(disk, sizeof(disk), "/tmp/wirt-pc-%d", (int)getpid());
    FILE *f = fopen(disk, "w");
    assert_int_equal(ftruncate(fileno(f), 1 << 20), 0);
    fclose(f);
    for (unsigned i = 0; i < 10; i++) /* readonly: they may share the file */
        c.disk[c.ndisks++] = (struct disk_config){
            .path = disk, .bus = i < 3 ? DISK_BUS_IDE : DISK_BUS_VIRTIO, .readonly = true};
    c.cdrom[c.ncdroms++] = NULL;
    c.nserials = 4;
    c.nfloppies = 2;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(net_parse(&c.nic[c.nnics++], i ? "user" : "user,model=e1000", NULL), 0);
    assert_int_equal(open_machine(&m, &c, &e), 0);
    assert_int_equal(m.pc->ide.ch[1].drive[0].kind, ATA_DISK);
    assert_int_equal(m.pc->ide.ch[1].drive[1].kind, ATA_CDROM);
    close_machine(&m);
    c.cdrom[c.ncdroms++] = NULL; /* a fifth drive on IDE */
    assert_int_equal(open_machine(&m, &c, &e), -E2BIG);
    close_machine(&m);
    c.ncdroms--;
    while (c.ndisks < MACHINE_DISKS_MAX)
        c.disk[c.ndisks++] =
            (struct disk_config){.path = disk, .bus = DISK_BUS_VIRTIO, .readonly = true};
    while (c.nnics < MACHINE_NICS_MAX)
        c.nic[c.nnics++] = c.nic[1];
    assert_int_equal(open_machine(&m, &c, &e), 0);
    close_machine(&m);
    c.disk[0].path = "/tmp/wirt-there-is-no-such-file";
    assert_int_equal(open_machine(&m, &c, &e), -ENOENT);
    assert_non_null(strstr(e.msg, "wirt-there-is-no-such-file"));
    close_machine(&m);
    unlink(disk);
}

static void test_wrong_firmware(void **state)
{
    struct machine m;
    struct machine_config c = small();
    struct err e;
    c.firmware = "/tmp/wirt-no-firmware";
    assert_int_equal(open_machine(&m, &c, &e), -ENOENT);
    close_machine(&m);
    c.firmware = "/proc/self/exe";
    assert_true(open_machine(&m, &c, &e) < 0);
    close_machine(&m);
    c.firmware = NULL;
    c.kernel = "/dev/null";
    assert_true(open_machine(&m, &c, &e) < 0);
    close_machine(&m);
}

/* ---- two machines at once run SeaBIOS until its name is on the debug console ---- */

enum { LOOK_NS = 200 * 1000 * 1000, PATIENCE = 5 * 60 };

struct runner {
    struct machine m;
    struct timer look;
    unsigned looks;
    char path[64];
    bool seen;
};

static void *run_one(void *opaque)
{
    struct runner *r = opaque;
    return (void *)(intptr_t)vm_run(&r->m.vm);
}

/* Ends the machine when firmware has said its name, or after a minute. */
static void look(void *opaque)
{
    struct runner *r = opaque;
    char buf[200];
    FILE *f = fopen(r->path, "r");
    buf[f ? fread(buf, 1, sizeof(buf) - 1, f) : 0] = 0;
    if (f)
        fclose(f);
    r->seen = strstr(buf, "SeaBIOS");
    if (r->seen || ++r->looks == PATIENCE)
        vm_request_end(&r->m.vm, VM_QUIT, 0);
    else
        timer_set(r->m.vm.clock, &r->look, clock_now(r->m.vm.clock) + LOOK_NS);
}

static u8 byte_of(const char *path, long off)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    fseek(f, off, SEEK_SET);
    int c = fgetc(f);
    fclose(f);
    return (u8)c;
}

/* UEFI variables: a file that is made, written as the guest writes, and had by one machine at a
 * time; a clone's writes stay in memory. */
static void test_efi_variables(void **state)
{
    struct machine m, other;
    struct machine_config c = small();
    struct err e;
    char path[60];
    if (access("/usr/share/OVMF/OVMF_VARS_4M.fd", R_OK))
        skip(); /* the package ovmf is missing */
    snprintf(path, sizeof(path), "/tmp/wirt-vars-%d", (int)getpid());
    c.firmware = FIRMWARE_EFI;
    c.efi_vars = path;
    assert_int_equal(open_machine(&m, &c, &e), 0);
    u64 base = m.pc->flash.region.base;
    assert_int_equal(base + m.pc->flash.size, m.pc->firmware.base);
    assert_int_equal(m.pc->firmware.base + m.pc->firmware.size, MAP_4G);
    const u64 at = 0x80000; /* in the spare area: erased */
    assert_int_equal(bus_read(&m.vm.mmio, base + at, 1), 0xff);
    bus_write(&m.vm.mmio, base + at, 1, 0x10);
    bus_write(&m.vm.mmio, base + at, 1, 0x5a);
    bus_write(&m.vm.mmio, base + at, 1, 0xff);
    assert_int_equal(byte_of(path, (long)at), 0x5a);
    assert_int_equal(open_machine(&other, &c, &e), -EBUSY);
    assert_non_null(strstr(e.msg, path));
    close_machine(&other);

    c.efi_vars_readonly = true;
    assert_int_equal(open_machine(&other, &c, &e), 0);
    assert_int_equal(bus_read(&other.vm.mmio, base + at, 1), 0x5a);
    bus_write(&other.vm.mmio, base + at, 1, 0x10);
    bus_write(&other.vm.mmio, base + at, 1, 0);
    assert_int_equal(byte_of(path, (long)at), 0x5a);
    close_machine(&other);
    close_machine(&m);

    c.efi_vars_readonly = false;
    assert_int_equal(truncate(path, 5000), 0);
    assert_int_equal(open_machine(&m, &c, &e), -EINVAL);
    assert_non_null(strstr(e.msg, path));
    close_machine(&m);
    unlink(path);
    c.efi_vars = "/tmp/wirt-there-is-no-such-folder/vars";
    assert_int_equal(open_machine(&m, &c, &e), -ENOENT);
    assert_non_null(strstr(e.msg, c.efi_vars));
    close_machine(&m);
    c.firmware = "bios-256k.bin"; /* of other firmware nobody knows what its variables begin with */
    c.efi_vars = path;
    assert_int_equal(open_machine(&m, &c, &e), -ENOENT);
    close_machine(&m);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void test_two_machines(void **state)
{
    static struct runner pair[2];
    pthread_t thread[2];
    for (unsigned i = 0; i < 2; i++) {
        struct runner *r = &pair[i];
        struct machine_config c = small();
        snprintf(r->path, sizeof(r->path), "/tmp/wirt-debugcon-%d-%u", (int)getpid(), i);
        c.debugcon = r->path;
        assert_int_equal(open_machine(&r->m, &c, NULL), 0);
        setlinebuf(r->m.pc->debugcon_file);
        r->look = (struct timer){.fn = look, .opaque = r};
        timer_set(r->m.vm.clock, &r->look, clock_now(r->m.vm.clock) + LOOK_NS);
        assert_int_equal(pthread_create(&thread[i], NULL, run_one, r), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        void *end;
        pthread_join(thread[i], &end);
        assert_int_equal((intptr_t)end, VM_QUIT);
        close_machine(&pair[i].m);
        unlink(pair[i].path);
        assert_true(pair[i].seen);
    }
}

/* ---- a kernel of each kind checks what it was given, and says so by the debug exit ---- */

enum { GUEST_FILE = 8192, GUEST_SAYS = 21 };

/* jne +4; mov al, 21; out 0xf4, al; hlt: behind a comparison of 16, 32 or 64-bit code. */
static const u8 say_yes[] = {0x75, 0x04, 0xb0, GUEST_SAYS, 0xe6, 0xf4, 0xf4};

static void run_kernel(const u8 *file)
{
    struct machine m;
    struct machine_config c = small();
    char path[40];
    struct err e;
    snprintf(path, sizeof(path), "/tmp/wirt-kernel-%d", (int)getpid());
    FILE *f = fopen(path, "w");
    assert_int_equal(fwrite(file, 1, GUEST_FILE, f), GUEST_FILE);
    fclose(f);
    c.kernel = path;
    c.debug_exit = true;
    assert_int_equal(open_machine(&m, &c, &e), 0);
    assert_int_equal(vm_run(&m.vm), VM_DEBUG);
    assert_int_equal(m.vm.exit_code, GUEST_SAYS * 2 + 1);
    close_machine(&m);
    unlink(path);
}

static void test_multiboot_guest(void **state)
{
    static const u8 code[] = {0x3d, 0x02, 0xb0, 0xad, 0x2b}; /* cmp eax, 2badb002 */
    static u8 f[GUEST_FILE];
    const u32 h[] = {0x1badb002, 0x10000, -(0x1badb002u + 0x10000), 0x100000, 0x100000, 0,
                     0,          0x100040};
    for (unsigned i = 0; i < ARRAY_SIZE(h); i++)
        le32_put(f + i * 4, h[i]);
    memcpy(f + 0x40, code, sizeof(code));
    memcpy(f + 0x40 + sizeof(code), say_yes, sizeof(say_yes));
    run_kernel(f);
}

static void test_pvh_guest(void **state)
{
    static const u8 code[] = {0x81, 0x3b, 0x78, 0xc5, 0x6e, 0x33}; /* cmp [ebx], 336ec578 */
    static u8 f[GUEST_FILE];
    memcpy(f, "\177ELF\1\1\1", 7);
    le16_put(f + 18, 3);
    le32_put(f + 28, 52);
    le16_put(f + 42, 32);
    le16_put(f + 44, 2);
    const u32 load[] = {1, 0x1000, 0x100000, 0x100000, 0x1000, 0x1000};
    const u32 note[] = {4, 0x100, 0, 0, 20, 20, 0, 0};
    const u32 body[] = {4, 4, 18, 0x006e6558, 0x100000};
    for (unsigned i = 0; i < ARRAY_SIZE(load); i++)
        le32_put(f + 52 + i * 4, load[i]);
    for (unsigned i = 0; i < ARRAY_SIZE(note); i++)
        le32_put(f + 84 + i * 4, note[i]);
    for (unsigned i = 0; i < ARRAY_SIZE(body); i++)
        le32_put(f + 0x100 + i * 4, body[i]);
    memcpy(f + 0x1000, code, sizeof(code));
    memcpy(f + 0x1000 + sizeof(code), say_yes, sizeof(say_yes));
    run_kernel(f);
}

static void test_linux_guest(void **state)
{
    /* cmp dword [rsi + 202h], "HdrS"; the 64-bit entry begins with a REX prefix. */
    static const u8 code64[] = {0x4d, 0x31, 0xc0, 0x81, 0xbe, 2, 2, 0, 0, 'H', 'd', 'r', 'S'};
    static u8 f[GUEST_FILE];
    f[0x1f1] = 1;
    le16_put(f + 0x1fe, 0xaa55);
    f[0x201] = 0x6a;
    memcpy(f + 0x202, "HdrS", 4);
    le16_put(f + 0x206, 0x20f);
    f[0x211] = 1;
    le32_put(f + 0x22c, 0x7fffffff);
    le16_put(f + 0x236, 1);
    le64_put(f + 0x258, 0x200000);
    u8 *entry32 = f + 1024, *entry64 = entry32 + 0x200;
    memcpy(entry32, code64 + 3, sizeof(code64) - 3);
    memcpy(entry32 + sizeof(code64) - 3, say_yes, sizeof(say_yes));
    memcpy(entry64, code64, sizeof(code64));
    memcpy(entry64 + sizeof(code64), say_yes, sizeof(say_yes));
    run_kernel(f);
    le16_put(f + 0x236, 0); /* only the 32-bit entry */
    run_kernel(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_map),     cmocka_unit_test(test_many_devices),
        cmocka_unit_test(test_wrong_firmware), cmocka_unit_test(test_two_machines),
        cmocka_unit_test(test_efi_variables),  cmocka_unit_test(test_multiboot_guest),
        cmocka_unit_test(test_pvh_guest),      cmocka_unit_test(test_linux_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
