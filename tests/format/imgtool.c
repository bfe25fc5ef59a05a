/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tests/format/compare.py needs of Wirt, one image at a time:
 *
 *   imgtool create FORMAT PATH SIZE [OPTIONS|- [BACKING [BACKING_FORMAT]]]
 *   imgtool run PATH [FORMAT|- [snapshot|readonly]]     commands on standard input, one a line:
 *       w OFF LEN SEED   writes bytes made from SEED (tests/format/pattern.h)
 *       c OFF LEN SEED   reads them and compares
 *       z OFF LEN        write-zeroes that may unmap;  k OFF LEN: that keeps the room
 *       d OFF LEN        discard
 *       p OFF LEN SEED   packs (compresses) whole units
 *       f                flush; says "f" when it is done
 *       X                _exit() at once, as kill -9 would
 *   imgtool dump PATH OUT [FORMAT|- [SNAPSHOT]]         as a raw file
 *   imgtool resize PATH SIZE
 *   imgtool check PATH [repair]
 *   imgtool snapshot PATH create|apply|delete|list [NAME]
 */
#include "disk/img.h"
#include "pattern.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEP = 1 << 20 };

static int fail(const char *what, int r, const struct err *e)
{
    fprintf(stderr, "imgtool: %s: %s\n", what, e && e->code ? e->msg : strerror(-r));
    return 1;
}

static const char *arg(int argc, char **argv, int i)
{
    return i < argc && strcmp(argv[i], "-") ? argv[i] : NULL;
}

static int create(int argc, char **argv)
{
    struct err e = {0};
    struct disk_create c = {.path = argv[3],
                            .size = strtoull(argv[4], NULL, 0),
                            .options = arg(argc, argv, 5),
                            .backing = arg(argc, argv, 6),
                            .backing_format = arg(argc, argv, 7)};
    int r = disk_create(argv[2], &c, &e);

    return r ? fail("create", r, &e) : 0;
}

/* One line of a script; -errno. */
static int step(struct blk *b, const char *line)
{
    static u8 *buf, *want;
    u64 off = 0, len = 0, seed = 0;
    char op;
    int r;

    if (sscanf(line, "%c %" SCNu64 " %" SCNu64 " %" SCNu64, &op, &off, &len, &seed) < 1)
        return -EINVAL;
    buf = realloc(buf, len + 1);
    want = realloc(want, len + 1);
    switch (op) {
    case 'w':
        pattern(buf, len, seed);
        return blk_sync(b, BLK_WRITE, off, buf, len);
    case 'c':
        pattern(want, len, seed);
        r = blk_sync(b, BLK_READ, off, buf, len);
        return r ? r : memcmp(buf, want, len) ? -EILSEQ : 0;
    case 'p':
        pattern(buf, len, seed);
        r = 0;
        for (u64 k = 0; k < len && !r; k += ((struct img *)b)->unit)
            r = img_write_compressed((struct img *)b, off + k, buf + k);
        return r;
    case 'k':
        return blk_sync(b, BLK_WRITE_ZEROES, off, NULL, len);
    case 'z': {
        struct blk_req q = {.op = BLK_WRITE_ZEROES, .offset = off, .len = len, .unmap = true};

        return img_execute((struct img *)b, &q);
    }
    case 'd':
        return blk_sync(b, BLK_DISCARD, off, NULL, len);
    case 'f':
        return blk_sync(b, BLK_FLUSH, 0, NULL, 0);
    case 'X':
        _exit(0);
    default:
        return -EINVAL;
    }
}

static int run(int argc, char **argv)
{
    const char *how = arg(argc, argv, 4);
    struct disk_options o = {.format = arg(argc, argv, 3),
                             .snapshot = how && !strcmp(how, "snapshot"),
                             .readonly = how && !strcmp(how, "readonly")};
    struct err e = {0};
    struct blk *b;
    char line[128];
    int r = disk_open(&b, argv[2], &o, &e);

    if (r)
        return fail("open", r, &e);
    while (!r && fgets(line, sizeof(line), stdin)) {
        r = step(b, line);
        if (r)
            fail(line, r, NULL);
        else if (line[0] == 'f' && puts("f") >= 0)
            fflush(stdout);
    }
    b->ops->close(b);
    return r ? 1 : 0;
}

static int dump(int argc, char **argv)
{
    struct disk_options o = {
        .readonly = true, .format = arg(argc, argv, 4), .internal = arg(argc, argv, 5)};
    u8 *buf = malloc(STEP);
    struct err e = {0};
    struct img *im;
    int r = img_open(&im, argv[2], &o, &e), fd;

    if (r)
        return fail("open", r, &e);
    fd = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)im->b.size) < 0)
        return fail(argv[3], -errno, NULL);
    for (u64 at = 0; at < im->b.size && !r; at += STEP) {
        u64 n = min(im->b.size - at, (u64)STEP);

        r = blk_sync(&im->b, BLK_READ, at, buf, n);
        if (!r && pwrite(fd, buf, n, (off_t)at) != (ssize_t)n)
            r = -errno;
    }
    img_close(im);
    close(fd);
    free(buf);
    return r ? fail("read", r, NULL) : 0;
}

static void say(void *opaque, const char *line)
{
    puts(line);
}

static int tool(int argc, char **argv)
{
    bool fix = argc > 3 && !strcmp(argv[3], "repair"), ask = !strcmp(argv[1], "check");
    struct disk_options o = {.for_check = ask, .readonly = ask && !fix};
    struct disk_check c = {.repair_leaks = fix, .repair_all = fix, .say = say};
    struct err e = {0};
    struct img *im;
    int r = img_open(&im, argv[2], &o, &e);

    if (r)
        return fail("open", r, &e);
    if (ask)
        r = disk_check(im, &c, &e);
    else if (!strcmp(argv[1], "resize"))
        r = disk_resize(im, strtoull(argv[3], NULL, 0), &e);
    else
        r = disk_snapshot(im, argv[3], arg(argc, argv, 4), &e);
    if (ask && !r) {
        printf("%" PRIu64 " errors, %" PRIu64 " leaks, repaired %" PRIu64 " %" PRIu64 "\n",
               c.errors, c.leaks, c.errors_fixed, c.leaks_fixed);
        r = c.errors || c.leaks ? -EUCLEAN : 0;
    }
    img_close(im);
    return r ? fail(argv[1], r, &e) : 0;
}

int main(int argc, char **argv)
{
    if (argc > 4 && !strcmp(argv[1], "create"))
        return create(argc, argv);
    if (argc > 2 && !strcmp(argv[1], "run"))
        return run(argc, argv);
    if (argc > 3 && !strcmp(argv[1], "dump"))
        return dump(argc, argv);
    if (argc > 2 && !strcmp(argv[1], "check"))
        return tool(argc, argv);
    if (argc > 3 && (!strcmp(argv[1], "resize") || !strcmp(argv[1], "snapshot")))
        return tool(argc, argv);
    fprintf(stderr, "imgtool: see the head of tests/format/imgtool.c\n");
    return 2;
}
