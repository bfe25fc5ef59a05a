/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio network card.  Virtio 1.1, 5.1.
 */
#ifndef WIRT_DEV_VIRTIO_NET_H
#define WIRT_DEV_VIRTIO_NET_H

#include "base/err.h"
#include "base/loop.h"
#include "core/backend.h"
#include "dev/virtio_pci.h"

struct virtio_net_options {
    u8 mac[6];
    u16 mtu; /* 0 = not offered */
    bool modern_only;
    bool no_offload; /* offer neither checksum nor segmentation offload */
};

enum { VNET_MAC_TABLE = 64 };

struct virtio_net {
    struct virtio_pci vp; /* first */
    struct loop *loop;
    struct nic_backend *net;
    struct nic_frontend front;
    struct virtio_net_options opt;
    u8 mac[6];
    bool link_up;
    bool announce;        /* the driver is asked to announce itself */
    bool rx_waiting;      /* the back end holds a frame until there are buffers */
    struct loop_job more; /* the transmit queue had more than one turn's worth */

    /* Receive filter (5.1.6.5). */
    bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
    bool uni_overflow, multi_overflow;
    u8 nuni, nmulti;
    u8 uni[VNET_MAC_TABLE][6], multi[VNET_MAC_TABLE][6];
    u32 vlan[4096 / 32];

    struct virtq_chain chain; /* scratch, under the device's lock */
    u64 rx_frames, tx_frames, rx_dropped;
};

/* Connects itself to the back end (net->front), which stays the caller's; NULL = no cable. */
int virtio_net_init(struct virtio_net *v, struct pci_bus *b, unsigned devfn, struct loop *l,
                    struct nic_backend *net, const struct virtio_net_options *o, struct err *e);
void virtio_net_destroy(struct virtio_net *v);
/* Takes the lock. */
void virtio_net_set_link(struct virtio_net *v, bool up);

extern const struct state_desc virtio_net_state;

#endif
