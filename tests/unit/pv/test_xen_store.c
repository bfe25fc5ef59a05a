/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The xenstore as the guest talks to it: paths, permissions, transactions, watches, limits, and
 * messages that make no sense.
 */
#include "domain.h"

#include "base/endian.h"
#include "pv/xen/xenstore.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { DIRECTORY = 1, READ, GET_PERMS, WATCH, UNWATCH, TX_START, TX_END, WRITE = 11, MKDIR, RM };
enum { SET_PERMS = 14, EVENT = 15, ERROR = 16, PART = 22 };

struct ring {
    u8 req[1024], rsp[1024];
    u32 req_cons, req_prod, rsp_cons, rsp_prod, features, connection, error, port;
};

struct guest {
    struct domain d;
    u32 type, tx, len; /* the last reply */
    char p[4200];
    char event[4200]; /* the last event: path, token */
    unsigned events;
};

static int open_guest(void **state)
{
    struct guest *g = calloc(1, sizeof(*g));

    domain_open(&g->d, 1, NULL);
    *state = g;
    return 0;
}

static int close_guest(void **state)
{
    struct guest *g = *state;

    domain_close(&g->d);
    free(g);
    return 0;
}

static struct ring *ring(struct guest *g)
{
    return (struct ring *)g->d.x->special[XEN_SPECIAL_STORE];
}

static void kick(struct guest *g)
{
    PUT(&g->d, 0x1000, (u32)g->d.x->param[HVM_PARAM_STORE_EVTCHN]);
    assert_int_equal(domain_call(&g->d, HYPERVISOR_event_channel_op, EVTCHNOP_send, 0x1000, 0), 0);
}

static void push(struct guest *g, const void *p, u32 len)
{
    struct ring *r = ring(g);

    for (u32 i = 0; i < len; i++) {
        if (r->req_prod - r->req_cons == sizeof(r->req))
            kick(g);
        r->req[r->req_prod++ % sizeof(r->req)] = ((const u8 *)p)[i];
    }
}

static void pull(struct guest *g, void *p, u32 len)
{
    struct ring *r = ring(g);

    for (u32 i = 0; i < len; i++) {
        if (r->rsp_cons == r->rsp_prod)
            kick(g);
        assert_int_not_equal(r->rsp_cons, r->rsp_prod);
        ((u8 *)p)[i] = r->rsp[r->rsp_cons++ % sizeof(r->rsp)];
    }
}

/* One message in; true: it was an event. */
static bool message(struct guest *g)
{
    u8 head[16];

    pull(g, head, sizeof(head));
    u32 type = le32_get(head), len = le32_get(head + 12);
    char *to = type == EVENT ? g->event : g->p;
    assert_true(len <= 4096);
    memset(to, 0, 4200);
    pull(g, to, len);
    if (type == EVENT) {
        g->events++;
        return true;
    }
    g->type = type;
    g->len = len;
    return false;
}

/* Sends a request and takes its reply; len bytes of payload. */
static void ask(struct guest *g, u32 type, const char *payload, u32 len)
{
    u8 head[16];

    le32_put(head, type);
    le32_put(head + 4, 7);
    le32_put(head + 8, g->tx);
    le32_put(head + 12, len);
    push(g, head, sizeof(head));
    push(g, payload, len);
    kick(g);
    while (message(g))
        ;
}
#define ASK(g, type, text) ask(g, type, text, sizeof(text))      /* with its final zero */
#define PUTV(g, text)      ask(g, WRITE, text, sizeof(text) - 1) /* "path\0value" */

static void expect(struct guest *g, const char *reply)
{
    assert_string_equal(g->p, reply);
}

static void test_read_write(void **state)
{
    struct guest *g = *state;

    ASK(g, READ, "domid");
    expect(g, "1");
    ASK(g, READ, "/local/domain/1/domid");
    expect(g, "1");
    ASK(g, READ, "nothing");
    expect(g, "ENOENT");
    PUTV(g, "data/a/b\0hello");
    expect(g, "OK");
    ASK(g, READ, "data/a/b");
    assert_int_equal(g->len, 5); /* values have no zero of their own */
    expect(g, "hello");
    ASK(g, DIRECTORY, "data");
    expect(g, "a");
    ASK(g, GET_PERMS, "data/a/b");
    expect(g, "n1");
    ASK(g, PART, "data\0000");
    assert_int_equal(g->type, PART);
    ASK(g, RM, "data/a");
    expect(g, "OK");
    ASK(g, READ, "data/a/b");
    expect(g, "ENOENT");
    ASK(g, RM, "data/a");
    expect(g, "OK");
    ASK(g, RM, "data/x/y");
    expect(g, "ENOENT");
    ASK(g, MKDIR, "data/d");
    ASK(g, READ, "data/d");
    assert_int_equal(g->len, 0);
}

static void test_refuses(void **state)
{
    struct guest *g = *state;
    static const char *const bad[] = {"/a//b", "/a/", "a b", "/\x80", "\xff\xfe", "/a\n"};
    char longest[1100];

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        ask(g, READ, bad[i], (u32)strlen(bad[i]) + 1);
        expect(g, "EINVAL");
    }
    ask(g, READ, "data", 4); /* no zero */
    expect(g, "EINVAL");
    ask(g, READ, "", 0);
    expect(g, "EINVAL");
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = 0;
    ask(g, READ, longest, sizeof(longest));
    expect(g, "EINVAL");
    PUTV(g, "/local/domain/0/x\0y");
    expect(g, "EACCES");
    PUTV(g, "domid\0002");
    expect(g, "EACCES");
    PUTV(g, "memory/target\0001");
    expect(g, "EACCES");
    PUTV(g, "/x\0y");
    expect(g, "EACCES");
    ASK(g, RM, "/");
    assert_int_equal(g->type, ERROR);
    ASK(g, RM, "/local/domain/1");
    assert_int_equal(g->type, ERROR);
    ASK(g, 99, "x");
    expect(g, "ENOSYS");
    ASK(g, 8, "1"); /* INTRODUCE is not for guests */
    expect(g, "ENOSYS");
}

static void test_perms(void **state)
{
    struct guest *g = *state;

    PUTV(g, "data/p\0v");
    ASK(g, SET_PERMS, "data/p\0n1\0r3\0b4");
    expect(g, "OK");
    ASK(g, GET_PERMS, "data/p");
    assert_memory_equal(g->p, "n1\0r3\0b4", 9);
    ASK(g, SET_PERMS, "data/p\0n0"); /* would take it off its account */
    expect(g, "EPERM");
    ASK(g, SET_PERMS, "data/p\0x1");
    expect(g, "EINVAL");
    ASK(g, SET_PERMS, "data/p\0r99999");
    expect(g, "EINVAL");
    ASK(g, SET_PERMS, "data/p\0n1\0n1\0n1\0n1\0n1\0n1\0n1\0n1\0n1");
    expect(g, "EINVAL");
    ASK(g, SET_PERMS, "domid\0n1");
    expect(g, "EACCES");
    /* what nobody may read but its owner */
    xenstore_lock(g->d.x->store);
    xs_write(g->d.x->store, "/secret", "x");
    xs_perms(g->d.x->store, "/secret", "n0");
    xenstore_unlock(g->d.x->store);
    ASK(g, READ, "/secret");
    expect(g, "EACCES");
}

static u32 begin(struct guest *g)
{
    g->tx = 0;
    ASK(g, TX_START, "");
    assert_int_equal(g->type, TX_START);
    return (u32)atoi(g->p);
}

static void test_transactions(void **state)
{
    struct guest *g = *state;
    u32 tx = begin(g);

    g->tx = tx;
    PUTV(g, "data/t\0one");
    ASK(g, READ, "data/t");
    expect(g, "one");
    g->tx = 0;
    ASK(g, READ, "data/t");
    expect(g, "ENOENT");
    g->tx = tx;
    ASK(g, TX_END, "T");
    expect(g, "OK");
    g->tx = 0;
    ASK(g, READ, "data/t");
    expect(g, "one");
    /* given up */
    g->tx = begin(g);
    PUTV(g, "data/t\0two");
    ASK(g, TX_END, "F");
    expect(g, "OK");
    g->tx = 0;
    ASK(g, READ, "data/t");
    expect(g, "one");
    /* somebody else was faster */
    tx = begin(g);
    PUTV(g, "data/other\0x");
    g->tx = tx;
    PUTV(g, "data/t\0three");
    ASK(g, TX_END, "T");
    expect(g, "EAGAIN");
    ASK(g, TX_END, "T"); /* it is over */
    expect(g, "ENOENT");
    /* as many as there may be */
    unsigned n = 0;
    for (g->tx = 0; n < 100; n++) {
        ASK(g, TX_START, "");
        if (g->type == ERROR)
            break;
    }
    assert_int_equal(n, 10);
    expect(g, "ENOSPC");
}

static void test_watches(void **state)
{
    struct guest *g = *state;

    ASK(g, WATCH, "data\0tok");
    expect(g, "OK");
    PUTV(g, "data/w\0v");
    ASK(g, READ, "domid");
    assert_int_equal(g->events, 2); /* one at once, one for the change */
    assert_memory_equal(g->event, "data/w\0tok", 10);
    ASK(g, WATCH, "data\0tok");
    expect(g, "EEXIST");
    /* a transaction's changes come at its end, absolute paths as they were asked for */
    ASK(g, WATCH, "/local/domain/1/data/q\0abs");
    g->events = 0;
    g->tx = begin(g);
    PUTV(g, "data/q\0v");
    assert_int_equal(g->events, 1); /* that of the registration */
    ASK(g, TX_END, "T");
    g->tx = 0;
    ASK(g, READ, "domid");
    assert_int_equal(g->events, 3);
    assert_memory_equal(g->event, "/local/domain/1/data/q\0abs", 26);
    ASK(g, UNWATCH, "data\0tok");
    expect(g, "OK");
    ASK(g, UNWATCH, "data\0tok");
    expect(g, "ENOENT");
    g->events = 0;
    ASK(g, RM, "data"); /* the parent's going is the child's too */
    ASK(g, READ, "domid");
    assert_int_equal(g->events, 1);
    ASK(g, WATCH, "@releaseDomain\0r");
    expect(g, "OK");
    xen_shutdown_guest(g->d.x, "poweroff");
    ASK(g, READ, "control/shutdown");
    expect(g, "poweroff");
}

static void test_limits(void **state)
{
    struct guest *g = *state;
    char buf[64];
    unsigned n;

    for (n = 0; n < 2000; n++) {
        int len = snprintf(buf, sizeof(buf), "data/n%u", n) + 1;
        ask(g, WRITE, buf, (u32)len);
        if (g->type == ERROR)
            break;
    }
    expect(g, "ENOSPC");
    assert_in_range(n, 900, 1000);
    for (n = 0; n < 300; n++) {
        int len = snprintf(buf, sizeof(buf), "data%ctok%u", 0, n) + 1;
        ask(g, WATCH, buf, (u32)len);
        if (g->type == ERROR)
            break;
    }
    expect(g, "ENOSPC");
    assert_in_range(n, 100, 128);
    char big[2200] = "data/n0";
    ask(g, WRITE, big, sizeof(big));
    expect(g, "ENOSPC");
    ASK(g, DIRECTORY, "data"); /* too long for one message */
    expect(g, "E2BIG");
    ASK(g, PART, "data\0000");
    assert_int_equal(g->type, PART);
    assert_true(g->len > 2000);
}

/* A guest that makes changes and never reads: events are lost, the store goes on. */
static void test_never_reads(void **state)
{
    struct guest *g = *state;
    struct xenstore *s = g->d.x->store;

    ASK(g, WATCH, "/local/domain/0\0t");
    xenstore_lock(s);
    for (unsigned i = 0; i < 20000; i++)
        assert_true(xs_write(s, "/local/domain/0/backend/x", "%u", i));
    xenstore_unlock(s);
    g->events = 0;
    ASK(g, READ, "domid");
    expect(g, "1");
    assert_true(g->events > 100 && g->events < 20000);
}

static void test_nonsense(void **state)
{
    struct guest *g = *state;
    struct ring *r = ring(g);
    u64 rnd = 3;
    u8 head[16] = {READ, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};

    push(g, head, sizeof(head)); /* a length from nowhere */
    kick(g);
    r->req_prod = r->req_cons + 2000;
    kick(g);
    r->req_prod = r->req_cons;
    for (unsigned i = 0; i < 20000; i++) {
        rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
        ((u8 *)r)[(rnd >> 33) % sizeof(*r)] = (u8)(rnd >> 56);
        if (i % 16 == 0)
            kick(g);
    }
    memset(r, 0, sizeof(*r));
    xen_reset(g->d.x);
    ASK(g, READ, "domid");
    expect(g, "1");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_guest, close_guest)
    const struct CMUnitTest tests[] = {
        TEST(test_read_write), TEST(test_refuses), TEST(test_perms),       TEST(test_transactions),
        TEST(test_watches),    TEST(test_limits),  TEST(test_never_reads), TEST(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
