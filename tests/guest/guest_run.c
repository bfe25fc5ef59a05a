/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a flat guest (rom.inc) on an engine: guest_run ENGINE[,ENGINE] IMAGE [--trace=LIST].  With
 * two engines the machine goes from one to the other with each line.  The engine `direct` is soft
 * with all programs on the host's processor; `direct=N`: and at least N times they must have run
 * there.
 *
 * The board is as small as can be: 16 MiB of RAM, the 64 KiB image below 1 MiB and below 4 GiB, a
 * console on port 0xE9, the exit ports 0x501 and 0xF4.  Passes when the guest reports no failure
 * and has checked something.  Where the host's KVM is no whole processor (kvm/trial.h), what fails
 * on it is `skipped` (77).
 */
#include "core/vm.h"
#include "kvm/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RAM = 16 << 20,
    ROM = 64 << 10,
    TIME_LIMIT_S = 60,
    TIME_LIMIT_POOR_S = 5,
    SWAP_US = 500,
    SKIPPED = 77
};

struct board {
    struct vm vm;
    struct region ram_low, ram_high, rom_low, rom_high, console, exit_port, exit_port2;
    char line[300];
    size_t len;
    unsigned passed, failed;
    struct timer limit, swap;
    const struct engine_ops *engine[2]; /* [1] NULL: one all the time */
    unsigned swaps;
    bool direct;
    u64 runs_wanted; /* directly */
    u8 tpr;
};

static u64 ones(void *opaque, u64 off, unsigned size)
{
    return UINT64_MAX;
}

static void console_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct board *b = opaque;

    if (val != '\n' && b->len < sizeof(b->line) - 1) {
        b->line[b->len++] = (char)val;
        return;
    }
    b->line[b->len] = 0;
    b->len = 0;
    puts(b->line);
    fflush(stdout);
    if (!strncmp(b->line, "PASS", 4))
        b->passed++;
    if (!strncmp(b->line, "FAIL", 4))
        b->failed++;
    if (b->engine[1]) {
        vcpu_raise(&b->vm.vcpu[0], VCPU_PAUSE); /* not an instruction further on this engine */
        timer_set(b->vm.clock, &b->swap, 0);
    }
}

static void exit_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct board *b = opaque;

    vm_request_end(&b->vm, VM_DEBUG, (int)(val << 1 | 1));
}

static void too_long(void *opaque)
{
    struct board *b = opaque;

    puts("no end in sight: stopped");
    vm_request_end(&b->vm, VM_FAILED, 99);
}

/* Goes on on the other engine. */
static void swap(void *opaque)
{
    struct board *b = opaque;
    struct err e = {0};

    vm_pause(&b->vm);
    if (vm_switch_engine(&b->vm, b->engine[++b->swaps & 1], &e)) {
        puts(e.msg);
        abort();
    }
    vm_resume(&b->vm);
}

static const struct region_ops console_ops = {.read = ones, .write = console_write};
static const struct region_ops exit_ops = {.read = ones, .write = exit_write};

static int no_vector(void *opaque)
{
    return -1;
}

static u8 get_tpr(void *opaque)
{
    return ((struct board *)opaque)->tpr;
}

static void set_tpr(void *opaque, u8 v)
{
    ((struct board *)opaque)->tpr = v;
}

static void map_memory(struct bus *bus, struct region *r, const char *name, u8 *hva, bool writable,
                       u64 size, u64 base)
{
    *r = (struct region){.name = name, .size = size, .hva = hva, .whva = writable ? hva : NULL};
    if (bus_map(bus, r, base))
        abort();
}

static void map_port(struct board *b, struct region *r, const struct region_ops *ops, u16 port,
                     u64 size)
{
    *r = (struct region){.name = "port", .size = size, .ops = ops, .opaque = b};
    if (bus_map(&b->vm.pio, r, port))
        abort();
}

static int load_rom(struct board *b, const char *path)
{
    u8 *rom = mem_alloc(&b->vm.mem, ROM);
    FILE *f = fopen(path, "rb");
    bool ok = f && rom && fread(rom, 1, ROM, f) == ROM;

    if (f)
        fclose(f);
    if (!ok) {
        fprintf(stderr, "%s: not a 64 KiB image\n", path);
        return -1;
    }
    map_memory(&b->vm.mmio, &b->rom_low, "rom below 1 MiB", rom, false, ROM, 0xf0000);
    map_memory(&b->vm.mmio, &b->rom_high, "rom", rom, false, ROM, 0xffff0000);
    return 0;
}

static void on_change(void *opaque, u64 base, u64 size)
{
}

static const struct engine_ops *find_engine(const char *name, size_t len)
{
    static const struct engine_ops *const engines[] = {&engine_interp, &engine_soft, &engine_kvm};

    for (unsigned i = 0; i < ARRAY_SIZE(engines); i++)
        if (strlen(engines[i]->name) == len && !memcmp(engines[i]->name, name, len))
            return engines[i];
    return NULL;
}

static bool find_engines(struct board *b, const char *names)
{
    if (!strncmp(names, "direct", 6)) {
        b->direct = true;
        b->runs_wanted = names[6] == '=' ? strtoull(names + 7, NULL, 10) : 0;
        names = strchr(names, ',') ? "soft,interp" : "soft";
    }
    const char *comma = strchr(names, ',');

    b->engine[0] = find_engine(names, comma ? (size_t)(comma - names) : strlen(names));
    b->engine[1] = comma ? find_engine(comma + 1, strlen(comma + 1)) : NULL;
    return b->engine[0] && (!comma || b->engine[1]);
}

static int open_board(struct board *b, const char *image, const char *traces, struct err *e)
{
    struct cpu_config cfg = {
        .count = 1, .model = "max", .direct = b->direct ? DIRECT_ALWAYS : DIRECT_AUTO};

    if (vm_init(&b->vm, "guest", RAM, e))
        return -1;
    b->vm.no_reboot = true;
    b->vm.mmio.changed = on_change;
    if (traces && !strncmp(traces, "--trace=", 8) && trace_enable(&b->vm.trace, traces + 8, e))
        return -1;
    map_memory(&b->vm.mmio, &b->ram_low, "ram", b->vm.mem.hva, true, 0xa0000, 0);
    map_memory(&b->vm.mmio, &b->ram_high, "ram above 1 MiB", b->vm.mem.hva + MIB, true, RAM - MIB,
               MIB);
    map_port(b, &b->console, &console_ops, 0xe9, 1);
    map_port(b, &b->exit_port, &exit_ops, 0x501, 4);
    map_port(b, &b->exit_port2, &exit_ops, 0xf4, 4);
    if (load_rom(b, image) || vm_open_cpus(&b->vm, b->engine[0], &cfg, e))
        return -1;
    b->vm.vcpu[0].intc =
        (struct vcpu_intc){.ack = no_vector, .get_tpr = get_tpr, .set_tpr = set_tpr, .opaque = b};
    return 0;
}

static bool run(struct board *b, u64 limit_s)
{
    b->limit = (struct timer){.fn = too_long, .opaque = b};
    b->swap = (struct timer){.fn = swap, .opaque = b};
    timer_set(b->vm.clock, &b->limit, clock_now(b->vm.clock) + limit_s * NS_PER_SEC);
    enum vm_end end = vm_run(&b->vm);
    printf("%u passed, %u failed, end %d, code %d", b->passed, b->failed, end, b->vm.exit_code);
    if (b->engine[1])
        printf(", %u times on the other engine", b->swaps);
    puts("");
    timer_del(b->vm.clock, &b->limit);
    timer_del(b->vm.clock, &b->swap);
    return end == VM_DEBUG && b->vm.exit_code == 1 && b->passed && !b->failed;
}

/* A program that never ran directly would pass for nothing. */
static bool ran_directly(struct board *b)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        abort();
    b->vm.engine->print_stats(b->vm.e, f);
    fclose(f);
    char *end = strstr(text, "times a program ran directly"), *line = end;
    while (line && line > text && line[-1] != '\n')
        line--;
    u64 runs = line ? strtoull(line, NULL, 10) : 0;
    printf("%llu turns of programs on the host's processor\n", (unsigned long long)runs);
    free(text);
    return runs >= b->runs_wanted;
}

int main(int argc, char **argv)
{
    struct board *b = calloc(1, sizeof(*b));
    struct kvm_trial trial = {0};
    struct err e = {0};

    if (argc < 3 || !b || !find_engines(b, argv[1])) {
        fprintf(stderr, "usage: guest_run ENGINE[,ENGINE] IMAGE [--trace=LIST]\n");
        return 2;
    }
    if (b->engine[0] == &engine_kvm || b->engine[1] == &engine_kvm) {
        kvm_trial(&trial, false);
        if (!trial.modes) {
            printf("skipped: /dev/kvm: %s\n", trial.why);
            return SKIPPED;
        }
    }
    if (open_board(b, argv[2], argv[3], &e)) {
        fprintf(stderr, "guest_run: %s\n", e.msg);
        return 2;
    }
    bool ok = run(b, *trial.why ? TIME_LIMIT_POOR_S : TIME_LIMIT_S);
    if (b->direct)
        ok &= ran_directly(b);
    if (trial.exists)
        b->vm.engine->print_stats(b->vm.e, stdout);
    vm_destroy(&b->vm);
    free(b);
    if (!ok && *trial.why) {
        printf("skipped: the KVM of this host is no whole processor: %s\n", trial.why);
        return SKIPPED;
    }
    return ok ? 0 : 1;
}
