/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One viewer's thread: its messages, and what changed on the screen when it asks for that.  The
 * QEMU extended key event (rfbproto, 7.5.9: the scan code beside the keysym) is ours, as an
 * extension of libvncserver's.
 */
#include "ui/vnc_viewer.h"
#include "base/clock.h"
#include "base/endian.h"
#include "ui/keymap.h"
#include "ui/keys.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <poll.h>
#include <pthread.h>
#include <rfb/rfb.h>
#include <rfb/rfbregion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    FRAME_MS = 30,       /* a moving picture is looked at as often on average, */
    GAP_MS = 10,         /* with this between two of which the first came late */
    STILL_FRAME_MS = 80, /* one that has not changed for STILL_MS */
    STILL_MS = 1000,
    RECTS_MAX = 64,
    CODES = KEY_MAX + 1,
    AUTH_WAIT_US = 500000,
    NICE = 5,
    ZLIB_LEVEL = 1,
    SLOW_NS = 20000000,     /* of an encoding: too slow for moving pictures, */
    RAW_UPDATES = 30,       /* so as many go without */
    CLIENT_WAIT_MS = 10000, /* how long a viewer may take none of what it asked for */
};

struct vnc_viewer {
    struct display *display;
    struct input *in;
    rfbScreenInfoPtr screen;
    char *passwords[2]; /* as rfbCheckPasswordByList() wants them */
    char password[16];

    bool used; /* the loop's thread: there is a thread to join */
    bool over; /* atomic: it has ended */
    bool stop; /* atomic */
    pthread_t thread;
    int fd;

    /* The viewer's thread's. */
    struct display_view view;
    u64 next_frame, changed; /* ms */
    u8 held[CODES / 8 + 1];  /* keys that are down */
    unsigned buttons;        /* RFC 6143's mask */
    unsigned raw_left;       /* updates that go out raw */
    int preferred;           /* the encoding meanwhile asked for */
    bool local;              /* on this host */
    bool offer_codes;        /* it asked for extended key events, and has no answer yet */
};

static u64 now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

/* -------------------------------------------------------------------- keys -- */

static bool is_held(const struct vnc_viewer *v, unsigned code)
{
    return v->held[code / 8] >> code % 8 & 1;
}

static void press(struct vnc_viewer *v, unsigned code, bool down)
{
    if (code >= CODES)
        return;
    if (down)
        v->held[code / 8] |= (u8)(1 << code % 8);
    else
        v->held[code / 8] &= (u8) ~(1 << code % 8);
    input_key(v->in, code, down);
}

static void release_all(struct vnc_viewer *v)
{
    for (unsigned code = 0; code < CODES; code++)
        if (is_held(v, code))
            press(v, code, false);
    if (v->buttons)
        input_move(v->in, 0, 0, 0, 0, ~0u);
    v->buttons = 0;
}

/* A sign whose place on the viewer's keyboard takes Shift where the US one does not, or the other
 * way round: Shift is what the sign needs for as long as it takes to press.  Letters are left
 * alone: Caps Lock may be on. */
static void press_sign(struct vnc_viewer *v, u32 keysym)
{
    struct key_press k;
    u8 c = (u8)keysym;
    bool left = is_held(v, KEY_LEFTSHIFT), right = is_held(v, KEY_RIGHTSHIFT);
    keymap_take(&k, &c, 1);
    bool wrong = k.shift != (left || right);
    if (wrong && k.shift)
        input_key(v->in, KEY_LEFTSHIFT, true);
    if (wrong && left)
        input_key(v->in, KEY_LEFTSHIFT, false);
    if (wrong && right)
        input_key(v->in, KEY_RIGHTSHIFT, false);
    press(v, k.code, true);
    if (wrong && k.shift)
        input_key(v->in, KEY_LEFTSHIFT, false);
    if (wrong && left)
        input_key(v->in, KEY_LEFTSHIFT, true);
    if (wrong && right)
        input_key(v->in, KEY_RIGHTSHIFT, true);
}

static void on_key(rfbBool down, rfbKeySym keysym, rfbClientPtr cl)
{
    struct vnc_viewer *v = cl->screen->screenData;
    unsigned code = key_by_keysym((u32)keysym);
    bool sign = keysym > 0x20 && keysym < 0x7f && ((keysym | 0x20) < 'a' || (keysym | 0x20) > 'z');
    if (!code)
        return;
    if (down && sign)
        press_sign(v, (u32)keysym);
    else
        press(v, code, down);
}

/* QEMU's message: type 255, subtype 0, down (16 bits), keysym, scan code. */
static int qemu_encodings[] = {(int)rfbEncodingQemuExtendedKeyEvent, 0};

static rfbBool on_encoding(rfbClientPtr cl, void **data, int encoding)
{
    struct vnc_viewer *v = cl->screen->screenData;
    if (encoding != (int)rfbEncodingQemuExtendedKeyEvent)
        return FALSE;
    v->offer_codes = true;
    return TRUE;
}

/* An empty rectangle of that encoding is the server's yes.  Behind the library's list of
 * the messages that it knows, which an update brings: libvncclient believes the last word. */
static void offer_codes(struct vnc_viewer *v, rfbClientPtr cl)
{
    u8 yes[4 + 12] = {rfbFramebufferUpdate, 0, 0, 1};
    be32_put(yes + 12, rfbEncodingQemuExtendedKeyEvent);
    if (!v->offer_codes || cl->enableSupportedMessages)
        return;
    rfbWriteExact(cl, (char *)yes, sizeof(yes));
    v->offer_codes = false;
}

static rfbBool on_new_client(rfbClientPtr cl, void **data)
{
    return TRUE;
}

static rfbBool on_qemu_message(rfbClientPtr cl, void *data, const rfbClientToServerMsg *msg)
{
    struct vnc_viewer *v = cl->screen->screenData;
    u8 body[sz_rfbQemuExtendedKeyEventMsg - 1];
    if (msg->type != rfbQemuEvent)
        return FALSE;
    if (rfbReadExact(cl, (char *)body, sizeof(body)) <= 0 || body[0]) {
        rfbCloseClient(cl);
        return TRUE;
    }
    bool down = be16_get(body + 1);
    unsigned code = key_by_xt(be32_get(body + 7));
    if (code)
        press(v, code, down);
    else
        on_key(down, be32_get(body + 3), cl);
    return TRUE;
}

static rfbProtocolExtension qemu_keys = {.newClient = on_new_client,
                                         .pseudoEncodings = qemu_encodings,
                                         .enablePseudoEncoding = on_encoding,
                                         .handleMessage = on_qemu_message};

/* What the library has once a process. */
static void set_library(void)
{
    rfbLogEnable(0);
    rfbRegisterProtocolExtension(&qemu_keys);
}

/* ----------------------------------------------------------------- pointer -- */

/* RFC 6143's mask: 1 left, 2 middle, 4 right, 8 wheel up, 16 wheel down; 128 and 256, "back" and
 * "forward", do not fit its byte. */
static void on_pointer(int mask, int x, int y, rfbClientPtr cl)
{
    static const u8 bits[3] = {INPUT_LEFT, INPUT_MIDDLE, INPUT_RIGHT};
    struct vnc_viewer *v = cl->screen->screenData;
    unsigned w = (unsigned)max(cl->screen->width, 1), h = (unsigned)max(cl->screen->height, 1);
    unsigned was = v->buttons, now = (unsigned)mask, set = 0, clear = 0;
    unsigned px = (unsigned)min(max(x, 0), (int)w - 1), py = (unsigned)min(max(y, 0), (int)h - 1);
    int dz = ((now & ~was) >> 4 & 1) - ((now & ~was) >> 3 & 1);
    for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
        *(now >> i & 1 ? &set : &clear) |= bits[i];
    v->buttons = now;
    /* The middle of the pixel, so that whoever scales it back arrives there. */
    input_point(v->in, (2 * px + 1) * (INPUT_ABS_MAX + 1u) / (2 * w),
                (2 * py + 1) * (INPUT_ABS_MAX + 1u) / (2 * h), dz, set, clear, w, h);
}

static int on_desktop_size(int w, int h, int screens, struct rfbExtDesktopScreen *s,
                           rfbClientPtr cl)
{
    struct vnc_viewer *v = cl->screen->screenData;
    if (w < 1 || h < 1 || w > 16384 || h > 16384)
        return rfbExtDesktopSize_InvalidScreenLayout;
    display_wish(v->display, (u32)w, (u32)h);
    return rfbExtDesktopSize_Success; /* the size itself comes when the guest has it */
}

/* ------------------------------------------------------------------ thread -- */

static rfbBool on_password(rfbClientPtr cl, const char *response, int len)
{
    if (rfbCheckPasswordByList(cl, response, len))
        return TRUE;
    usleep(AUTH_WAIT_US); /* its own thread: whoever guesses waits alone */
    return FALSE;
}

/* 0x00RRGGBB.  As viewers ask for it, to the depth: the library copies such pixels instead of
 * looking each up in tables. */
static void set_format(rfbScreenInfoPtr s)
{
    s->serverFormat.depth = 24;
    s->serverFormat.redShift = 16;
    s->serverFormat.greenShift = 8;
    s->serverFormat.blueShift = 0;
}

/* Brings the frame buffer up to date; true when something changed.  cl may be NULL. */
static bool look(struct vnc_viewer *v, rfbClientPtr cl)
{
    struct display_rect r[RECTS_MAX];
    unsigned n = display_look(v->display, &v->view, r, RECTS_MAX);
    if (v->view.resized) {
        rfbNewFramebuffer(v->screen, (char *)v->view.s.pixels, (int)v->view.s.width,
                          (int)v->view.s.height, 8, 3, 4);
        set_format(v->screen); /* rfbNewFramebuffer() has made it the library's own */
        if (cl)
            v->screen->setTranslateFunction(cl);
    } else {
        for (unsigned i = 0; i < n; i++)
            rfbMarkRectAsModified(v->screen, (int)r[i].x, (int)r[i].y, (int)(r[i].x + r[i].w),
                                  (int)(r[i].y + r[i].h));
    }
    return n;
}

static bool wants_picture(rfbClientPtr cl)
{
    return cl->state == RFB_NORMAL && !sraRgnEmpty(cl->requestedRegion);
}

static u64 thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* Sends what is asked for.  The level at which the library compresses ZRLE is its own, and too high
 * for moving pictures: a viewer on this host, where bytes are cheap, gets raw pixels for a while,
 * which every viewer must take, when an encoding was slow and saved little. */
static bool update(struct vnc_viewer *v, rfbClientPtr cl)
{
    u64 start = thread_ns();
    unsigned sent = (unsigned)rfbStatGetSentBytes(cl), raw = (unsigned)rfbStatGetSentBytesIfRaw(cl);
    if (!rfbUpdateClient(cl))
        return false;
    if (v->raw_left) {
        if (!--v->raw_left)
            cl->preferredEncoding = v->preferred;
        return true;
    }
    sent = (unsigned)rfbStatGetSentBytes(cl) - sent;
    raw = (unsigned)rfbStatGetSentBytesIfRaw(cl) - raw;
    if (v->local && sent > raw / 2 && thread_ns() - start > SLOW_NS) {
        v->raw_left = RAW_UPDATES;
        v->preferred = cl->preferredEncoding;
        cl->preferredEncoding = rfbEncodingRaw;
    }
    return true;
}

static void serve(struct vnc_viewer *v, rfbClientPtr cl)
{
    while (cl->sock != RFB_INVALID_SOCKET && !__atomic_load_n(&v->stop, __ATOMIC_ACQUIRE)) {
        struct pollfd p = {.fd = cl->sock, .events = POLLIN};
        u64 now = now_ms();
        int wait = !wants_picture(cl)     ? 1000
                   : v->next_frame <= now ? 0
                                          : (int)min(v->next_frame - now, (u64)STILL_FRAME_MS);
        if (poll(&p, 1, wait) > 0) {
            if (v->raw_left)
                cl->preferredEncoding = v->preferred;
            rfbProcessClientMessage(cl);
            if (cl->sock == RFB_INVALID_SOCKET)
                break;
            if (v->raw_left) {
                v->preferred = cl->preferredEncoding;
                cl->preferredEncoding = rfbEncodingRaw;
            }
            v->next_frame = min(v->next_frame, now + FRAME_MS); /* input: it may move soon */
        }
        now = now_ms();
        if (!wants_picture(cl))
            continue;
        if (now >= v->next_frame) {
            if (look(v, cl))
                v->changed = now;
            u64 due = now - v->next_frame < 2 * FRAME_MS ? v->next_frame : now;
            v->next_frame = now - v->changed >= STILL_MS ? now + STILL_FRAME_MS
                                                         : max(due + FRAME_MS, now + GAP_MS);
        }
        if (update(v, cl))
            offer_codes(v, cl);
    }
}

/* What version 0.9.14 of the library does not free with a client. */
static void free_forgotten(rfbClientPtr cl)
{
    for (rfbExtensionData *e; (e = cl->extensions);) {
        cl->extensions = e->next;
        free(e);
    }
    free(cl->wsctx);
    cl->wsctx = NULL;
}

/* This thread only: the guest's processors go first. */
static void step_back(void)
{
    id_t me = (id_t)gettid();
    setpriority(PRIO_PROCESS, me, min(getpriority(PRIO_PROCESS, me) + NICE, 19));
}

static void *viewer_thread(void *opaque)
{
    struct vnc_viewer *v = opaque;
    pthread_setname_np(pthread_self(), "vnc");
    step_back();
    look(v, NULL);
    int fd = dup(v->fd); /* the library closes its own; ours is for hanging up */
    rfbClientPtr cl = fd >= 0 && fd < FD_SETSIZE ? rfbNewClient(v->screen, fd) : NULL;
    if (cl) {
        cl->zlibCompressLevel = ZLIB_LEVEL; /* until the viewer asks for another */
        if (!cl->wsctx)
            serve(v, cl);
        if (cl->sock != RFB_INVALID_SOCKET)
            rfbCloseClient(cl);
        free_forgotten(cl);
        rfbClientConnectionGone(cl);
    }
    release_all(v);
    shutdown(v->fd, SHUT_RDWR);
    __atomic_store_n(&v->over, true, __ATOMIC_RELEASE);
    return NULL;
}

/* -------------------------------------------------------------------- life -- */

struct vnc_viewer *vnc_viewer_new(struct display *d, struct input *in, const char *name)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct vnc_viewer *v = calloc(1, sizeof(*v));
    pthread_once(&once, set_library);
    rfbScreenInfoPtr s = v ? rfbGetScreen(NULL, NULL, 640, 400, 8, 3, 4) : NULL;
    if (!s) {
        free(v);
        return NULL;
    }
    v->display = d;
    v->in = in;
    v->screen = s;
    v->passwords[0] = v->password;
    s->screenData = v;
    s->desktopName = name;
    s->cursor = NULL; /* the guest draws its own */
    set_format(s);
    s->deferUpdateTime = 0;
    s->deferPtrUpdateTime = 0;
    s->maxClientWait = CLIENT_WAIT_MS;
    s->alwaysShared = TRUE;
    s->permitFileTransfer = FALSE;
    s->kbdAddEvent = on_key;
    s->ptrAddEvent = on_pointer;
    s->setDesktopSizeHook = on_desktop_size;
    s->passwordCheck = on_password;
    return v;
}

static void join(struct vnc_viewer *v)
{
    pthread_join(v->thread, NULL);
    close(v->fd);
    display_view_free(&v->view);
    v->used = false;
}

int vnc_viewer_start(struct vnc_viewer *v, int fd, bool local, const char *password)
{
    if (fd >= FD_SETSIZE)
        return -EMFILE; /* the library uses select() */
    if (v->used && __atomic_load_n(&v->over, __ATOMIC_ACQUIRE))
        join(v);
    if (v->used)
        return -EBUSY;
    snprintf(v->password, sizeof(v->password), "%s", password);
    v->screen->authPasswdData = *password ? v->passwords : NULL;
    v->fd = fd;
    v->over = v->stop = false;
    v->next_frame = v->changed = 0;
    v->raw_left = 0;
    v->local = local;
    v->offer_codes = false;
    int r = pthread_create(&v->thread, NULL, viewer_thread, v);
    v->used = !r;
    return -r;
}

void vnc_viewer_stop(struct vnc_viewer *v)
{
    if (!v->used)
        return;
    __atomic_store_n(&v->stop, true, __ATOMIC_RELEASE);
    shutdown(v->fd, SHUT_RDWR);
    join(v);
}

void vnc_viewer_free(struct vnc_viewer *v)
{
    if (!v)
        return;
    vnc_viewer_stop(v);
    rfbScreenCleanup(v->screen);
    free(v);
}
