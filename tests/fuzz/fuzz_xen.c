/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls of a hostile guest.  The input is a list of steps of 8 bytes: the first says what to
 * do, the rest with what.
 *
 *     0x00-0x7f  hypercall of this number; bytes 1-5 choose its arguments, 6 the processor
 *     0x80-0xbf  four bytes into memory at a place where arguments lie
 *     0xc0-0xdf  console input
 *     0xe0-0xe7  a hypercall page
 *     0xe8-0xef  front end nodes of the disk, the network card, the screen or the keyboard, and its
 *                state; a look at the screen, and a key
 *     0xf0-0xff  reset
 */
#define DOMAIN_RAM   (256 * KIB) /* all of it is cleared for each input */
#define DOMAIN_TURNS 8
#include "../unit/pv/domain.h"

#include "base/endian.h"
#include "core/display.h"
#include "pv/xen/xenbus.h"
#include "xen_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEP = 8, STEPS_MAX = 400, WINDOW = 0x10000, DISK = 64 * 512 };

/* Small numbers, addresses of the window, and far-off values, from one byte. */
static u64 argument(u8 b)
{
    switch (b >> 6) {
    case 0:
        return b;
    case 1:
        return (u64)(b & 63) * 64;
    case 2:
        return WINDOW + (u64)(b & 63) * 8 - 64;
    default:
        return b & 1 ? UINT64_MAX - (b >> 1 & 31) : DOMAIN_RAM - (b & 63);
    }
}

/* A disk and a network that do at once what they are asked. */
static void blk_submit_now(struct blk *b, struct blk_req *r)
{
    static u8 disk[DISK];
    u64 at = r->offset;

    BUG_ON(!range_within(r->offset, r->len, 0, DISK));
    for (int i = 0; i < r->niov; i++) {
        if (r->op == BLK_READ)
            memcpy(r->iov[i].iov_base, disk + at, r->iov[i].iov_len);
        else
            memcpy(disk + at, r->iov[i].iov_base, r->iov[i].iov_len);
        at += r->iov[i].iov_len;
    }
    r->done(r, 0);
}

static u8 last_frame[NIC_FRAME_MAX];

static void net_send(struct nic_backend *b, const struct iovec *iov, int niov,
                     const struct nic_offload *o)
{
    BUG_ON(niov != 1 || iov->iov_len > NIC_FRAME_MAX);
    BUG_ON(o && o->flags && o->csum_start + o->csum_offset + 2u > iov->iov_len);
    memcpy(last_frame, iov->iov_base, iov->iov_len);
}

static void net_ready(struct nic_backend *b)
{
    struct iovec iov = {last_frame, 3000};
    struct nic_offload o = {.flags = 1, .gso_type = 1, .gso_size = 500};

    if (b->front)
        b->front->receive(b->front->opaque, &iov, 1, b->front->offload ? &o : NULL);
}

static const struct blk_ops blk_ops = {.submit = blk_submit_now};
static const struct nic_backend_ops net_ops = {.send = net_send, .ready = net_ready};
static struct blk blk = {.ops = &blk_ops, .size = DISK, .block_size = 512};
static struct nic_backend net = {.ops = &net_ops};
static struct display screen;
static struct display_view view;
static struct input_sink input;

/* The references and the port are the grant table's and the domain's first few. */
static void front_end(struct domain *d, const u8 *s)
{
    struct xenbus_dev *dev = d->x->devices;
    const char *names[] = {"ring-ref",        "event-channel",      "tx-ring-ref",
                           "rx-ring-ref",     "ring-ref0",          "ring-ref1",
                           "ring-page-order", "feature-persistent", "multi-queue-num-queues",
                           "page-ref"};
    u32 values[] = {s[1] & 15, s[2] & 15, s[1] & 15,     s[3] & 15,     s[1] & 15,
                    s[3] & 15, s[4] & 1,  s[4] >> 1 & 1, s[4] >> 2 & 1, s[6] & 31};
    char path[XS_PATH_MAX];

    for (unsigned i = s[0] & 3; i; i--)
        dev = dev->next;
    xenstore_lock(d->x->store);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dev->front, names[i]);
        xs_write(d->x->store, path, "%u", values[i]);
    }
    snprintf(path, sizeof(path), "%s/request-rx-copy", dev->front);
    xs_write(d->x->store, path, "1");
    snprintf(path, sizeof(path), "%s/feature-sg", dev->front);
    xs_write(d->x->store, path, "%u", s[4] >> 3 & 1);
    snprintf(path, sizeof(path), "%s/protocol", dev->front);
    xs_write(d->x->store, path, "x86_64-abi");
    snprintf(path, sizeof(path), "%s/state", dev->front);
    xs_write(d->x->store, path, "%u", s[5] % 7);
    xenstore_unlock(d->x->store);
    net_ready(&net);
    display_look(&screen, &view, (struct display_rect[1]){{0}}, 1);
    input.key(input.opaque, s[1], s[2] & 1);
    input.pointer(input.opaque, s[3] << 7, s[4] << 7, 0, s[5] & 7);
}

static void step(struct domain *d, const u8 *s)
{
    if (s[0] < 0x80) {
        domain_call_on(d, s[6] & 1, s[0], argument(s[1]), argument(s[2]), argument(s[3]),
                       argument(s[4]));
        if (d->vm.vcpu[0].intc.ack)
            d->vm.vcpu[s[6] & 1].intc.ack(d->vm.vcpu[s[6] & 1].intc.opaque);
    } else if (s[0] < 0xc0) {
        u64 at = (u64)(s[0] & 1) * WINDOW + (le16_get(s + 1) & 0x3fff);
        if (s[0] & 2) /* a shared page of ours */
            memcpy(d->x->special[s[0] >> 2 & 7] + (le16_get(s + 1) & 0xffc), s + 4, 4);
        else
            memcpy(d->vm.mem.hva + at, s + 4, 4);
    } else if (s[0] < 0xe0) {
        d->console.input(d->console.opaque, s + 1, s[0] & 7);
    } else if (s[0] < 0xe8) {
        xen_wrmsr(d->x, d->vm.vcpu, 0x40000000, argument(s[1]) << (s[2] & 31));
    } else if (s[0] < 0xf0) {
        front_end(d, s);
    } else {
        fuzz_reset(d);
    }
}

/* The first frame of the grant table at WINDOW. */
static void place_table(struct domain *d)
{
    struct {
        u16 domid, size;
        u32 space;
        u64 idx, gpfn;
    } a = {DOMID_SELF, 0, XENMAPSPACE_grant_table, 0, WINDOW >> PAGE_SHIFT};

    domain_put(d, 0, &a, sizeof(a));
    BUG_ON(domain_call(d, HYPERVISOR_memory_op, XENMEM_add_to_physmap, 0, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct domain *d;

    if (!d) {
        d = malloc(sizeof(*d));
        struct xen_config c = {0};
        c.disk[0].blk = &blk;
        c.nic[0].net = &net;
        c.ndisks = c.nnics = 1;
        c.screen = &screen;
        c.input = &input;
        display_init(&screen, NULL);
        domain_open(d, 2, &c);
    }
    lapic_bus_reset(&d->lapics);
    fuzz_reset(d);
    memset(d->vm.mem.hva, 0, DOMAIN_RAM);
    place_table(d);
    d->vm.end = VM_RUNNING;
    for (unsigned i = 0; i < STEPS_MAX && size >= STEP; i++, data += STEP, size -= STEP)
        step(d, data);
    return 0;
}
