/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole machine from a file whose tables hold anything: what is behind the checksums.  A machine
 * is made and saved once; each input changes bytes of that file's sections, loads it, and lets the
 * machine's devices run a little.
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

enum { ACCESSES_MAX = 256, SECTIONS_END = 255 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    struct vm vm;
    struct pc *pc;
    char path[64];
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
    char first[80];

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
    snprintf(f.path, sizeof(f.path), "%s/wirt-fuzz-saved-%d",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm",
             (int)getpid()); /* memory: no waiting */
    snprintf(first, sizeof(first), "%s.0", f.path);
    BUG_ON(pc_save(f.pc, first, &e));
    BUG_ON(save_open(&f.plain, first, &e));
    unlink(first);
}

/* The plain file with the input's changes; what is left of the input. */
static size_t write_changed(const u8 *p, size_t size)
{
    struct save_out *out;
    const struct save_section *c;
    unsigned n = 0;
    size_t used = 0;
    u8 *memory = calloc(1, save_memory_size(f.plain));
    u8 *data[256] = {NULL};

    BUG_ON(!memory || save_create(&out, f.path, NULL));
    for (; n < SECTIONS_END && (c = save_at(f.plain, n)); n++)
        if (c->data && (data[n] = malloc(c->len + 1)))
            memcpy(data[n], c->data, c->len);
    for (; used + 4 <= size && p[used] != SECTIONS_END; used += 4) {
        unsigned i = p[used] % n;
        c = save_at(f.plain, i);
        if (data[i] && c->len)
            data[i][le16_get(p + used + 1) % c->len] = p[used + 3];
    }
    for (unsigned i = 0; i < n; i++) {
        c = save_at(f.plain, i);
        if (data[i] && strncmp(c->name, "memory", 6))
            save_put(out, c->name, c->version, data[i], c->len);
        free(data[i]);
    }
    save_put_memory(out, memory, save_memory_size(f.plain), -1);
    free(memory);
    BUG_ON(save_commit(out, NULL));
    return min(used + 1, size);
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
    struct save_in *in;
    struct err e = {0};

    if (!f.pc)
        make_machine();
    if (size > 4096)
        return 0;
    size_t used = write_changed(data, size);
    int r = save_open(&in, f.path, &e);
    BUG_ON(r);
    r = pc_load(f.pc, in, VM_MEMORY_NOW, &e);
    BUG_ON(r && (!e.msg[0] || strchr(e.msg, '\n')));
    if (!r)
        run_a_little(data + used, size - used);
    save_close(in);
    unlink(f.path);
    /* The loop may have been asked to end: the next one begins anew. */
    __atomic_store_n(&f.vm.end, VM_RUNNING, __ATOMIC_RELEASE);
    return 0;
}
