/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USB keyboard (boot protocol) and tablet (absolute pointer, five buttons, wheel).  Device Class
 * Definition for HID 1.11.
 */
#ifndef WIRT_DEV_USB_HID_H
#define WIRT_DEV_USB_HID_H

#include "base/clock.h"
#include "core/backend.h"
#include "dev/usb.h"

enum usb_hid_kind { USB_HID_KEYBOARD, USB_HID_TABLET };
enum { USB_HID_QUEUE = 32, USB_HID_KEYS = 6 };

/* Of a tablet: a position; of a keyboard: a key by its usage, bit 8: it goes down. */
struct usb_hid_event {
    u16 x, y; /* key in x */
    s8 dz;
    u8 buttons;
};

struct usb_hid {
    struct usb_dev usb; /* first */
    enum usb_hid_kind kind;
    u8 idle, protocol, leds;
    u8 modifiers, keys[USB_HID_KEYS]; /* keyboard: down now, as reported */
    u8 head, count;
    bool changed; /* something to report */
    struct usb_hid_event queue[USB_HID_QUEUE];
    struct usb_hid_event last;
    struct input_sink input; /* key() or pointer(); any thread */
};

void usb_hid_init(struct usb_hid *h, enum usb_hid_kind kind, pthread_mutex_t *lock,
                  struct trace *t);

extern const struct state_desc usb_hid_state;

#endif
