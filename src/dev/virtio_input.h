/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio input: a keyboard, or a tablet (absolute pointer with five buttons and a wheel).  Virtio
 * 1.1, 5.8; events are those of Linux (Documentation/input/event-codes.rst).
 */
#ifndef WIRT_DEV_VIRTIO_INPUT_H
#define WIRT_DEV_VIRTIO_INPUT_H

#include "core/backend.h"
#include "dev/virtio_pci.h"

enum virtio_input_kind { VINPUT_KEYBOARD, VINPUT_TABLET };
enum { VINPUT_EVENTS = 256 };

struct vinput_event {
    u16 type, code;
    u32 value;
};

struct virtio_input {
    struct virtio_pci vp; /* first */
    enum virtio_input_kind kind;
    u8 select, subsel; /* of configuration space */
    u8 buttons;        /* as told to the driver */
    u16 leds;          /* as the driver told */
    u16 head, count;   /* events that wait for buffers; count <= VINPUT_EVENTS */
    struct vinput_event ring[VINPUT_EVENTS];
    struct virtq_chain chain;
    struct input_sink input; /* key() or pointer(); any thread */
};

int virtio_input_init(struct virtio_input *v, struct pci_bus *b, unsigned devfn,
                      enum virtio_input_kind kind);

extern const struct state_desc virtio_input_state;

#endif
