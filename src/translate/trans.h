/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A translation under way: what the files that emit code share.
 */
#ifndef WIRT_TRANSLATE_TRANS_H
#define WIRT_TRANSLATE_TRANS_H

#include "cpu/ops.h"
#include "translate/soft.h"

/* Where the guest's arithmetic flags are.  At block boundaries: FORM_MEM, or nobody wants them. */
enum form {
    FORM_HOST, /* in the host's flags */
    FORM_MEM,  /* in soft.flags */
    FORM_BOTH,
};

struct tinsn {
    struct insn i;
    const struct op_row *row;
    const u8 *raw;
    u64 rip;
    u32 reads, kills; /* arithmetic flags */
    u32 live_out;     /* wanted after this instruction (jcc: on either way) */
    u8 *host;         /* where its code begins */
    bool label;       /* jumped to inside the block: flags are in FORM_MEM there */
    bool loop;        /* from further on too */
    u8 from;          /* index of the first jump to it */
    struct share {    /* what of its accesses shares a check; share.c */
        u8 group;     /* 0 = none */
        s32 at;       /* place in the group's scale */
    } share[2];       /* by enum share_of */
};

enum share_of { SHARE_OPERAND, SHARE_STACK };

/* Accesses that share a check. */
struct group {
    bool write, ready;
    u8 align;
    u8 slot;   /* index into soft.share, or NO_SLOT: nothing to share */
    u8 leader; /* index of the instruction that checked */
    u8 members;
    s32 first, lo, hi; /* bytes from the register's value when it was last lost sight of */
};

enum { NO_SLOT = 0xff, GROUPS_MAX = SHARE_SLOTS, PLAIN_INSNS = 24 };

/* A way out of line, emitted behind the block. */
struct stub {
    u8 *from; /* rel32 that jumps there */
    const u8 *thunk;
    u8 *retry;
    u8 *patch, *check; /* exits: struct site */
    u64 rip;           /* exits: the target */
    u64 lin;           /* const_lin: the address */
    u16 insn;          /* index; exits: TRANS_EXIT */
    u16 size;
    u8 align, write;
    bool const_lin;
    bool lookup; /* S0 holds lin ^ tag, S1 the TLB place */
    u8 *guess;   /* struct site */
    u16 place;
    bool stack;  /* the place was soft.place */
    bool shared; /* a group's check */
};

enum { STUBS_MAX = BLOCK_INSNS * 5, TRANS_EXIT = 0xffff };

struct trans {
    struct soft *sc;
    struct emit *e;
    const struct thunks *thunks;
    const u8 *page; /* host address of the guest page's first byte */
    u64 page_rip;   /* its guest address */
    u32 cpage;
    u16 key;
    u32 tlb; /* offset of the TLB in struct soft */
    bool code64;
    bool plain;           /* KEY_PLAIN */
    bool hot;             /* block.hot */
    s32 sp_owed;          /* RSP is to be this much higher: see sp_defers() */
    u8 held, held_before; /* share slot + 1 whose contents S1 has after, before this instruction */
    unsigned ngroups;
    struct group groups[GROUPS_MAX + 1]; /* from 1 */
    unsigned asize;                      /* 8 or 4: address and stack width */
    unsigned n;
    unsigned cur; /* instruction in hand */
    enum form form;
    bool vec_ready; /* the block has made sure that vector state is in the host */
    unsigned dep_lo, dep_hi;
    u8 cross[16]; /* the bytes of an instruction that crosses into the next page */
    u32 second;   /* cpage of that page; 0 = the block is in one page */
    u8 *entry;
    u32 block;
    unsigned nstubs, nfixes;
    struct fix {
        u8 *rel32;
        const struct tinsn *to;
    } fixes[BLOCK_INSNS]; /* jumps forward inside the block */
    struct stub stubs[STUBS_MAX];
    struct tinsn insns[BLOCK_INSNS + 1]; /* one more: where the block goes on */
};

/* ---- analysis.c ---- */

/* reads and kills of one instruction. */
void insn_flags(struct tinsn *ti);
/* Flags that may be wanted at target: looks at the code there when it is in this page. */
u32 flags_wanted_at(struct trans *t, u64 target);
/* The instruction of the block at rip, or NULL. */
struct tinsn *insn_at(struct trans *t, u64 rip);
/* Marks what jumps of the block go to inside the block. */
void labels_find(struct trans *t);
/* Fills live_out of all instructions, backwards. */
void flags_analyse(struct trans *t);
static inline u32 live_in(const struct tinsn *ti)
{
    return (ti->live_out & ~ti->kills) | ti->reads;
}

/* ---- memory.c ---- */

/* Host flags are about to be lost: keeps them if `live` is wanted.  Uses S0. */
void flags_keep(struct trans *t, u32 live);
/* Brings wanted flags into the host's; `park` is a free register. */
void flags_load(struct trans *t, u8 park);

/* The check of an access by the instruction in hand; its address is insn's memory operand, or S0
 * when `in_s0`.  Flags must be kept already.  Gives the operand to use: never touches anything but
 * S0 and S1, both of which it may need. */
struct ememory mem_operand(struct trans *t, unsigned size, bool write, u8 align);
/* The same for [base + disp] in the stack segment. */
struct ememory mem_stack(struct trans *t, u8 base, s32 disp, unsigned size, bool write);
/* The same for the linear address in S0, which code from `retry` on puts there. */
struct ememory mem_check(struct trans *t, u8 *retry, unsigned size, bool write, u8 align);
/* What keeps flags before the access that is insn's share `which`, unless that needs no check. */
void flags_keep_for(struct trans *t, u32 live, enum share_of which);
/* The place in the TLB of the address in S0 into S1, in PLACE_BYTES; destroys flags. */
void mem_place(struct emit *e);
/* Offset in struct soft of the place of the last stack access. */
u32 mem_stack_place(const struct trans *t);
/* Whether the memory operand of i can be done here. */
bool mem_supported(const struct trans *t, const struct insn *i);
/* The address itself into reg (LEA); reg S0 or S1 or a guest register. */
void mem_lea(struct trans *t, const struct insn *i, u8 reg, bool wide);

/* ---- share.c ---- */

/* Groups the accesses of the block. */
void shares_find(struct trans *t);
/* Control comes here from elsewhere in the block as well. */
void shares_at_label(struct trans *t, const struct tinsn *ti);
/* The group of the access in hand that is ready, or that this access leads; NULL: it checks for
 * itself. */
struct group *share_group(struct trans *t, enum share_of which, bool write);
/* Whether that access needs no check. */
bool share_ready(struct trans *t, enum share_of which);
/* The code of that access used S1 for nothing else. */
void share_stays(struct trans *t, enum share_of which);
/* Bytes from the start of its group's range. */
s32 share_at(const struct trans *t, enum share_of which);
/* The range was checked and starts at `start`. */
void share_lead(struct trans *t, struct group *g, struct ememory start);
/* The operand `at` bytes into a ready group's range; may need S1, never flags or S0. */
struct ememory share_use(struct trans *t, const struct group *g, s32 at);

/* ---- stack.c ---- */

/* Whether the instruction in hand can do without an exact RSP. */
bool sp_defers(struct trans *t, const struct tinsn *ti);
/* Makes RSP exact. */
void sp_settle(struct trans *t);
bool gen_push(struct trans *t, struct tinsn *ti);
bool gen_pop(struct trans *t, struct tinsn *ti);
bool gen_leave(struct trans *t, struct tinsn *ti);
/* ADD and SUB of a constant to RSP, when their flags are not wanted. */
bool gen_sp_add(struct trans *t, const struct tinsn *ti);
/* Pushes the return address of a call; checks first. */
void gen_push_return(struct trans *t, u64 rip);

/* ---- branch.c ---- */

struct stub *stub_add(struct trans *t, u8 *from, const u8 *thunk);
/* Ends the path with a jump to guest address target. */
void exit_direct(struct trans *t, u64 target);
/* Ends the path with a jump to the guest address in S0. */
void exit_indirect(struct trans *t);
/* Control flow; false: not done here. */
bool gen_branch(struct trans *t, struct tinsn *ti);
/* Offset in struct soft of what code_map has of an address. */
u32 code_map_off(u64 rip);
/* Hands the instruction in hand to the interpreter; ends: the path does not come back here. */
void gen_interp(struct trans *t, struct tinsn *ti, bool ends);
void stubs_emit(struct trans *t);

/* ---- integer.c ---- */

/* Any instruction that is not a branch; false: not done here. */
bool gen_insn(struct trans *t, struct tinsn *ti);

/* ---- system.c ---- */

bool gen_system(struct trans *t, struct tinsn *ti);

#endif
