; SPDX-License-Identifier: GPL-2.0-or-later
; Programs in ring 3 as direct execution takes them (src/direct/direct.c, fits()): what goes in and comes
; out, each way out, memory that changes under them, and what they could get at that is the host's.
%include "kit64.inc"

SYSCALLED equ   0x1000          ; got_vec of a SYSCALL, and of one from 32-bit code
SYSCALLED32 equ 0x1001
UFLAGS  equ     0x202
BUF     equ     0x280000        ; the program's own memory

; ---------------------------------------------------------------- running programs

; PROG name ... ENDPROG name: code that is copied to UCODE when it runs
%macro PROG 1
        jmp     %1_end
%1:
%endmacro
%macro ENDPROG 1
%1_end:
%endmacro

; GO name [, start]: from its first instruction, or from a label of it; nothing else is in its page
%macro GO 1-2
        mov     rsi, %1
        mov     ecx, %1_end - %1
        call    put_code
%if %0 = 1
        mov     qword [in_rip], UCODE
%else
        mov     qword [in_rip], UCODE + %2 - %1
%endif
        call    go
%endmacro

; WANT text, vector, error, program, label: how it came back
%macro WANT 5
        mov     rax, UCODE + %5 - %4
        mov     ecx, %2
        mov     edx, %3
        NAME    %1
        call    check_fault
%endmacro

; WANTPF text, error, address, program, label
%macro WANTPF 5
        WANT    %1, 14, %2, %4, %5
        EQUAL   "its address", [got_cr2], %3
%endmacro

; KEPT text, mask of registers that may differ
%macro KEPT 2
        NAME    %1
        mov     edx, %2
        call    same_regs
%endmacro
%define R_AX 1
%define R_CX 2
%define R_11 0x800

; PTE page of TESTMEM, value: set, and told
%macro PTE 2
        mov     rax, %2
        mov     [pt + (%1) * 8], rax
        invlpg  [TESTMEM + (%1) * 4096]
%endmacro
%define PAGE(n) (TESTMEM + (n) * 4096)

put_code:
        mov     rdi, UCODE
        rep movsb
        mov     ecx, UCODE + 4096
        sub     ecx, edi
        mov     al, 0x90
        rep stosb
        ret

go:     ARM     .back
        mov     qword [got_vec], 0xffff
        push    qword UDS
        push    qword [in_regs + 4 * 8]
        push    qword [in_flags]
        push    qword UCS
        push    qword [in_rip]
        mov     rax, [in_regs]
        mov     rcx, [in_regs + 8]
        mov     rdx, [in_regs + 16]
        mov     rbx, [in_regs + 24]
        mov     rbp, [in_regs + 40]
        mov     rsi, [in_regs + 48]
        mov     rdi, [in_regs + 56]
        mov     r8, [in_regs + 64]
        mov     r9, [in_regs + 72]
        mov     r10, [in_regs + 80]
        mov     r11, [in_regs + 88]
        mov     r12, [in_regs + 96]
        mov     r13, [in_regs + 104]
        mov     r14, [in_regs + 112]
        mov     r15, [in_regs + 120]
        iretq
.back:  mov     [out_regs], rax
        mov     [out_regs + 8], rcx
        mov     [out_regs + 16], rdx
        mov     [out_regs + 24], rbx
        mov     rax, [got_rsp]
        mov     [out_regs + 32], rax
        mov     [out_regs + 40], rbp
        mov     [out_regs + 48], rsi
        mov     [out_regs + 56], rdi
        mov     [out_regs + 64], r8
        mov     [out_regs + 72], r9
        mov     [out_regs + 80], r10
        mov     [out_regs + 88], r11
        mov     [out_regs + 96], r12
        mov     [out_regs + 104], r13
        mov     [out_regs + 112], r14
        mov     [out_regs + 120], r15
        cld
        ret

sc_entry32:
        mov     dword [got_vec], SYSCALLED32
        jmp     sc_entry.rest
sc_entry:
        mov     dword [got_vec], SYSCALLED
.rest:  mov     qword [got_err], NOERR
        mov     [got_rip], rcx
        mov     [got_flags], r11
        mov     [got_rsp], rsp
        mov     rsp, [resume_sp]
        jmp     [resume]

; rdi name, edx which may differ
same_regs:
        xor     ecx, ecx
.next:  bt      edx, ecx
        jc      .skip
        mov     rax, [out_regs + rcx * 8]
        cmp     rax, [in_regs + rcx * 8]
        je      .skip
        mov     [got_val], rax
        mov     [got_err], rcx
        jmp     fail
.skip:  inc     ecx
        cmp     ecx, 16
        jb      .next
        jmp     pass

; A register that came back: OUT text, register's number, value
%macro OUT 3
        EQUAL   %1, [out_regs + (%2) * 8], %3
%endmacro

fresh_regs:
        mov     ecx, 15
.next:  mov     rax, 0x0123456789abcdef
        imul    rax, rcx
        rol     rax, cl
        not     rax
        mov     [in_regs + rcx * 8], rax
        dec     ecx
        jns     .next
        mov     qword [in_regs + 4 * 8], USTACK
        mov     qword [in_flags], UFLAGS
        ret

tests:  mov     ecx, 0xc0000081
        mov     edx, (0x20 | 3) << 16 | KCS
        xor     eax, eax
        wrmsr
        mov     ecx, 0xc0000082
        mov     eax, sc_entry
        xor     edx, edx
        wrmsr
        mov     ecx, 0xc0000083
        mov     eax, sc_entry32
        wrmsr
        mov     ecx, 0xc0000084
        mov     eax, 0x47700            ; TF, IF, DF, IOPL, NT, AC
        wrmsr
        mov     ecx, 0xc0000103
        mov     eax, 0x777
        wrmsr
        mov     rax, cr4
        or      rax, 0x50000            ; OSXSAVE, FSGSBASE
        mov     cr4, rax
        mov     rax, cr0
        or      rax, 0x22               ; NE, MP
        mov     cr0, rax
        xor     ecx, ecx
        xor     edx, edx
        mov     eax, 7
        xsetbv
%assign v 0
%rep 5
        mov     byte [idt + v * 16 + 5], 0xee           ; DPL 3
%assign v v+1
%endrep
        mov     byte [idt + 1 * 16 + 5], 0x8e
        mov     byte [idt + 0x80 * 16 + 5], 0xee
        mov     byte [idt + 0x81 * 16 + 5], 0xee
        xor     eax, eax
        mov     fs, ax
        mov     gs, ax
        call    fresh_regs
        call    test_regs
        call    test_flags
        call    test_vectors
        call    test_calls
        call    test_traps
        call    test_faults
        call    test_pages
        call    test_fetch
        call    test_bits
        call    test_changes
        call    test_code
        call    test_large
        call    test_pcid
        call    test_host
        call    test_tables
        call    test_debug
        call    test_fpu_faults
        call    test_bases
        call    test_segments
        call    test_compat
        call    test_hostile
        ret

; ---------------------------------------------------------------- registers

test_regs:
        PROG    p_sys
        syscall
.after: int     0x81
.end:
        ENDPROG p_sys
        GO      p_sys
        WANT    "syscall", SYSCALLED, NOERR, p_sys, p_sys.after
        KEPT    "registers over syscall", R_CX | R_11
        OUT     "syscall: rcx", 1, UCODE + 2
        OUT     "syscall: r11", 11, UFLAGS
        GO      p_sys, p_sys.after
        WANT    "int", 0x81, NOERR, p_sys, p_sys.end
        KEPT    "registers over int", 0
        EQUAL   "cs of ring 3", [got_cs], UCS
        EQUAL   "ss of ring 3", [got_ss], UDS
        EQUAL   "stack of the TSS", [in_rsp], RSP0 - 7 * 8
        PROG    p_int80
        int     0x80
.after:
        ENDPROG p_int80
        GO      p_int80
        WANT    "int 0x80", 0x80, NOERR, p_int80, p_int80.after
        KEPT    "registers over int 0x80", 0
        PROG    p_ud
        ud2
        ENDPROG p_ud
        GO      p_ud
        WANT    "ud2", 6, NOERR, p_ud, p_ud
        KEPT    "registers over ud2", 0
        PROG    p_pre
        db      0xf3, 0x48, 0x0f, 0x05  ; syscall with prefixes
.after:
        ENDPROG p_pre
        GO      p_pre
        WANT    "syscall with prefixes", SYSCALLED, NOERR, p_pre, p_pre.after
        ; each register that the program writes
        PROG    p_swap
        not     rax
        not     rdx
        not     rbx
        not     rbp
        not     rsi
        not     rdi
        not     r8
        not     r9
        not     r10
        not     r12
        not     r13
        not     r14
        not     r15
        not     rcx
        not     r11
        not     rsp
        int     0x81
        ENDPROG p_swap
        GO      p_swap
        xor     ecx, ecx
.not:   not     qword [out_regs + rcx * 8]
        inc     ecx
        cmp     ecx, 16
        jb      .not
        KEPT    "registers that were written", 0
        ; many turns
        mov     qword [v_count], 300
        mov     qword [in_regs], 0
        PROG    p_many
        inc     rax
        syscall
        ENDPROG p_many
.many:  GO      p_many
        mov     rax, [out_regs]
        mov     [in_regs], rax
        dec     qword [v_count]
        jnz     .many
        EQUAL   "many turns", [in_regs], 300
        jmp     fresh_regs

; ---------------------------------------------------------------- flags

test_flags:
        PROG    p_fl
        pushfq
        pop     rbx
        syscall
        ENDPROG p_fl
        mov     qword [v_count], 0
.next:  mov     rax, [v_count]
        mov     rax, [flag_list + rax * 8]
        mov     [in_flags], rax
        GO      p_fl
        mov     rbx, [in_flags]
        OUT     "flags in", 3, rbx
        OUT     "flags over syscall", 11, rbx
        GO      p_ud
        mov     rbx, [in_flags]
        or      ebx, 0x10000            ; RF
        EQUAL   "flags over ud2", [got_flags], rbx
        GO      p_sys, p_sys.after
        EQUAL   "flags over int", [got_flags], [in_flags]
        inc     qword [v_count]
        cmp     qword [v_count], 8
        jb      .next
        mov     qword [in_flags], UFLAGS
        ; and out
        PROG    p_popf
        push    rbx
        popfq
        pushfq
        pop     rdx
        syscall
        ENDPROG p_popf
        mov     qword [v_count], 0
.out:   mov     rax, [v_count]
        mov     rax, [flag_list + rax * 8]
        mov     [in_regs + 3 * 8], rax
        GO      p_popf
        mov     rbx, [in_regs + 3 * 8]
        OUT     "flags by popf", 2, rbx
        OUT     "flags by popf, over syscall", 11, rbx
        GO      p_fl
        OUT     "nothing of them stays", 3, UFLAGS
        OUT     "nothing of them stays, over syscall", 11, UFLAGS
        inc     qword [v_count]
        cmp     qword [v_count], 8
        jb      .out
        ; what ring 3 may not change
        mov     qword [in_regs + 3 * 8], 0x3002
        GO      p_popf
        OUT     "IF and IOPL are not the program's", 11, UFLAGS
        jmp     fresh_regs

; ---------------------------------------------------------------- vectors

XS      equ     0x60000         ; the kernel's: what goes in
XS2     equ     0x61000         ; and what came out
%macro COMPARE 3                ; text, offset, bytes
        mov     rsi, XS + %2
        mov     rdi, XS2 + %2
        mov     ecx, %3
        repe cmpsb
        CHECK   %1, e
%endmacro
xs_get: mov     rdi, XS2
        mov     ecx, 1024 / 8
        xor     eax, eax
        rep stosq
        mov     eax, 7
        xor     edx, edx
        xsave64 [XS2]
        ret
xs_fill:
        mov     rdi, XS
        mov     ecx, 1024
.b:     mov     eax, ecx
        imul    eax, eax, 37
        stosb
        loop    .b
        mov     word [XS], 0x37f
        mov     word [XS + 2], 0x3800           ; TOP = 7
        mov     qword [XS + 4], 0xff
        mov     qword [XS + 8], 0
        mov     qword [XS + 16], 0
        mov     dword [XS + 24], 0x9fc0         ; FTZ, DAZ
        mov     dword [XS + 28], 0
        xor     eax, eax
%assign n 0
%rep 8
        mov     [XS + 32 + 16 * n + 10], ax
        mov     [XS + 32 + 16 * n + 12], eax
%assign n n+1
%endrep
        mov     rdi, XS + 512
        mov     ecx, 8
        rep stosq
        mov     byte [XS + 512], 7
        mov     eax, 7
        xor     edx, edx
        xrstor64 [XS]
        ret

test_vectors:
        call    xs_fill
        GO      p_sys
        call    xs_get
        COMPARE "x87 control over syscall", 0, 5
        COMPARE "mxcsr over syscall", 24, 4
        COMPARE "st over syscall", 32, 128
        COMPARE "xmm over syscall", 160, 256
        COMPARE "ymm over syscall", 576, 256
        call    xs_fill
        GO      p_ud
        call    xs_get
        COMPARE "st and xmm over ud2", 32, 384
        COMPARE "ymm over ud2", 576, 256
        ; the program's: all registers, moved on by one
        PROG    p_vec
%assign n 0
%rep 16
        vmovdqu [BUF + 32 * n], ymm %+ n
%assign n n+1
%endrep
%assign n 0
%rep 16
        vmovdqu ymm %+ n, [BUF + 32 * ((n + 1) % 16)]
%assign n n+1
%endrep
        fninit
        fldpi
        mov     dword [BUF + 0x800], 0x1fa1
        ldmxcsr [BUF + 0x800]
        mov     word [BUF + 0x800], 0xf7f
        fldcw   [BUF + 0x800]
        syscall
        ENDPROG p_vec
        GO      p_vec
        call    xs_get
        mov     rsi, BUF
        mov     rdi, XS2 + 160 + 15 * 16
        mov     ecx, 16
        repe cmpsb
        CHECK   "xmm written by a program", e
        mov     rsi, BUF + 48
        mov     rdi, XS2 + 576
        mov     ecx, 16
        repe cmpsb
        CHECK   "ymm written by a program", e
        EQUAL   "st written by a program", [XS2 + 32], 0xc90fdaa22168c235
        mov     eax, [XS2 + 24]
        EQUAL   "mxcsr of a program", rax, 0x1fa1
        movzx   eax, word [XS2]
        EQUAL   "fcw of a program", rax, 0xf7f
        movzx   eax, byte [XS2 + 4]
        EQUAL   "ftw of a program", rax, 0x80
        ; a program's own XSAVE knows of no more than the guest's processor has
        PROG    p_xsave
        mov     edi, BUF
        mov     ecx, 4096 / 8
        mov     rax, 0xcccccccccccccccc
        rep stosq
        mov     edi, BUF + 512
        xor     eax, eax
        mov     ecx, 8
        rep stosq
        mov     rax, -1
        mov     rdx, -1
.how:   xsave64 [BUF]
        mov     rbx, [BUF + 512]
        mov     rsi, [BUF + 520]
        mov     edi, BUF + 832
        mov     ecx, (4096 - 832) / 8
        mov     rax, 0xcccccccccccccccc
        repe scasq
        sete    al
        movzx   r8d, al
        int     0x81
        ENDPROG p_xsave
        GO      p_xsave
        OUT     "xsave stays in its 832 bytes", 8, 1
        mov     rbx, [out_regs + 24]
        and     rbx, ~7
        EQUAL   "xsave: XSTATE_BV", rbx, 0
        mov     byte [p_xsave.how + 3], 0x34    ; /6: xsaveopt64
        GO      p_xsave
        OUT     "xsaveopt stays in its 832 bytes", 8, 1
        mov     word [p_xsave.how + 2], 0x24c7  ; 0f c7 /4: xsavec64
        mov     byte [p_xsave.how + 3], 0x24
        mov     byte [p_xsave.how + 2], 0xc7
        GO      p_xsave
        OUT     "xsavec stays in its 832 bytes", 8, 1
        OUT     "xsavec: XCOMP_BV", 6, 0x8000000000000007
        mov     word [p_xsave.how + 2], 0x24ae
        ; REX that counts for nothing, before VEX: vmovsldup; of another prefix it would be no instruction
        PROG    p_rexvex
        mov     eax, 0x11223344
        vmovd   xmm1, eax
        db      0x40, 0x64, 0xc5, 0xfa, 0x12, 0xc1
        vmovq   rbx, xmm0
        int     0x81
        cpuid                           ; so this is the translator's
        ENDPROG p_rexvex
        GO      p_rexvex
        OUT     "vmovsldup with REX and FS", 3, 0x1122334411223344
        ; CR0.TS
        PROG    p_sse
        pxor    xmm0, xmm0
        int     0x81
        ENDPROG p_sse
        mov     rax, cr0
        or      eax, 8
        mov     cr0, rax
        GO      p_sse
        clts
        WANT    "sse with CR0.TS", 7, NOERR, p_sse, p_sse
        GO      p_sse
        EQUAL   "sse", [got_vec], 0x81
        ret

; ---------------------------------------------------------------- system calls

test_calls:
        mov     qword [v_count], 0
.next:  mov     rbx, [v_count]
        imul    rbx, rbx, 56
        lea     rsi, [call_list + rbx]
        mov     rax, [rsi]
        mov     [in_regs], rax
        mov     rax, [rsi + 8]
        mov     [in_regs + 7 * 8], rax
        mov     rax, [rsi + 16]
        mov     [in_regs + 6 * 8], rax
        mov     rax, [rsi + 24]
        mov     [in_regs + 2 * 8], rax
        mov     rax, [rsi + 32]
        mov     [in_regs + 10 * 8], rax
        mov     rax, [rsi + 40]
        mov     [in_regs + 8 * 8], rax
        mov     rax, [rsi + 48]
        mov     [in_regs + 9 * 8], rax
        GO      p_sys
        WANT    "a call that the host knows", SYSCALLED, NOERR, p_sys, p_sys.after
        KEPT    "its registers", R_CX | R_11
        GO      p_int80
        WANT    "the same by int 0x80", 0x80, NOERR, p_int80, p_int80.after
        KEPT    "its registers, int 0x80", 0
        inc     qword [v_count]
        cmp     qword [v_count], CALLS
        jb      .next
        call    fresh_regs
        ; without EFER.SCE
        mov     ecx, 0xc0000080
        rdmsr
        and     eax, ~1
        wrmsr
        GO      p_sys
        mov     ecx, 0xc0000080
        rdmsr
        or      eax, 1
        wrmsr
        WANT    "syscall without SCE", 6, NOERR, p_sys, p_sys
        KEPT    "registers over syscall without SCE", 0
        ret

; ---------------------------------------------------------------- software interrupts

test_traps:
        PROG    p_int3
        int3
.after:
        ENDPROG p_int3
        GO      p_int3
        WANT    "int3", 3, NOERR, p_int3, p_int3.after
        KEPT    "registers over int3", 0
        PROG    p_cd03
        db      0xcd, 0x03
.after:
        ENDPROG p_cd03
        GO      p_cd03
        WANT    "int 3", 3, NOERR, p_cd03, p_cd03.after
        PROG    p_cc03
        jmp     .at
        db      0x03                    ; the byte before is none of its own
.at:    int3
.after:
        ENDPROG p_cc03
        GO      p_cc03
        WANT    "int3 behind 03", 3, NOERR, p_cc03, p_cc03.after
        PROG    p_int1
        db      0xf1
.after:
        ENDPROG p_int1
        GO      p_int1
        WANT    "int1", 1, NOERR, p_int1, p_int1.after
        PROG    p_cd04
        nop
        nop
        int     4
.after: nop
        hlt
        ENDPROG p_cd04
        GO      p_cd04
        WANT    "int 4", 4, NOERR, p_cd04, p_cd04.after
        PROG    p_cd01
        int     1
        ENDPROG p_cd01
        GO      p_cd01
        WANT    "int 1, a gate of ring 0", 13, 1 * 8 + 2, p_cd01, p_cd01
        PROG    p_cd82
        int     0x82
        ENDPROG p_cd82
        GO      p_cd82
        WANT    "int, a gate of ring 0", 13, 0x82 * 8 + 2, p_cd82, p_cd82
        mov     byte [idt + 0x80 * 16 + 5], 0x8e
        GO      p_int80
        mov     byte [idt + 0x80 * 16 + 5], 0xee
        WANT    "int 0x80, a gate of ring 0", 13, 0x80 * 8 + 2, p_int80, p_int80
        mov     byte [idt + 3 * 16 + 5], 0x8e
        GO      p_int3
        mov     byte [idt + 3 * 16 + 5], 0xee
        WANT    "int3, a gate of ring 0", 13, 3 * 8 + 2, p_int3, p_int3
        ret

; ---------------------------------------------------------------- faults

%macro FAULTS 4+                ; text, vector, error, instruction
        jmp     %%over
%%at:   %4
        int     0x81
%%at_end:
%%over: mov     rsi, %%at
        mov     ecx, %%at_end - %%at
        call    put_code
        mov     qword [in_rip], UCODE
        call    go
        mov     rax, UCODE
        mov     ecx, %2
        mov     edx, %3
        NAME    %1
        call    check_fault
        KEPT    "its registers", 0
%endmacro

test_faults:
        mov     qword [in_regs + 8], 0
        mov     rax, 0x800000000000
        mov     [in_regs + 24], rax
        FAULTS  "divide by zero", 0, NOERR, div ecx
        FAULTS  "hlt", 13, 0, hlt
        FAULTS  "cli", 13, 0, cli
        FAULTS  "sti", 13, 0, sti
        FAULTS  "in", 13, 0, in al, 0x60
        FAULTS  "out", 13, 0, out 0x80, al
        FAULTS  "mov from cr0", 13, 0, mov rax, cr0
        FAULTS  "mov to cr3", 13, 0, mov cr3, rax
        FAULTS  "mov from dr7", 13, 0, mov rax, dr7
        FAULTS  "rdmsr", 13, 0, rdmsr
        FAULTS  "wrmsr", 13, 0, wrmsr
        FAULTS  "lgdt", 13, 0, lgdt [BUF]
        FAULTS  "lidt", 13, 0, lidt [BUF]
        FAULTS  "ltr", 13, 0, ltr ax
        FAULTS  "lmsw", 13, 0, lmsw ax
        FAULTS  "invlpg", 13, 0, invlpg [BUF]
        FAULTS  "wbinvd", 13, 0, wbinvd
        FAULTS  "swapgs", 13, 0, swapgs
        FAULTS  "sysret", 13, 0, o64 sysret
        FAULTS  "xsetbv", 13, 0, xsetbv
        FAULTS  "rdpmc", 13, 0, rdpmc
        FAULTS  "clac", 6, NOERR, clac
        FAULTS  "vmcall", 6, NOERR, vmcall
        FAULTS  "vmmcall", 6, NOERR, vmmcall
        FAULTS  "ud1", 6, NOERR, ud1 eax, eax
        FAULTS  "push es", 6, NOERR, db 0x06
        FAULTS  "lock nop", 6, NOERR, db 0xf0, 0x90
        FAULTS  "sysenter", 6, NOERR, sysenter
        FAULTS  "sysexit", 6, NOERR, sysexit
        FAULTS  "not canonical, load", 13, 0, mov al, [rbx]
        FAULTS  "not canonical, store", 13, 0, mov [rbx], rax
        FAULTS  "not canonical, jump's target in memory", 13, 0, jmp [rbx]
        FAULTS  "movaps, not aligned", 13, 0, movaps xmm0, [BUF + 1]
        mov     rax, 0x800000000000
        mov     [in_regs + 5 * 8], rax
        FAULTS  "not canonical, stack", 12, 0, mov al, [rbp]
        PROG    p_badjmp
        jmp     rbx
        ENDPROG p_badjmp
        GO      p_badjmp
        EQUAL   "jump out of the canonical addresses", [got_vec], 13
        PROG    p_idiv
        mov     rdx, 1
        mov     rax, 0
        mov     ecx, 1
.at:    div     rcx
        ENDPROG p_idiv
        GO      p_idiv
        WANT    "divide overflow", 0, NOERR, p_idiv, p_idiv.at
        OUT     "its registers", 2, 1
        ; a page of ports that is allowed
        jmp     fresh_regs

; ---------------------------------------------------------------- page faults

%macro LOADS 4+                 ; text, error, address, instruction with [rbx]
        mov     rax, %3
        mov     [in_regs + 24], rax
        FAULTS  %1, 14, %2, %4
        mov     rbx, %3
        EQUAL   "its address", [got_cr2], rbx
%endmacro

test_pages:
        LOADS   "not present, read", 4, 0x40000123, mov al, [rbx]
        LOADS   "not present, write", 6, 0x40000123, mov [rbx], al
        LOADS   "not present, rmw", 6, 0x40000123, lock add dword [rbx], 1
        LOADS   "supervisor, read", 5, 0x10000, mov al, [rbx]
        LOADS   "supervisor, write", 7, 0x10000, mov [rbx], al
        LOADS   "below 64 KiB", 5, 0x10, mov al, [rbx]
        LOADS   "kernel half, read", 4, 0xffff800000001234, mov al, [rbx]
        LOADS   "kernel half, write", 6, 0xffffffff81000000, mov [rbx], al
        LOADS   "the last page below 128 TiB", 4, 0x7ffffffff008, mov al, [rbx]
        LOADS   "the page before it", 4, 0x7fffffffe008, mov al, [rbx]
        LOADS   "the host's vsyscall page, read", 4, 0xffffffffff600000, mov al, [rbx]
        PTE     8, PAGE(8) + 5
        LOADS   "read-only, write", 7, PAGE(8) + 8, mov [rbx], al
        mov     rbx, [pt + 8 * 8]
        and     ebx, 0x40
        EQUAL   "a write that faults sets no D bit", rbx, 0
        PTE     8, PAGE(8) + 3
        LOADS   "supervisor page, read", 5, PAGE(8) + 8, mov al, [rbx]
        PTE     8, 0
        LOADS   "no page, write", 6, PAGE(8) + 8, mov [rbx], al
        PTE     9, PAGE(9) + (1 << 51) + 7
        LOADS   "reserved bit", 13, PAGE(9) + 8, mov al, [rbx]
        PTE     9, PAGE(9) + 7
        mov     qword [TESTMEM + 7 * 4096 + 0xff8], 0x11
        PTE     7, PAGE(7) + 7
        LOADS   "the second of two pages, write", 6, PAGE(8), mov [rbx - 4], rax
        EQUAL   "the first is as it was", [PAGE(7) + 0xff8], 0x11
        LOADS   "the second of two pages, read", 4, PAGE(8), mov rax, [rbx - 4]
        PTE     8, PAGE(8) + 5
        LOADS   "the second is read-only", 7, PAGE(8), mov [rbx - 4], rax
        EQUAL   "the first is as it was", [PAGE(7) + 0xff8], 0x11
        LOADS   "the same of 32 bytes", 7, PAGE(8), vmovdqu [rbx - 16], ymm0
        PTE     8, PAGE(8) + 7
        ; a stack that cannot be pushed to
        mov     qword [in_regs + 4 * 8], 0x50000000
        FAULTS  "push", 14, 6, push rax
        EQUAL   "its address", [got_cr2], 0x4ffffff8
        mov     qword [in_regs + 4 * 8], USTACK
        ; accesses over two pages that are there, and not beside each other in memory
        PTE     16, PAGE(20) + 7
        PTE     17, PAGE(18) + 7
        PROG    p_two
        mov     rax, 0x1122334455667788
        mov     ebx, PAGE(17)
        mov     [rbx - 3], rax
        mov     rcx, [rbx - 3]
        lock add qword [rbx - 5], 0
        vmovdqu ymm1, [rbx - 30]
        vmovdqu [rbx - 30], ymm1
        mov     rdx, [rbx - 3]
        int     0x81
        ENDPROG p_two
        GO      p_two
        OUT     "read over two pages", 1, 0x1122334455667788
        mov     ebx, [PAGE(20) + 0xffc]
        shr     ebx, 8
        EQUAL   "written in the first", rbx, 0x667788
        mov     rbx, [PAGE(18)]
        shl     rbx, 24
        shr     rbx, 24
        EQUAL   "written in the second", rbx, 0x1122334455
        PTE     16, PAGE(16) + 7
        PTE     17, PAGE(17) + 7
        ; read-only for the kernel's sake: rights above the last level
        and     qword [PD + 16], ~2
        invlpg  [TESTMEM]
        mov     rax, cr3
        mov     cr3, rax
        LOADS   "read-only directory, write", 7, PAGE(9), mov [rbx], al
        or      qword [PD + 16], 2
        and     qword [PD + 16], ~4
        mov     rax, cr3
        mov     cr3, rax
        LOADS   "supervisor directory, read", 5, PAGE(9), mov al, [rbx]
        or      qword [PD + 16], 4
        mov     rax, cr3
        mov     cr3, rax
        jmp     fresh_regs

; ---------------------------------------------------------------- fetches

; FETCH text, error, address: a program that jumps there
%macro FETCH 3
        mov     rax, %3
        mov     [in_regs + 24], rax
        GO      p_badjmp
        mov     rax, %3
        mov     ecx, 14
        mov     edx, %2
        NAME    %1
        call    check_fault
        mov     rbx, %3
        EQUAL   "its address", [got_cr2], rbx
        KEPT    "its registers", 0
%endmacro

test_fetch:
        FETCH   "jump to no page", 0x14, 0x40000123
        FETCH   "jump to the supervisor's", 0x15, 0x10000
        FETCH   "jump to the kernel's half", 0x14, 0xffff800000000000
        FETCH   "jump to the host's vsyscall page", 0x14, 0xffffffffff600000
        FETCH   "the second of its functions", 0x14, 0xffffffffff600400
        FETCH   "the middle of one", 0x14, 0xffffffffff600001
        mov     rax, -1
        mov     [in_regs + 7 * 8], rax
        FETCH   "vsyscall, with a bad pointer", 0x14, 0xffffffffff600000
        mov     qword [in_regs + 4 * 8], 0x50000000
        FETCH   "vsyscall, with a bad stack", 0x14, 0xffffffffff600000
        call    fresh_regs
        mov     byte [PAGE(12)], 0xf4
        PTE     12, PAGE(12) + 7 + (1 << 63)
        FETCH   "jump to a page with NX", 0x15, PAGE(12)
        mov     rax, [pt + 12 * 8]
        and     eax, 0x60
        EQUAL   "which sets no A bit", rax, 0
        PROG    p_peek
        mov     al, [rbx]
        mov     [rbx], al
        jmp     rbx
        ENDPROG p_peek
        mov     qword [in_regs + 24], PAGE(12)
        GO      p_peek
        mov     rax, PAGE(12)
        mov     ecx, 14
        mov     edx, 0x15
        NAME    "the same with data that is in use"
        call    check_fault
        PTE     12, PAGE(12) + 7
        ; an instruction over two pages, the second without a right to be executed
        mov     dword [PAGE(13) - 2], 0x9090b848        ; mov rax, ...
        mov     rax, 0x81cd909090909090
        mov     [PAGE(13) + 2], rax
        mov     dword [PAGE(13) + 8], 0x81cd
        mov     qword [in_regs + 24], PAGE(13) - 2
        PTE     13, PAGE(13) + 7 + (1 << 63)
        PROG    p_jmp
        jmp     rbx
        ENDPROG p_jmp
        GO      p_jmp
        mov     rax, PAGE(13) - 2
        mov     ecx, 14
        mov     edx, 0x15
        NAME    "fetch over two pages, NX in the second"
        call    check_fault
        EQUAL   "its address", [got_cr2], PAGE(13)
        mov     rax, [pt + 13 * 8]
        and     eax, 0x60
        EQUAL   "it sets no A bit", rax, 0
        PTE     13, PAGE(13) + 7
        PROG    p_read_jmp
        mov     al, [PAGE(13)]          ; as data first
        jmp     rbx
        ENDPROG p_read_jmp
        GO      p_read_jmp
        EQUAL   "fetch over two pages", [got_vec], 0x81
        OUT     "its constant", 0, 0x9090909090909090
        mov     rax, [pt + 13 * 8]
        and     eax, 0x60
        EQUAL   "it sets no D bit", rax, 0x20
        PTE     13, 0
        GO      p_jmp
        mov     rax, PAGE(13) - 2
        mov     ecx, 14
        mov     edx, 0x14
        NAME    "fetch over two pages, no second"
        call    check_fault
        EQUAL   "its address", [got_cr2], PAGE(13)
        PTE     13, PAGE(13) + 7
        GO      p_jmp
        EQUAL   "and now it is there", [got_vec], 0x81
        jmp     fresh_regs

; ---------------------------------------------------------------- accessed and dirty

%macro BITS 3                   ; text, page, value of A and D
        mov     rbx, [pt + (%2) * 8]
        and     ebx, 0x60
        EQUAL   %1, rbx, %3
%endmacro

test_bits:
%assign n 32
%rep 64
        mov     qword [pt + n * 8], PAGE(n) + 7
%assign n n+1
%endrep
        mov     rax, cr3
        mov     cr3, rax
        PROG    p_bits
        mov     al, [PAGE(33)]
        mov     [PAGE(35)], al
        mov     al, [PAGE(37)]
        mov     [PAGE(37)], al
        mov     al, [PAGE(50)]          ; more of this region
        mov     al, [PAGE(60)]
        mov     al, [PAGE(70)]
        lock or byte [PAGE(72)], 0
        int     0x81
        ENDPROG p_bits
        GO      p_bits
        EQUAL   "accesses", [got_vec], 0x81
        BITS    "A of a page that was read", 33, 0x20
        BITS    "A and D of one that was written", 35, 0x60
        BITS    "A and D of one that was read and written", 37, 0x60
        BITS    "A and D of a locked one", 72, 0x60
        BITS    "A of a page nearby", 50, 0x20
        xor     edx, edx
        mov     ecx, 32
.count: mov     eax, [pt + rcx * 8]
        and     eax, 0x60
        cmp     eax, 1
        sbb     edx, -1
        inc     ecx
        cmp     ecx, 96
        jb      .count
        EQUAL   "no other has a bit set", rdx, 7
        ; a page with A, without D, that is mapped: the first write is seen
        mov     qword [pt + 34 * 8], PAGE(34) + 0x27
        mov     rax, cr3
        mov     cr3, rax
        GO      p_bits
        BITS    "nobody wrote", 34, 0x20
        PROG    p_write34
        mov     [PAGE(34)], al
        int     0x81
        ENDPROG p_write34
        GO      p_write34
        BITS    "D with the first write", 34, 0x60
        ; cleared, and told
        PTE     34, PAGE(34) + 7
        GO      p_write34
        BITS    "A and D once more", 34, 0x60
        ; cleared together, told by CR3
        mov     qword [pt + 34 * 8], PAGE(34) + 7
        mov     qword [pt + 33 * 8], PAGE(33) + 7
        mov     rax, cr3
        mov     cr3, rax
        GO      p_bits
        BITS    "A after a CR3 load", 33, 0x20
        BITS    "not used since", 34, 0
        ; code
        mov     word [PAGE(40)], 0x81cd
        PTE     40, PAGE(40) + 7
        mov     qword [in_regs + 24], PAGE(40)
        GO      p_jmp
        EQUAL   "code", [got_rip], PAGE(40) + 2
        BITS    "A of code", 40, 0x20
        ; of the upper levels
        and     qword [PD + 16], ~0x20
        mov     rax, cr3
        mov     cr3, rax
        GO      p_write34
        mov     rbx, [PD + 16]
        and     ebx, 0x20
        EQUAL   "A of the directory", rbx, 0x20
        jmp     fresh_regs

; ---------------------------------------------------------------- memory that changes

test_changes:
        PROG    p_load
        mov     rax, [rbx]
        int     0x81
.store: mov     [rbx], rax
        int     0x81
        ENDPROG p_load
        mov     qword [PAGE(100)], 0x100
        mov     qword [PAGE(101)], 0x101
        mov     qword [in_regs + 24], PAGE(100)
        GO      p_load
        OUT     "a page", 0, 0x100
        PTE     100, PAGE(101) + 7
        GO      p_load
        OUT     "another in its place, told by INVLPG", 0, 0x101
        mov     rax, PAGE(100) + 7
        mov     [pt + 100 * 8], rax
        mov     rax, cr3
        mov     cr3, rax
        GO      p_load
        OUT     "the first again, told by CR3", 0, 0x100
        GO      p_load, p_load.store
        EQUAL   "written", [got_vec], 0x81
        PTE     100, PAGE(100) + 0x65
        GO      p_load, p_load.store
        EQUAL   "read-only, told by INVLPG", [got_vec], 14
        EQUAL   "its error", [got_err], 7
        mov     rax, PAGE(100) + 0x67
        mov     [pt + 100 * 8], rax     ; more rights need not be told
        GO      p_load, p_load.store
        EQUAL   "writable, not told", [got_vec], 0x81
        mov     rax, PAGE(100) + 0x65
        mov     [pt + 100 * 8], rax
        mov     rax, cr3
        mov     cr3, rax
        GO      p_load, p_load.store
        EQUAL   "read-only, told by CR3", [got_vec], 14
        PTE     100, 0
        GO      p_load
        EQUAL   "gone", [got_vec], 14
        mov     rax, PAGE(100) + 0x67
        mov     [pt + 100 * 8], rax
        GO      p_load
        EQUAL   "there again, not told", [got_vec], 0x81
        ; a global page stays over CR3, and goes with CR4.PGE
        mov     rax, cr4
        or      eax, 0x80
        mov     cr4, rax
        PTE     100, PAGE(100) + 0x167
        GO      p_load
        mov     rax, PAGE(101) + 0x167
        mov     [pt + 100 * 8], rax
        mov     rax, cr4
        and     eax, ~0x80
        mov     cr4, rax
        GO      p_load
        OUT     "a global page, told by CR4.PGE", 0, 0x101
        PTE     100, PAGE(100) + 7
        ; what the kernel writes is seen, and what the program writes
        mov     rax, 0x5555
        mov     [PAGE(100)], rax
        GO      p_load
        OUT     "the kernel's write", 0, 0x5555
        mov     qword [in_regs], 0x6666
        GO      p_load, p_load.store
        EQUAL   "the program's write", [PAGE(100)], 0x6666
        ; another root
        mov     rsi, PML4
        mov     rdi, ROOT2
        mov     ecx, 4 * 512
        rep movsq
        mov     qword [ROOT2], ROOT2 + 0x1007
        mov     qword [ROOT2 + 0x1000], ROOT2 + 0x2007
        mov     qword [ROOT2 + 0x2010], ROOT2 + 0x3007
        mov     rax, PAGE(101) + 7
        mov     [ROOT2 + 0x3000 + 100 * 8], rax
        mov     rax, ROOT2
        mov     cr3, rax
        GO      p_load
        OUT     "another address space", 0, 0x101
        mov     rax, PML4
        mov     cr3, rax
        GO      p_load
        OUT     "and back", 0, 0x6666
        jmp     fresh_regs
ROOT2   equ     0x70000

; ---------------------------------------------------------------- code that changes

test_code:
        mov     rax, PAGE(110) + 7
        mov     [pt + 111 * 8], rax     ; page 111 shows page 110
        mov     rax, cr3
        mov     cr3, rax
        mov     dword [PAGE(110)], 0x000001b8           ; mov eax, 1
        mov     dword [PAGE(110) + 4], 0x0081cd00
        mov     qword [in_regs + 24], PAGE(110)
        GO      p_jmp
        OUT     "code", 0, 1
        mov     byte [PAGE(110) + 1], 2
        GO      p_jmp
        OUT     "written by the kernel", 0, 2
        mov     byte [PAGE(111) + 1], 3
        GO      p_jmp
        OUT     "written by the kernel, in another place", 0, 3
        PROG    p_rewrite
        mov     byte [PAGE(111) + 1], 4
        jmp     rbx
        ENDPROG p_rewrite
        GO      p_rewrite
        OUT     "written by the program, in another place", 0, 4
        PROG    p_rewrite2
        mov     byte [PAGE(110) + 1], 5
        jmp     rbx
        ENDPROG p_rewrite2
        GO      p_rewrite2
        OUT     "written by the program", 0, 5
        ; a loop that writes its callee each time, ever more
        mov     byte [PAGE(110) + 5], 0xc3              ; ret
        PROG    p_jit
        xor     edx, edx
        mov     ecx, 1000
.next:  mov     [PAGE(111) + 1], cx
        call    rbx
        add     edx, eax
        loop    .next
        int     0x81
        ENDPROG p_jit
        GO      p_jit
        OUT     "code that a program makes all the time", 2, 500500
        ; itself: the next instruction
        PROG    p_self
        mov     ecx, 100
        xor     edx, edx
.next:  mov     [UCODE + .at + 1 - p_self], ecx
.at:    mov     eax, 0
        add     edx, eax
        loop    .next
        int     0x81
        ENDPROG p_self
        GO      p_self
        OUT     "code that writes itself", 2, 5050
        ; harmless code becomes CPUID
        mov     word [PAGE(110)], 0x9090
        mov     dword [PAGE(110) + 2], 0x0081cd90
        mov     dword [in_regs], 0x80000002
        GO      p_jmp
        EQUAL   "code without cpuid", [got_rip], PAGE(110) + 5
        PROG    p_cpuid_in
        mov     word [PAGE(111)], 0xa20f
        jmp     rbx
        ENDPROG p_cpuid_in
        GO      p_cpuid_in
        call    is_cpuid
        ; a page that is remapped to other code
        mov     dword [PAGE(112)], 0x000001b8
        mov     dword [PAGE(112) + 4], 0x0081cd00
        mov     dword [PAGE(113)], 0x000002b8
        mov     dword [PAGE(113) + 4], 0x0081cd00
        mov     qword [in_regs + 24], PAGE(112)
        GO      p_jmp
        OUT     "a page of code", 0, 1
        PTE     112, PAGE(113) + 7
        GO      p_jmp
        OUT     "another, told by INVLPG", 0, 2
        mov     rax, PAGE(112) + 7
        mov     [pt + 112 * 8], rax
        mov     rax, cr3
        mov     cr3, rax
        GO      p_jmp
        OUT     "another, told by CR3", 0, 1
        PTE     112, PAGE(112) + 7 + (1 << 63)
        GO      p_jmp
        EQUAL   "NX, told by INVLPG", [got_err], 0x15
        PTE     112, PAGE(112) + 7
        jmp     fresh_regs

; ---------------------------------------------------------------- large pages

; VA 6-8 MiB is one page: first memory at 8 MiB, then at 10 MiB; the kernel has both where they are.
LARGE   equ     0x600000
test_large:
        mov     qword [PD + 4 * 8], 0x800083
        mov     qword [PD + 5 * 8], 0xa00083
        mov     qword [PD + 3 * 8], 0x800087
        mov     rax, cr3
        mov     cr3, rax
        mov     dword [0x801000], 0x000001b8
        mov     dword [0x801004], 0x0081cd00
        mov     dword [0xa01000], 0x000002b8
        mov     dword [0xa01004], 0x0081cd00
        mov     qword [0x9f0000], 0x11
        mov     qword [0xbf0000], 0x22
        mov     qword [in_regs + 24], LARGE + 0x1000
        GO      p_jmp
        OUT     "code in a large page", 0, 1
        mov     qword [PD + 3 * 8], 0xa00087
        invlpg  [LARGE]
        GO      p_jmp
        OUT     "another one, told by INVLPG of its start", 0, 2
        mov     qword [PD + 3 * 8], 0x800087
        invlpg  [LARGE + 0x1ff000]
        GO      p_jmp
        OUT     "another one, told by INVLPG of its end", 0, 1
        mov     qword [in_regs + 24], LARGE + 0x1f0000
        GO      p_load
        OUT     "data in a large page", 0, 0x11
        mov     rax, [PD + 3 * 8]
        and     eax, 0x60
        EQUAL   "A, no D", rax, 0x20
        mov     qword [in_regs], 0x33
        GO      p_load, p_load.store
        mov     rax, [PD + 3 * 8]
        and     eax, 0x60
        EQUAL   "A and D", rax, 0x60
        EQUAL   "written", [0x9f0000], 0x33
        mov     qword [PD + 3 * 8], 0xa00087
        invlpg  [LARGE + 0x3000]
        GO      p_load
        OUT     "another one, told by INVLPG of its middle", 0, 0x22
        mov     qword [PD + 3 * 8], 0xa00085
        invlpg  [LARGE]
        GO      p_load, p_load.store
        EQUAL   "read-only", [got_err], 7
        ; a large page becomes a table
        mov     rsi, pt
        mov     qword [PD + 3 * 8], pt + 7
        invlpg  [LARGE]
        mov     qword [PAGE(0x1f0)], 0x44
        GO      p_load
        OUT     "a table in its place", 0, 0x44
        mov     qword [PD + 3 * 8], 0
        invlpg  [LARGE + 0x1f0000]
        GO      p_load
        EQUAL   "nothing in its place", [got_err], 4
        mov     rax, cr3
        mov     cr3, rax
        jmp     fresh_regs

; ---------------------------------------------------------------- address spaces with names

test_pcid:
        mov     rax, cr4
        bts     rax, 17
        bts     rax, 7
        mov     cr4, rax
        mov     qword [PAGE(100)], 0x100
        mov     qword [PAGE(101)], 0x101
        mov     qword [PAGE(102)], 0x102
        PTE     100, PAGE(100) + 7
        mov     rax, PAGE(101) + 7
        mov     [ROOT2 + 0x3000 + 100 * 8], rax
        mov     qword [in_regs + 24], PAGE(100)
        mov     rax, PML4 + 1
        mov     cr3, rax
        GO      p_load
        OUT     "PCID 1", 0, 0x100
        mov     rax, ROOT2 + 2
        mov     cr3, rax
        GO      p_load
        OUT     "PCID 2", 0, 0x101
        mov     rax, PML4 + 1
        bts     rax, 63
        mov     cr3, rax
        GO      p_load
        OUT     "PCID 1, kept", 0, 0x100
        mov     rax, PAGE(102) + 7
        mov     [ROOT2 + 0x3000 + 100 * 8], rax
        mov     qword [v_pcid], 2
        mov     qword [v_pcid + 8], PAGE(100)
        xor     eax, eax
        invpcid rax, [v_pcid]
        mov     rax, ROOT2 + 2
        bts     rax, 63
        mov     cr3, rax
        GO      p_load
        OUT     "PCID 2, one page dropped by INVPCID", 0, 0x102
        mov     rax, PML4 + 1
        bts     rax, 63
        mov     cr3, rax
        mov     rax, PAGE(101) + 7
        mov     [ROOT2 + 0x3000 + 100 * 8], rax
        mov     eax, 1
        invpcid rax, [v_pcid]
        mov     rax, ROOT2 + 2
        bts     rax, 63
        mov     cr3, rax
        GO      p_load
        OUT     "PCID 2, dropped by INVPCID", 0, 0x101
        mov     rax, PML4 + 1
        bts     rax, 63
        mov     cr3, rax
        mov     rax, PAGE(102) + 7
        mov     [ROOT2 + 0x3000 + 100 * 8], rax
        mov     rax, ROOT2 + 2
        mov     cr3, rax
        GO      p_load
        OUT     "PCID 2, not kept", 0, 0x102
        ; more of them than there are processes
        mov     qword [v_count], 3
.more:  mov     rax, [v_count]
        or      rax, PML4
        mov     cr3, rax
        GO      p_load
        cmp     qword [out_regs], 0x100
        jne     .bad
        mov     rax, [v_count]
        or      rax, ROOT2
        mov     cr3, rax                ; the same name, another root
        GO      p_load
        cmp     qword [out_regs], 0x102
        jne     .bad
        inc     qword [v_count]
        cmp     qword [v_count], 20
        jb      .more
        NAME    "many PCIDs"
        call    pass
        jmp     .good
.bad:   NAME    "many PCIDs"
        call    fail
.good:  ; a global page: INVLPG drops it for all
        mov     rax, PAGE(100) + 0x107
        mov     [pt + 100 * 8], rax
        mov     rax, PML4 + 1
        mov     cr3, rax
        invlpg  [PAGE(100)]
        GO      p_load
        OUT     "a global page", 0, 0x100
        mov     rax, PML4 + 2
        mov     cr3, rax
        mov     rax, PAGE(101) + 0x107
        mov     [pt + 100 * 8], rax
        invlpg  [PAGE(100)]
        GO      p_load
        OUT     "another one, in PCID 2", 0, 0x101
        mov     rax, PML4 + 1
        bts     rax, 63
        mov     cr3, rax
        GO      p_load
        OUT     "and in PCID 1, told by INVLPG in 2", 0, 0x101
        PTE     100, PAGE(100) + 7
        mov     rax, PML4
        mov     cr3, rax
        mov     rax, cr4
        btr     rax, 17
        btr     rax, 7
        mov     cr4, rax
        jmp     fresh_regs

; ---------------------------------------------------------------- what would be the host's

; The program had rax = 80000002 and ran CPUID.
is_cpuid:
        mov     eax, 0x80000002
        xor     ecx, ecx
        cpuid
        mov     r8, rbx
        EQUAL   "cpuid: eax", [out_regs], rax
        EQUAL   "cpuid: ebx", [out_regs + 24], r8
        ret

test_host:
        mov     qword [v_count], 0
        PROG    p_cpuid
        cpuid
        int     0x81
.pre:   db      0x66, 0x0f, 0xa2
        int     0x81
.pre2:  db      0xf3, 0x48, 0x0f, 0xa2
        int     0x81
.in:    db      0xb8, 0x90, 0x0f, 0xa2, 0xcd, 0x81, 0, 0, 0, 0
.xgetbv: xgetbv
        int     0x81
.rdpid: rdpid   rax
        int     0x81
.rdpid2: rdpid  r9
        int     0x81
.tsc:   rdtsc
        int     0x81
.tscp:  rdtscp
        int     0x81
.xg2:   db      0xb8, 0x90, 0x0f, 0x01, 0xd0, 0xcd, 0x81, 0, 0, 0, 0
        ENDPROG p_cpuid
.next:  mov     rax, [v_count]
        mov     eax, [leaf_list + rax * 4]
        mov     [in_regs], rax
        mov     qword [in_regs + 8], 0
        GO      p_cpuid
        mov     eax, [in_regs]
        xor     ecx, ecx
        cpuid
        mov     r8, rbx
        mov     r9, rcx
        mov     r10, rdx
        EQUAL   "cpuid: eax", [out_regs], rax
        EQUAL   "cpuid: ebx", [out_regs + 24], r8
        EQUAL   "cpuid: ecx", [out_regs + 8], r9
        EQUAL   "cpuid: edx", [out_regs + 16], r10
        inc     qword [v_count]
        cmp     qword [v_count], LEAVES
        jb      .next
        mov     dword [in_regs], 0x80000002
        GO      p_cpuid, p_cpuid.pre
        call    is_cpuid
        GO      p_cpuid, p_cpuid.pre2
        call    is_cpuid
        GO      p_cpuid, p_cpuid.in + 2
        call    is_cpuid
        mov     qword [in_regs + 8], 0
        GO      p_cpuid, p_cpuid.xgetbv
        OUT     "xgetbv", 0, 7
        GO      p_cpuid, p_cpuid.xg2 + 2
        OUT     "xgetbv in an instruction", 0, 7
        GO      p_cpuid, p_cpuid.rdpid
        OUT     "rdpid", 0, 0x777
        GO      p_cpuid, p_cpuid.rdpid2
        OUT     "rdpid r9", 9, 0x777
        GO      p_cpuid, p_cpuid.tscp
        OUT     "rdtscp", 1, 0x777
        rdtsc
        shl     rdx, 32
        or      rax, rdx
        mov     [v_tsc], rax
        GO      p_cpuid, p_cpuid.tsc
        rdtsc
        shl     rdx, 32
        or      rax, rdx
        mov     rbx, [out_regs + 16]
        shl     rbx, 32
        or      rbx, [out_regs]
        cmp     rbx, [v_tsc]
        CHECK   "rdtsc, after the kernel's", ae
        cmp     rbx, rax
        CHECK   "rdtsc, before the kernel's", be
        mov     rax, cr4
        or      eax, 4
        mov     cr4, rax
        GO      p_cpuid, p_cpuid.tsc
        mov     rax, cr4
        and     eax, ~4
        mov     cr4, rax
        WANT    "rdtsc with CR4.TSD", 13, 0, p_cpuid, p_cpuid.tsc
        ; over two pages
        mov     byte [PAGE(120) + 0xfff], 0x0f
        mov     dword [PAGE(121)], 0x0081cda2
        mov     dword [in_regs], 0x80000002
        mov     qword [in_regs + 24], PAGE(120) + 0xfff
        GO      p_jmp
        call    is_cpuid
        mov     dword [PAGE(120) + 0xffc], 0x0f486690
        mov     qword [in_regs + 24], PAGE(120) + 0xffd
        mov     byte [PAGE(121)], 0xa2
        GO      p_jmp
        EQUAL   "over two pages, with prefixes", [got_vec], 0x81
        ; the first instruction of a page that was not there
        mov     dword [PAGE(122) + 0x100], 0x81cda20f
        mov     qword [in_regs + 24], PAGE(122) + 0x100
        GO      p_jmp
        call    is_cpuid
        GO      p_jmp
        call    is_cpuid
        PTE     122, PAGE(122) + 7
        GO      p_jmp
        call    is_cpuid
        ; a program that falls into it
        mov     dword [PAGE(123) + 0xffd], 0x90909090
        mov     byte [PAGE(123) + 0xfff], 0x90
        mov     dword [PAGE(124)], 0x0fa20f90
        mov     dword [PAGE(124) + 3], 0x0081cd90
        mov     qword [in_regs + 24], PAGE(123) + 0xffd
        GO      p_jmp
        call    is_cpuid
        ; more of them than there are breakpoints
        mov     rdi, PAGE(125) + 0x80
        mov     ecx, 20
.fill:  mov     dword [rdi], 0x81cda20f
        add     rdi, 64
        loop    .fill
        mov     qword [v_count], 20
        mov     qword [in_regs + 24], PAGE(125) + 0x80
.many:  GO      p_jmp
        mov     eax, 0x80000002
        xor     ecx, ecx
        cpuid
        cmp     rax, [out_regs]
        jne     .bad
        add     qword [in_regs + 24], 64
        dec     qword [v_count]
        jnz     .many
        NAME    "many cpuid in a page"
        call    pass
        jmp     .pages
.bad:   NAME    "many cpuid in a page"
        call    fail
.pages: mov     rdi, PAGE(130)          ; and in many pages
        mov     ecx, 20
.fill2: mov     dword [rdi + 0x20], 0x81cda20f
        add     rdi, 4096
        loop    .fill2
        mov     qword [v_count], 40
        mov     qword [in_regs + 24], PAGE(130) + 0x20
.many2: GO      p_jmp
        mov     eax, 0x80000002
        xor     ecx, ecx
        cpuid
        cmp     rax, [out_regs]
        jne     .bad2
        add     qword [in_regs + 24], 4096
        cmp     qword [in_regs + 24], PAGE(150)
        jb      .goon
        mov     qword [in_regs + 24], PAGE(130) + 0x20
.goon:  dec     qword [v_count]
        jnz     .many2
        NAME    "cpuid in many pages"
        call    pass
        jmp     fresh_regs
.bad2:  NAME    "cpuid in many pages"
        call    fail
        jmp     fresh_regs

; ---------------------------------------------------------------- descriptor tables and the like

; One each, at offsets of 64 bytes: read at leisure, from some instructions before.
%macro LEISURELY 1+
        align   64, nop
        %1
        int     0x81
%endmacro

test_tables:
        PROG    p_tab
        align   64, nop
        LEISURELY sgdt [BUF]
        LEISURELY sidt [BUF]
        LEISURELY sldt eax
        LEISURELY str eax
        LEISURELY smsw rax
        LEISURELY lar eax, edx
        LEISURELY lsl eax, edx
        LEISURELY verr dx
        LEISURELY verw dx
        align   64, nop
        ENDPROG p_tab
%macro TAB 1                    ; the n-th
        mov     rsi, p_tab
        mov     ecx, p_tab_end - p_tab
        call    put_code
        mov     rax, p_tab
        neg     rax
        and     rax, 63
        add     rax, UCODE + (%1) * 64
        mov     [in_rip], rax
        call    go
%endmacro
        mov     rax, cr4
        btr     rax, 11
        mov     cr4, rax
        TAB     0
        sgdt    [v_table]
        EQUAL   "sgdt", [BUF + 2], [v_table + 2]
        movzx   ebx, word [BUF]
        EQUAL   "sgdt: limit", rbx, gdt_end - gdt - 1
        TAB     1
        EQUAL   "sidt", [BUF + 2], idt
        movzx   ebx, word [BUF]
        EQUAL   "sidt: limit", rbx, 256 * 16 - 1
        mov     qword [in_regs], -1
        TAB     2
        OUT     "sldt", 0, 0
        TAB     3
        OUT     "str", 0, TSS_SEL
        TAB     4
        mov     rbx, cr0
        OUT     "smsw", 0, rbx
        mov     qword [in_regs + 16], UCS
        TAB     5
        mov     edx, UCS
        lar     ebx, edx
        OUT     "lar", 0, rbx
        mov     rbx, [got_flags]
        and     ebx, 0x40
        EQUAL   "lar: ZF", rbx, 0x40
        mov     qword [in_regs + 16], KCS
        TAB     5
        mov     rbx, [got_flags]
        and     ebx, 0x40
        EQUAL   "lar of the kernel's", rbx, 0
        mov     qword [in_regs + 16], 0x7b      ; the host's processor number
        TAB     5
        mov     rbx, [got_flags]
        and     ebx, 0x40
        EQUAL   "lar of the host's", rbx, 0
        TAB     6
        mov     rbx, [got_flags]
        and     ebx, 0x40
        EQUAL   "lsl of the host's", rbx, 0
        TAB     7
        mov     rbx, [got_flags]
        and     ebx, 0x40
        EQUAL   "verr of the host's", rbx, 0
        mov     qword [in_regs + 16], UDS
        TAB     6
        OUT     "lsl", 0, 0xffffffff
        TAB     7
        mov     rbx, [got_flags]
        and     ebx, 0x40
        EQUAL   "verr", rbx, 0x40
        TAB     8
        mov     rbx, [got_flags]
        and     ebx, 0x40
        EQUAL   "verw", rbx, 0x40
        mov     rax, cr4
        bts     rax, 11
        mov     cr4, rax
        mov     qword [v_count], 0
.umip:  mov     rax, [v_count]
        imul    rax, rax, 64
        mov     [v_tsc], rax
        TAB     0
        mov     rax, [v_tsc]
        add     [in_rip], rax
        call    go
        EQUAL   "UMIP", [got_vec], 13
        EQUAL   "UMIP: rip", [got_rip], [in_rip]
        inc     qword [v_count]
        cmp     qword [v_count], 5
        jb      .umip
        mov     rax, cr4
        btr     rax, 11
        mov     cr4, rax
        jmp     fresh_regs

; ---------------------------------------------------------------- single step and alignment

DR6_NONE equ    0xffff0ff0
%macro STEPPED 3                ; text, program, label
        WANT    %1, 1, NOERR, %2, %3
        mov     rbx, [got_dr6]
        EQUAL   "its DR6", rbx, DR6_NONE | 0x4000
        mov     eax, DR6_NONE
        mov     dr6, rax
        mov     rbx, [got_flags]
        and     ebx, 0x100
        EQUAL   "its TF", rbx, 0x100
%endmacro

test_debug:
        mov     eax, DR6_NONE
        mov     dr6, rax
        PROG    p_tf
        pushfq
        or      qword [rsp], 0x100
        popfq
        nop
.after: nop
        int     0x81
.cpuid: pushfq
        or      qword [rsp], 0x100
        popfq
        cpuid
.cpuid_after:
        int     0x81
.load:  pushfq
        or      qword [rsp], 0x100
        popfq
        mov     al, [rbx]
.load_after:
        int     0x81
.sys:   pushfq
        or      qword [rsp], 0x100
        popfq
        syscall
.sys_after:
        int     0x81
.rdtsc: pushfq
        or      qword [rsp], 0x100
        popfq
        rdtsc
.rdtsc_after:
        int     0x81
.int3:  pushfq
        or      qword [rsp], 0x100
        popfq
        int3
.int3_after:
        int     0x81
.ud:    pushfq
        or      qword [rsp], 0x100
        popfq
.ud_at: ud2
.pushf: pushfq
        or      qword [rsp], 0x100
        popfq
        pushfq
.pushf_after:
        pop     rdx
        int     0x81
        ENDPROG p_tf
        GO      p_tf
        STEPPED "single step", p_tf, p_tf.after
        mov     dword [in_regs], 0x80000002
        GO      p_tf, p_tf.cpuid
        STEPPED "single step of cpuid", p_tf, p_tf.cpuid_after
        call    is_cpuid
        mov     qword [in_regs + 24], PAGE(160)
        mov     byte [PAGE(160)], 0x5a
        PTE     160, PAGE(160) + 7
        GO      p_tf, p_tf.load
        STEPPED "single step of a load from a fresh page", p_tf, p_tf.load_after
        mov     al, [out_regs]
        movzx   eax, al
        EQUAL   "which came", rax, 0x5a
        GO      p_tf, p_tf.sys
        WANT    "syscall with TF", SYSCALLED, NOERR, p_tf, p_tf.sys_after
        OUT     "its flags", 11, UFLAGS | 0x100
        GO      p_tf, p_tf.rdtsc
        STEPPED "single step of rdtsc", p_tf, p_tf.rdtsc_after
        GO      p_tf, p_tf.int3
        WANT    "int3 with TF", 3, NOERR, p_tf, p_tf.int3_after
        GO      p_tf, p_tf.ud
        WANT    "ud2 with TF", 6, NOERR, p_tf, p_tf.ud_at
        GO      p_tf, p_tf.pushf
        STEPPED "single step of pushf", p_tf, p_tf.pushf_after
        mov     rbx, [out_regs + 32]
        mov     rbx, [rbx]
        and     ebx, 0x100
        EQUAL   "pushf shows TF", rbx, 0x100
        ; entered with TF
        mov     qword [in_flags], UFLAGS | 0x100
        GO      p_tf, p_tf.after
        EQUAL   "entered with TF", [got_vec], 1
        EQUAL   "after one instruction", [got_rip], UCODE + p_tf.after + 1 - p_tf
        mov     eax, DR6_NONE
        mov     dr6, rax
        call    fresh_regs
        GO      p_sys
        EQUAL   "no TF stays", [got_vec], SYSCALLED
        ; a data breakpoint of the guest's own
        mov     qword [in_regs + 24], PAGE(160)
        GO      p_load, p_load.store
        mov     eax, PAGE(160)
        mov     dr0, rax
        mov     eax, 0xd0302            ; writes of four bytes... of DR0, global
        mov     eax, 0x000d0602
        mov     dr7, rax
        GO      p_load, p_load.store
        xor     eax, eax
        mov     dr7, rax
        EQUAL   "the guest's own data breakpoint", [got_vec], 1
        mov     rbx, [got_dr6]
        and     ebx, 15
        EQUAL   "its DR6", rbx, 1
        mov     eax, DR6_NONE
        mov     dr6, rax
        mov     eax, UCODE + 2          ; and one of code
        mov     dr0, rax
        mov     eax, 0x602
        mov     dr7, rax
        GO      p_tf, p_tf.after
        GO      p_sys
        GO      p_sys, p_sys.after
        xor     ecx, ecx
        mov     dr7, rcx
        EQUAL   "the guest's own code breakpoint", [got_vec], 1
        EQUAL   "its place", [got_rip], UCODE + 2
        mov     eax, DR6_NONE
        mov     dr6, rax
        ; alignment
        call    fresh_regs
        PROG    p_ac
        pushfq
        or      qword [rsp], 0x40000
        popfq
        mov     eax, [BUF]
.at:    mov     eax, [BUF + 1]
        pushfq
        pop     rbx
        int     0x81
        ENDPROG p_ac
        GO      p_ac
        EQUAL   "AC without CR0.AM", [got_vec], 0x81
        mov     rbx, [out_regs + 24]
        and     ebx, 0x40000
        EQUAL   "AC stays", rbx, 0x40000
        mov     rax, cr0
        bts     rax, 18
        mov     cr0, rax
        GO      p_ac
        WANT    "AC with CR0.AM", 17, 0, p_ac, p_ac.at
        mov     qword [in_flags], UFLAGS | 0x40000
        GO      p_ac, p_ac.at
        WANT    "entered with AC", 17, 0, p_ac, p_ac.at
        mov     qword [in_flags], UFLAGS
        GO      p_ac, p_ac.at
        EQUAL   "no AC stays", [got_vec], 0x81
        mov     rax, cr0
        btr     rax, 18
        mov     cr0, rax
        jmp     fresh_regs

; ---------------------------------------------------------------- floating point

test_fpu_faults:
        PROG    p_xm
        mov     dword [BUF], 0x1d80     ; ZE is not masked
        ldmxcsr [BUF]
        pcmpeqd xmm0, xmm0
        psrld   xmm0, 25
        pslld   xmm0, 23                ; 1.0
        xorps   xmm1, xmm1
.at:    divss   xmm0, xmm1
        int     0x81
        ENDPROG p_xm
        GO      p_xm
        WANT    "an SSE exception", 19, NOERR, p_xm, p_xm.at
        call    xs_get
        mov     eax, [XS2 + 24]
        EQUAL   "its mxcsr", rax, 0x1d84
        mov     eax, [XS2 + 160]
        EQUAL   "its operand", rax, 0x3f800000
        PROG    p_mf
        fninit
        mov     word [BUF], 0x37b       ; ZE is not masked
        fldcw   [BUF]
        fld1
        fldz
        fdivp
        mov     eax, 5
.at:    fld1
        int     0x81
.wait:  fwait
        int     0x81
        ENDPROG p_mf
        GO      p_mf
        WANT    "an x87 exception", 16, NOERR, p_mf, p_mf.at
        call    xs_get
        movzx   eax, word [XS2 + 2]
        and     eax, 0x80ff
        EQUAL   "its fsw", rax, 0x8084
        GO      p_mf, p_mf.wait
        WANT    "it is still there", 16, NOERR, p_mf, p_mf.wait
        fninit
        mov     dword [XS], 0x1f80
        ldmxcsr [XS]
        PROG    p_mx
        mov     dword [BUF], 0x80001f80
.at:    ldmxcsr [BUF]
        int     0x81
        ENDPROG p_mx
        GO      p_mx
        WANT    "a reserved bit of mxcsr", 13, 0, p_mx, p_mx.at
        PROG    p_xr
        mov     byte [BUF + 512], 0xff
.at:    xrstor64 [BUF]
        int     0x81
        ENDPROG p_xr
        GO      p_xr
        WANT    "xrstor, a bit that the guest has not got", 13, 0, p_xr, p_xr.at
        ret

; ---------------------------------------------------------------- bases

test_bases:
        PROG    p_base
        wrfsbase rbx
        wrgsbase rdx
        mov     rax, [fs:0]
        mov     rcx, [gs:8]
        syscall
.again: rdfsbase rbx
        rdgsbase rdx
        mov     rax, [fs:8]
        int     0x81
.bad:   mov     rbx, 0x800000000000
.bad_at: wrfsbase rbx
.high:  mov     rbx, 0xffff900000000000
        wrfsbase rbx
        int     0x81
.high2: mov     rbx, 0x7ffffffff000
        wrgsbase rbx
        int     0x81
.fetch: rdfsbase rbx
        rdgsbase rdx
        int     0x81
        ENDPROG p_base
        mov     qword [BUF], 0xf5
        mov     qword [BUF + 8], 0x65
        mov     qword [in_regs + 24], BUF
        mov     qword [in_regs + 16], BUF
        GO      p_base
        OUT     "fs base", 0, 0xf5
        rdfsbase rbx
        EQUAL   "the program's fs base", rbx, BUF
        rdgsbase rbx
        EQUAL   "the program's gs base", rbx, BUF
        mov     ebx, BUF + 8
        wrfsbase rbx
        mov     ebx, BUF + 16
        wrgsbase rbx
        mov     qword [BUF + 16], 0x16
        GO      p_base, p_base.again
        OUT     "the kernel's fs base", 3, BUF + 8
        OUT     "the kernel's gs base", 2, BUF + 16
        OUT     "what is there", 0, 0x16
        GO      p_base, p_base.bad
        WANT    "wrfsbase, not canonical", 13, 0, p_base, p_base.bad_at
        GO      p_base, p_base.high
        rdfsbase rbx
        EQUAL   "fs base in the kernel's half", rbx, 0xffff900000000000
        GO      p_base, p_base.fetch
        OUT     "it comes back", 3, 0xffff900000000000
        GO      p_base, p_base.high2
        rdgsbase rbx
        EQUAL   "gs base behind the program's half", rbx, 0x7ffffffff000
        GO      p_base, p_base.fetch
        OUT     "it comes back", 2, 0x7ffffffff000
        xor     ebx, ebx
        wrfsbase rbx
        wrgsbase rbx
        jmp     fresh_regs

; ---------------------------------------------------------------- segment registers

%macro SEL 4+                   ; text, vector, error, selector: mov fs from a program
        mov     qword [in_regs], %4
        GO      p_fs
        EQUAL   %1, [got_vec], %2
        EQUAL   "its error", [got_err], %3
        xor     eax, eax
        mov     fs, ax
%endmacro

test_segments:
        PROG    p_ds
        mov     eax, UDS
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     ebx, ds
        mov     ecx, es
        xor     eax, eax
        mov     ds, ax
        mov     edx, ds
        int     0x81
.fs:    mov     eax, UDS
        mov     fs, ax
        mov     gs, ax
        syscall
.more:  mov     ebx, fs
        mov     ecx, gs
        int     0x81
        ENDPROG p_ds
        GO      p_ds
        EQUAL   "mov to ds, es, ss", [got_vec], 0x81
        OUT     "ds", 3, UDS
        OUT     "es", 1, UDS
        OUT     "ds, null", 2, 0
        GO      p_ds, p_ds.fs
        mov     ebx, fs
        EQUAL   "fs stays over syscall", rbx, UDS
        mov     ebx, gs
        EQUAL   "gs stays over syscall", rbx, UDS
        GO      p_ds, p_ds.more
        OUT     "fs in the next turn", 3, UDS
        OUT     "gs in the next turn", 1, UDS
        xor     eax, eax
        mov     fs, ax
        mov     gs, ax
        PROG    p_fs
.at:    mov     fs, ax
        int     0x81
        ENDPROG p_fs
        SEL     "mov fs, the kernel's data", 13, KDS, KDS
        mov     byte [gdt + 0x48 + 5], 0x73
        SEL     "mov fs, not present", 11, 0x48, 0x48 | 3
        SEL     "mov fs, beyond the table", 13, 0x1000, 0x1000
        SEL     "mov fs, in no LDT", 13, 0x14, 0x17
        SEL     "mov fs, the host's processor number", 13, 0x78, 0x7b
        SEL     "mov fs, code", 0x81, NOERR, UCS
        mov     qword [in_regs], KDS
        PROG    p_ss
        mov     ss, ax
        int     0x81
        ENDPROG p_ss
        GO      p_ss
        WANT    "mov ss, the kernel's data", 13, KDS, p_ss, p_ss
        mov     qword [in_regs], 0
        GO      p_ss
        WANT    "mov ss, null", 13, 0, p_ss, p_ss
        PROG    p_popfs
        push    rax
        pop     fs
        int     0x81
        ENDPROG p_popfs
        mov     qword [in_regs], UDS
        GO      p_popfs
        mov     ebx, fs
        EQUAL   "pop fs", rbx, UDS
        xor     eax, eax
        mov     fs, ax
        ; far returns and calls
        PROG    p_far
        mov     eax, UCODE + .there - p_far
        push    rbx
        push    rax
.at:    retfq
.there: int     0x81
.end:
        ENDPROG p_far
        mov     qword [in_regs + 24], UCS
        GO      p_far
        WANT    "far return", 0x81, NOERR, p_far, p_far.end
        mov     qword [in_regs + 24], KCS
        GO      p_far
        WANT    "far return to the kernel's code", 13, KCS, p_far, p_far.at
        mov     qword [in_regs + 24], KCS | 3
        GO      p_far
        WANT    "far return to the kernel's code, RPL 3", 13, KCS, p_far, p_far.at
        mov     qword [in_regs + 24], UDS
        GO      p_far
        WANT    "far return to data", 13, UDS & ~3, p_far, p_far.at
        PROG    p_gate
        push    qword 0x5b
        push    qword 0
        call    far [rsp]
.after: int     0x81
        ENDPROG p_gate
        mov     rax, gate_entry
        mov     [gdt + 0x58], ax
        shr     rax, 16
        mov     [gdt + 0x58 + 6], ax
        mov     dword [gdt + 0x60], 0
        GO      p_gate
        EQUAL   "call gate", [got_vec], 0x5b
        jmp     fresh_regs
gate_entry:
        mov     dword [got_vec], 0x5b
        mov     rsp, [resume_sp]
        jmp     [resume]

; ---------------------------------------------------------------- 32-bit code of a 64-bit program

test_compat:
        PROG    p_32
        push    qword UCS32
        mov     eax, UCODE + .c32 - p_32
        push    rax
        retfq
        bits    32
.c32:   mov     eax, 0x12345678
        inc     eax                     ; a REX prefix in 64-bit code
        mov     ebx, eax
        jmp     UCS:UCODE + .c64 - p_32
        bits    64
.c64:   mov     rcx, rsp
        int     0x81
.end:
.stay:  push    qword UCS32
        mov     eax, UCODE + .c32b - p_32
        push    rax
        retfq
        bits    32
.c32b:  mov     eax, 0x87654321
        inc     eax
        int     0x81
.stay_end:
.sysc:  bits    64
        push    qword UCS32
        mov     eax, UCODE + .c32c - p_32
        push    rax
        retfq
        bits    32
.c32c:  mov     eax, 20
        syscall
.sysc_end:
        int     0x81
.ud:    bits    64
        push    qword UCS32
        mov     eax, UCODE + .c32d - p_32
        push    rax
        retfq
        bits    32
.c32d:  inc     eax
.ud_at: ud2
.i80:   bits    64
        push    qword UCS32
        mov     eax, UCODE + .c32f - p_32
        push    rax
        retfq
        bits    32
.c32f:  mov     eax, 1
        int     0x80
.i80_end:
        bits    64
        ENDPROG p_32
        PROG    p_sysenter
        push    qword UCS32
        mov     eax, UCODE + .c32 - p_sysenter
        push    rax
        retfq
        bits    32
.c32:   inc     eax
.at:    sysenter
        bits    64
        ENDPROG p_sysenter
        PROG    p_sysc32
        push    qword UCS32
        mov     eax, UCODE + .c32 - p_sysc32
        push    rax
        retfq
        bits    32
.c32:   mov     esp, 0x50000000
        mov     eax, 20
        syscall
.after: bits    64
        ENDPROG p_sysc32
        GO      p_32
        WANT    "to 32-bit code and back", 0x81, NOERR, p_32, p_32.end
        OUT     "what it did", 3, 0x12345679
        EQUAL   "back in 64-bit code", [got_cs], UCS
        GO      p_32, p_32.stay
        WANT    "an interrupt in 32-bit code", 0x81, NOERR, p_32, p_32.stay_end
        EQUAL   "its cs", [got_cs], UCS32
        mov     eax, [out_regs]
        EQUAL   "its eax", rax, 0x87654322
        GO      p_32, p_32.ud
        WANT    "ud2 in 32-bit code", 6, NOERR, p_32, p_32.ud_at
        EQUAL   "its cs", [got_cs], UCS32
        GO      p_sysenter
        WANT    "sysenter in 32-bit code", 6, NOERR, p_sysenter, p_sysenter.at
        GO      p_sysc32
        WANT    "syscall in 32-bit code, no stack", SYSCALLED32, NOERR, p_sysc32, p_sysc32.after
        GO      p_32, p_32.i80
        WANT    "int 0x80 in 32-bit code", 0x80, NOERR, p_32, p_32.i80_end
        GO      p_32, p_32.sysc
        WANT    "syscall in 32-bit code", SYSCALLED32, NOERR, p_32, p_32.sysc_end
        mov     qword [in_regs + 4 * 8], 0x50000000
        mov     qword [in_regs + 24], UCODE + p_32.c32c - p_32
        GO      p_32, p_32.sysc         ; no stack: faults in push
        EQUAL   "no stack", [got_vec], 14
        mov     qword [in_regs + 4 * 8], USTACK
        ; the guest's table says that there is no 32-bit code
        mov     byte [gdt + 0x20 + 5], 0x7b
        GO      p_32, p_32.stay
        mov     byte [gdt + 0x20 + 5], 0xfb
        EQUAL   "32-bit code that the guest has not got", [got_vec], 11
        EQUAL   "its error", [got_err], 0x20
        mov     byte [gdt + 0x20 + 5], 0x9b
        GO      p_32, p_32.stay
        mov     byte [gdt + 0x20 + 5], 0xfb
        EQUAL   "32-bit code of the guest's kernel", [got_vec], 13
        EQUAL   "its error", [got_err], 0x20
        jmp     fresh_regs

; ---------------------------------------------------------------- programs that mean harm

test_hostile:
        ; breakpoints that do not come: RF, and the shadow of mov ss
        PROG    p_rf
        mov     eax, 0x80000002
        xor     ecx, ecx
        push    qword UDS
        lea     rdx, [rsp + 8]
        push    rdx
        push    qword 0x10202
        push    qword UCS
        mov     edx, UCODE + .at - p_rf
        push    rdx
        iretq
.at:    cpuid
        int     0x81
        ENDPROG p_rf
        GO      p_rf
        call    is_cpuid
        PROG    p_movss
        mov     edx, UDS
        mov     eax, 0x80000002
        xor     ecx, ecx
        mov     ss, edx
        cpuid
        int     0x81
        ENDPROG p_movss
        GO      p_movss
        call    is_cpuid
        GO      p_movss
        call    is_cpuid
        ; a write right before
        mov     qword [in_regs + 24], PAGE(170) + 0x40
        mov     dword [PAGE(170) + 0x40], 0x81cd9090
        GO      p_jmp
        PROG    p_late
        mov     eax, 0x80000002
        xor     ecx, ecx
        mov     word [rbx], 0xa20f
        jmp     rbx
        ENDPROG p_late
        GO      p_late
        call    is_cpuid
        ; iretq with flags that a program may not have
        PROG    p_iret
        push    qword UDS
        lea     rdx, [rsp + 8]
        push    rdx
        push    rbx
        push    qword UCS
        mov     edx, UCODE + .at - p_iret
        push    rdx
        iretq
.at:    pushfq
        pop     rdx
        syscall
        ENDPROG p_iret
        mov     qword [in_regs + 24], 0x3b202 - 0x20000 ; RF, IOPL 3, IF
        GO      p_iret
        OUT     "iretq: IOPL is not the program's", 2, UFLAGS
        mov     qword [in_regs + 24], 0x2
        GO      p_iret
        OUT     "iretq: nor is IF", 2, UFLAGS
        mov     qword [in_regs + 24], 0x200202  ; ID
        GO      p_iret
        OUT     "iretq: ID", 2, 0x200202
        OUT     "over syscall", 11, 0x200202
        GO      p_fl
        OUT     "it does not stay", 3, UFLAGS
        ; values that the host's kernel takes for its own
        mov     qword [v_count], -520
.rest:  mov     rax, [v_count]
        mov     [in_regs], rax
        GO      p_sys
        cmp     dword [got_vec], SYSCALLED
        jne     .bad
        GO      p_sys, p_sys.after
        cmp     dword [got_vec], 0x81
        jne     .bad
        mov     rax, [out_regs]
        cmp     rax, [v_count]
        jne     .bad
        inc     qword [v_count]
        cmp     qword [v_count], -500
        jne     .rest
        NAME    "rax as a call that is to be begun again"
        call    pass
        jmp     fresh_regs
.bad:   NAME    "rax as a call that is to be begun again"
        call    fail
        jmp     fresh_regs

; ---------------------------------------------------------------- data

        align   8
flag_list: dq   0x202, 0xad7 + 0x400, 0x602, 0xa03, 0x246, 0x200202, 0x40202, 0x4202
; exit, exit_group, kill, mmap, munmap, ptrace, execve, fork, rt_sigreturn, write, vfork, clone3, seccomp,
; process_vm_writev, mprotect, prctl, arch_prctl, io_uring_setup, a number of 32-bit code, none, the first
call_list:
        dq      60, 0, 0, 0, 0, 0, 0
        dq      231, 0, 0, 0, 0, 0, 0
        dq      62, 0, 9, 0, 0, 0, 0
        dq      9, 0, 0x1000, 7, 0x22, -1, 0
        dq      9, 0x200000, 0x1000, 7, 0x32, -1, 0
        dq      11, 0x200000, 0x200000, 0, 0, 0, 0
        dq      101, 16, 1, 0, 0, 0, 0
        dq      59, 0x10000, 0, 0, 0, 0, 0
        dq      57, 0, 0, 0, 0, 0, 0
        dq      15, 0, 0, 0, 0, 0, 0
        dq      1, 2, 0x200000, 16, 0, 0, 0
        dq      58, 0, 0, 0, 0, 0, 0
        dq      435, 0x280000, 88, 0, 0, 0, 0
        dq      317, 1, 0, 0, 0, 0, 0
        dq      311, 1, 0x280000, 1, 0x280000, 1, 0
        dq      10, 0x200000, 0x1000, 7, 0, 0, 0
        dq      157, 26, 1, 0, 0, 0, 0
        dq      158, 0x1002, 0x1234, 0, 0, 0, 0
        dq      425, 8, 0x280000, 0, 0, 0, 0
        dq      0x40000000 + 60, 0, 0, 0, 0, 0, 0
        dq      -1, 0, 0, 0, 0, 0, 0
        dq      0xffffffff0000003c, 0, 0, 0, 0, 0, 0
        dq      219, 0, 0, 0, 0, 0, 0
CALLS   equ     ($ - call_list) / 56
leaf_list: dd   0, 1, 4, 7, 0xb, 0xd, 0x15, 0x40000000, 0x80000000, 0x80000001, 0x80000002, 0x80000003, 0x80000008
LEAVES  equ     ($ - leaf_list) / 4
        align   8
v_count: dq     0
v_tsc:  dq      0
v_pcid: dq      0, 0
v_table: dq     0, 0
in_rip: dq      0
in_flags: dq    UFLAGS
in_regs: times 16 dq 0
out_regs: times 16 dq 0
        ROM_END
