/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 32-bit program without a library: system calls by INT 80h and by the kernel's own entry (vDSO:
 * SYSENTER or SYSCALL, as the processor has it), each many times, and a signal.
 */
enum { SYS_exit = 1, SYS_write = 4, SYS_getpid = 20, SYS_kill = 37, SYS_signal = 48 };
enum { AT_SYSINFO = 32, SIGUSR1 = 10, TURNS = 1000 };

static unsigned entry;
static volatile int signals;

static int by_int80(int nr, int a, int b, int c)
{
    __asm__ volatile("int $0x80" : "+a"(nr) : "b"(a), "c"(b), "d"(c) : "memory");
    return nr;
}

static int by_vdso(int nr, int a, int b, int c)
{
    __asm__ volatile("call *%4" : "+a"(nr) : "b"(a), "c"(b), "d"(c), "m"(entry) : "memory");
    return nr;
}

static void handler(int n)
{
    signals += n == SIGUSR1;
}

static void say(const char *s)
{
    int n = 0;

    while (s[n])
        n++;
    by_int80(SYS_write, 1, (int)s, n);
}

/* stack: argc, argv..., 0, environment..., 0, pairs of the auxiliary vector */
__attribute__((used)) static void begin(unsigned *stack)
{
    unsigned *p = stack + 1 + stack[0] + 1;
    int ok = 0;

    while (*p++)
        ;
    for (; *p; p += 2)
        if (*p == AT_SYSINFO)
            entry = p[1];
    int pid = by_int80(SYS_getpid, 0, 0, 0);
    for (int i = 0; i < TURNS; i++)
        ok += by_int80(SYS_getpid, 0, 0, 0) == pid;
    say(ok == TURNS && pid > 0 ? "int80-good\n" : "int80-bad\n");
    ok = 0;
    for (int i = 0; entry && i < TURNS; i++)
        ok += by_vdso(SYS_getpid, 0, 0, 0) == pid;
    say(ok == TURNS ? "vdso-good\n" : "vdso-bad\n");
    by_int80(SYS_signal, SIGUSR1, (int)handler, 0);
    by_vdso(SYS_kill, pid, SIGUSR1, 0);
    say(signals == 1 ? "signal-good\n" : "signal-bad\n");
    by_int80(SYS_exit, 0, 0, 0);
}

__asm__(".globl _start\n_start: mov %esp, %eax\n push %eax\n call begin\n");
