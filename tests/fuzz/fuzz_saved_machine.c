/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole machine from a file whose tables hold anything: what is behind the checksums (the file
 * itself is fuzz_savefile's).  A machine is made and saved once; each input changes bytes of the
 * sections as they were read, loads them, and lets the machine's devices run a little.
 *
 * Input: changes {section (1 byte), offset (2), value (1)} up to a section of 255, then accesses
 * {port (2), value (1)}.
 */
#include "base/endian.h"
#include "board/pc_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACCESSES_MAX = 256, SECTIONS_END = 255, RECORD = 4, INPUT_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* Each load copies some large tables: fresh pages for them would take longer than all else. */
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=4";
}

static struct {
    struct vm vm;
    struct pc *pc;
    struct save_in *plain;
} f;

static void no_write(struct chardev *c, const u8 *buf, size_t len)
{
}

static void no_close(struct chardev *c)
{
}

static void make_machine(void)
{
    static const struct chardev_ops nobody_ops = {.write = no_write, .close = no_close};
    static struct chardev nobody = {.ops = &nobody_ops};
    static const char options[] = "memory\0002M";
    struct cpu_config cpu = {.count = 2, .model = "max"};
    struct machine_config c;
    struct err e = {0};
    char path[80];

    machine_config_init(&c);
    c.memory = 2 * MIB;
    c.cpus = 2;
    c.vga = false; /* fuzz_vga loads its tables; its memory would take long */
    c.cdrom[c.ncdroms++] = NULL;
    c.floppy[c.nfloppies++] = NULL;
    c.nserials = 2;
    c.console = &nobody;
    c.options = options;
    c.options_len = sizeof(options);
    BUG_ON(net_parse(&c.nic[0], "user,restrict", &e));
    BUG_ON(net_parse(&c.nic[1], "user,restrict,model=e1000", &e));
    c.nnics = 2;
    BUG_ON(vm_init(&f.vm, "fuzz", c.memory, &e));
    BUG_ON(vm_open_cpus(&f.vm, &engine_interp, &cpu, &e));
    f.pc = calloc(1, sizeof(*f.pc));
    BUG_ON(!f.pc || pc_open(f.pc, &f.vm, &c, &e));
    vm_pause(&f.vm);
    vm_reset_now(&f.vm);
    snprintf(path, sizeof(path), "%s/wirt-fuzz-saved-%d",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (int)getpid());
    BUG_ON(pc_save(f.pc, path, &e));
    BUG_ON(save_open(&f.plain, path, &e));
    unlink(path);
}

/* A byte of a section that an input changes, and what it was. */
struct change {
    u8 *at, was;
};

/* Changes the sections where they lie, behind the checksums; how many changes, and what is left of
 * the input in *used. */
static unsigned change(const u8 *p, size_t size, struct change *list, size_t *used)
{
    unsigned n = 0, sections = 0;

    while (sections < SECTIONS_END && save_at(f.plain, sections))
        sections++;
    *used = 0;
    for (; *used + RECORD <= size && p[*used] != SECTIONS_END; *used += RECORD) {
        const struct save_section *c = save_at(f.plain, p[*used] % sections);
        if (!c->len || !c->data || !strncmp(c->name, "memory", 6))
            continue;
        u8 *at = c->data + le16_get(p + *used + 1) % c->len;
        list[n++] = (struct change){at, *at};
        *at = p[*used + 3];
    }
    *used = min(*used + 1, size);
    return n;
}

static void change_back(const struct change *list, unsigned n)
{
    while (n--)
        *list[n].at = list[n].was;
}

static void run_a_little(const u8 *p, size_t size)
{
    vm_resume(&f.vm);
    for (unsigned i = 0; i < ACCESSES_MAX && size >= 3; i++, p += 3, size -= 3) {
        u16 port = le16_get(p);
        if (port & 1 << 15)
            bus_read(&f.vm.pio, port & 0x7fff, 1);
        else
            bus_write(&f.vm.pio, port, 1, p[2]);
    }
    for (unsigned i = 0; i < 3; i++)
        loop_turn(f.vm.loop, 0);
    vm_pause(&f.vm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct change list[INPUT_MAX / RECORD];
    struct err e = {0};
    size_t used;

    if (!f.pc)
        make_machine();
    if (size > INPUT_MAX)
        return 0;
    unsigned n = change(data, size, list, &used);
    int r = pc_load(f.pc, f.plain, VM_MEMORY_NOW, &e);
    change_back(list, n);
    BUG_ON(r && (!e.msg[0] || strchr(e.msg, '\n')));
    if (!r)
        run_a_little(data + used, size - used);
    /* The loop may have been asked to end: the next one begins anew. */
    __atomic_store_n(&f.vm.end, VM_RUNNING, __ATOMIC_RELEASE);
    return 0;
}

/* ---------------------------------------------------------------- mutations -- */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static u32 next(u32 *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Bytes of a section, any length of section being likely to be hit: often near its beginning,
 * often a whole little-endian number with a value at some limit. */
static size_t make_records(u8 *p, u32 *seed)
{
    static const u64 limits[] = {0,          1,         2,          0x7f,
                                 0x80,       0xff,      0xffff,     INT32_MAX,
                                 UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 1};
    unsigned width = 1u << next(seed) % 4, section = next(seed) % SECTIONS_END;
    unsigned at = next(seed) % 4 ? next(seed) % 2048 : next(seed) % 65536;
    u64 v = limits[next(seed) % ARRAY_SIZE(limits)];

    if (next(seed) % 4 == 0)
        v = (u64)next(seed) << 32 | next(seed);
    for (unsigned i = 0; i < width; i++, p += RECORD, v >>= 8) {
        p[0] = (u8)section;
        le16_put(p + 1, (u16)((at & ~(width - 1)) + i));
        p[3] = (u8)v;
    }
    return (size_t)width * RECORD;
}

/* Half of the time libFuzzer's own; else a number more among the changes. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    u8 more[8 * RECORD];
    u32 s = seed;

    if (next(&s) % 2 && LLVMFuzzerMutate)
        return LLVMFuzzerMutate(data, size, max);
    size_t n = make_records(more, &s);
    if (size + n > max)
        return size;
    memmove(data + n, data, size);
    memcpy(data, more, n);
    return size + n;
}
