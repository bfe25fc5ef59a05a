; SPDX-License-Identifier: GPL-2.0-or-later
; Long mode: 32-bit callers of SYSCALL, SYSENTER's absence, alignment checks, FS and GS bases, PCID and
; INVPCID, XSETBV, RDTSCP, RDPMC, TSD, code and data beside each other, big loops across pages.
%include "kit64.inc"

tests:
        mov     byte [idt + 0x81 * 16 + 5], 0xee
        call    test_compat
        call    test_ac
        call    test_bases
        call    test_pcid
        call    test_xcr0
        call    test_tsc
        call    test_cpuid
        call    test_smc
        call    test_ports
        ret

; ---------------------------------------------------------------- 32-bit code under long mode

%macro USER32 2
        mov     eax, UDS
        mov     ds, ax
        mov     rsi, %1
        mov     rdi, UCODE
        mov     rcx, %2 - %1
        rep movsb
        ARM     %%back
        push    qword UDS
        push    qword USTACK
        push    qword 0x202
        push    qword UCS32
        push    qword UCODE
        iretq
%%back:
%endmacro

        bits    32
c_call: mov     edi, 0x55
        syscall
        int     0x81
c_end:
c_enter: sysenter
c_enter_end:
c_far:  mov     eax, 0xdeadbeef
        call    (0x30 | 3):UCODE + (.in64 - c_far)      ; to 64-bit code and back
        int     0x81
.in64:  bits    64
        mov     rbx, 0x123456789abcdef0
        mov     rax, rbx
        shr     rax, 32
        retf                                            ; 32-bit operands: as it was called
c_far_end:
        bits    32
c_wrap: mov     eax, 0xfffffff0
        mov     bl, [eax + 0x200010 + 0x10]             ; wraps to 0x200010
        int     0x81
c_wrap_end:
c_push: push    dword 0x11223344
        pop     eax
        pusha
        popa
        int     0x81
c_push_end:
        bits    64
cstar_entry:
        mov     [v_rcx], rcx
        mov     rax, cs
        mov     [v_cs], rax
        o32 sysret

test_compat:
        mov     ecx, 0xc0000081
        mov     edx, (0x20 | 3) << 16 | KCS
        xor     eax, eax
        wrmsr
        mov     ecx, 0xc0000083                 ; CSTAR
        mov     rax, cstar_entry
        xor     edx, edx
        wrmsr
        mov     ecx, 0xc0000084
        mov     eax, 0x200
        wrmsr
        USER32  c_call, c_end
        CHECK_USER "syscall from 32-bit code", 0x81, NOERR, c_end - c_call
        EQUAL   "its return address", [v_rcx], UCODE + 7
        EQUAL   "back in 32-bit code", [got_cs], UCS32
        USER32  c_enter, c_enter_end
        CHECK_USER "no sysenter in long mode", 6, NOERR, 0
        USER32  c_far, c_far_end
        CHECK_USER "far call to 64-bit code", 0x81, NOERR, c_far.in64 - c_far
        mov     eax, eax
        EQUAL   "64-bit registers there", rbx, 0x123456789abcdef0
        mov     byte [UCODE + 0x10], 0x77
        USER32  c_wrap, c_wrap_end
        cmp     dword [got_vec], 0x81
        CHECK   "effective addresses wrap", e
        USER32  c_push, c_push_end
        CHECK_USER "pusha", 0x81, NOERR, c_push_end - c_push
        ret

; ---------------------------------------------------------------- alignment

u_ac:   pushfq
        or      qword [rsp], 0x40000
        popfq
        mov     eax, [rsp - 64]
.at:    mov     eax, [rsp - 63]
        int     0x81
u_ac_end:
u_ac2:  pushfq
        or      qword [rsp], 0x40000
        popfq
        mov     al, [rsp - 63]
.at:    lock add dword [rsp - 62], 1
u_ac2_end:

test_ac:
        USER    u_ac, u_ac_end
        CHECK_USER "AC without CR0.AM", 0x81, NOERR, u_ac_end - u_ac
        mov     rax, cr0
        bts     rax, 18
        mov     cr0, rax
        USER    u_ac, u_ac_end
        CHECK_USER "alignment check", 17, 0, u_ac.at - u_ac
        USER    u_ac2, u_ac2_end
        CHECK_USER "alignment check of lock add", 17, 0, u_ac2.at - u_ac2
        mov     rax, cr0
        btr     rax, 18
        mov     cr0, rax
        ret

; ---------------------------------------------------------------- bases

test_bases:
        mov     ecx, 0xc0000100
        mov     eax, v_table
        xor     edx, edx
        wrmsr
        mov     rbx, [fs:0]
        EQUAL   "fs base", rbx, 0x1111
        mov     ecx, 0xc0000102
        mov     eax, v_table + 8
        wrmsr
        swapgs
        mov     rbx, [gs:0]
        swapgs
        EQUAL   "swapgs", rbx, 0x2222
        FAULT   "wrfsbase without CR4.FSGSBASE", 6, NOERR, wrfsbase rax
        mov     rax, cr4
        bts     rax, 16
        mov     cr4, rax
        mov     rax, v_table + 16
        wrfsbase rax
        rdfsbase rbx
        EQUAL   "rdfsbase", rbx, v_table + 16
        mov     rax, 0x800000000000
        FAULT   "wrgsbase, not canonical", 13, 0, wrgsbase rax
        xor     eax, eax
        mov     fs, ax
        mov     rax, KDS
        mov     fs, ax
        rdfsbase rbx
        EQUAL   "fs load sets the base", rbx, 0
        ret

; ---------------------------------------------------------------- PCID

test_pcid:
        mov     rax, cr4
        bts     rax, 17
        mov     cr4, rax
        mov     rax, cr3
        or      rax, 5
        mov     cr3, rax
        mov     rbx, cr3
        and     ebx, 0xfff
        EQUAL   "PCID in cr3", rbx, 5
        mov     rax, cr3
        bts     rax, 63
        mov     cr3, rax
        mov     rbx, cr3
        shr     rbx, 63
        EQUAL   "bit 63 does not stay", rbx, 0
        mov     rax, cr0
        btr     rax, 31
        FAULT   "paging off with PCIDE", 13, 0, mov cr0, rax
        mov     eax, 4
        FAULT   "invpcid, type 4", 13, 0, invpcid rax, [v_pcid]
        mov     eax, 2
        NOFAULT "invpcid, all", invpcid rax, [v_pcid]
        mov     qword [v_pcid], 0x1000
        mov     eax, 0
        FAULT   "invpcid, reserved bits", 13, 0, invpcid rax, [v_pcid]
        mov     qword [v_pcid], 5
        mov     rax, TESTMEM + 0x3000 + 7
        mov     [pt + 3 * 8], rax
        mov     dword [TESTMEM + 0x3000], 0x33
        mov     dword [TESTMEM + 0x4000], 0x44
        mov     ebx, [TESTMEM + 0x3000]
        mov     rax, TESTMEM + 0x4000 + 7
        mov     [pt + 3 * 8], rax
        mov     qword [v_pcid + 8], TESTMEM + 0x3000
        mov     eax, 0
        invpcid rax, [v_pcid]
        mov     ebx, [TESTMEM + 0x3000]
        EQUAL   "invpcid, one address", rbx, 0x44
        mov     rax, cr3
        and     rax, ~0xfff
        mov     cr3, rax
        mov     rax, cr4
        btr     rax, 17
        mov     cr4, rax
        ret

test_xcr0:
        xor     ecx, ecx
        FAULT   "xgetbv without OSXSAVE", 6, NOERR, xgetbv
        mov     rax, cr4
        bts     rax, 18
        mov     cr4, rax
        xor     ecx, ecx
        xgetbv
        EQUAL   "xcr0 after reset", rax, 1
        mov     eax, 5
        xor     edx, edx
        FAULT   "xsetbv, AVX without SSE", 13, 0, xsetbv
        mov     eax, 2
        xor     ecx, ecx
        FAULT   "xsetbv without x87", 13, 0, xsetbv
        mov     eax, 3
        xor     ecx, ecx
        NOFAULT "xsetbv", xsetbv
        mov     ecx, 5
        FAULT   "xgetbv, no such register", 13, 0, xgetbv
        mov     eax, 1
        xor     ecx, ecx
        cpuid
        bt      ecx, 27
        CHECK   "cpuid: OSXSAVE", c
        ret

u_rdtsc: rdtsc
        int     0x81
u_rdtsc_end:

test_tsc:
        rdtsc
        shl     rdx, 32
        or      rax, rdx
        mov     rbx, rax
        rdtsc
        shl     rdx, 32
        or      rax, rdx
        cmp     rax, rbx
        CHECK   "rdtsc grows", ae
        mov     ecx, 0xc0000103
        mov     eax, 0x77
        xor     edx, edx
        wrmsr
        rdtscp
        mov     ebx, ecx
        EQUAL   "rdtscp", rbx, 0x77
        rdpid   rbx
        EQUAL   "rdpid", rbx, 0x77
        USER    u_rdtsc, u_rdtsc_end
        CHECK_USER "rdtsc in ring 3", 0x81, NOERR, u_rdtsc_end - u_rdtsc
        mov     rax, cr4
        bts     rax, 2
        mov     cr4, rax
        USER    u_rdtsc, u_rdtsc_end
        CHECK_USER "rdtsc in ring 3 with TSD", 13, 0, 0
        mov     rax, cr4
        btr     rax, 2
        mov     cr4, rax
        ret

test_cpuid:
        mov     rax, -1
        mov     rbx, -1
        mov     rcx, 0
        mov     eax, 0
        cpuid
        mov     [v_rbx], rbx
        shr     rbx, 32
        EQUAL   "cpuid clears upper halves", rbx, 0
        ret

; a loop whose code and data share a page, and code written by a string instruction
test_smc:
        mov     ecx, 1000
        mov     qword [.data], 0
.loop:  inc     qword [.data]
        dec     ecx
        jnz     .loop
        EQUAL   "data beside code", [.data], 1000
        jmp     .over
        align   8
.data:  dq      0
.over:  mov     ebp, 100
        xor     ebx, ebx
.again: mov     rdi, .patch + 1
        mov     eax, ebp
        mov     ecx, 1
        rep stosd
.patch: mov     eax, 0
        add     ebx, eax
        dec     ebp
        jnz     .again
        EQUAL   "code written by stos", rbx, 5050
        mov     rax, 0x90669066d1ff0000
        ; a call into a page that is rewritten through another mapping
        mov     rax, TESTMEM + 0x10000 + 7
        mov     [pt + 0x11 * 8], rax            ; 0x411000 -> the page at 0x410000
        invlpg  [TESTMEM + 0x11000]
        mov     dword [TESTMEM + 0x10000], 0x000001b8    ; mov eax, 1
        mov     word [TESTMEM + 0x10004], 0xc300
        mov     rbx, TESTMEM + 0x10000
        call    rbx
        mov     byte [TESTMEM + 0x11001], 2
        mov     rbx, TESTMEM + 0x10000
        call    rbx
        mov     ebx, eax
        EQUAL   "code written through an alias", rbx, 2
        ; a branch target in the middle of an instruction
        xor     eax, eax
        mov     ecx, 2
.mid:   mov     ebx, 0x90c0ff48                 ; inc rax; nop
        cmp     eax, 1
        je      .done
        jmp     .mid + 1
.done:  EQUAL   "jump into an instruction", rax, 1
        ret

test_ports:
        mov     al, 0x5a
        mov     dx, 0x80
        out     dx, al
        in      eax, dx
        mov     ax, [tss + 0x66]
        NAME    "ports"
        call    pass
        ret

        align   8
v_table: dq     0x1111, 0x2222, 0x3333
v_pcid: dq      0, 0
v_rcx:  dq      0
v_cs:   dq      0
v_rbx:  dq      0
        ROM_END
