/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile classic PV guest: a kernel of our own that tries what no guest may get, and looks at
 * what Xen answers (the error codes are Xen's).  It says on its console what went wrong; it powers
 * itself off when every try was refused, and crashes otherwise.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long s64;

enum {
    EPERM = 1,
    ENOENT = 2,
    ESRCH = 3,
    ENXIO = 6,
    EFAULT = 14,
    EBUSY = 16,
    EEXIST = 17,
    EINVAL = 22,
    ENOSYS = 38
};
enum {
    set_trap_table = 0,
    mmu_update = 1,
    set_gdt = 2,
    set_debugreg = 8,
    update_descriptor = 10,
    memory_op = 12,
    multicall = 13,
    update_va_mapping = 14,
    xen_version = 17,
    grant_table_op = 20,
    vm_assist = 21,
    vcpu_op = 24,
    set_segment_base = 25,
    mmuext_op = 26,
    sched_op = 29,
    event_channel_op = 32,
};
enum {
    PIN_L1 = 0,
    PIN_L2,
    PIN_L3,
    PIN_L4,
    UNPIN,
    NEW_BASEPTR,
    SET_LDT = 13,
    NEW_USER_BASEPTR = 15,
    CLEAR_PAGE,
    COPY_PAGE
};
enum { P = 1, RW = 2, US = 4, A = 0x20, G = 0x100 };
#define SELF 0x7ff0ul
#define BASE 0xffffffff80000000ul
#define M2P  0xffff800000000000ul

struct start_info {
    char magic[32];
    u64 nr_pages, shared_info;
    u32 flags;
    u64 store_mfn;
    u32 store_evtchn;
    u64 console_mfn;
    u32 console_evtchn;
    u64 pt_base, nr_pt_frames, mfn_list;
};

struct console {
    char in[1024], out[2048];
    u32 in_cons, in_prod, out_cons, out_prod;
};

#ifdef HYPERCALL_PAGE /* as older kernels: they say where, and the builder fills it */
u8 hypercalls[4096] __attribute__((aligned(4096)));
#define PAGE_NOTE "note 2, hypercalls\n"
#define IRET      "jmp hypercalls + 23 * 32\n"
#else
#define PAGE_NOTE
#define IRET "push %rcx\n push %r11\n push %rax\n mov $23, %eax\n syscall\n"
#endif

/* Xen's notes: entry, base, offset of addresses, and that there is a kernel at all. */
asm(".pushsection .note.Xen, \"a\", @note\n"
    ".macro note type, value\n"
    ".long 4, 8, \\type\n .asciz \"Xen\"\n .quad \\value\n"
    ".endm\n"
    "note 1, start\n"
    "note 3, 0xffffffff80000000\n"
    "note 4, 0xffffffff80000000\n" PAGE_NOTE
    ".long 4, 8, 5\n .asciz \"Xen\"\n .ascii \"xen-3.0\\0\"\n"
    ".long 4, 8, 8\n .asciz \"Xen\"\n .ascii \"generic\\0\"\n"
    ".popsection\n"
    ".globl start\n start: mov %rsi, %rdi\n xor %ebp, %ebp\n call try_all\n ud2\n"
    /* A page fault or #GP goes on at `resume`, once; the frame: rcx, r11, error, rip, cs, flags,
     * rsp, ss
     */
    "trapped: pop %rcx\n pop %r11\n incl traps(%rip)\n add $8, %rsp\n push %rax\n"
    "mov resume(%rip), %rax\n test %rax, %rax\n jz 1f\n movq $0, resume(%rip)\n"
    "mov %rax, 8(%rsp)\n pop %rax\n"
    "push $0\n" IRET "1: ud2\n");

extern const char trapped[];
u64 resume;
u32 traps;
static struct start_info *si;
static u32 failed, tries;
static u8 page[16][4096] __attribute__((aligned(4096)));

static s64 call(u64 nr, u64 a, u64 b, u64 c, u64 d)
{
    register u64 r10 asm("r10") = d;

#ifdef HYPERCALL_PAGE
    void *slot = hypercalls + nr * 32;
    asm volatile("call *%5"
                 : "+a"(nr), "+D"(a), "+S"(b), "+d"(c), "+r"(r10)
                 : "r"(slot)
                 : "rcx", "r11", "r8", "r9", "memory");
#else
    asm volatile("syscall"
                 : "+a"(nr), "+D"(a), "+S"(b), "+d"(c), "+r"(r10)
                 :
                 : "rcx", "r11", "r8", "r9", "memory");
#endif
    return (s64)nr;
}

/* Where the builder mapped a frame. */
static u64 va(u64 frame)
{
    return BASE + (((volatile u64 *)M2P)[frame] << 12);
}

static void put(const char *s)
{
    struct console *c = (struct console *)va(si->console_mfn);
    u32 port = si->console_evtchn;

    while (*s)
        c->out[c->out_prod++ & 2047] = *s++;
    call(event_channel_op, 4, (u64)&port, 0, 0);
}

static void put_number(s64 n)
{
    char b[24], *p = b + 23;
    u64 u = n < 0 ? -(u64)n : (u64)n;

    *p = 0;
    do
        *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (n < 0)
        *--p = '-';
    put(p);
}

static void check(const char *what, s64 got, s64 want)
{
    tries++;
    if (got == want)
        return;
    failed++;
    put(what);
    put(": ");
    put_number(got);
    put(" instead of ");
    put_number(want);
    put("\n");
}

static u64 mfn(const void *p)
{
    return ((u64 *)si->mfn_list)[((u64)p - BASE) >> 12];
}

static u64 pte(u64 frame, u64 flags)
{
    return frame << 12 | P | US | A | flags;
}

static s64 map(void *at, u64 e)
{
    return call(update_va_mapping, (u64)at, e, 2, 0);
}

static s64 readonly(void *p)
{
    return map(p, pte(mfn(p), 0));
}

static s64 writable(void *p)
{
    return map(p, pte(mfn(p), RW));
}

static s64 ext(u32 cmd, u64 a, u64 b)
{
    struct {
        u32 cmd, pad;
        u64 a, b;
    } op = {cmd, 0, a, b};
    return call(mmuext_op, (u64)&op, 1, 0, SELF);
}

static s64 update(u64 frame, unsigned index, u64 e)
{
    u64 op[2] = {frame << 12 | index * 8, e};
    return call(mmu_update, (u64)op, 1, 0, SELF);
}

/* 1 when the store trapped. */
static u32 store(u64 *at, u64 v)
{
    u32 before = traps;

    asm volatile("lea 1f(%%rip), %%rax\n mov %%rax, %2\n mov %1, (%0)\n 1:"
                 :
                 : "r"(at), "r"(v), "m"(resume)
                 : "rax", "memory");
    return traps - before;
}

#define TRAPS(insn, ...)                                                                           \
    ({                                                                                             \
        u32 before_ = traps;                                                                       \
        asm volatile("lea 1f(%%rip), %%rax\n mov %%rax, %0\n" insn "\n 1:"                         \
                     : "=m"(resume)                                                                \
                     : __VA_ARGS__                                                                 \
                     : "rax", "memory");                                                           \
        traps - before_;                                                                           \
    })

/* --------------------------------------------------------------------- tries -- */

/* Under Wirt frames are addresses; under Xen they are not. */
static u32 by_wirt;
/* A frame where no machine that runs this has memory. */
static const u64 foreign = 1ul << 26;

static void foreign_frames(void)
{
    u64 ram = si->nr_pages, hole = (ram + 0x3ffff) & ~0x3fffful, xens = 0x200;
    void *va = page[0];

    check("a frame behind RAM", map(va, pte(by_wirt ? ram : foreign, RW)), -EPERM);
    check("a frame far off", map(va, pte(1ul << 38, 0)), -EPERM);
    check("no frame at all", map(va, 0x000ffffffffff000ul | P), -EINVAL);
    for (u64 f = hole + 73; by_wirt && f < hole + 75; f++)
        check("a page table of Xen's", map(va, pte(f, 0)), -EBUSY);
    if (by_wirt)
        check("the table of frames", map(va, pte(hole + 0x40000, RW)), -EBUSY);
    while (!by_wirt && ((volatile u64 *)M2P)[xens] != ~0ul)
        xens++;
    if (!by_wirt)
        check("a frame of Xen's", map(va, pte(xens, 0)), -EBUSY);
    check("bits that are not there", map(va, pte(mfn(va), 1ul << 52 | 1ul << 58)), 0);
    check("global", map(va, pte(mfn(va), RW | G)), 0);
    check("another domain's frame", call(mmu_update, (u64)page[1], 1, 0, 5), -ESRCH);
    check("the table of frames is not writable", store((u64 *)M2P, 7), 1);
    check("but readable", (s64)((volatile u64 *)M2P)[mfn(va)], (s64)(((u64)va - BASE) >> 12));
}

static void writable_tables(void)
{
    u64 root = mfn((void *)si->pt_base);
    u64 *t = (u64 *)page[2], half = by_wirt ? pte(si->nr_pages, RW) : 0xfff;

    check("the root, writable", map(page[0], pte(root, RW)), -EBUSY);
    check("a store into the root", store((u64 *)si->pt_base, 0), 1);
    check("pin what is writable", ext(PIN_L1, mfn(t), 0), -EINVAL);
    check("read-only", readonly(t), 0);
    check("pin", ext(PIN_L1, mfn(t), 0), 0);
    check("pin twice", ext(PIN_L1, mfn(t), 0), -EINVAL);
    check("pin as another level", ext(PIN_L2, mfn(t), 0), -EINVAL);
    check("writable while pinned", writable(t), -EBUSY);
    check("an entry with a foreign frame", update(mfn(t), 1, pte(foreign, RW)), -EPERM);
    check("an entry with itself, writable", update(mfn(t), 1, pte(mfn(t), RW)), -EBUSY);
    check("a good store", store(&t[1], pte(mfn(page[3]), RW)), 0);
    check("is there", (s64)(t[1] & ~(u64)G), (s64)pte(mfn(page[3]), RW)); /* Xen sets G itself */
    check("a store with a foreign frame", store(&t[2], pte(foreign, RW)), 1);
    check("a store with itself", store(&t[2], pte(mfn(t), RW)), 1);
    check("nothing came of it", (s64)t[2], 0);
    check("half an entry", TRAPS("movl %k1, %2", "r"(half), "m"(t[2])), 1);
    check("in use, and cleared", ext(CLEAR_PAGE, mfn(t), 0), -EINVAL);
    check("in use, and copied to", ext(COPY_PAGE, mfn(t), mfn(page[3])), -EINVAL);
    check("unpin", ext(UNPIN, mfn(t), 0), 0);
    check("unpin twice", ext(UNPIN, mfn(t), 0), -EINVAL);
    check("unpin a foreign frame", ext(UNPIN, foreign, 0), -EINVAL);
    check("writable again", writable(t), 0);
    t[1] = 0;
}

/* Whether the result is zero. */
static s64 locked_and(void *p, u8 val)
{
    u8 zero;

    asm volatile("lock andb %2, %1" : "=@ccz"(zero), "+m"(*(u8 *)p) : "q"(val));
    return zero;
}

/* What processors may remember of a page that becomes a table, and of tables that change. */
static void stale_translations(void)
{
    u64 *t = (u64 *)page[2], *alias = (u64 *)page[0], *below = (u64 *)page[3];
    u64 good = pte(mfn(below), RW), was;

    check("a second address", map(alias, pte(mfn(t), RW)), 0);
    check("a store by the first", store(&t[7], 0), 0);
    check("and the second", store(&alias[8], 0), 0);
    readonly(t);
    check("pin with a second address, writable", ext(PIN_L1, mfn(t), 0), -EINVAL);
    map(alias, pte(mfn(t), 0));
    check("pin", ext(PIN_L1, mfn(t), 0), 0);
    check("a store by the second address", store(&alias[7], pte(foreign, RW)), 1);
    check("by the first", store(&t[7], pte(mfn(t), RW)), 1);
    check("nothing came of them", (s64)(t[7] | alias[7]), 0);
    check("a good store by the second", store(&alias[7], good), 0);
    was = pte(foreign, RW);
    check("an exchange for a foreign frame", TRAPS("xchg %1, %2", "r"(was), "m"(t[7])), 1);
    check("is not done", (s64)(t[7] & ~(u64)G), (s64)good);
    check("an exchange for itself", TRAPS("xchg %1, %2", "r"(pte(mfn(t), RW)), "m"(t[7])), 1);
    check("half outside the entry", TRAPS("mov %1, 4+%2", "r"(was), "m"(t[7])), 1);
    check("the M2P, exchanged", TRAPS("xchg %1, (%2)", "r"(was), "r"(M2P)), 1);
    was = 0;
    asm volatile("xchg %0, %1" : "+r"(was), "+m"(t[7])::"memory");
    check("a good exchange gives the old one", (s64)(was & ~(u64)G), (s64)good);
    check("and puts the new one", (s64)t[7], 0);
    t[7] = good;
    check("AND of a byte, not zero", locked_and(&t[7], (u8)~RW), 0);
    check("takes a right away", (s64)(t[7] & 0xfff & ~(u64)G), (s64)(good & 0xfff & ~(u64)RW));
    check("AND of a byte, zero", locked_and((u8 *)&t[7] + 7, 0x7f), 1);
    check("AND of the M2P", TRAPS("lock andb %b1, (%2)", "q"(was), "r"(M2P)), 1);
    t[7] = 0;
    check("unpin", ext(UNPIN, mfn(t), 0), 0);
    check("the first, writable", writable(t), 0);
    check("the second, its own again", writable(alias), 0);
    check("stores by both", store(&t[7], 1) + store(alias, 2), 0);
    check("go to different pages", (s64)(t[7] | alias[7] << 8), 1);
    t[7] = t[8] = alias[0] = 0;

    /* a page that is taken away after it was written */
    check("a store", store(below, 5), 0);
    map(below, pte(mfn(t), RW));
    check("another page there", (s64)((volatile u64 *)below)[0], (s64)t[0]);
    map(below, 0);
    check("none", store(below, 5), 1);
    writable(below);
    check("the first again", (s64)((volatile u64 *)below)[0], 5);
    below[0] = 0;
}

static void recursive_tables(void)
{
    u64 *l4 = (u64 *)page[4], *l3 = (u64 *)page[5], root = mfn((void *)si->pt_base);

    l4[3] = pte(mfn(l4), RW);
    readonly(l4);
    check("a root that names itself, writable", ext(PIN_L4, mfn(l4), 0), -EINVAL);
    writable(l4);
    l4[3] = pte(mfn(l4), 0);
    readonly(l4);
    if (by_wirt) /* Xen takes that, if it was built so, as long as nobody can write it */
        check("a root that names itself", ext(PIN_L4, mfn(l4), 0), -EINVAL);
    writable(l4);
    l4[3] = pte(mfn(l3), RW);
    readonly(l4);
    check("a table that is writable", ext(PIN_L4, mfn(l4), 0), -EINVAL);
    readonly(l3);
    check("a root", ext(PIN_L4, mfn(l4), 0), 0);
    if (by_wirt)
        check("recursion later", update(mfn(l4), 4, pte(mfn(l4), 0)), -EINVAL);
    check("recursion that is writable", update(mfn(l4), 4, pte(mfn(l4), RW)), -EINVAL);
    check("recursion one below", update(mfn(l3), 4, pte(mfn(l4), 0)), -EINVAL);
    check("a level left out", update(mfn(l4), 4, pte(mfn(page[3]), 0)), -EINVAL);
    check("Xen's part of the root", update(root, 256, 0), -EINVAL);
    check("Xen's part of another", update(mfn(l4), 271, pte(mfn(l3), RW)), -EINVAL);
    check("a root that is none", ext(NEW_BASEPTR, mfn(l3), 0), -EINVAL);
    check("a foreign root", ext(NEW_BASEPTR, foreign, 0), -EINVAL);
    check("a foreign root for programs", ext(NEW_USER_BASEPTR, ~0ul >> 12, 0), -EINVAL);
    check("unpin the root", ext(UNPIN, mfn(l4), 0), 0);
    check("it is plain memory", writable(l4), 0);
    check("and what was below it", writable(l3), 0);
    l4[3] = 0;
}

static void descriptors(void)
{
    u64 *t = (u64 *)page[6], frames[1] = {mfn(t)};
    const u64 gate = 0x0000ec0000100000ul, tss = 0x0000890000100067ul;

    check("a GDT that is writable", call(set_gdt, (u64)frames, 64, 0, 0), -EINVAL);
    t[1] = tss;
    readonly(t);
    check("a GDT with a task", call(set_gdt, (u64)frames, 64, 0, 0), -EINVAL);
    writable(t);
    t[1] = gate;
    readonly(t);
    if (by_wirt) /* Xen emulates call gates */
        check("a GDT with a gate", call(set_gdt, (u64)frames, 64, 0, 0), -EINVAL);
    writable(t);
    t[1] = 0;
    readonly(t);
    check("a GDT", call(set_gdt, (u64)frames, 64, 0, 0), 0);
    check("a GDT over Xen's", call(set_gdt, (u64)frames, 14 * 512 + 1, 0, 0), -EINVAL);
    check("a task later", call(update_descriptor, mfn(t) << 12 | 16, tss, 0, 0), -EINVAL);
    check("a descriptor in a page table",
          call(update_descriptor, mfn((void *)si->pt_base) << 12, 0, 0, 0), -EINVAL);
    check("a GDT that gets writable", writable(t), -EBUSY);
    check("an LDT out of the world", ext(SET_LDT, 1ul << 47, 8), -EINVAL);
    check("an LDT without end", ext(SET_LDT, (u64)page[7], 8193), -EINVAL);
}

static void wild_pages(void)
{
    u64 root = mfn((void *)si->pt_base);
    struct {
        u64 mfn;
        u32 offset, pad;
    } info = {root, 0, 0};
    struct {
        u64 gfn;
        u32 offset, vcpu;
        u8 link_bits, pad[7];
    } control = {root, 0, 0, 0, {0}};
    s64 root_begins = (s64) * (volatile u32 *)si->pt_base;

    check("vcpu_info in a page table", call(vcpu_op, 10, 0, (u64)&info, 0), -EINVAL);
    info.mfn = foreign;
    check("vcpu_info behind RAM", call(vcpu_op, 10, 0, (u64)&info, 0), -EINVAL);
    info.mfn = mfn(page[8]);
    info.offset = 4090;
    check("vcpu_info over a page's end", call(vcpu_op, 10, 0, (u64)&info, 0), -ENXIO);
    check("another's vcpu_info", call(vcpu_op, 10, 77, (u64)&info, 0), -ENOENT);
    if (by_wirt) /* Xen's shim has no such queues */
        check("event queues in a page table", call(event_channel_op, 11, (u64)&control, 0, 0),
              -EINVAL);
    check("a list out of the world", call(mmu_update, 1ul << 47, 1, 0, SELF), -EFAULT);
    check("an answer into a page table", call(xen_version, 1, si->pt_base, 0, 0), -EFAULT);
    check("a count into a page table", call(mmu_update, (u64)page[1], 0, si->pt_base, SELF), 0);
    check("is lost", (s64) * (volatile u32 *)si->pt_base, root_begins);
    check("a processor that is up", call(vcpu_op, 0, 0, (u64)page[8], 0), -EEXIST);
    check("a processor that is not there", call(vcpu_op, 0, 5, (u64)page[8], 0), -ENOENT);
    check("a breakpoint on Xen", call(set_debugreg, 0, M2P, 0, 0), -EPERM);
    check("a base out of the world", call(set_segment_base, 0, 1ul << 47, 0, 0), -EINVAL);
    check("a call that is not there", call(60, 0, 0, 0, 0), -ENOSYS);
}

/* Grants of page tables to the back ends and to itself, copies over them. */
static void grants(void)
{
    u64 root = mfn((void *)si->pt_base), frame = 0;
    struct {
        u16 dom, pad;
        u32 nr;
        short status, pad2[3];
        u64 list;
    } setup = {SELF, 0, 1, -1, {0}, (u64)&frame};
    struct {
        u64 from;
        u16 from_dom, from_off, pad[2];
        u64 to;
        u16 to_dom, to_off, pad2[2];
        u16 len, flags;
        short status, pad3;
    } copy = {mfn(page[1]), SELF, 0, {0}, root, SELF, 0, {0}, 64, 0, 0, 0};
    struct {
        u16 flags, domid;
        u32 frame;
    } *table = (void *)page[9];

    if (!by_wirt) /* Xen's shim hands these on */
        return;
    check("the grant table", call(grant_table_op, 2, (u64)&setup, 1, 0), 0);
    check("its frames", setup.status, 0);
    check("the grant table, mapped", map(table, pte(frame, RW)), 0);
    call(grant_table_op, 5, (u64)&copy, 1, 0);
    check("a copy over the root", copy.status, -9);
    copy.to = foreign;
    call(grant_table_op, 5, (u64)&copy, 1, 0);
    check("a copy behind RAM", copy.status, -9);
    table[20].domid = 1;
    table[20].frame = (u32)root;
    table[20].flags = 1;
    copy.to = 20;
    copy.flags = 2;
    call(grant_table_op, 5, (u64)&copy, 1, 0);
    check("a copy over a granted root", copy.status, -9);
    copy.to = 100000;
    call(grant_table_op, 5, (u64)&copy, 1, 0);
    check("a grant that is none", copy.status, -3);
    copy.to = mfn(page[10]);
    copy.flags = 0;
    copy.from_off = 4090;
    call(grant_table_op, 5, (u64)&copy, 1, 0);
    check("a copy over a page's end", copy.status, -10);
}

static void balloon(void)
{
    u64 frame = mfn(page[11]);
    struct {
        u64 list, n;
        u32 order, flags;
        u16 domid;
    } r = {(u64)&frame, 1, 0, 0, SELF};

    if (by_wirt) {
        check("a frame given back", call(memory_op, 1, (u64)&r, 0, 0), 1);
        check("taken while it is mapped", call(memory_op, 6, (u64)&r, 0, 0), 0);
        check("unmapped", map(page[11], 0), 0);
    } else { /* here it would be the guest's as long as it is mapped */
        check("unmapped", map(page[11], 0), 0);
        check("a frame given back", call(memory_op, 1, (u64)&r, 0, 0), 1);
    }
    check("twice", call(memory_op, 1, (u64)&r, 0, 0), 0);
    check("mapped when it is gone", map(page[12], pte(frame, 0)), -EBUSY);
    frame = ((u64)page[11] - BASE) >> 12;
    check("taken again", call(memory_op, 6, (u64)&r, 0, 0), 1);
    check("mapped again", map(page[11], pte(frame, RW)), 0);
    check("it comes empty", (s64) * (volatile u64 *)page[11], 0);
    frame = foreign;
    check("a foreign frame given back", call(memory_op, 1, (u64)&r, 0, 0), 0);
    r.domid = 0;
    check("another domain's", call(memory_op, 1, (u64)&r, 0, 0), 0);
}

static void instructions(void)
{
    check("lgdt", TRAPS("lgdt (%1)", "r"(page[0])), 1);
    check("hlt", TRAPS("hlt", "i"(0)), 1);
    check("in", TRAPS("in $0x60, %%al", "i"(0)), 1);
    check("mov to cr3", TRAPS("mov %1, %%cr3", "r"(foreign << 12)), 1);
    check("mov to cr0", TRAPS("mov %1, %%cr0", "r"(1ul)), 1);
    check("wrmsr", TRAPS("wrmsr", "c"(0xc0000082)), 1);
    check("swapgs", TRAPS("swapgs", "i"(0)), 1);
    check("a gate's software interrupt", TRAPS("int $0x33", "i"(0)), 1);
}

/* Indices that cannot be, again and again; the console must live. */
static void rings(void)
{
    struct console *c = (struct console *)va(si->console_mfn);
    u32 *store = (u32 *)(va(si->store_mfn) + 2048),
        ports[2] = {si->console_evtchn, si->store_evtchn};
    u64 nested[2][8] = {{multicall, 0, (u64)nested, 1}, {60}};

    for (u32 i = 0; by_wirt && i < 2000; i++) { /* Xen's shim would print for ever */
        c->out_prod = c->out_cons + 0x10001u * i;
        c->in_cons = 0x87654321u * i;
        store[i & 3] = 0x12345679u * i;
        call(event_channel_op, 4, (u64)&ports[i & 1], 0, 0);
    }
    for (u32 p = 0; p < 5000; p += 7)
        if (p != ports[0] && p != ports[1])
            check("an event for nobody", call(event_channel_op, 4, (u64)&p, 0, 0), -EINVAL);
    c->out_prod = c->out_cons;
    check("calls in calls", call(multicall, (u64)nested, 2, 0, 0), 0);
    check("are refused", (s64)nested[0][1], -EINVAL);
    check("unknown ones too", (s64)nested[1][1], -ENOSYS);
}

void try_all(struct start_info *info)
{
    static struct {
        u8 vector, flags;
        u16 cs;
        u64 address;
    } table[] = {{13, 0, 0xe033, (u64)trapped}, {14, 0, 0xe033, (u64)trapped}, {0, 0, 0, 0}};
    u32 reason;

    si = info;
    by_wirt = mfn(page[0]) == ((u64)page[0] - BASE) >> 12;
    check("stores to page tables", call(vm_assist, 0, 2, 0, 0), 0);
    check("traps", call(set_trap_table, (u64)table, 0, 0, 0), 0);
    foreign_frames();
    writable_tables();
    stale_translations();
    recursive_tables();
    descriptors();
    wild_pages();
    grants();
    balloon();
    instructions();
    rings();
    put_number(tries);
    put(" tries, ");
    put_number(failed);
    put(" with another answer than Xen's\n");
    reason = failed ? 3 : 0;
    call(sched_op, 2, (u64)&reason, 0, 0);
}
