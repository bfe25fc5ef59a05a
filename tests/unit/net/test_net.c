/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options, checksums and segmentation, and the user-mode network as a guest sees it: ARP, a
 * forwarded UDP port, the host's loopback through 10.0.2.2, back-pressure, the capture file.
 */
#include "base/endian.h"
#include "net/net.h"
#include "net/offload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_parse(void **state)
{
    struct net_config c;
    struct err e;

    assert_int_equal(net_parse(&c,
                               "user,model=e1000,mac=52:54:00:12:34:56,"
                               "hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp::53-10.0.2.20:5353,"
                               "restrict,capture=/tmp/x",
                               &e),
                     0);
    assert_int_equal(c.mode, NET_USER);
    assert_int_equal(c.nfwd, 2);
    assert_int_equal(c.fwd[0].host_addr, 0x7f000001);
    assert_int_equal(c.fwd[0].host_port, 8080);
    assert_int_equal(c.fwd[0].guest_port, 80);
    assert_true(c.fwd[1].udp);
    assert_int_equal(c.fwd[1].guest_addr, 0x0a000214);
    assert_true(c.restricted);
    assert_string_equal(c.model, "e1000");
    assert_int_equal(c.mac[5], 0x56);
    assert_int_equal(net_parse(&c, "tap=tap0", &e), 0);
    assert_string_equal(c.ifname, "tap0");
    assert_int_equal(net_parse(&c, "none", &e), 0);
    assert_int_equal(net_parse(&c, "user,hostfwd=tcp:8080-:80", &e), 0);
    assert_int_equal(net_parse(&c, "bridge", &e), -EINVAL);
    assert_int_equal(net_parse(&c, "user,hostfwd=tcp:0-:80", &e), -EINVAL);
    assert_int_equal(net_parse(&c, "user,hostfwd=tcp:80", &e), -EINVAL);
    assert_int_equal(net_parse(&c, "user,mac=01:00:00:00:00:00", &e), -EINVAL);
    assert_int_equal(net_parse(&c, "user,mac=52:54:00:12:34", &e), -EINVAL);
    assert_int_equal(net_parse(&c, "tap=averyveryverylongname", &e), -EINVAL);
    assert_int_equal(net_parse(&c, "tap=t,hostfwd=tcp:1-:1", &e), -EINVAL);
    assert_int_equal(net_parse(&c, "user,model=rtl8139", &e), -EINVAL);
    assert_int_equal(net_parse(&c, "user,,", &e), -EINVAL);
}

struct pieces {
    unsigned n;
    size_t total, last;
    u32 seq;
};

static void take_piece(void *opaque, const u8 *f, size_t len)
{
    struct pieces *p = opaque;
    size_t tcp = len - 34;

    assert_int_equal(net_sum(f + 14, 20, 0), 0xffff);
    assert_int_equal(net_sum(f + 34, tcp, 6 + tcp + net_sum(f + 26, 8, 0)), 0xffff);
    assert_int_equal(be16_get(f + 16), len - 14);
    assert_int_equal(be32_get(f + 38), p->seq);
    p->seq += len - 54;
    p->total += len - 54;
    p->last = len;
    p->n++;
}

static void test_segmentation(void **state)
{
    static u8 frame[54 + 10000];
    struct nic_offload o = {.flags = 1,
                            .gso_type = NIC_GSO_TCPV4,
                            .hdr_len = 54,
                            .gso_size = 1460,
                            .csum_start = 34,
                            .csum_offset = 16};
    struct pieces p = {.seq = 1000};

    for (unsigned i = 54; i < sizeof(frame); i++)
        frame[i] = i * 7;
    be16_put(frame + 12, 0x0800);
    frame[14] = 0x45;
    frame[23] = 6;
    be32_put(frame + 26, 0x0a00020f);
    be32_put(frame + 30, 0x0a000202);
    be32_put(frame + 38, 1000);
    frame[46] = 0x50;
    net_offload_finish(frame, sizeof(frame), &o, take_piece, &p);
    assert_int_equal(p.n, 7);
    assert_int_equal(p.total, 10000);
    /* What makes no sense is dropped. */
    p.n = 0;
    o.csum_start = 60000;
    net_offload_finish(frame, sizeof(frame), &o, take_piece, &p);
    o.csum_start = 34;
    o.gso_size = 0;
    net_offload_finish(frame, sizeof(frame), &o, take_piece, &p);
    o.gso_type = NIC_GSO_UDP;
    o.gso_size = 1000;
    net_offload_finish(frame, sizeof(frame), &o, take_piece, &p);
    net_offload_finish(frame, 20, &o, take_piece, &p);
    assert_int_equal(p.n, 0);
}

/* ------------------------------------------------------------------ user -- */

static const u8 mac[6] = {0x52, 0x54, 0, 1, 2, 3};

struct host {
    struct loop *loop;
    struct clock *clock;
    struct trace trace;
    struct nic_backend *b;
    struct nic_frontend front;
    bool full;
    u8 last[2048];
    size_t len;
    unsigned frames;
};

static bool receive(void *opaque, const struct iovec *iov, int niov, const struct nic_offload *o)
{
    struct host *h = opaque;

    if (h->full)
        return false;
    assert_int_equal(niov, 1);
    assert_true(iov->iov_len <= sizeof(h->last));
    memcpy(h->last, iov->iov_base, iov->iov_len);
    h->len = iov->iov_len;
    h->frames++;
    return true;
}

static struct host *open_host(const char *spec)
{
    struct host *h = calloc(1, sizeof(*h));
    struct net_config c;
    struct err e = {0};

    trace_init(&h->trace);
    h->loop = loop_new(&e);
    h->clock = clock_new(h->loop, &e);
    assert_int_equal(net_parse(&c, spec, &e), 0);
    if (net_open(&h->b, &c, h->loop, h->clock, &h->trace, &e))
        fail_msg("%s", e.msg);
    h->front = (struct nic_frontend){.receive = receive, .opaque = h};
    h->b->front = &h->front;
    return h;
}

static void close_host(struct host *h)
{
    h->b->ops->close(h->b);
    clock_free(h->clock);
    loop_free(h->loop);
    trace_destroy(&h->trace);
    free(h);
}

static void send_frame(struct host *h, const u8 *f, size_t len)
{
    struct iovec iov = {(void *)f, len};

    h->b->ops->send(h->b, &iov, 1, NULL);
}

/* Turns the loop until one more frame came, for at most two seconds. */
static bool wait_frame(struct host *h)
{
    unsigned before = h->frames;

    for (int i = 0; i < 200 && h->frames == before; i++)
        loop_turn(h->loop, 10);
    return h->frames != before;
}

static void arp(struct host *h)
{
    u8 f[42] = {0};

    memset(f, 0xff, 6);
    memcpy(f + 6, mac, 6);
    be16_put(f + 12, 0x0806);
    be16_put(f + 14, 1);
    be16_put(f + 16, 0x0800);
    f[18] = 6;
    f[19] = 4;
    be16_put(f + 20, 1);
    memcpy(f + 22, mac, 6);
    be32_put(f + 28, 0x0a00020f);
    be32_put(f + 38, 0x0a000202);
    send_frame(h, f, sizeof(f));
    assert_true(wait_frame(h));
    assert_int_equal(be16_get(h->last + 12), 0x0806);
    assert_int_equal(be32_get(h->last + 28), 0x0a000202);
}

static size_t udp(u8 *f, u16 from, u16 to, const char *text)
{
    size_t n = strlen(text);

    memset(f, 0, 42);
    memcpy(f, "\x52\x55\x0a\x00\x02\x02", 6);
    memcpy(f + 6, mac, 6);
    be16_put(f + 12, 0x0800);
    f[14] = 0x45;
    be16_put(f + 16, 28 + n);
    f[22] = 64;
    f[23] = 17;
    be32_put(f + 26, 0x0a00020f);
    be32_put(f + 30, 0x0a000202);
    be16_put(f + 24, ~net_sum(f + 14, 20, 0));
    be16_put(f + 34, from);
    be16_put(f + 36, to);
    be16_put(f + 38, 8 + n);
    memcpy(f + 42, text, n);
    return 42 + n;
}

static int udp_socket(u16 *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    *port = ntohs(a.sin_port);
    return fd;
}

static void test_host_loopback(void **state)
{
    struct host *h = open_host("user");
    struct sockaddr_in peer;
    socklen_t len = sizeof(peer);
    char got[16] = {0};
    u8 f[128];
    u16 port;
    int fd = udp_socket(&port);

    arp(h);
    send_frame(h, f, udp(f, 4000, port, "to host"));
    loop_turn(h->loop, 1000);
    assert_int_equal(recvfrom(fd, got, 15, 0, (struct sockaddr *)&peer, &len), 7);
    assert_string_equal(got, "to host");
    /* Back; the card is full at first. */
    h->full = true;
    assert_int_equal(sendto(fd, "to guest", 8, 0, (struct sockaddr *)&peer, len), 8);
    for (int i = 0; i < 20; i++)
        loop_turn(h->loop, 5);
    h->full = false;
    h->b->ops->ready(h->b);
    assert_true(wait_frame(h));
    assert_int_equal(be16_get(h->last + 36), 4000);
    assert_memory_equal(h->last + 42, "to guest", 8);
    close(fd);
    close_host(h);
}

static void test_forward(void **state)
{
    char spec[100], name[] = "/tmp/wirt-test-XXXXXX";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct loop *loop;
    struct clock *clock;
    struct net_config c;
    struct nic_backend *b;
    struct trace t;
    struct stat st;
    struct err e;
    struct host *h;
    u8 head[24];
    u16 port, own;
    int fd = udp_socket(&port), cap = mkstemp(name);

    close(fd);
    snprintf(spec, sizeof(spec), "user,hostfwd=udp:127.0.0.1:%u-:7777,capture=%s", port, name);
    h = open_host(spec);
    arp(h);
    fd = udp_socket(&own);
    to.sin_port = htons(port);
    sendto(fd, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to));
    assert_true(wait_frame(h));
    assert_int_equal(be16_get(h->last + 36), 7777);
    assert_memory_equal(h->last + 42, "hello", 5);

    /* The port is taken now: one line that names it. */
    trace_init(&t);
    loop = loop_new(&e);
    clock = clock_new(loop, &e);
    assert_int_equal(net_parse(&c, spec, &e), 0);
    assert_int_equal(net_open(&b, &c, loop, clock, &t, &e), -EADDRINUSE);
    assert_non_null(strstr(e.msg, "127.0.0.1"));
    clock_free(clock);
    loop_free(loop);
    trace_destroy(&t);

    close(fd);
    close_host(h);
    assert_int_equal(fstat(cap, &st), 0);
    assert_true(st.st_size > 24 + 16 + 42 + 16 + 42);
    assert_int_equal(read(cap, head, 24), 24);
    assert_int_equal(le32_get(head), 0xa1b23c4d);
    close(cap);
    unlink(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_segmentation),
        cmocka_unit_test(test_host_loopback),
        cmocka_unit_test(test_forward),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
