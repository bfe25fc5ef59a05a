/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a VNC viewer sends: any bytes, behind a good handshake unless the first byte is odd.  What
 * reaches the machine's input must be in range, every key and button be released at the end, and
 * the thread come to its end.
 */
#include "ui/vnc_viewer.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN_MAX = 4096, ANSWER_MAX = 64 << 20, WIDTH = 192, HEIGHT = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libvncserver 0.9.14 loses 24 bytes when a viewer is refused or asks for a size. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:rfbGetClientIterator\n";
}

static struct {
    struct display display;
    struct input input;
    struct vnc_viewer *viewer;
    unsigned keys, buttons, w, h; /* of the sink: one thread at a time calls it */
    bool down[0x300];
} f;

static void key(void *opaque, unsigned code, bool down)
{
    BUG_ON(!code || code >= ARRAY_SIZE(f.down));
    f.keys += down && !f.down[code];
    f.keys -= !down && f.down[code];
    f.down[code] = down;
}

static void pointer(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    BUG_ON(x > INPUT_ABS_MAX || y > INPUT_ABS_MAX || buttons > 31);
    f.buttons = buttons;
}

static void update(void *opaque, struct display *d, bool all)
{
    static u32 n;
    u32 line[WIDTH];

    display_size(d, f.w, f.h);
    for (u32 i = 0; i < WIDTH; i++)
        line[i] = n + i * i * 77;
    display_put(d, 0, n++ % HEIGHT, line, WIDTH);
}

static void wish(void *opaque, u32 width, u32 height)
{
    BUG_ON(!width || !height);
    f.w = width % WIDTH + 1;
    f.h = height % HEIGHT + 1;
}

static void start(void)
{
    static const struct display_source src = {.update = update, .wish = wish};
    static const struct input_sink sink = {.key = key, .pointer = pointer};

    f.w = WIDTH;
    f.h = HEIGHT;
    display_init(&f.display, &src);
    input_init(&f.input, &sink);
    f.viewer = vnc_viewer_new(&f.display, &f.input, "fuzz");
    BUG_ON(!f.viewer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char hello[] = "RFB 003.008\n\1\1";
    static char out[1 << 16];
    size_t got = 0;
    int s[2];

    if (!size)
        return 0;
    if (!f.viewer)
        start();
    BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
    if (!(data[0] & 1))
        BUG_ON(send(s[0], hello, sizeof(hello) - 1, 0) != sizeof(hello) - 1);
    size = min(size - 1, (size_t)IN_MAX);
    BUG_ON(send(s[0], data + 1, size, 0) != (ssize_t)size);
    shutdown(s[0], SHUT_WR);
    BUG_ON(vnc_viewer_start(f.viewer, s[1], true, data[0] & 2 ? "secret" : ""));
    for (;;) {
        struct pollfd p = {.fd = s[0], .events = POLLIN};
        int r = poll(&p, 1, 20000);
        BUG_ON(!r);
        if (r < 0)
            continue; /* libFuzzer's alarm */
        ssize_t n = recv(s[0], out, sizeof(out), 0);
        if (n <= 0 || (got += (size_t)n) > ANSWER_MAX)
            break;
    }
    close(s[0]);
    vnc_viewer_stop(f.viewer);
    BUG_ON(f.keys || f.buttons);
    return 0;
}
