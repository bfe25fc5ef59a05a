/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/crc32c.h"
#include "core/savefile.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { MEMORY = 5 * 65536 + 4096 };

static char folder[] = "/tmp/wirt-savefile-XXXXXX", path[64], part[64];

/* Chunk 0 compresses, 1 is zeros, 2 does not compress, 3 is a hole, 4 has one byte, 5 is short. */
static u8 *make_memory(int *fd)
{
    *fd = memfd_create("memory", 0);
    assert_true(*fd >= 0);
    assert_int_equal(ftruncate(*fd, MEMORY), 0);
    u8 *m = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    assert_ptr_not_equal(m, MAP_FAILED);
    u32 x = 1;
    memset(m, 'a', 65536);
    memset(m + 65536, 0, 4096);
    for (unsigned i = 0; i < 65536; i++) {
        x = x * 1664525 + 1013904223;
        m[2 * 65536 + i] = (u8)(x >> 24);
    }
    m[4 * 65536 + 65535] = 1;
    m[5 * 65536] = 2;
    return m;
}

static void write_file(const u8 *m, int fd)
{
    struct save_out *s;
    struct err e = {0};

    assert_int_equal(save_create(&s, path, &e), 0);
    save_put(s, "machine", 3, "hello", 5);
    save_put(s, "empty", 1, "", 0);
    save_put_memory(s, m, MEMORY, fd);
    save_put(s, "clock", 1, "12345678", 8);
    assert_int_equal(save_commit(s, &e), 0);
}

static u8 *read_all(size_t *len)
{
    FILE *f = fopen(path, "rb");
    u8 *buf = malloc(1 << 20);

    assert_non_null(f);
    *len = fread(buf, 1, 1 << 20, f);
    fclose(f);
    return buf;
}

static void write_all(const u8 *buf, size_t len)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(buf, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* 0, or what opening it or reading one of its chunks says. */
static int read_whole(u8 *to, struct err *e)
{
    struct save_in *s;
    int r = save_open(&s, path, e);

    if (r)
        return r;
    struct save_decoder *d = save_decoder_new(s);
    for (u64 i = 0; !r && i < save_chunk_count(s); i++)
        r = save_chunk_read(s, d, i, to + i * save_chunk_size(s), e);
    save_decoder_free(d);
    save_close(s);
    return r;
}

static void what_was_put_in_comes_out(void **state)
{
    struct save_in *s;
    struct err e = {0};
    u8 *back = malloc(MEMORY);
    int fd;
    u8 *m = make_memory(&fd);
    struct stat st;

    write_file(m, fd);
    fstat(fd, &st);
    assert_true(st.st_blocks * 512 < 4 * 65536 + 8192); /* the hole is still one */
    assert_int_equal(save_open(&s, path, &e), 0);
    assert_int_equal(save_find(s, "machine")->version, 3);
    assert_memory_equal(save_find(s, "machine")->data, "hello", 5);
    assert_int_equal(save_find(s, "empty")->len, 0);
    assert_memory_equal(save_find(s, "clock")->data, "12345678", 8);
    assert_null(save_find(s, "nothing"));
    assert_null(save_at(s, 5));
    assert_int_equal(save_memory_size(s), MEMORY);
    assert_int_equal(save_chunk_count(s), 6);
    assert_true(save_chunk_zero(s, 1) && save_chunk_zero(s, 3) && !save_chunk_zero(s, 4));
    assert_int_equal(save_chunk_len(s, 5), 4096);
    assert_int_equal(save_chunk_crc(s, 4), crc32c(0, m + 4 * 65536, 65536));
    save_close(s);
    memset(back, 0x55, MEMORY);
    assert_int_equal(read_whole(back, &e), 0);
    assert_memory_equal(back, m, MEMORY);
    write_file(m, -1); /* the same by looking at everything */
    assert_int_equal(read_whole(back, &e), 0);
    assert_memory_equal(back, m, MEMORY);
    munmap(m, MEMORY);
    close(fd);
    free(back);
}

/* The message: the file's name, a part's name, and what is wrong. */
static void check_message(const struct err *e, size_t at)
{
    static const char *const parts[] = {"header", "machine",      "empty",  "memory at",
                                        "clock",  "memory.index", "file: ", "table of sections",
                                        "tail"};
    size_t n = strlen(path);

    assert_int_equal(e->code, EINVAL);
    assert_int_equal(strncmp(e->msg, path, n), 0);
    assert_null(strchr(e->msg, '\n'));
    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++)
        if (!strncmp(e->msg + n + 2, parts[i], strlen(parts[i])))
            return;
    fail_msg("byte %zu: \"%s\" names no part", at, e->msg);
}

static void each_damaged_byte_is_noticed(void **state)
{
    u8 *back = malloc(MEMORY), *file;
    struct err e = {0};
    size_t len;
    int fd;
    u8 *m = make_memory(&fd);

    write_file(m, fd);
    file = read_all(&len);
    /* In the chunk that does not compress, every 211th byte will do. */
    size_t step = 1;
    for (size_t i = 0; i < len; i += step) {
        u8 was = file[i];
        file[i] ^= (u8)(1u << (i % 8));
        int f = open(path, O_WRONLY);
        assert_int_equal(pwrite(f, &file[i], 1, (off_t)i), 1);
        if (!read_whole(back, &e))
            fail_msg("byte %zu of %zu was changed and nobody noticed", i, len);
        check_message(&e, i);
        assert_int_equal(pwrite(f, &was, 1, (off_t)i), 1);
        close(f);
        file[i] = was;
        step = i > 160 && i + 640 < len ? 211 : 1;
    }
    assert_int_equal(read_whole(back, &e), 0);
    for (size_t n = 0; n < len; n += n + 640 < len && n > 160 ? 1997 : 1) {
        write_all(file, n);
        if (!read_whole(back, &e))
            fail_msg("cut to %zu of %zu bytes, and nobody noticed", n, len);
        assert_int_equal(e.code, EINVAL);
    }
    file[len] = 0;
    write_all(file, len + 1);
    assert_int_equal(read_whole(back, &e), -EINVAL);
    munmap(m, MEMORY);
    close(fd);
    free(file);
    free(back);
}

/* A save that does not come to its end leaves what was there. */
static void the_old_file_stays(void **state)
{
    struct save_out *s, *t;
    struct err e = {0};
    u8 *back = malloc(MEMORY);
    int fd;
    u8 *m = make_memory(&fd);

    write_file(m, fd);
    assert_int_equal(save_create(&s, path, &e), 0);
    save_put(s, "machine", 3, "other", 5);
    assert_int_equal(save_create(&t, path, &e), -EBUSY); /* two at once */
    assert_int_equal(read_whole(back, &e), 0);
    save_abort(s);
    assert_int_equal(access(part, F_OK), -1);
    assert_int_equal(read_whole(back, &e), 0);

    assert_int_equal(save_create(&s, path, &e), 0);
    save_put(s, "too long", 1, m, SAVE_SECTION_MAX + 1); /* not looked at */
    assert_int_equal(save_commit(s, &e), -EFBIG);
    assert_int_equal(access(part, F_OK), -1);
    assert_int_equal(read_whole(back, &e), 0);
    assert_memory_equal(back, m, MEMORY);

    FILE *f = fopen(part, "wb"); /* what a killed save left */
    fputs("rubbish that is longer than nothing", f);
    fclose(f);
    write_file(m, fd);
    assert_int_equal(read_whole(back, &e), 0);
    munmap(m, MEMORY);
    close(fd);
    free(back);
}

static void errors_name_the_file(void **state)
{
    struct save_in *in;
    struct save_out *out;
    struct err e = {0};

    assert_int_equal(save_open(&in, "/nowhere/at/all", &e), -ENOENT);
    assert_string_equal(e.msg, "/nowhere/at/all: No such file or directory");
    assert_int_equal(save_open(&in, folder, &e), -EINVAL);
    assert_int_equal(save_create(&out, "/nowhere/at/all", &e), -ENOENT);
    assert_string_equal(e.msg, "/nowhere/at/all.part: No such file or directory");
    write_all((const u8 *)"short", 5);
    assert_int_equal(save_open(&in, path, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "not a saved machine"));
}

static int set_up(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/saved", folder);
    snprintf(part, sizeof(part), "%s/saved.part", folder);
    return 0;
}

static int tear_down(void **state)
{
    unlink(path);
    unlink(part);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_in_comes_out),
        cmocka_unit_test(each_damaged_byte_is_noticed),
        cmocka_unit_test(the_old_file_stays),
        cmocka_unit_test(errors_name_the_file),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
