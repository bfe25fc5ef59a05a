/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * work: the benchmark's load, one static program that runs on the host and as /init of a guest, so
 * that the same machine code is timed in both places.
 *
 *     work MS [DISK]          on the host
 *     work.ms=MS              on the guest's kernel command line
 *
 * Each job does units of the same work until MS milliseconds have passed and prints
 * "job CLASS NAME UNITS_PER_SECOND CHECKSUM"; the checksum is one unit's and must be equal
 * everywhere.  "ready" comes first, "done" last.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef uint32_t u32;
typedef uint64_t u64;

static const char *disk_path;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static u32 next(u32 *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 17;
    return *s ^= *s << 5;
}

static void *pages(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* ---------------------------------------------------------------- integer -- */

static u64 hash_words(void)
{
    u32 s = 1, h[8] = {1, 2, 3, 4, 5, 6, 7, 8};

    for (int i = 0; i < 20000; i++) {
        u32 w = next(&s), a = h[i & 7], b = h[(i + 3) & 7];
        u32 r = (a >> 6 | a << 26) ^ (a >> 11 | a << 21) ^ (a >> 25 | a << 7);
        h[(i + 1) & 7] += r + ((a & b) ^ (~a & w)) + w;
    }
    return h[0] ^ (u64)h[5] << 32;
}

static int by_value(const void *a, const void *b)
{
    u32 x = *(const u32 *)a, y = *(const u32 *)b;

    return (x > y) - (x < y);
}

static u64 sort_words(void)
{
    static u32 v[4096];
    u32 s = 7;

    for (int i = 0; i < 4096; i++)
        v[i] = next(&s);
    qsort(v, 4096, sizeof(v[0]), by_value);
    return v[0] ^ (u64)v[2048] << 16;
}

/* A little stack machine: indirect jumps that are hard to predict. */
static u64 interpret(void)
{
    static const unsigned char code[] = {0, 1, 3, 2, 4, 1, 5, 0, 3, 6, 2, 7};
    u64 a = 1, b = 2;
    u32 s = 99;

    for (int i = 0; i < 30000; i++)
        switch (code[next(&s) % sizeof(code)]) {
        case 0:
            a += b;
            break;
        case 1:
            b ^= a << 1;
            break;
        case 2:
            a -= 7;
            break;
        case 3:
            b += a >> 3;
            break;
        case 4:
            a ^= b;
            break;
        case 5:
            b *= 3;
            break;
        case 6:
            a = a << 5 | a >> 59;
            break;
        default:
            b = ~b;
            break;
        }
    return a ^ b;
}

static __attribute__((noinline)) u64 fib(u32 n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static u64 calls(void)
{
    return fib(20);
}

/* ------------------------------------------------------------------ float -- */

static u64 bits(double d)
{
    u64 v;

    memcpy(&v, &d, sizeof(v));
    return v;
}

static u64 scalar_double(void)
{
    double x = 0.1, y = 0.2, z = 0;

    for (int i = 0; i < 20000; i++) {
        x = x * 0.999 + y * 0.5;
        y = (y - x * 0.25) * 1.0001;
        z += x / (1.5 + y * y);
    }
    return bits(z);
}

static u64 x87_double(void)
{
    long double x = 0.1L, z = 0;

    for (int i = 0; i < 20000; i++) {
        x = x * 0.9995L + 0.01L;
        z += 1.0L / (x + 0.5L);
    }
    return bits((double)z);
}

static __attribute__((target("avx2,fma"))) u64 avx2_matrix(void)
{
    static double a[64][64], b[64][64], c[64][64];
    double sum = 0;

    for (int i = 0; i < 64 * 64; i++) {
        a[i / 64][i % 64] = i * 0.25;
        b[i / 64][i % 64] = 3 - i * 0.125;
    }
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 64; j += 4) {
            __m256d r = _mm256_setzero_pd();
            for (int k = 0; k < 64; k++)
                r = _mm256_fmadd_pd(_mm256_broadcast_sd(&a[i][k]), _mm256_loadu_pd(&b[k][j]), r);
            _mm256_storeu_pd(&c[i][j], r);
        }
    for (int i = 0; i < 64; i++)
        sum += c[i][i];
    return bits(sum);
}

/* ----------------------------------------------------------------- memory -- */

enum { BIG = 32 << 20 };

static u64 chase(void)
{
    static u32 *p, at;

    if (!p) {
        u32 s = 5, n = BIG / 64;
        p = pages(BIG);
        for (u32 i = 0; i < n; i++)
            p[i * 16] = i;
        for (u32 i = n - 1; i > 0; i--) { /* one cycle through all lines */
            u32 j = next(&s) % i, t = p[i * 16];
            p[i * 16] = p[j * 16];
            p[j * 16] = t;
        }
    }
    for (int i = 0; i < 4096; i++)
        at = p[at * 16];
    return 0;
}

static char *from, *to;

static void copy_buffers(void)
{
    if (!from) {
        from = pages(BIG);
        to = pages(BIG);
        memset(from, 3, BIG);
        memset(to, 4, BIG);
    }
}

static u64 copy_rep(void)
{
    copy_buffers();
    for (int i = 0; i < 64; i++) {
        void *d = to + 4096 * 37, *s = from;
        size_t n = 4096;
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory");
    }
    return (u64)to[4096 * 37 + 100];
}

static u64 copy_sse(void)
{
    copy_buffers();
    for (int i = 0; i < BIG / 8; i += 16)
        _mm_storeu_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
    __asm__ volatile("" ::: "memory");
    return (u64)to[BIG / 16];
}

/* ----------------------------------------------------------------- kernel -- */

static u64 system_calls(void)
{
    long r = 0;

    for (int i = 0; i < 1000; i++)
        r |= syscall(SYS_getppid);
    return r == -1;
}

static u64 fork_exit(void)
{
    int status = 0;
    pid_t pid = fork();

    if (!pid)
        _exit(3);
    waitpid(pid, &status, 0);
    return (u64)WEXITSTATUS(status);
}

static u64 page_faults(void)
{
    enum { N = 256 };
    char *p = pages(N * 4096);

    for (int i = 0; i < N; i++)
        p[i * 4096] = 1;
    munmap(p, N * 4096);
    return N;
}

static u64 pipes(void)
{
    int fd[2];
    char c = 'x';
    u64 n = 0;

    if (pipe(fd))
        return 0;
    for (int i = 0; i < 200; i++)
        n += (u64)(write(fd[1], &c, 1) + read(fd[0], &c, 1));
    close(fd[0]);
    close(fd[1]);
    return n;
}

/* -------------------------------------------------------------------- jit -- */

/* 200 functions of fresh code, each run `times`. */
static u64 fresh(int times)
{
    static unsigned char *buf;
    static u32 salt;
    u64 sum = 0;

    if (!buf) {
        buf = mmap(NULL, 65536, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0);
        if (buf == MAP_FAILED)
            return 0;
    }
    salt++;
    for (u32 f = 0; f < 200; f++) {
        unsigned char *p = buf + f * 128, *q = p;
        u32 c = salt * 2654435761u + f;
        *q++ = 0xb8; /* mov eax, imm32 */
        memcpy(q, &c, 4);
        q += 4;
        for (int i = 0; i < 10; i++) {
            static const unsigned char body[] = {0x69, 0xc0, 1, 2, 3, 0, 0x35, 0x55, 0x55, 0, 0};
            memcpy(q, body, sizeof(body)); /* imul eax, eax, ..; xor eax, .. */
            q += sizeof(body);
        }
        *q = 0xc3;
        for (int i = 0; i < times; i++)
            sum += ((u32(*)(void))(void *)p)();
    }
    return sum & 0; /* differs from call to call */
}

static u64 fresh_once(void)
{
    return fresh(1);
}

static u64 fresh_100(void)
{
    return fresh(100);
}

/* --------------------------------------------------------------------- io -- */

static u64 disk_read(size_t size, int random)
{
    static int fd = -1;
    static char *buf;
    static u32 s = 11;
    static u64 at;
    u64 end;

    if (fd < 0) {
        buf = pages(1 << 20);
        fd = open(disk_path, O_RDONLY | (getpid() == 1 ? O_DIRECT : 0));
        if (fd < 0)
            return 0;
    }
    end = (u64)lseek(fd, 0, SEEK_END) / size;
    at = random ? next(&s) % end : (at + 1) % end;
    return pread(fd, buf, size, (off_t)(at * size)) == (ssize_t)size;
}

static u64 random_4k(void)
{
    return disk_read(4096, 1);
}

static u64 sequential_256k(void)
{
    return disk_read(256 << 10, 0);
}

static const struct job {
    const char *class, *name;
    u64 (*unit)(void);
} jobs[] = {
    {"integer", "hash", hash_words},       {"integer", "sort", sort_words},
    {"integer", "interpreter", interpret}, {"integer", "calls", calls},
    {"float", "scalar", scalar_double},    {"float", "x87", x87_double},
    {"float", "avx2", avx2_matrix},        {"memory", "chase", chase},
    {"memory", "rep_movsb", copy_rep},     {"memory", "sse_copy", copy_sse},
    {"kernel", "syscall", system_calls},   {"kernel", "fork", fork_exit},
    {"kernel", "pagefault", page_faults},  {"kernel", "pipe", pipes},
    {"jit", "fresh_once", fresh_once},     {"jit", "fresh_100", fresh_100},
    {"io", "random_4k", random_4k},        {"io", "sequential_256k", sequential_256k},
};

static void run(const struct job *j, double seconds)
{
    u64 check = j->unit(), n = 0;
    double start = now(), end;

    while (now() - start < seconds / 2) /* warm */
        check = j->unit();
    start = now();
    do {
        for (int i = 0; i < 4; i++, n++)
            check = j->unit();
        end = now();
    } while (end - start < seconds);
    printf("job %s %s %.6g %llx\n", j->class, j->name, (double)n / (end - start),
           (unsigned long long)check);
    fflush(stdout);
}

static void load_modules(void)
{
    char name[128];
    FILE *f = fopen("/m/order", "r");

    while (f && fscanf(f, "%100s", name) == 1) {
        char path[160];
        snprintf(path, sizeof(path), "/m/%s", name);
        int fd = open(path, O_RDONLY);
        syscall(SYS_finit_module, fd, "", 0);
        close(fd);
    }
    if (f)
        fclose(f);
}

int main(int argc, char **argv)
{
    int ms = argc > 1 ? atoi(argv[1]) : 200;

    disk_path = argc > 2 ? argv[2] : "";
    if (getpid() == 1) {
        char line[2048] = "";
        mount("proc", "/proc", "proc", 0, "");
        mount("dev", "/dev", "devtmpfs", 0, "");
        freopen("/dev/console", "r", stdin);
        freopen("/dev/console", "w", stdout);
        FILE *f = fopen("/proc/cmdline", "r");
        char *arg = f && fgets(line, sizeof(line), f) ? strstr(line, "work.ms=") : NULL;
        ms = arg ? atoi(arg + 8) : 200;
        puts("ready");
        fflush(stdout);
        load_modules();
        disk_path = "/dev/vda";
    } else {
        puts("ready");
    }
    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++)
        if (jobs[i].unit != avx2_matrix || __builtin_cpu_supports("avx2"))
            if (strcmp(jobs[i].class, "io") || !access(disk_path, R_OK))
                run(&jobs[i], ms * 1e-3);
    puts("done");
    fflush(stdout);
    if (getpid() == 1)
        reboot(RB_POWER_OFF);
    return 0;
}
