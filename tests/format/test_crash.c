/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power loss and failing I/O under every writable format (a row of `rows` each).
 *
 * A random load of writes, zeroes, discards and flushes runs on an image in a simulated file
 * (simfile.h).  At random calls of the format the power fails: each unflushed sector is there or
 * not.  The image must open then, each sector must have the contents of the last flush or something
 * written since, and a check must find nothing but leaks, which a repair takes back.
 *
 * Then every call fails in turn, reads too: the guest sees an error at most, never wrong bytes, and
 * the image is sound.
 *
 *   test_crash ROW [CRASHES]      default 100
 *   test_crash list
 */
#include "disk/img.h"
#include "simfile.h"

#include "base/endian.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct row {
    const char *name, *format, *options;
    const char *backing; /* format of a parent, NULL = none */
    u64 size;
    bool leaks_only; /* a crash leaves leaks at worst, as the check counts; else not even these */
} rows[] = {
    {"qcow2", "qcow2", "", NULL, 6 << 20, true},
    {"qcow2-small", "qcow2", "cluster_size=512,refcount_bits=64", NULL, 3 << 20, true},
    {"qcow2-sub", "qcow2", "extended_l2=on,cluster_size=16K", "raw", 6 << 20, true},
    {"qcow2-backing", "qcow2", "cluster_size=4K", "qcow2", 6 << 20, true},
    {"raw", "raw", "", NULL, 4 << 20, true},
    {"qcow2-data", "qcow2", "data_file=data", NULL, 4 << 20, true},
    {"qcow2-data-raw", "qcow2", "data_file=data,data_file_raw=on", NULL, 3 << 20, true},
    {"vdi", "vdi", "", NULL, 5 << 20, true},
    {"vdi-static", "vdi", "static=on", NULL, 3 << 20, true},
    {"vdi-diff", "vdi", "", "vdi", 5 << 20, true},
    {"vmdk", "vmdk", "", NULL, 6 << 20, true},
    {"vmdk-flat", "vmdk", "subformat=monolithicFlat", NULL, 3 << 20, true},
    {"vmdk-split", "vmdk", "subformat=twoGbMaxExtentSparse", NULL, 6 << 20, true},
    {"vmdk-delta", "vmdk", "zeroed_grain=on", "vmdk", 6 << 20, true},
    {"parallels", "parallels", "cluster_size=64K", NULL, 6 << 20, true},
    {"parallels-4k", "parallels", "cluster_size=4K", NULL, 4 << 20, true},
    {"qcow2-v2", "qcow2", "compat=0.10,cluster_size=2K", "raw", 4 << 20, true},
    {"qcow", "qcow", "", NULL, 4 << 20, true},
    {"qcow-backing", "qcow", "", "raw", 2 << 20, true},
    {"qed", "qed", "cluster_size=4K,table_size=1", NULL, 6 << 20, true},
    {"qed-backing", "qed", "", "qcow2", 6 << 20, true},
    {"vpc", "vpc", "force_size=on", NULL, 9 << 20, true},
    {"vpc-fixed", "vpc", "subformat=fixed,force_size=on", NULL, 3 << 20, true},
    {"vpc-parent", "vpc", "", "vpc", 9 << 20, true},
    {"vhdx", "vhdx", "block_size=1M", NULL, 6 << 20, true},
    {"vhdx-fixed", "vhdx", "subformat=fixed,block_size=1M", NULL, 3 << 20, true},
    {"vhdx-parent", "vhdx", "block_size=1M", "vhdx", 6 << 20, true},
};

enum { SECTOR = 512, VALUES_MAX = 12, SPAN_MAX = 512 };

/* What a sector may hold: numbers, 0 = zeros.  The first is what a flush would make safe. */
struct sector {
    u32 value[VALUES_MAX];
    u8 n;
    bool maybe_zero; /* discarded: the newest, or zeros */
    bool unknown;    /* a call on it failed */
    bool any;        /* too many to say: everything passes */
};

struct load {
    const struct row *row;
    struct sim sim;
    struct sector *model;
    u64 sectors, random, crash_random;
    u32 next; /* number to write */
    u64 crashes, wanted, calls, every;
    enum sim_fault fault;
    u64 fault_at, fault_count;
};

static void fail(struct load *l, const char *what, u64 where)
{
    fprintf(stderr, "%s: %s (%llu) after %llu calls, %llu crashes; fault %d at %llu x %llu\n",
            l->row->name, what, (unsigned long long)where, (unsigned long long)l->calls,
            (unsigned long long)l->crashes, l->fault, (unsigned long long)l->fault_at,
            (unsigned long long)l->fault_count);
    abort();
}

/* --------------------------------------------------------------------- model -- */

static void fill(u8 *p, u64 sector, u32 number)
{
    for (unsigned i = 0; i < SECTOR; i += 8)
        le64_put(p + i, number ? sector << 32 | number : 0);
}

/* The number that a sector holds; UINT32_MAX = none that we wrote there. */
static u32 number_of(const u8 *p, u64 sector)
{
    u64 v = le64_get(p);

    for (unsigned i = 8; i < SECTOR; i += 8)
        if (le64_get(p + i) != v)
            return UINT32_MAX;
    return !v ? 0 : v >> 32 == sector ? (u32)v : UINT32_MAX;
}

static void may_be(struct sector *s, u32 number, bool newest)
{
    for (unsigned i = 0; i < s->n; i++) {
        if (s->value[i] == number) {
            if (newest) {
                s->value[i] = s->value[0];
                s->value[0] = number;
            }
            return;
        }
    }
    if (s->n == VALUES_MAX) {
        s->any = true;
        s->n--;
    }
    s->value[s->n++] = number;
    if (newest) {
        s->value[s->n - 1] = s->value[0];
        s->value[0] = number;
    }
}

static bool allowed(const struct sector *s, u32 number)
{
    if (s->any && number != UINT32_MAX)
        return true;
    for (unsigned i = 0; i < s->n; i++)
        if (s->value[i] == number)
            return true;
    return false;
}

static void flushed(struct load *l)
{
    for (u64 i = 0; i < l->sectors; i++) {
        struct sector *s = &l->model[i];

        if (s->unknown) /* a write of it failed: still either */
            continue;
        s->n = 1;
        s->any = false;
        if (s->maybe_zero)
            may_be(s, 0, false);
    }
}

/* ---------------------------------------------------------------- after a crash -- */

static void say(void *opaque, const char *line)
{
    fprintf(stderr, "  %s\n", line);
}

static struct img *open_sim(struct load *l, struct sim *s, bool for_check)
{
    struct disk_options o = {.io = &s->io, .for_check = for_check};
    struct err e = {0};
    struct img *im;

    o.format = l->row->format;
    if (img_open(&im, "disk", &o, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        fail(l, "does not open", 0);
    }
    return im;
}

static void verify_contents(struct load *l, struct img *im)
{
    u64 step = 256 * KIB;
    u8 *buf = malloc(step);

    for (u64 at = 0; at < im->b.size; at += step) {
        u64 n = min(step, im->b.size - at);

        if (img_read(im, at, buf, n))
            fail(l, "read error", at);
        for (u64 k = 0; k < n; k += SECTOR) {
            u64 s = (at + k) / SECTOR;
            u32 v = number_of(buf + k, s);

            if (!allowed(&l->model[s], v)) {
                fprintf(stderr, "sector %llu holds %x (%llx %llx), may hold", (unsigned long long)s,
                        v, (unsigned long long)le64_get(buf + k),
                        (unsigned long long)le64_get(buf + k + 504));
                for (unsigned i = 0; i < l->model[s].n; i++)
                    fprintf(stderr, " %x", l->model[s].value[i]);
                fprintf(stderr, "\n");
                fail(l, "lost data in sector", s);
            }
        }
    }
    free(buf);
}

static void check(struct load *l, struct sim *s, bool repair)
{
    struct disk_check c = {.repair_leaks = repair};
    struct err e = {0};
    struct img *im = open_sim(l, s, true);

    if (im->fmt->check) {
        if (disk_check(im, &c, &e)) {
            fprintf(stderr, "%s\n", e.msg);
            fail(l, "check fails", 0);
        }
        if (c.errors || (repair && c.leaks) || (c.leaks && !l->row->leaks_only)) {
            c = (struct disk_check){.say = say};
            disk_check(im, &c, &e);
            sim_save(s, "disk", "/tmp/wirt-crash.img");
            fail(l, "check finds errors", c.errors);
        }
    }
    img_close(im);
}

static void crash(struct load *l)
{
    static const unsigned keeps[] = {0, 20, 128, 230, 256};
    unsigned keep = keeps[sim_random(&l->crash_random) % ARRAY_SIZE(keeps)];
    struct sim after;
    struct img *im;
    u8 sector[SECTOR] = {0};

    l->crashes++;
    sim_init(&after);
    sim_crash(&l->sim, &after, &l->crash_random, keep);
    check(l, &after, false);
    im = open_sim(l, &after, false);
    verify_contents(l, im);
    /* It goes on working: a write, and the rest is as it was. */
    if (l->crashes % 4 == 0) {
        u64 s = sim_random(&l->crash_random) % l->sectors;
        struct sector was = l->model[s];

        fill(sector, s, 0x7fffffff);
        if (img_write(im, s * SECTOR, sector, SECTOR) || img_flush(im))
            fail(l, "cannot be written", s);
        l->model[s] = (struct sector){.value = {0x7fffffff}, .n = 1};
        verify_contents(l, im);
        l->model[s] = was;
    }
    bool can_repair = im->fmt->caps & DISK_CAN_REPAIR;
    img_close(im);
    if (can_repair && l->crashes % 4 == 1) {
        check(l, &after, true);
        im = open_sim(l, &after, false);
        verify_contents(l, im);
        img_close(im);
    }
    sim_destroy(&after);
}

static void hook(struct sim *s, void *opaque)
{
    struct load *l = opaque;

    l->calls++;
    if (l->crashes < l->wanted && sim_random(&l->crash_random) % l->every == 0)
        crash(l);
}

/* ----------------------------------------------------------------------- load -- */

static void prepare(struct load *l)
{
    struct disk_create c = {.path = "disk",
                            .size = l->row->size,
                            .options = l->row->options,
                            .backing = l->row->backing ? "base" : NULL,
                            .backing_format = l->row->backing,
                            .io = {.io = &l->sim.io}};
    struct err e = {0};
    int r = 0;

    sim_init(&l->sim);
    l->sectors = l->row->size / SECTOR;
    l->model = calloc(l->sectors, sizeof(*l->model));
    l->next = 1;
    for (u64 i = 0; i < l->sectors; i++)
        l->model[i].n = 1;
    if (l->row->backing) {
        /* Shorter than the image, and with holes. */
        struct disk_create base = c;
        struct disk_options o = {.io = &l->sim.io, .format = l->row->backing};
        struct img *im;
        u8 sector[SECTOR];

        base.path = "base";
        base.backing = base.backing_format = base.options = NULL;
        base.size = l->row->size / 4 * 3;
        r = disk_create(l->row->backing, &base, &e);
        if (!r)
            r = img_open(&im, "base", &o, &e);
        if (r)
            fail(l, e.msg, 0);
        for (u64 s = 0; s < base.size / SECTOR; s++) {
            if (s / 100 % 2)
                continue;
            fill(sector, s, l->next);
            l->model[s].value[0] = l->next++;
            if (img_write(im, s * SECTOR, sector, SECTOR))
                fail(l, "base", s);
        }
        img_close(im);
    }
    if (disk_create(l->row->format, &c, &e))
        fail(l, e.msg, 0);
    for (unsigned i = 0; i < l->sim.files; i++) {
        struct sim_data *d = l->sim.file[i];
        u8 *copy = malloc(d->size);

        memcpy(copy, d->now, d->size);
        sim_put(&l->sim, d->name, copy, d->size);
        free(copy);
    }
}

static u64 pick_len(struct load *l)
{
    u64 r = sim_random(&l->random);

    return r % 4 == 0   ? 1 + (r >> 8) % 8
           : r % 4 == 1 ? 8
           : r % 4 == 2 ? 1 + (r >> 8) % 128
                        : 1 + (r >> 8) % SPAN_MAX;
}

/* A step of the load; the errors that the guest saw are counted. */
static unsigned step(struct load *l, struct img *im)
{
    static u8 buf[SPAN_MAX * SECTOR];
    u64 len = pick_len(l), s, what = sim_random(&l->random) % 16;
    struct blk_req q = {.op = BLK_WRITE_ZEROES};
    int r;

    len = min(len, l->sectors);
    s = sim_random(&l->random) % (l->sectors - len + 1);
    if (sim_random(&l->random) % 4) /* most of it in one place, so that it is written again */
        s = s % max(l->sectors / 8, len) / 16 * 16;
    s = min(s, l->sectors - len);
    if (what < 3) {
        r = blk_sync(&im->b, BLK_FLUSH, 0, NULL, 0);
        if (!r)
            flushed(l);
        return r != 0;
    }
    if (what < 10) {
        u32 number = l->next++;

        for (u64 i = 0; i < len; i++) {
            fill(buf + i * SECTOR, s + i, number);
            may_be(&l->model[s + i], number, true);
            l->model[s + i].maybe_zero = false;
        }
        r = blk_sync(&im->b, BLK_WRITE, s * SECTOR, buf, len * SECTOR);
    } else if (what < 12) {
        for (u64 i = 0; i < len; i++) {
            may_be(&l->model[s + i], 0, false);
            l->model[s + i].maybe_zero = true;
        }
        r = blk_sync(&im->b, BLK_DISCARD, s * SECTOR, NULL, len * SECTOR);
    } else {
        for (u64 i = 0; i < len; i++) {
            may_be(&l->model[s + i], 0, true);
            l->model[s + i].maybe_zero = false;
        }
        q.offset = s * SECTOR;
        q.len = len * SECTOR;
        q.unmap = what & 1;
        r = img_execute(im, &q);
    }
    for (u64 i = 0; i < len && r; i++)
        l->model[s + i].unknown = true;
    return r != 0;
}

/* What is read is what was written, or it is an error. */
static void look(struct load *l, struct img *im)
{
    static u8 buf[SPAN_MAX * SECTOR];
    u64 len = min(pick_len(l), l->sectors), s = sim_random(&l->random) % (l->sectors - len + 1);

    if (blk_sync(&im->b, BLK_READ, s * SECTOR, buf, len * SECTOR))
        return;
    for (u64 i = 0; i < len; i++) {
        const struct sector *m = &l->model[s + i];
        u32 v = number_of(buf + i * SECTOR, s + i);

        if (!allowed(m, v) || (!m->unknown && !m->maybe_zero && v != m->value[0]))
            fail(l, "reads as something else: sector", s + i);
    }
}

static void run_crashes(const struct row *row, u64 wanted)
{
    struct load l = {.row = row,
                     .random = 88172645463325252ull,
                     .crash_random = 362436069362436069ull,
                     .wanted = wanted,
                     .every = 7};
    struct img *im;

    prepare(&l);
    im = open_sim(&l, &l.sim, false);
    l.sim.hook = hook;
    l.sim.opaque = &l;
    while (l.crashes < wanted) {
        step(&l, im);
        if (sim_random(&l.random) % 300 == 0) {
            img_close(im);
            flushed(&l);
            im = open_sim(&l, &l.sim, false);
        }
    }
    l.sim.hook = NULL;
    img_close(im);
    flushed(&l);
    im = open_sim(&l, &l.sim, false);
    verify_contents(&l, im);
    img_close(im);
    check(&l, &l.sim, false);
    sim_destroy(&l.sim);
    free(l.model);
    printf("%s: %llu crashes, %llu calls, %u writes\n", row->name, (unsigned long long)l.crashes,
           (unsigned long long)l.calls, l.next);
}

/* --------------------------------------------------------------------- faults -- */

/* The calls (for SIM_READ: reads) that the load makes. */
static u64 run_fault(struct load *fresh, enum sim_fault fault, u64 at, u64 count)
{
    struct load l = *fresh;
    struct img *im;
    u64 calls, *seen;

    sim_init(&l.sim);
    sim_crash(&fresh->sim, &l.sim, &l.crash_random, 256); /* a copy */
    l.model = malloc(l.sectors * sizeof(*l.model));
    memcpy(l.model, fresh->model, l.sectors * sizeof(*l.model));
    l.random = 1234567 + at / 16;
    l.fault = fault;
    l.fault_at = at;
    l.fault_count = count;
    im = open_sim(&l, &l.sim, false);
    seen = fault == SIM_READ ? &l.sim.reads : &l.sim.calls;
    calls = *seen;
    l.sim.fault = fault;
    l.sim.fault_at = calls + at;
    l.sim.fault_count = count;
    for (unsigned i = 0; i < 60; i++) {
        step(&l, im);
        look(&l, im);
    }
    img_close(im);
    calls = *seen - calls;
    l.sim.fault = SIM_NONE;
    check(&l, &l.sim, false);
    im = open_sim(&l, &l.sim, false);
    verify_contents(&l, im);
    img_close(im);
    sim_destroy(&l.sim);
    free(l.model);
    return calls;
}

static void run_faults(const struct row *row, u64 stride)
{
    struct load l = {.row = row, .crash_random = 1};
    u64 n = 0, calls;

    prepare(&l);
    for (enum sim_fault f = SIM_ENOSPC; f <= SIM_READ; f++) {
        calls = run_fault(&l, f, UINT64_MAX / 2, 0);
        for (u64 at = 0; at < calls; at += stride) {
            run_fault(&l, f, at, at % 3 == 0 ? 1 : at % 3 == 1 ? 5 : 1000);
            n++;
        }
    }
    sim_destroy(&l.sim);
    free(l.model);
    printf("%s: %llu faults\n", row->name, (unsigned long long)n);
}

int main(int argc, char **argv)
{
    u64 crashes = argc > 2 ? strtoull(argv[2], NULL, 0) : 100;
    bool found = false;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        if (argc > 1 && !strcmp(argv[1], "list"))
            puts(rows[i].name);
        else if (argc > 1 && strcmp(argv[1], rows[i].name) && strcmp(argv[1], rows[i].format))
            continue;
        else {
            run_crashes(&rows[i], crashes);
            run_faults(&rows[i], crashes >= 1000 ? 1 : 7);
        }
        found = true;
    }
    if (!found)
        fprintf(stderr, "test_crash: no such row\n");
    return found ? 0 : 2;
}
