/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls (TLFS, "Hypercall Interface"): the input value, its parameters in registers or in the
 * guest's memory, and the calls.  64-bit code: RCX, RDX, R8, result in RAX; 32-bit code: EDX:EAX,
 * EBX:ECX, EDI:ESI, result in EDX:EAX.
 */
#include "pv/hyperv/internal.h"

#include "core/arch.h"

#include <sched.h>
#include <string.h>

#define OURS BIT(31) /* what the hypercall page sets in EAX */

struct hv_call {
    struct hv_vcpu *v;
    u64 input;
    u64 param[2]; /* fast: the parameters; else the addresses of input and output */
};

/* ---------------------------------------------------------- parameters -- */

/* The first n (1 or 2) words of a fast call's input, or up to a page of memory. */
static u64 get_input(const struct hv_call *k, u64 *words, unsigned n)
{
    u64 gpa = k->param[0];

    if (k->input & HV_HYPERCALL_FAST) {
        if (n > 2)
            return HV_STATUS_INVALID_HYPERCALL_INPUT;
        memcpy(words, k->param, n * sizeof(u64));
        return HV_STATUS_SUCCESS;
    }
    if (gpa & 7)
        return HV_STATUS_INVALID_ALIGNMENT;
    if ((gpa & PAGE_MASK) + n * sizeof(u64) >
        PAGE_SIZE) /* no parameter list goes over the end of a page */
        return HV_STATUS_INVALID_ALIGNMENT;
    if (!mem_read(&k->v->hv->vm->dma, gpa, words, n * sizeof(u64)))
        return HV_STATUS_INVALID_PARAMETER;
    return HV_STATUS_SUCCESS;
}

static unsigned rep_count(const struct hv_call *k)
{
    return k->input >> HV_HYPERCALL_REP_SHIFT & HV_HYPERCALL_REP_MASK;
}

static unsigned rep_start(const struct hv_call *k)
{
    return k->input >> HV_HYPERCALL_START_SHIFT & HV_HYPERCALL_REP_MASK;
}

/* ------------------------------------------------------------------ calls -- */

/* Whole TLBs: what is asked for is the least that must go. */
static void flush(struct hyperv *hv, u64 processors)
{
    for (unsigned i = 0; i < hv->nvcpus; i++)
        if (processors >> i & 1)
            vcpu_raise(hv->vcpu[i].vcpu, VCPU_FLUSH);
    vcpu_await_flush(hv->vm, processors);
}

/* HvCallFlushVirtualAddressSpace and ...List: address space, flags, processors. */
static u64 call_flush(struct hv_call *k)
{
    u64 in[3], status = get_input(k, in, 3);

    if (status)
        return status;
    flush(k->v->hv, in[1] & HV_FLUSH_ALL_PROCESSORS ? UINT64_MAX : in[2]);
    return HV_STATUS_SUCCESS;
}

/* HvCallSendSyntheticClusterIpi: vector and target VTL, processors. */
static u64 call_ipi(struct hv_call *k)
{
    struct hyperv *hv = k->v->hv;
    u64 in[2], status = get_input(k, in, 2);

    if (status)
        return status;
    if ((u32)in[0] < 16 || (u32)in[0] > 255 || in[0] >> 32)
        return HV_STATUS_INVALID_PARAMETER;
    for (unsigned i = 0; i < hv->nvcpus; i++)
        if (in[1] >> i & 1)
            lapic_inject(&hv->lapics->lapic[i], (u8)in[0], false);
    return HV_STATUS_SUCCESS;
}

static u64 call_spin_wait(struct hv_call *k)
{
    sched_yield();
    return HV_STATUS_SUCCESS;
}

/* There is nobody to talk to. */
static u64 call_no_port(struct hv_call *k)
{
    return HV_STATUS_INVALID_CONNECTION_ID;
}

static const struct {
    u16 code;
    bool rep; /* takes a list */
    u64 (*fn)(struct hv_call *k);
} calls[] = {
    {HvCallFlushVirtualAddressSpace, false, call_flush},
    {HvCallFlushVirtualAddressList, true, call_flush},
    {HvCallNotifyLongSpinWait, false, call_spin_wait},
    {HvCallSendSyntheticClusterIpi, false, call_ipi},
    {HvCallPostMessage, false, call_no_port},
    {HvCallSignalEvent, false, call_no_port},
};

/* The result value: a status, and how many of a list were done. */
static u64 dispatch(struct hv_call *k)
{
    u16 code = (u16)k->input;

    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
        if (calls[i].code != code)
            continue;
        bool list = rep_count(k) || rep_start(k);
        if (k->input & HV_HYPERCALL_RESERVED || list != calls[i].rep ||
            (list && rep_start(k) >= rep_count(k)))
            return HV_STATUS_INVALID_HYPERCALL_INPUT;
        u64 status = calls[i].fn(k);
        return status ? status : (u64)rep_count(k) << HV_HYPERCALL_REP_SHIFT;
    }
    return HV_STATUS_INVALID_HYPERCALL_CODE;
}

static u64 pair(u64 high, u64 low)
{
    return high << 32 | (u32)low;
}

enum pv_result hv_hypercall(void *opaque, struct pv_call *p)
{
    struct hyperv *hv = opaque;
    struct hv_vcpu *v = &hv->vcpu[p->vcpu->index];
    u64 *r = p->gpr, result;

    if (hv->below.ops && !(r[RAX] & OURS))
        return hv->below.ops->hypercall(hv->below.opaque, p);
    if (p->cpl || !(__atomic_load_n(&hv->hypercall_page, __ATOMIC_RELAXED) & HV_PAGE_ENABLE))
        return PV_UD;
    struct hv_call k = {.v = v};
    if (p->long_mode) {
        k.input = r[RCX];
        k.param[0] = r[RDX];
        k.param[1] = r[R8];
    } else {
        k.input = pair(r[RDX], r[RAX]) & ~(u64)OURS;
        k.param[0] = pair(r[RBX], r[RCX]);
        k.param[1] = pair(r[RDI], r[RSI]);
    }
    vcpu_set_inside(v->vcpu, true);
    result = dispatch(&k);
    vcpu_set_inside(v->vcpu, false);
    r[RAX] = p->long_mode ? result : (u32)result;
    if (!p->long_mode)
        r[RDX] = result >> 32;
    trace(hv->trace, hyperv, "cpu %u: call %04x gives %llx", p->vcpu->index, (u16)k.input,
          (unsigned long long)result);
    return PV_DONE;
}
