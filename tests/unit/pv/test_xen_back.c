/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grants and the back ends: a front end by hand, honest and not.
 */
#include "domain.h"

#include "base/endian.h"
#include "pv/xen/blkback.h"
#include "pv/xen/grant.h"
#include "pv/xen/netback.h"
#include "pv/xen/xenbus.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ARG = 0x1000, TABLE = 0x300, RING = 0x310, RX_RING = 0x311, DATA = 0x320 }; /* gfns */
enum { DISK = 64 * 512, RING_REF = 8, RX_REF = 9, DATA_REF = 16 };

struct front {
    struct domain d;
    struct blk blk;
    u8 disk[DISK];
    unsigned flushes, discards;
    struct blk_req *held[64]; /* with hold: requests not done yet */
    unsigned nheld;
    bool hold;
    struct nic_backend net;
    u8 sent[NIC_FRAME_MAX];
    u32 nsent;
    unsigned frames, readies;
    struct nic_offload offload;
    u32 req_prod, rsp_cons, rx_prod, rx_cons;
    u16 port;
};

/* ---------------------------------------------------------- what is behind -- */

static void blk_submit_now(struct blk *b, struct blk_req *r)
{
    struct front *f = container_of(b, struct front, blk);
    u64 at = r->offset;

    if (f->hold) {
        f->held[f->nheld++] = r;
        return;
    }
    for (int i = 0; i < r->niov; i++) {
        if (r->op == BLK_READ)
            memcpy(r->iov[i].iov_base, f->disk + at, r->iov[i].iov_len);
        else
            memcpy(f->disk + at, r->iov[i].iov_base, r->iov[i].iov_len);
        at += r->iov[i].iov_len;
    }
    f->flushes += r->op == BLK_FLUSH;
    f->discards += r->op == BLK_DISCARD;
    r->done(r, 0);
}

static void net_send(struct nic_backend *b, const struct iovec *iov, int niov,
                     const struct nic_offload *o)
{
    struct front *f = container_of(b, struct front, net);

    memcpy(f->sent, iov->iov_base, iov->iov_len);
    f->nsent = (u32)iov->iov_len;
    f->frames++;
    f->offload = o ? *o : (struct nic_offload){0};
}

static void net_ready(struct nic_backend *b)
{
    container_of(b, struct front, net)->readies++;
}

static const struct blk_ops blk_ops = {.submit = blk_submit_now};
static const struct nic_backend_ops net_ops = {.send = net_send, .ready = net_ready};

static int open_front(void **state)
{
    struct front *f = calloc(1, sizeof(*f));
    struct xen_config c = {0};

    f->blk = (struct blk){.ops = &blk_ops, .size = DISK, .block_size = 512};
    f->net.ops = &net_ops;
    c.disk[0].blk = &f->blk;
    c.ndisks = 1;
    c.nic[0].net = &f->net;
    c.nnics = 1;
    domain_open(&f->d, 1, &c);
    struct {
        u16 domid, size;
        u32 space;
        u64 idx, gpfn;
    } a = {DOMID_SELF, 0, XENMAPSPACE_grant_table, 0, TABLE};
    domain_put(&f->d, ARG, &a, sizeof(a));
    assert_int_equal(domain_call(&f->d, HYPERVISOR_memory_op, XENMEM_add_to_physmap, ARG, 0), 0);
    *state = f;
    return 0;
}

static int close_front(void **state)
{
    struct front *f = *state;

    domain_close(&f->d);
    free(f);
    return 0;
}

static u8 *page(struct front *f, u64 gfn)
{
    return f->d.vm.mem.hva + (gfn << PAGE_SHIFT);
}

static struct xen_grant_v1 *grant(struct front *f, u32 ref)
{
    return (struct xen_grant_v1 *)page(f, TABLE) + ref;
}

static void permit(struct front *f, u32 ref, u32 gfn, u16 flags)
{
    *grant(f, ref) = (struct xen_grant_v1){GTF_permit_access | flags, XEN_DOMID_BACKEND, gfn};
}

/* ----------------------------------------------------------------- grants -- */

static void test_grants(void **state)
{
    struct front *f = *state;
    struct xen *x = f->d.x;
    u8 *hva, *again;

    assert_int_equal(grant_map(x, 20, false, &hva), GNTST_bad_gntref);
    permit(f, 20, DATA, GTF_readonly);
    assert_int_equal(grant_map(x, 20, true, &hva), GNTST_permission_denied);
    assert_int_equal(grant_map(x, 20, false, &hva), GNTST_okay);
    assert_ptr_equal(hva, page(f, DATA));
    assert_int_equal(grant(f, 20)->flags & (GTF_reading | GTF_writing), GTF_reading);
    /* the page stays what it was while it is mapped, whatever the entry says */
    grant(f, 20)->frame = DATA + 1;
    grant(f, 20)->flags &= (u16)~GTF_readonly;
    assert_int_equal(grant_map(x, 20, true, &again), GNTST_okay);
    assert_ptr_equal(again, hva);
    grant_unmap(x, 20, true);
    assert_int_equal(grant(f, 20)->flags & (GTF_reading | GTF_writing), GTF_reading);
    grant_unmap(x, 20, false);
    assert_int_equal(grant(f, 20)->flags & (GTF_reading | GTF_writing), 0);
    /* to somebody else, no RAM, out of the table, another kind */
    permit(f, 21, DATA, 0);
    grant(f, 21)->domid = 3;
    assert_int_equal(grant_map(x, 21, false, &hva), GNTST_bad_gntref);
    permit(f, 21, 0xfffffff, 0);
    assert_int_equal(grant_map(x, 21, false, &hva), GNTST_bad_page);
    assert_int_equal(grant(f, 21)->flags & GTF_reading, 0);
    grant(f, 21)->flags = 2;
    assert_int_equal(grant_map(x, 21, false, &hva), GNTST_bad_gntref);
    assert_int_equal(grant_map(x, 512, false, &hva), GNTST_bad_gntref); /* one frame so far */
    assert_int_equal(grant_map(x, UINT32_MAX, false, &hva), GNTST_bad_gntref);
}

static s64 set_version(struct front *f, u32 v)
{
    PUT(&f->d, ARG, (u32)v);
    return domain_call(&f->d, HYPERVISOR_grant_table_op, GNTTABOP_set_version, ARG, 1);
}

static void test_grants_v2(void **state)
{
    struct front *f = *state;
    struct xen *x = f->d.x;
    u8 *hva;
    struct {
        u16 domid, size;
        u32 space;
        u64 idx, gpfn;
    } a = {DOMID_SELF, 0, XENMAPSPACE_grant_table, XENMAPIDX_grant_table_status, TABLE + 1};

    permit(f, 20, DATA, 0);
    assert_int_equal(grant_map(x, 20, false, &hva), GNTST_okay);
    assert_int_equal(set_version(f, 2), -XEN_EBUSY);
    grant_unmap(x, 20, false);
    assert_int_equal(set_version(f, 3), -XEN_EINVAL);
    assert_int_equal(set_version(f, 2), 0);
    domain_put(&f->d, ARG, &a, sizeof(a));
    assert_int_equal(domain_call(&f->d, HYPERVISOR_memory_op, XENMEM_add_to_physmap, ARG, 0), 0);
    struct xen_grant_v2 *e = (struct xen_grant_v2 *)page(f, TABLE) + 20;
    u16 *status = (u16 *)page(f, TABLE + 1) + 20;
    *e = (struct xen_grant_v2){GTF_permit_access, XEN_DOMID_BACKEND, 0, 0, DATA};
    assert_int_equal(grant_map(x, 20, true, &hva), GNTST_okay);
    assert_ptr_equal(hva, page(f, DATA));
    assert_int_equal(*status, GTF_reading | GTF_writing);
    assert_int_equal(e->flags, GTF_permit_access); /* the entry is the guest's alone */
    grant_unmap(x, 20, true);
    assert_int_equal(*status, 0);
    e->flags |= GTF_sub_page;
    assert_int_equal(grant_map(x, 20, false, &hva), GNTST_bad_gntref);
    e->flags = GTF_permit_access;
    e->frame = UINT64_MAX;
    assert_int_equal(grant_map(x, 20, false, &hva), GNTST_bad_page);
    assert_int_equal(*status, 0);
    assert_int_equal(grant_map(x, 256, false, &hva), GNTST_bad_gntref);
}

static void test_copy(void **state)
{
    struct front *f = *state;
    u8 op[40] = {0};

    strcpy((char *)page(f, DATA) + 10, "words");
    le64_put(op, DATA);
    le16_put(op + 8, DOMID_SELF);
    le16_put(op + 10, 10);
    le64_put(op + 16, DATA + 1);
    le16_put(op + 24, DOMID_SELF);
    le16_put(op + 26, 4090);
    le16_put(op + 32, 6);
    domain_put(&f->d, ARG, op, sizeof(op));
    assert_int_equal(domain_call(&f->d, HYPERVISOR_grant_table_op, GNTTABOP_copy, ARG, 1), 0);
    assert_int_equal((s16)domain_u32(&f->d, ARG + 36), GNTST_okay);
    assert_string_equal((char *)page(f, DATA + 1) + 4090, "words");
    le16_put(op + 32, 7); /* past the page */
    domain_put(&f->d, ARG, op, sizeof(op));
    domain_call(&f->d, HYPERVISOR_grant_table_op, GNTTABOP_copy, ARG, 1);
    assert_int_equal((s16)domain_u32(&f->d, ARG + 36), GNTST_bad_copy_arg);
    le16_put(op + 32, 6);
    le16_put(op + 8, 0); /* somebody else's page */
    domain_put(&f->d, ARG, op, sizeof(op));
    domain_call(&f->d, HYPERVISOR_grant_table_op, GNTTABOP_copy, ARG, 1);
    assert_int_equal((s16)domain_u32(&f->d, ARG + 36), GNTST_bad_domain);
    assert_int_equal(domain_call(&f->d, HYPERVISOR_grant_table_op, GNTTABOP_copy, DOMAIN_RAM, 1),
                     -XEN_EFAULT);
}

/* ---------------------------------------------------------------- xenbus -- */

static void front_write(struct front *f, struct xenbus_dev *d, const char *name, const char *value)
{
    char path[XS_PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", d->front, name);
    xenstore_lock(f->d.x->store);
    assert_true(xs_write(f->d.x->store, path, "%s", value));
    xenstore_unlock(f->d.x->store);
}

static int back_state(struct front *f, struct xenbus_dev *d)
{
    char path[XS_PATH_MAX];
    u64 v = 0;

    snprintf(path, sizeof(path), "%s/state", d->back);
    xenstore_lock(f->d.x->store);
    xs_read_number(f->d.x->store, path, 9, &v);
    xenstore_unlock(f->d.x->store);
    return (int)v;
}

static struct xenbus_dev *device(struct front *f, const char *type)
{
    struct xenbus_dev *d = f->d.x->devices;

    while (strcmp(d->type, type))
        d = d->next;
    return d;
}

static u16 alloc_port(struct front *f)
{
    u16 a[4] = {DOMID_SELF, XEN_DOMID_BACKEND};

    domain_put(&f->d, ARG, a, sizeof(a));
    assert_int_equal(
        domain_call(&f->d, HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, ARG, 0), 0);
    return (u16)domain_u32(&f->d, ARG + 4);
}

static void kick(struct front *f)
{
    PUT(&f->d, ARG, (u32)f->port);
    assert_int_equal(domain_call(&f->d, HYPERVISOR_event_channel_op, EVTCHNOP_send, ARG, 0), 0);
}

static struct xen_sring *sring(struct front *f, u64 gfn)
{
    return (struct xen_sring *)page(f, gfn);
}

/* ------------------------------------------------------------------ disk -- */

static void connect_disk(struct front *f, const char *persistent)
{
    struct xenbus_dev *d = device(f, "vbd");
    char num[16];

    assert_int_equal(back_state(f, d), XenbusStateInitWait);
    memset(page(f, RING), 0, PAGE_SIZE);
    f->req_prod = f->rsp_cons = 0;
    sring(f, RING)->req_event = sring(f, RING)->rsp_event = 1;
    permit(f, RING_REF, RING, 0);
    f->port = alloc_port(f);
    snprintf(num, sizeof(num), "%u", f->port);
    front_write(f, d, "ring-ref", "8");
    front_write(f, d, "event-channel", num);
    front_write(f, d, "feature-persistent", persistent);
    front_write(f, d, "protocol", "x86_64-abi");
    front_write(f, d, "state", "3");
    assert_int_equal(back_state(f, d), XenbusStateConnected);
}

static u8 *next_request(struct front *f)
{
    u8 *e = page(f, RING) + SRING_HEAD + f->req_prod++ % 32 * 112;

    memset(e, 0, 112);
    return e;
}

static void push(struct front *f)
{
    sring(f, RING)->req_prod = f->req_prod;
    kick(f);
}

static s16 response(struct front *f, u64 id)
{
    u8 *e = page(f, RING) + SRING_HEAD + f->rsp_cons % 32 * 112;

    assert_int_not_equal(sring(f, RING)->rsp_prod, f->rsp_cons);
    f->rsp_cons++;
    assert_int_equal(le64_get(e), id);
    return (s16)le16_get(e + 10);
}

/* A request of one segment; op 0 reads, 1 writes. */
static u8 *rw(struct front *f, u8 op, u64 id, u64 sector, u32 ref, u8 first, u8 last)
{
    u8 *e = next_request(f);

    e[0] = op;
    e[1] = 1;
    le64_put(e + 8, id);
    le64_put(e + 16, sector);
    le32_put(e + 24, ref);
    e[28] = first;
    e[29] = last;
    return e;
}

static void test_disk(void **state)
{
    struct front *f = *state;

    connect_disk(f, "0");
    permit(f, DATA_REF, DATA, 0);
    memset(page(f, DATA), 'w', PAGE_SIZE);
    rw(f, 1, 100, 3, DATA_REF, 2, 5);
    push(f);
    assert_int_equal(response(f, 100), 0);
    assert_int_equal(f->disk[3 * 512 - 1], 0);
    assert_int_equal(f->disk[3 * 512], 'w');
    assert_int_equal(f->disk[7 * 512 - 1], 'w');
    assert_int_equal(f->disk[7 * 512], 0);
    assert_int_equal(grant(f, DATA_REF)->flags, GTF_permit_access); /* given back */
    permit(f, DATA_REF + 1, DATA + 1, 0);
    rw(f, 0, 101, 3, DATA_REF + 1, 0, 0);
    push(f);
    assert_int_equal(response(f, 101), 0);
    assert_int_equal(page(f, DATA + 1)[511], 'w');
    assert_int_equal(page(f, DATA + 1)[512], 0);
    u8 *e = next_request(f);
    e[0] = 3; /* flush */
    push(f);
    assert_int_equal(response(f, 0), 0);
    assert_int_equal(f->flushes, 1);
    e = next_request(f);
    e[0] = 5; /* discard */
    le64_put(e + 16, 8);
    le64_put(e + 24, 8);
    push(f);
    assert_int_equal(response(f, 0), 0);
    assert_int_equal(f->discards, 1);
}

static void test_disk_refuses(void **state)
{
    struct front *f = *state;

    connect_disk(f, "0");
    permit(f, DATA_REF, DATA, GTF_readonly);
    permit(f, DATA_REF + 1, DATA + 1, 0);
    rw(f, 0, 1, 0, DATA_REF, 0, 0);      /* a read into a page that may not be written */
    rw(f, 1, 2, 64, DATA_REF + 1, 0, 0); /* past the end */
    rw(f, 1, 3, 63, DATA_REF + 1, 0, 1); /* over the end */
    rw(f, 1, 4, UINT64_MAX, DATA_REF + 1, 0, 0);
    rw(f, 1, 5, 0, DATA_REF + 1, 3, 2); /* backwards */
    rw(f, 1, 6, 0, DATA_REF + 1, 0, 8); /* past the page */
    rw(f, 1, 7, 0, 300, 0, 0);          /* never granted */
    rw(f, 1, 8, 0, UINT32_MAX, 0, 0);
    rw(f, 1, 9, 0, DATA_REF, 0, 0)[1] = 0; /* no segments */
    rw(f, 1, 10, 0, DATA_REF, 0, 0)[1] = 12;
    push(f);
    for (u64 id = 1; id <= 10; id++)
        assert_int_equal(response(f, id), -1);
    rw(f, 77, 11, 0, DATA_REF, 0, 0);
    u8 *e = next_request(f);
    e[0] = 5;
    e[1] = 1; /* secure discard */
    push(f);
    assert_int_equal(response(f, 11), -2);
    assert_int_equal(response(f, 0), -2);
    /* nothing is left in use */
    for (u32 ref = DATA_REF; ref < DATA_REF + 2; ref++)
        assert_int_equal(grant(f, ref)->flags & (GTF_reading | GTF_writing), 0);
    f->blk.readonly = true;
    rw(f, 1, 12, 0, DATA_REF + 1, 0, 0);
    push(f);
    assert_int_equal(response(f, 12), -1);
}

static void test_indirect(void **state)
{
    struct front *f = *state;
    u8 *segs = page(f, DATA + 8);

    connect_disk(f, "0");
    permit(f, DATA_REF + 8, DATA + 8, GTF_readonly);
    for (u32 i = 0; i < 4; i++) {
        permit(f, DATA_REF + i, DATA + i, 0);
        memset(page(f, DATA + i), 'a' + (int)i, PAGE_SIZE);
        le32_put(segs + 8 * i, DATA_REF + i);
        segs[8 * i + 5] = 7;
    }
    u8 *e = next_request(f);
    e[0] = 6;
    e[1] = 1;
    le16_put(e + 2, 4);
    le64_put(e + 8, 55);
    le64_put(e + 16, 16);
    le32_put(e + 28, DATA_REF + 8);
    push(f);
    assert_int_equal(response(f, 55), 0);
    for (u32 i = 0; i < 4; i++)
        assert_int_equal(f->disk[8192 + 4096 * i], 'a' + i);
    static const u16 bad[] = {0, 257, 65535};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        e = next_request(f);
        e[0] = 6;
        le16_put(e + 2, bad[i]);
        le32_put(e + 28, DATA_REF + 8);
        push(f);
        assert_int_equal(response(f, 0), -1);
    }
    e = next_request(f);
    e[0] = 6;
    e[1] = 6; /* indirect in indirect */
    le16_put(e + 2, 1);
    push(f);
    assert_int_equal(response(f, 0), -1);
}

static void test_persistent(void **state)
{
    struct front *f = *state;
    struct xenbus_dev *d = device(f, "vbd");

    connect_disk(f, "1");
    permit(f, DATA_REF, DATA, 0);
    rw(f, 1, 1, 0, DATA_REF, 0, 0);
    rw(f, 0, 2, 0, DATA_REF, 0, 0);
    push(f);
    assert_int_equal(response(f, 1), 0);
    assert_int_equal(response(f, 2), 0);
    assert_true(grant(f, DATA_REF)->flags & GTF_writing); /* kept */
    front_write(f, d, "state", "6");
    assert_int_equal(back_state(f, d), XenbusStateClosed);
    assert_int_equal(grant(f, DATA_REF)->flags, GTF_permit_access);
    assert_int_equal(grant(f, RING_REF)->flags, GTF_permit_access);
    kick(f); /* nobody is there */
    front_write(f, d, "state", "1");
    assert_int_equal(back_state(f, d), XenbusStateInitWait);
    connect_disk(f, "1");
    rw(f, 0, 3, 0, DATA_REF, 0, 0);
    push(f);
    assert_int_equal(response(f, 3), 0);
}

/* More requests than the ring has room for, while those before are not done: the device stops. */
static void test_ring_storm(void **state)
{
    struct front *f = *state;

    connect_disk(f, "0");
    permit(f, DATA_REF, DATA, 0);
    f->hold = true;
    for (u64 i = 0; i < 32; i++)
        rw(f, 0, i, 0, DATA_REF, 0, 0);
    push(f);
    assert_int_equal(f->nheld, 32);
    f->req_prod++;
    push(f);
    assert_int_equal(f->nheld, 32);
    f->hold = false;
    for (unsigned i = 0; i < f->nheld; i++)
        f->held[i]->done(f->held[i], 0);
    assert_int_equal(grant(f, DATA_REF)->flags & GTF_writing, 0);
    for (u32 i = 0; i < 10; i++) {
        sring(f, RING)->req_prod = 0x10000000 * i;
        kick(f);
    }
    assert_int_equal(f->nheld, 32);
}

static void test_bad_connections(void **state)
{
    struct front *f = *state;
    struct xenbus_dev *d = device(f, "vbd");
    static const char *const refs[] = {"", "x", "-1", "99999999999", "300", "8x"};
    char num[16];

    front_write(f, d, "state", "3"); /* with nothing there */
    assert_int_equal(back_state(f, d), XenbusStateClosed);
    snprintf(num, sizeof(num), "%u", alloc_port(f));
    front_write(f, d, "protocol", "x86_64-abi");
    front_write(f, d, "event-channel", num);
    for (unsigned i = 0; i < ARRAY_SIZE(refs); i++) {
        front_write(f, d, "ring-ref", refs[i]);
        front_write(f, d, "state", "3");
        assert_int_equal(back_state(f, d), XenbusStateClosed);
    }
    permit(f, RING_REF, RING, GTF_readonly);
    front_write(f, d, "ring-ref", "8");
    front_write(f, d, "state", "3");
    assert_int_equal(back_state(f, d), XenbusStateClosed);
    permit(f, RING_REF, RING, 0);
    front_write(f, d, "event-channel", "3999");
    front_write(f, d, "state", "3");
    assert_int_equal(back_state(f, d), XenbusStateClosed);
    assert_int_equal(grant(f, RING_REF)->flags, GTF_permit_access);
    front_write(f, d, "event-channel", num);
    front_write(f, d, "ring-page-order", "4"); /* sixteen pages, of which there is one */
    front_write(f, d, "state", "3");
    assert_int_equal(back_state(f, d), XenbusStateClosed);
    front_write(f, d, "ring-page-order", "0");
    front_write(f, d, "state", "3");
    assert_int_equal(back_state(f, d), XenbusStateConnected);
}

/* --------------------------------------------------------------- network -- */

static void connect_net(struct front *f, bool offload)
{
    struct xenbus_dev *d = device(f, "vif");
    char num[16];
    static const char *const features[] = {"feature-sg", "feature-gso-tcpv4", "feature-gso-tcpv6",
                                           "feature-ipv6-csum-offload"};

    permit(f, RING_REF, RING, 0);
    permit(f, RX_REF, RX_RING, 0);
    sring(f, RING)->rsp_event = sring(f, RX_RING)->rsp_event = 1;
    f->port = alloc_port(f);
    snprintf(num, sizeof(num), "%u", f->port);
    front_write(f, d, "tx-ring-ref", "8");
    front_write(f, d, "rx-ring-ref", "9");
    front_write(f, d, "event-channel", num);
    front_write(f, d, "request-rx-copy", "1");
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++)
        front_write(f, d, features[i], offload ? "1" : "0");
    front_write(f, d, "state", "4");
    assert_int_equal(back_state(f, d), XenbusStateConnected);
    assert_int_equal(f->net.front->offload, offload);
}

static void tx(struct front *f, u32 ref, u16 off, u16 flags, u16 id, u16 size)
{
    u8 *e = page(f, RING) + SRING_HEAD + f->req_prod++ % 256 * 12;

    le32_put(e, ref);
    le16_put(e + 4, off);
    le16_put(e + 6, flags);
    le16_put(e + 8, id);
    le16_put(e + 10, size);
}

static s16 tx_status(struct front *f, u16 id)
{
    u8 *e = page(f, RING) + SRING_HEAD + f->rsp_cons++ % 256 * 12;

    assert_true((s32)(sring(f, RING)->rsp_prod - f->rsp_cons) >= 0);
    assert_int_equal(le16_get(e), id);
    return (s16)le16_get(e + 2);
}

/* An IPv4 TCP frame's headers. */
static void headers(u8 *p)
{
    memset(p, 0, 54);
    be16_put(p + 12, 0x0800);
    p[14] = 0x45;
    p[23] = 6;
    p[14 + 20 + 12] = 5 << 4;
}

/* A front end may send before it is connected, and then it tells nobody. */
static void test_sent_early(void **state)
{
    struct front *f = *state;

    permit(f, DATA_REF, DATA, GTF_readonly);
    headers(page(f, DATA));
    tx(f, DATA_REF, 0, 0, 1, 60);
    sring(f, RING)->req_prod = f->req_prod;
    connect_net(f, false);
    assert_int_equal(f->nsent, 60);
    assert_int_equal(tx_status(f, 1), 0);
    assert_int_equal(sring(f, RING)->req_event, 2);
}

static void test_transmit(void **state)
{
    struct front *f = *state;

    connect_net(f, true);
    permit(f, DATA_REF, DATA, GTF_readonly);
    permit(f, DATA_REF + 1, DATA + 1, GTF_readonly);
    headers(page(f, DATA) + 100);
    memset(page(f, DATA + 1), 'x', PAGE_SIZE);
    tx(f, DATA_REF, 100, 0, 1, 60);
    push(f);
    assert_int_equal(tx_status(f, 1), 0);
    assert_int_equal(f->nsent, 60);
    assert_memory_equal(f->sent, page(f, DATA) + 100, 60);
    assert_int_equal(f->offload.flags, 0);
    /* in two pieces, checksum left blank, to be cut */
    tx(f, DATA_REF, 100, 1 | 4 | 8, 2, 3054);
    u8 *extra = page(f, RING) + SRING_HEAD + f->req_prod++ % 256 * 12;
    memset(extra, 0, 12);
    extra[0] = 1;
    le16_put(extra + 2, 1000);
    extra[4] = 1;
    tx(f, DATA_REF + 1, 0, 0, 3, 3000);
    push(f);
    assert_int_equal(tx_status(f, 2), 0);
    assert_int_equal(tx_status(f, 0), 1); /* the extra's */
    assert_int_equal(tx_status(f, 3), 0);
    assert_int_equal(f->nsent, 3054);
    assert_int_equal(f->sent[54], 'x');
    assert_int_equal(f->offload.gso_type, 1);
    assert_int_equal(f->offload.gso_size, 1000);
    assert_int_equal(f->offload.csum_start, 34);
    assert_int_equal(f->offload.csum_offset, 16);
    assert_int_equal(f->offload.hdr_len, 54);
}

static void test_transmit_refuses(void **state)
{
    struct front *f = *state;

    connect_net(f, true);
    permit(f, DATA_REF, DATA, GTF_readonly);
    tx(f, DATA_REF, 4090, 0, 1, 60); /* over its page's end */
    tx(f, DATA_REF, 0, 0, 2, 13);    /* shorter than a header */
    tx(f, 300, 0, 0, 3, 60);         /* never granted */
    tx(f, DATA_REF, 0, 4, 4, 100);   /* pieces larger than the whole */
    tx(f, DATA_REF, 0, 0, 5, 200);
    push(f);
    for (u16 id = 1; id <= 5; id++)
        assert_int_equal(tx_status(f, id), -1);
    for (u16 i = 0; i < 19; i++) /* a frame in more pieces than one may have */
        tx(f, DATA_REF, 0, 4, 10 + i, 100);
    tx(f, DATA_REF, 0, 0, 40, 60);
    push(f);
    assert_int_equal(f->frames, 0);
    tx(f, DATA_REF, 0, 4, 50, 100); /* and one that does not end */
    push(f);
    assert_int_equal(f->frames, 0);
    sring(f, RING)->req_prod = f->req_prod + 5000;
    kick(f);
    assert_int_equal(f->frames, 0);
}

static void post(struct front *f, u32 ref, u16 id)
{
    u8 *e = page(f, RX_RING) + SRING_HEAD + f->rx_prod++ % 256 * 8;

    le16_put(e, id);
    le32_put(e + 4, ref);
    sring(f, RX_RING)->req_prod = f->rx_prod;
}

static void test_receive(void **state)
{
    struct front *f = *state;
    u8 frame[6000];
    struct iovec iov = {frame, 60};
    struct nic_offload o = {.flags = 1, .gso_type = 1, .gso_size = 1448};

    connect_net(f, true);
    memset(frame, 'r', sizeof(frame));
    assert_false(f->net.front->receive(f->net.front->opaque, &iov, 1, NULL)); /* no room */
    for (u16 i = 0; i < 4; i++) {
        permit(f, DATA_REF + i, DATA + i, 0);
        post(f, DATA_REF + i, i);
    }
    kick(f);
    loop_turn(f->d.vm.loop, 0);
    assert_int_equal(f->readies, 1);
    assert_true(f->net.front->receive(f->net.front->opaque, &iov, 1, NULL));
    const u8 *r = page(f, RX_RING) + SRING_HEAD;
    assert_int_equal(le16_get(r), 0);
    assert_int_equal(le16_get(r + 4), 0);
    assert_int_equal(le16_get(r + 6), 60);
    assert_int_equal(page(f, DATA)[59], 'r');
    assert_int_equal(page(f, DATA)[60], 0);
    iov.iov_len = sizeof(frame); /* two pages and the extra: all that is left */
    assert_true(f->net.front->receive(f->net.front->opaque, &iov, 1, &o));
    assert_int_equal(le16_get(r + 8 + 4), 1 | 2 | 4 | 8);
    assert_int_equal(le16_get(r + 8 + 6), 4096);
    assert_int_equal(r[16], 1); /* GSO */
    assert_int_equal(le16_get(r + 18), 1448);
    assert_int_equal(le16_get(r + 24 + 6), 6000 - 4096);
    assert_int_equal(sring(f, RX_RING)->rsp_prod, 4);
    assert_false(f->net.front->receive(f->net.front->opaque, &iov, 1, NULL));
    /* a page that was not granted costs the frame, not more */
    post(f, 300, 9);
    iov.iov_len = 60;
    assert_true(f->net.front->receive(f->net.front->opaque, &iov, 1, NULL));
    assert_int_equal((s16)le16_get(r + 32 + 6), -1);
    sring(f, RX_RING)->req_prod = 0x70000000;
    assert_false(f->net.front->receive(f->net.front->opaque, &iov, 1, NULL));
}

static void test_reset_while_connected(void **state)
{
    struct front *f = *state;

    connect_disk(f, "1");
    permit(f, DATA_REF, DATA, 0);
    rw(f, 1, 1, 0, DATA_REF, 0, 0);
    push(f);
    xen_reset(f->d.x);
    assert_int_equal(back_state(f, device(f, "vbd")), XenbusStateInitWait);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_front, close_front)
    const struct CMUnitTest tests[] = {
        TEST(test_grants),
        TEST(test_grants_v2),
        TEST(test_copy),
        TEST(test_disk),
        TEST(test_disk_refuses),
        TEST(test_indirect),
        TEST(test_persistent),
        TEST(test_ring_storm),
        TEST(test_bad_connections),
        TEST(test_sent_early),
        TEST(test_transmit),
        TEST(test_transmit_refuses),
        TEST(test_receive),
        TEST(test_reset_while_connected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
