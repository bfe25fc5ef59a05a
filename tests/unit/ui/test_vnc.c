/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VNC server seen by libvncclient: pictures at several encodings, changes, sizes, keys,
 * pointer, passwords, and viewers that are no VNC clients.
 */
#include "ui/vnc.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rfb/rfbclient.h>

#include <cmocka.h>

/* libvncserver 0.9.14 loses 24 bytes when a viewer is refused. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:rfbGetClientIterator\n";
}

static struct loop *loop;
static struct display display;
static struct input input;
static struct vnc *vnc;
static char folder[64];
static struct vnc_config place;
static pthread_t thread;

/* The picture: made from `seed`; under `lock`. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static u32 width, height, seed;
static u32 wished;
static struct {
    unsigned code;
    bool down;
} pressed[100];
static unsigned npressed, at_x, at_y, held;
static int wheel;

static u32 pixel(u32 x, u32 y)
{
    /* A flat part, stripes, and noise, so that encoders take several ways. */
    if (y < height / 3)
        return 0x00336699 + seed;
    if (y < height / 2)
        return x / 8 % 2 ? 0x00ff0000 : 0x0000ff00 + seed;
    return (x * 2654435761u ^ y * 40503u ^ seed * 77) & 0xffffff;
}

static void update(void *opaque, struct display *d, bool all)
{
    pthread_mutex_lock(&lock);
    display_size(d, width, height);
    u32 *line = malloc(width * sizeof(u32));
    for (u32 y = 0; y < height; y++) {
        for (u32 x = 0; x < width; x++)
            line[x] = pixel(x, y);
        display_put(d, 0, y, line, width);
    }
    free(line);
    pthread_mutex_unlock(&lock);
}

static void wish(void *opaque, u32 w, u32 h)
{
    wished = w << 16 | h;
}

static void key(void *opaque, unsigned code, bool down)
{
    pthread_mutex_lock(&lock);
    if (npressed < ARRAY_SIZE(pressed)) {
        pressed[npressed].code = code;
        pressed[npressed++].down = down;
    }
    pthread_mutex_unlock(&lock);
}

static void pointer(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    pthread_mutex_lock(&lock);
    at_x = x;
    at_y = y;
    held = buttons;
    wheel += dz;
    pthread_mutex_unlock(&lock);
}

static void *run(void *opaque)
{
    loop_run(loop);
    return NULL;
}

static int set_up(void **state)
{
    static const struct display_source src = {.update = update, .wish = wish};
    static const struct input_sink sink = {.key = key, .pointer = pointer};
    char spec[200], pass[100];
    struct err e;
    strcpy(folder, "/tmp/wirt-vnc-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    width = 333;
    height = 222;
    seed = npressed = held = wished = 0;
    wheel = 0;
    snprintf(pass, sizeof(pass), "%s/pass", folder);
    FILE *f = fopen(pass, "w");
    fputs("geheim\n", f);
    fchmod(fileno(f), 0600);
    fclose(f);
    loop = loop_new(NULL);
    display_init(&display, &src);
    input_init(&input, &sink);
    assert_int_equal(vnc_open(&vnc, loop, &display, &input, "box", NULL), 0);
    snprintf(spec, sizeof(spec), "unix:%s/open", folder);
    assert_int_equal(vnc_parse(&place, spec, NULL), 0);
    assert_int_equal(vnc_listen(vnc, &place, NULL), 0);
    snprintf(spec, sizeof(spec), "unix:%s/closed,password-file=%s", folder, pass);
    struct vnc_config c;
    assert_int_equal(vnc_parse(&c, spec, &e), 0);
    assert_int_equal(vnc_listen(vnc, &c, &e), 0);
    pthread_create(&thread, NULL, run, NULL);
    return 0;
}

static int tear_down(void **state)
{
    char pass[100];
    loop_stop(loop);
    pthread_join(thread, NULL);
    vnc_close(vnc);
    loop_free(loop);
    display_destroy(&display);
    input_destroy(&input);
    snprintf(pass, sizeof(pass), "%s/pass", folder);
    unlink(pass);
    return rmdir(folder);
}

static char *password(rfbClient *c)
{
    return strdup(rfbClientGetClientData(c, password));
}

static rfbBool on_size(rfbClient *c)
{
    free(c->frameBuffer);
    c->frameBuffer = calloc((size_t)c->width * (size_t)c->height, 4);
    return c->frameBuffer != NULL;
}

static rfbClient *viewer(const char *socket_name, const char *encodings, const char *pass)
{
    rfbClient *c = rfbGetClient(8, 3, 4);
    rfbEnableClientLogging = FALSE;
    free(c->serverHost);
    c->serverHost = malloc(200);
    snprintf(c->serverHost, 200, "%s/%s", folder, socket_name);
    c->MallocFrameBuffer = on_size;
    c->canHandleNewFBSize = TRUE;
    c->appData.encodingsString = encodings;
    c->appData.enableJPEG = FALSE;
    c->appData.compressLevel = 1;
    c->format.redShift = 16;
    c->format.greenShift = 8;
    c->format.blueShift = 0;
    rfbClientSetClientData(c, password, (void *)pass);
    if (pass)
        c->GetPassword = password;
    return rfbInitClient(c, NULL, NULL) ? c : NULL;
}

static void hang_up(rfbClient *c)
{
    free(c->frameBuffer);
    c->frameBuffer = NULL;
    rfbClientCleanup(c);
}

static bool same(rfbClient *c)
{
    bool ok = true;
    pthread_mutex_lock(&lock);
    ok = (u32)c->width == width && (u32)c->height == height;
    for (u32 y = 0; ok && y < height; y++)
        for (u32 x = 0; ok && x < width; x++)
            ok = (((u32 *)c->frameBuffer)[y * width + x] & 0xffffff) == pixel(x, y);
    pthread_mutex_unlock(&lock);
    return ok;
}

static bool becomes_same(rfbClient *c)
{
    for (time_t end = time(NULL) + 20; time(NULL) < end;) {
        if (WaitForMessage(c, 20000) > 0 && !HandleRFBServerMessage(c))
            return false;
        if (same(c))
            return true;
    }
    return false;
}

static void test_pictures(void **state)
{
    static const char *const encodings[] = {"raw", "tight", "zrle", "hextile", "ultra zlib"};
    for (unsigned i = 0; i < ARRAY_SIZE(encodings); i++) {
        rfbClient *c = viewer("open", encodings[i], NULL);
        assert_non_null(c);
        assert_string_equal(c->desktopName, "box");
        assert_true(becomes_same(c));
        pthread_mutex_lock(&lock);
        seed++;
        pthread_mutex_unlock(&lock);
        assert_true(becomes_same(c));
        pthread_mutex_lock(&lock); /* larger, then smaller */
        width += 300;
        height += 111;
        pthread_mutex_unlock(&lock);
        assert_true(becomes_same(c));
        pthread_mutex_lock(&lock);
        width = 320;
        height = 200;
        pthread_mutex_unlock(&lock);
        assert_true(becomes_same(c));
        hang_up(c);
    }
}

/* Large noisy pictures, for which a viewer on this host gets raw pixels instead of what it asks
 * for; which it may ask for anew meanwhile. */
static void test_slow_encoding(void **state)
{
    rfbClient *c;
    width = 1500;
    height = 1200;
    c = viewer("open", "zrle", NULL);
    assert_non_null(c);
    for (unsigned i = 0; i < 8; i++) {
        assert_true(becomes_same(c));
        pthread_mutex_lock(&lock);
        seed++;
        pthread_mutex_unlock(&lock);
        if (i == 3) {
            c->appData.encodingsString = "tight";
            assert_true(SetFormatAndEncodings(c));
        }
    }
    assert_true(becomes_same(c));
    hang_up(c);
}

/* A still picture is sent once. */
static void test_still(void **state)
{
    rfbClient *c = viewer("open", "raw", NULL);
    unsigned messages = 0;
    assert_non_null(c);
    assert_true(becomes_same(c));
    for (unsigned i = 0; i < 10; i++)
        if (WaitForMessage(c, 50000) > 0) {
            messages++;
            assert_true(HandleRFBServerMessage(c));
        }
    assert_in_range(messages, 0, 1);
    hang_up(c);
}

static void wait_keys(rfbClient *c, unsigned n)
{
    for (unsigned i = 0; i < 500; i++) {
        pthread_mutex_lock(&lock);
        bool there = npressed >= n;
        pthread_mutex_unlock(&lock);
        if (there)
            break;
        if (!c)
            usleep(10000);
        else if (WaitForMessage(c, 10000) > 0)
            assert_true(HandleRFBServerMessage(c));
    }
    assert_int_equal(npressed, n);
}

static void test_keys(void **state)
{
    rfbClient *c = viewer("open", "raw", NULL);
    assert_non_null(c);
    SendKeyEvent(c, 0xffe3, TRUE); /* Control_L */
    SendKeyEvent(c, 'c', TRUE);
    SendKeyEvent(c, 'c', FALSE);
    SendKeyEvent(c, 0xffe3, FALSE);
    wait_keys(c, 4);
    assert_int_equal(pressed[0].code, KEY_LEFTCTRL);
    assert_int_equal(pressed[1].code, KEY_C);
    assert_true(pressed[1].down);
    /* '/' is Shift and 7 on a German keyboard, and without Shift on the guest's. */
    npressed = 0;
    SendKeyEvent(c, 0xffe1, TRUE);
    SendKeyEvent(c, '/', TRUE);
    wait_keys(c, 4);
    assert_int_equal(pressed[1].code, KEY_LEFTSHIFT);
    assert_false(pressed[1].down);
    assert_int_equal(pressed[2].code, KEY_SLASH);
    assert_int_equal(pressed[3].code, KEY_LEFTSHIFT);
    assert_true(pressed[3].down);
    /* Scan codes, which the server must have offered. */
    npressed = 0;
    for (unsigned i = 0; i < 100 && !SupportsClient2Server(c, rfbQemuEvent); i++)
        becomes_same(c);
    assert_true(SendExtendedKeyEvent(c, 'y', 0x2c, TRUE));
    wait_keys(c, 1);
    assert_int_equal(pressed[0].code, KEY_Z);
    /* What is held when a viewer goes is let go. */
    npressed = 0;
    hang_up(c);
    wait_keys(NULL, 3);
    for (unsigned i = 0; i < npressed; i++)
        assert_false(pressed[i].down);
}

static void test_pointer(void **state)
{
    rfbClient *c = viewer("open", "raw", NULL);
    assert_non_null(c);
    SendPointerEvent(c, 100, 221, rfbButton1Mask | rfbButton3Mask);
    SendPointerEvent(c, 100, 221, rfbButton4Mask | rfbButton1Mask);
    SendKeyEvent(c, 'a', TRUE);
    wait_keys(c, 1);
    assert_int_equal(at_x * 333 / (INPUT_ABS_MAX + 1), 100);
    assert_int_equal(at_y * 222 / (INPUT_ABS_MAX + 1), 221);
    assert_int_equal(held, INPUT_LEFT);
    assert_int_equal(wheel, -1);
    assert_true(becomes_same(c));
    assert_true(SendExtDesktopSize(c, 800, 600));
    for (unsigned i = 0; i < 200 && !wished; i++)
        if (WaitForMessage(c, 10000) > 0)
            assert_true(HandleRFBServerMessage(c));
    assert_int_equal(wished, 800 << 16 | 600);
    hang_up(c);
}

static void test_password(void **state)
{
    rfbClient *c = viewer("closed", "raw", "geheim");
    assert_non_null(c);
    assert_true(becomes_same(c));
    hang_up(c);
    assert_null(viewer("closed", "raw", "falsch"));
}

static int dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/open", folder);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

/* A web page's WebSocket gets nowhere. */
static void test_websocket(void **state)
{
    static const char ask[] = "GET /websockify HTTP/1.1\r\nHost: 127.0.0.1:5901\r\n"
                              "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Protocol: binary\r\nSec-WebSocket-Version: 13\r\n"
                              "Origin: http://evil.example\r\n\r\n";
    char buf[4096];
    size_t n = 0;
    int fd = dial();
    assert_int_equal(send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL), sizeof(ask) - 1);
    ssize_t r;
    while ((r = recv(fd, buf + n, sizeof(buf) - 1 - n, 0)) > 0)
        n += (size_t)r;
    buf[n] = 0;
    close(fd);
    assert_true(r == 0 || errno == ECONNRESET); /* hung up on */
}

/* As many silent connections as there are places, and then they go: others get in again. */
static void test_many(void **state)
{
    int fd[VNC_VIEWERS_MAX + 2];
    char c;
    for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
        fd[i] = dial();
    assert_int_equal(recv(fd[VNC_VIEWERS_MAX], &c, 1, 0), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
        close(fd[i]);
    rfbClient *v = NULL;
    for (unsigned i = 0; !v && i < 100; i++) {
        usleep(50000);
        v = viewer("open", "raw", NULL);
    }
    assert_non_null(v);
    hang_up(v);
}

static void test_parse(void **state)
{
    static const char *const wrong[] = {
        "",      "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",      ":70000",
        "unix:", ":1,foo",    ":-1",        ":1,password-file="};
    struct vnc_config c;
    struct err e;
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_equal(vnc_parse(&c, wrong[i], &e), -EINVAL);
    assert_int_equal(vnc_parse(&c, ":3", &e), 0);
    assert_int_equal(c.at.port, 5903);
    assert_string_equal(c.at.address, "127.0.0.1");
    assert_int_equal(vnc_parse(&c, "[::1]:0,public,password-file=/p", &e), 0);
    assert_string_equal(c.at.address, "::1");
    assert_true(c.at.is_public);
    assert_int_equal(vnc_parse(&c, "0.0.0.0:77", &e), 0);
    assert_int_equal(vnc_listen(vnc, &c, &e), -EPERM);
    assert_int_equal(vnc_parse(&c, "0.0.0.0:77,public", &e), 0);
    assert_int_equal(vnc_listen(vnc, &c, &e), -EPERM);
    assert_non_null(strstr(e.msg, "password"));
    assert_int_equal(vnc_parse(&c, "unix:/no/such/folder/s", &e), 0);
    assert_true(vnc_listen(vnc, &c, &e) < 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_pictures),  TEST(test_slow_encoding), TEST(test_still),
        TEST(test_keys),      TEST(test_pointer),       TEST(test_password),
        TEST(test_websocket), TEST(test_many),          TEST(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
