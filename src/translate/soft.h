/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's view of one vCPU, shared by the files of this room.  docs/engine.md tells how it
 * works.
 *
 * While translated code runs: gs is at struct soft; guest GPRs are in the host's registers of the
 * same name, except R10 and R11, which live in s.gpr and leave the host's as scratch; RSP too is
 * the guest's, so nothing may push.  Arithmetic flags are in the host's flags or in soft.flags.
 *
 * Code and tables belong to one vCPU: no locks.  Other threads reach it by soft.kick and the queue
 * of written code only.
 */
#ifndef WIRT_TRANSLATE_SOFT_H
#define WIRT_TRANSLATE_SOFT_H

#include "cpu/cpu.h"
#include "cpu/mmu.h"
#include "translate/emit.h"

#include <stdio.h>

enum {
    S0 = R10, /* scratch: address, then offset in page */
    S1 = R11, /* scratch: TLB entry, then host page; the site record when leaving */

    CACHE_BYTES = 32 << 20,
    CACHE_TRIM = 256 << 10,
    CACHE_SLACK = 64 << 10, /* no block is longer than this */
    BLOCK_INSNS = 64,
    BLOCKS_MAX = 1 << 18,
    BLOCK_HASH = 1 << 16,
    CPAGES_MAX = 1 << 16,
    CPAGE_HASH = 1 << 14,
    JUMPS_BITS = 15,
    JUMPS_SIZE = 1 << JUMPS_BITS,
    WRITES_MAX = 64,
    TLB_PLACES = (TLB_SIZE - 1) * (int)sizeof(struct tlb_entry),
    PLACES = 4096,
    PLACE_BYTES = 13, /* of either way to find a place; memory.c */
};

/* What translated code depends on beyond its bytes: part of a block's key. */
enum {
    KEY_64 = 1 << 0, /* 64-bit code; else flat 32-bit */
    KEY_USER = 1 << 1,
    KEY_VEC = 1 << 2, /* x87 and SSE may run */
    KEY_AVX = 1 << 3,
    KEY_AC = 1 << 4,    /* MMU_KERNEL_AC */
    KEY_PLAIN = 1 << 5, /* a translation without shared checks (share.c); never current */
    KEY_BAD = 1 << 6,   /* not for the translator */
};

/* A virtual page of code as it is mapped now: its number, its bytes, its mode. */
struct cpage {
    u64 vpage;
    u64 ram_page;
    u32 next_hash, next_ram;
    u32 blocks; /* list by block.next_in_page */
    u16 key;
};

struct block {
    u32 cpage;
    u16 off, len;       /* guest bytes inside the page */
    u16 dep_lo, dep_hi; /* bytes of the page that flag analysis looked at */
    u16 live;           /* arithmetic flags wanted at its start */
    bool hot;           /* was seen running: its checks guess (memory.c) */
    u32 entry;          /* code cache offset that jumps go to; see CHECK_BYTES */
    u32 body;           /* of the current translation; 0 = stale */
    u32 primary;        /* not 0: stands for that block's bytes in its second page */
    u32 next_hash, next_in_page;
};

struct jump_entry {
    u64 rip;        /* of an empty entry: JUMPS_NONE(its index), which belongs elsewhere */
    const u8 *host; /* of block.checked */
};
_Static_assert(sizeof(struct jump_entry) == 16, "translated code shifts by 4");
#define JUMPS_NONE(i) ((u64)(i) ^ 1)

/*
 * Stands in the code cache behind a jump to a thunk; S1 points at it.  Positions in the cache are
 * offsets from its start.
 */
struct site {
    u64 rip; /* the instruction, or the exit's target */
    union {
        struct {       /* an instruction */
            u32 retry; /* the check again */
            u32 next;  /* the instruction after; 0 = the block ends */
            /* of a shared check: rel32 of the jump to the plain translation */
        };
        struct {       /* an exit */
            u32 patch; /* rel32 of the jump */
            u32 check; /* imm32 that names the target's cpage; 0 = same page */
        };
    };
    u32 block;      /* index of the block that it is in */
    u32 guess;      /* the code that takes a remembered place (PLACE_BYTES); 0 = has none */
    u16 place;      /* index into soft.places */
    u16 size;       /* of the access, or of a shared check's range */
    u8 align;       /* mask that the address must not meet */
    u8 len : 4;     /* of the instruction */
    u8 decoded : 1; /* i is there */
    u8 shared : 1;  /* the check of a group (share.c) */
    struct insn i;  /* of sites of thunks.insn only */
} __attribute__((packed));

/*
 * In front of a block's entry stand a struct site, and code for indirect jumps, which come to
 * entry - CHECK_BYTES: it looks whether the block's page is still mapped where it was.
 */
enum { EXIT_BYTES = offsetof(struct site, guess), SITE_BYTES = offsetof(struct site, i) };
enum { MOVED_BYTES = 12, CHECK_BYTES = 14 };

/* One an engine: how many vCPUs have code of a page. */
struct shared_code {
    pthread_mutex_t lock; /* guards holders[] against PAGE_CODE; order: before the MMU's */
    u16 *holders;         /* by page of the memfd */
};

struct soft_stats {
    u64 blocks, guest_bytes, host_bytes, flushes, stale, links;
    u64 exits, jump_misses, fills, moves, interp_insns, interp_blocks, vec_loads, vec_saves;
    u64 enters;
};

struct soft;

/* The ways into and out of translated code (thunks.c). */
struct thunks {
    void (*enter)(struct soft *sc, const void *host);
    u8 *link, *jump, *read, *write, *insn, *leave, *vec, *cross, *stale, *moved;
};

/* 32-bit code has host registers to spare for the first share slots. */
enum { SHARE_SLOTS = 48, SHARE_REGS = 6 };
extern const u8 share_regs[SHARE_REGS];

struct trans;

struct soft {
    struct cpu c; /* first: gs:[offset] */

    u32 kick;  /* atomic: leave translated code soon */
    u32 flags; /* AL = OF (0, 1), AH = SF ZF AF PF CF as LAHF has them */
    u64 tmp;
    u64 tsc_offset; /* guest TSC - host TSC */
    u64 target;     /* where the entry thunk jumps to */
    u64 host_rsp;
    u64 share[SHARE_SLOTS];    /* host addresses of ranges that were checked (share.c) */
    u64 far_seg[2];            /* 32-bit code: FS, GS; not 0 puts addresses where no TLB entry is,
                                  because the segment is not all 4 GiB, readable and writable */
    u32 stack_place[MMU_SLOW]; /* where in the TLB the last stack access was */
    struct place {
        u32 at; /* where in the TLB the last access of this site was */
        u32 bad;
        u64 when;     /* stats.moves */
    } places[PLACES]; /* of sites; shared now and then, which does no harm */
    u32 nplaces;
    u64 move_cycles, move_tsc; /* between moves of places, on average; and when that was seen */
    u8 vec_live;               /* guest vector and x87 state is in the host's registers */
    u8 vec_avx;                /* XSAVE saves AVX state */
    u16 key;                   /* current */
    struct jump_entry jumps[MMU_SLOW][JUMPS_SIZE]; /* by enum mmu_idx */
    u16 jumps_key[MMU_SLOW];
    u16 jumps_list[MMU_SLOW][JUMPS_SIZE]; /* entries in use */
    u32 njumps[MMU_SLOW];
    u64 changes; /* counts invalidations of code */

    /* Code cache: both mappings of one memfd. */
    u8 *rw, *rx;
    struct emit e;
    u8 *code_start;          /* after the thunks */
    u8 *trimmed;             /* cache_trim() was here */
    struct thunks thunks[2]; /* [1]: for 64-bit code */
    struct block *blocks;
    u32 nblocks;
    u32 *block_hash;
    struct cpage *cpages;
    u32 ncpages;
    u32 *cpage_hash;
    u32 *ram_pages; /* by page of the memfd: first cpage */
    u8 *ram_held;   /* by page: this vCPU counts in shared->holders */
    struct shared_code *shared;
    struct page_writes {
        u16 count;
        bool hit;
    } * page_writes; /* by page: writes beside code since a block was made there */

    /* Code that others wrote, for this vCPU to drop. */
    pthread_mutex_t lock; /* guards writes[]; a leaf lock */
    struct {
        u64 off, len;
    } writes[WRITES_MAX];
    u32 nwrites; /* WRITES_MAX + 1: too many, drop everything */

    unsigned plain_end;  /* where in its page a plain translation has to stop */
    struct trans *trans; /* the translation under way */
    pthread_t thread;    /* valid while running */
    bool running;
    struct soft_stats stats;
    u64 *interp_ops;           /* by enum op_id: instructions left to the interpreter */
    struct direct *direct;     /* programs on the host's processor; NULL: not here */
    bool nudged;               /* kick is our own, and says nothing of the code */
    bool broken;               /* the guest's state is lost: leave with RUN_ERROR */
    struct lockstep *lockstep; /* --check, else NULL */
    bool differs;              /* lockstep found a difference */
    FILE *perf_map;            /* --perf-map, else NULL */
};

#define SOFT_OFF(field) ((u32)offsetof(struct soft, field))
#define GPR_OFF(n)      ((u32)(offsetof(struct soft, c.s.gpr) + 8 * (n)))

/* Code for: rorx S1d, S0d, 7; and S1d, TLB_PLACES.  The place in the TLB of the address in S0. */
static inline void place_code(u8 code[PLACE_BYTES])
{
    le64_put(code, 0x814107daf07b43c4);
    code[8] = 0xe3;
    le32_put(code + 9, TLB_PLACES);
}

static inline u32 cache_off(const struct soft *sc, const u8 *p)
{
    return (u32)(p - sc->rw);
}

/* ---- cache.c ---- */

int cache_open(struct soft *sc, struct err *e);
void cache_close(struct soft *sc);
/* Forgets all translated code. */
void cache_flush(struct soft *sc);
/* The cpage for a virtual page of code that lies at ram_page now; makes it. */
u32 cpage_get(struct soft *sc, u64 vpage, u64 ram_page, u16 key);
/* NULL: none, or stale. */
struct block *block_find(struct soft *sc, u32 cpage, u16 off);
/* A new or stale block to be filled in; NULL: tables are full. */
struct block *block_make(struct soft *sc, u32 cpage, u16 off);
/* Block b also depends on the first len bytes of cpage second. */
bool block_spans(struct soft *sc, struct block *b, u32 second, unsigned len);
/* Makes a block stale. */
void block_drop(struct soft *sc, struct block *b);
/* Gives back the writable view of code that was made a while ago: it is resident only once then. */
void cache_trim(struct soft *sc);
/* The block's code is complete from `body`; links a stale entry to it. */
void block_commit(struct soft *sc, struct block *b, u8 *body);
/* Bytes of a page were written: makes overlapping blocks stale. */
void cache_wrote(struct soft *sc, u64 ram_off, u64 len);

/* Code of this page is about to be translated: writes to it will be told. */
void cache_hold(struct soft *sc, u64 ram_page);

/* ---- thunks.c ---- */

void thunks_make(struct soft *sc);

/* ---- translate.c ---- */

/* Translates the block at rip, whose bytes are at code (to the end of its page). NULL: the first
 * instruction is not for the translator (page crossing, undefined). */
struct block *translate_block(struct soft *sc, u32 cpage, u64 rip, const u8 *code);

/* ---- lockstep.c ---- */

struct lockstep;
struct lockstep *lockstep_new(void); /* NULL: no memory; free() frees it */
/* Runs the block at s.rip on both engines; false: they differ, which was told on stderr. */
bool lockstep_turn(struct lockstep *l, struct soft *sc, const struct block *b);

/* ---- perfmap.c ---- */

FILE *perfmap_open(struct err *e);
void perfmap_block(struct soft *sc, const struct block *b, u64 rip, u64 bytes);

/* ---- engine_soft.c ---- */

/* Makes this thread the one that runs sc. */
void soft_bind(struct soft *sc);
/* Runs from s.rip until something has to be looked at; events are the caller's. */
void soft_turn(struct soft *sc);

/* ---- helpers.c: built with general registers only ---- */

/* Called by thunks; give where to go on, NULL = to the run loop. */
const void *help_link(struct soft *sc, struct site *st, u64 unused);
const void *help_jump(struct soft *sc, struct site *st, u64 target);
const void *help_read(struct soft *sc, struct site *st, u64 lin);
const void *help_write(struct soft *sc, struct site *st, u64 lin);
const void *help_insn(struct soft *sc, struct site *st, u64 unused);
const void *help_leave(struct soft *sc, struct site *st, u64 unused);
const void *help_vec(struct soft *sc, struct site *st, u64 unused);
const void *help_stale(struct soft *sc, struct site *st, u64 unused);
const void *help_moved(struct soft *sc, struct site *st, u64 unused);
const void *help_cross(struct soft *sc, struct site *st, u64 unused);

/* Puts guest vector state into s.x and the host's units in order, if it is not so already. */
void vec_save(struct soft *sc);
/* soft.flags to s.rflags and back. */
void flags_out(struct soft *sc);
void flags_in(struct soft *sc);
/* Empties the jump table of a TLB. */
void jumps_clear(struct soft *sc, unsigned idx);
/* Looks for a block at s.rip, translates when there is none; NULL: interpret one instruction. */
struct block *soft_block(struct soft *sc, u64 rip);
/* The cpage of the page at rip as it is mapped now; 0 = not plain memory, or a fault. */
u32 soft_cpage(struct soft *sc, u64 rip);
/* Brings key up to date after anything but translated code ran. */
void soft_refresh(struct soft *sc);

#endif
