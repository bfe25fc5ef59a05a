/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio network card between a hostile driver and a back end that checks what it is given.
 */
#include "dev/virtio_net.h"

#include "virtio_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct virtio_net v;
static struct loop *loop;
static u64 sum; /* so that each byte is read */

static void send(struct nic_backend *b, const struct iovec *iov, int niov,
                 const struct nic_offload *o)
{
    u64 len = 0;

    for (int i = 0; i < niov; i++) {
        len += iov[i].iov_len;
        for (size_t k = 0; k < iov[i].iov_len; k++)
            sum += ((const u8 *)iov[i].iov_base)[k];
    }
    BUG_ON(len > NIC_FRAME_MAX);
    BUG_ON(o && o->flags && o->csum_start + o->csum_offset + 2u > len);
    BUG_ON(o && o->gso_type && !o->gso_size);
}

static void ready(struct nic_backend *b)
{
}

static const struct nic_backend_ops ops = {.send = send, .ready = ready};

static void event(struct vfuzz *f, u8 a, u16 b, u32 val)
{
    static u8 frame[NIC_FRAME_MAX];
    struct nic_offload o = {.flags = 1, .gso_type = 1, .gso_size = b, .csum_start = 34};
    size_t cut = val % 100, len = a & 1 ? b : b % 1600;
    struct iovec iov[2] = {{frame, min(cut, len)}, {frame + min(cut, len), len - min(cut, len)}};

    switch (a % 4) {
    case 3:
        loop_turn(loop, 0);
        break;
    case 2:
        virtio_net_set_link(&v, val & 1);
        break;
    default:
        memcpy(frame, &val, 4);
        v.front.receive(v.front.opaque, iov, 2, v.front.offload ? &o : NULL);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vfuzz f;
    struct nic_backend back = {.ops = &ops};
    struct virtio_net_options o = {.mac = {2}, .mtu = 1500};

    if (size < 1)
        return 0;
    loop = loop_new(NULL);
    vfuzz_begin(&f);
    BUG_ON(virtio_net_init(&v, &f.g.pci, FUZZ_DEVFN, loop, &back, &o, NULL));
    f.vp = &v.vp;
    f.event = event;
    vfuzz_run(&f, data, size);
    virtio_net_destroy(&v);
    vg_end(&f.g);
    loop_free(loop);
    return 0;
}
