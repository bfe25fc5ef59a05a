/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A USB device as its host controller sees it.  Universal Serial Bus Specification 2.0, chapters 8
 * (packets) and 9 (device framework).
 *
 * A controller calls usb_control(), usb_in() and usb_out(); a device that had nothing (USB_NAK)
 * calls usb_wakeup() when it has.  Everything runs under the controller's lock, which is the
 * device's too.
 */
#ifndef WIRT_DEV_USB_H
#define WIRT_DEV_USB_H

#include "base/trace.h"
#include "base/types.h"
#include "core/state.h"

#include <pthread.h>

enum usb_speed { USB_SPEED_FULL = 1, USB_SPEED_LOW = 2, USB_SPEED_HIGH = 3 }; /* as in PORTSC */

/* What a transfer gives instead of a number of bytes. */
enum { USB_NAK = -1, USB_STALL = -2 };

enum { USB_SETUP_LEN = 8, USB_CONTROL_MAX = 1024, USB_PACKET_MAX = 512 };

/* bmRequestType << 8 | bRequest (9.4) */
enum {
    USB_GET_STATUS = 0x8000,
    USB_CLEAR_FEATURE = 0x0001,
    USB_SET_FEATURE = 0x0003,
    USB_SET_ADDRESS = 0x0005,
    USB_GET_DESCRIPTOR = 0x8006,
    USB_GET_CONFIGURATION = 0x8008,
    USB_SET_CONFIGURATION = 0x0009,
    USB_GET_INTERFACE = 0x810a,
    USB_SET_INTERFACE = 0x010b,
    USB_TO_INTERFACE = 0x0100,
    USB_TO_ENDPOINT = 0x0200,
    USB_CLASS_OUT = 0x2100, /* to the interface */
    USB_CLASS_IN = 0xa100,
};

struct usb_dev;

struct usb_setup {
    u16 request; /* bmRequestType << 8 | bRequest */
    u16 value, index, length;
};

struct usb_dev_ops {
    /* A request that usb.c does not answer; data: up to length bytes in or out.  Bytes or
     * USB_STALL. */
    int (*control)(struct usb_dev *d, const struct usb_setup *s, u8 *data);
    /* Up to len bytes (a multiple of the packet size) of endpoint ep (1-15).  What is no multiple
     * of the packet size, 0 too, ends the transfer.  USB_NAK, USB_STALL. */
    int (*in)(struct usb_dev *d, u8 ep, u8 *buf, u32 len);
    /* The same to the device: what it takes; less than len only as whole packets. */
    int (*out)(struct usb_dev *d, u8 ep, const u8 *buf, u32 len);
    void (*reset)(struct usb_dev *d); /* of the bus */
    /* The host cleared a halt of this endpoint (bit 7: in).  May be NULL. */
    void (*unhalted)(struct usb_dev *d, u8 ep);
};

/* Descriptors as bytes; strings as ASCII, from number 1 on. */
struct usb_descriptors {
    const u8 *device; /* 18 bytes */
    const u8 *config; /* wTotalLength says how many */
    const char *const *strings;
    u8 nstrings;
    u8 packet; /* of endpoint 0 */
};

struct usb_dev {
    const struct usb_dev_ops *ops;
    const struct usb_descriptors *desc;
    const char *name;
    struct trace *trace;
    pthread_mutex_t *lock; /* the controller's */
    enum usb_speed speed;
    u8 address, config;
    u16 halted_in, halted_out; /* a bit an endpoint */
    bool remote_wakeup;
    /* The controller's: data or room at ep (bit 7: in) after USB_NAK. */
    void (*wakeup)(void *opaque, struct usb_dev *d, u8 ep);
    void *opaque;
};

void usb_reset(struct usb_dev *d);
/* A whole control transfer; data has room for USB_CONTROL_MAX.  Bytes (of an IN request, at most
 * wLength) or USB_STALL. */
int usb_control(struct usb_dev *d, const u8 setup[USB_SETUP_LEN], u8 *data);
struct usb_setup usb_setup(const u8 setup[USB_SETUP_LEN]);
int usb_in(struct usb_dev *d, u8 ep, u8 *buf, u32 len);
int usb_out(struct usb_dev *d, u8 ep, const u8 *buf, u32 len);
/* The device stops an endpoint (bit 7: in) until the host clears it. */
void usb_halt(struct usb_dev *d, u8 ep);
static inline void usb_wakeup(struct usb_dev *d, u8 ep)
{
    if (d->wakeup)
        d->wakeup(d->opaque, d, ep);
}
/* The size of an endpoint's packets (bit 7: in); 0 = no such endpoint. */
u32 usb_packet_size(const struct usb_dev *d, u8 ep);

/* Fields of struct usb_dev inside a device's table. */
#define USB_DEV_FIELDS(type, member)                                                               \
    FIELD_MAX(type, member.address, 127), FIELD_MAX(type, member.config, 1),                       \
        FIELD(type, member.halted_in), FIELD(type, member.halted_out),                             \
        FIELD_MAX(type, member.remote_wakeup, 1)

#endif
