/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Xen domain without code: its memory is identity-mapped below DOMAIN_RAM, its processors never
 * run, and the test makes hypercalls in their name.
 */
#ifndef WIRT_TESTS_PV_DOMAIN_H
#define WIRT_TESTS_PV_DOMAIN_H

#include "core/vm.h"
#include "dev/lapic.h"
#include "pv/xen/internal.h"

#include <stdlib.h>
#include <string.h>

#ifndef DOMAIN_RAM
#define DOMAIN_RAM (4 * MIB)
#endif
/* A call that comes back to its vCPU's events more often is given up. */
#ifndef DOMAIN_TURNS
#define DOMAIN_TURNS 10000
#endif
#define DOMAIN_SPECIAL 0xfeff8ull

struct domain {
    struct vm vm;
    struct lapic_bus lapics;
    struct region ram;
    struct xen *x;
    struct chardev console;
    char out[256]; /* what the console wrote last */
    size_t nout;
    unsigned ready;
    unsigned readonly_page; /* a page that may not be written; 0 = none */
    enum pv_result result;  /* of the last call */
    u64 rdi;                /* after it */
};

static inline bool domain_translate(struct pv_call *p, u64 lin, bool write, u64 *gpa)
{
    struct domain *d = p->opaque;

    *gpa = lin;
    if (write && d->readonly_page && lin >> PAGE_SHIFT == d->readonly_page)
        return false;
    return lin < DOMAIN_RAM;
}

static inline s64 domain_call_on(struct domain *d, unsigned cpu, unsigned nr, u64 a, u64 b, u64 c,
                                 u64 e)
{
    u64 gpr[16] = {[RAX] = nr, [RDI] = a, [RSI] = b, [RDX] = c, [R10] = e};
    struct pv_call p = {.vcpu = &d->vm.vcpu[cpu],
                        .gpr = gpr,
                        .long_mode = true,
                        .translate = domain_translate,
                        .opaque = d};
    unsigned turns = 0;

    do
        d->result = xen_hypercall(d->x, &p);
    while (d->result == PV_AGAIN && ++turns < DOMAIN_TURNS);
    d->rdi = gpr[RDI];
    return (s64)gpr[RAX];
}

static inline s64 domain_call(struct domain *d, unsigned nr, u64 a, u64 b, u64 c)
{
    return domain_call_on(d, 0, nr, a, b, c, 0);
}

/* Puts an argument at gpa and gives gpa. */
static inline u64 domain_put(struct domain *d, u64 gpa, const void *p, size_t n)
{
    memcpy(d->vm.mem.hva + gpa, p, n);
    return gpa;
}
#define PUT(d, gpa, ...)                                                                           \
    domain_put(d, gpa, &(__typeof__(__VA_ARGS__)){__VA_ARGS__}, sizeof(__typeof__(__VA_ARGS__)))

static inline u32 domain_u32(struct domain *d, u64 gpa)
{
    u32 v;
    memcpy(&v, d->vm.mem.hva + gpa, sizeof(v));
    return v;
}

static inline u64 domain_u64(struct domain *d, u64 gpa)
{
    u64 v;
    memcpy(&v, d->vm.mem.hva + gpa, sizeof(v));
    return v;
}

static inline void domain_chr_write(struct chardev *c, const u8 *buf, size_t len)
{
    struct domain *d = container_of(c, struct domain, console);

    d->nout = min(len, sizeof(d->out));
    memcpy(d->out, buf, d->nout);
}

static inline void domain_chr_ready(struct chardev *c)
{
    container_of(c, struct domain, console)->ready++;
}

/* Everything of a domain of cpus processors; c: what the test wants to set, or NULL. */
static inline void domain_open(struct domain *d, unsigned cpus, const struct xen_config *want)
{
    static const struct chardev_ops chr = {.write = domain_chr_write, .ready = domain_chr_ready};
    static const struct xen_e820 map[] = {{0, DOMAIN_RAM, 1}};
    const struct cpu_config cpu = {.count = cpus, .model = "qemu64"};
    struct xen_config c = want ? *want : (struct xen_config){0};
    struct err e = {0};

    memset(d, 0, sizeof(*d));
    BUG_ON(vm_init(&d->vm, "domain", DOMAIN_RAM, &e));
    BUG_ON(vm_open_cpus(&d->vm, &engine_interp, &cpu, &e));
    d->ram = (struct region){
        .name = "RAM", .size = DOMAIN_RAM, .hva = d->vm.mem.hva, .whva = d->vm.mem.hva};
    BUG_ON(bus_map(&d->vm.mmio, &d->ram, 0));
    lapic_bus_init(&d->lapics, d->vm.vcpu, cpus, d->vm.clock, NULL, &d->vm.trace);
    d->console.ops = &chr;
    c.special_gfn = DOMAIN_SPECIAL;
    c.console = &d->console;
    c.map = map;
    c.nmap = 1;
    BUG_ON(xen_open(&d->x, &d->vm, &d->lapics, &c, &e));
}

static inline void domain_close(struct domain *d)
{
    xen_close(d->x);
    lapic_bus_destroy(&d->lapics);
    vm_destroy(&d->vm);
}

#endif
