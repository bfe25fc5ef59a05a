; SPDX-License-Identifier: GPL-2.0-or-later
; Long mode: exceptions with exact error codes and addresses, gates, IST, IRET, SYSCALL.
%include "kit64.inc"

tests:
        FAULT   "ud2", 6, NOERR, ud2
        xor     edx, edx
        mov     eax, 1
        xor     ecx, ecx
        FAULT   "divide", 0, NOERR, div ecx
        TRAP    "int3 from a gate of ring 0", 3, NOERR, int3
        TRAP    "int 0x80", 0x80, NOERR, int 0x80
        mov     rbx, 0x800000000000
        FAULT   "non-canonical load", 13, 0, mov al, [rbx]
        mov     rbp, 0x800000000000
        FAULT   "non-canonical stack", 12, 0, mov al, [rbp]
        FAULT   "not mapped, read", 14, 0, mov al, [0x800000]
        EQUAL   "cr2", [got_cr2], 0x800000
        FAULT   "not mapped, write", 14, 2, mov [0x800123], al
        EQUAL   "cr2 of a write", [got_cr2], 0x800123
        FAULT   "mov ds, beyond the GDT", 13, 0x1000, mov ds, [sel_1000]
        FAULT   "mov ds, not present", 11, 0x48, mov ds, [sel_48]
        FAULT   "mov ds, execute-only code", 13, 0x50, mov ds, [sel_50]
        FAULT   "mov ss, user data", 13, 0x28, mov ss, [sel_28]
        FAULT   "ltr of a busy TSS", 13, 0x38, ltr [sel_38]
        mov     ecx, 0x12345
        FAULT   "wrmsr, unknown", 13, 0, wrmsr
        mov     eax, 1
        mov     cr8, rax
        mov     rax, cr8
        EQUAL   "cr8", rax, 1
        xor     eax, eax
        mov     cr8, rax
        mov     rax, cr0
        btr     rax, 0
        FAULT   "cr0 with PG but not PE", 13, 0, mov cr0, rax
        mov     rax, cr4
        btr     rax, 5
        FAULT   "cr4 without PAE in long mode", 13, 0, mov cr4, rax
        call    test_gates
        call    test_user
        call    test_syscall
        call    test_iret
        call    test_callgate
        call    test_double
        ret

test_gates:
        mov     byte [idt + 0x81 * 16 + 5], 0xee  ; DPL 3
        mov     byte [idt + 0x82 * 16 + 5], 0x0e  ; not present
        FAULT   "int through a gate not present", 11, 0x82 * 8 + 2, int 0x82
        mov     word [idt + 0x83 * 16 + 2], 0
        FAULT   "gate to a null selector", 13, 0, int 0x83
        mov     word [idt + 0x84 * 16 + 2], KDS
        FAULT   "gate to data", 13, KDS, int 0x84
        mov     word [idt + 0x85 * 16 + 2], CS32
        FAULT   "gate to 32-bit code", 13, CS32, int 0x85
        mov     byte [idt + 0x86 * 16 + 4], 1     ; IST 1
        TRAP    "int through IST", 0x86, NOERR, int 0x86
        EQUAL   "IST stack", [in_rsp], IST1 - 7 * 8
        mov     byte [idt + 0x87 * 16 + 5], 0x8f  ; trap gate
        sti
        TRAP    "trap gate", 0x87, NOERR, int 0x87
        pushfq
        pop     rax
        and     eax, 0x200
        EQUAL   "trap gate keeps IF", rax, 0x200
        TRAP    "interrupt gate", 0x88, NOERR, int 0x88
        pushfq
        pop     rax
        and     eax, 0x200
        EQUAL   "interrupt gate clears IF", rax, 0
        mov     word [idtr_small], 0x80 * 16 + 14
        lidt    [idtr_small]
        FAULT   "int beyond the IDT", 13, 0x80 * 8 + 2, int 0x80
        lidt    [idtr]
        ret

u_hlt:  hlt
u_int:  int     0x80
u_in:   in      al, 0x60
u_cli:  cli
u_kread: mov    al, [0x10000]
u_kcode: mov    rax, 0x10000
        jmp     rax
u_cr:   mov     rax, cr0
u_noncanon: mov rax, 0x800000000000
        jmp     rax
u_ds:   mov     ax, KDS
        mov     ds, ax
u_ok:   mov     eax, 42
        int     0x81
u_end:

test_user:
        USER    u_hlt, u_end
        CHECK_USER "hlt in ring 3", 13, 0, 0
        EQUAL   "cs of ring 3", [got_cs], UCS
        EQUAL   "ss of ring 3", [got_ss], UDS
        EQUAL   "rsp of ring 3", [got_rsp], USTACK
        EQUAL   "ss inside", [in_ss], 0
        EQUAL   "stack of the TSS", [in_rsp], RSP0 - 7 * 8
        USER    u_int, u_end
        CHECK_USER "int of a gate of ring 0", 13, 0x80 * 8 + 2, 0
        USER    u_in, u_end
        CHECK_USER "in without permission", 13, 0, 0
        USER    u_cli, u_end
        CHECK_USER "cli in ring 3", 13, 0, 0
        USER    u_kread, u_end
        CHECK_USER "read of a supervisor page", 14, 5, 0
        USER    u_kcode, u_end
        mov     rax, 0x10000
        mov     ecx, 14
        mov     edx, 0x15
        NAME    "jump to a supervisor page"
        call    check_fault
        USER    u_cr, u_end
        CHECK_USER "mov from cr0", 13, 0, 0
        USER    u_noncanon, u_end
        cmp     dword [got_vec], 13
        CHECK   "jump to a non-canonical address", e
        USER    u_ds, u_end
        CHECK_USER "mov ds, ring 0 data", 13, KDS, 4
        USER    u_ok, u_end
        CHECK_USER "int of a gate of ring 3", 0x81, NOERR, u_end - u_ok
        ret

; SYSCALL from ring 3 comes to sc_entry, which goes back by SYSRET.
us_start:
        mov     r15d, 1
        stc
        syscall
us_back:
        mov     r14, rcx
        pushfq
        pop     r13
        int     0x81
us_end:
sc_entry:
        mov     [sc_rcx], rcx
        mov     [sc_r11], r11
        mov     [sc_rsp], rsp
        mov     rax, ss
        mov     [sc_ss], rax
        mov     rax, cs
        mov     [sc_cs], rax
        pushfq
        pop     rax
        mov     [sc_flags], rax
        o64 sysret

test_syscall:
        mov     ecx, 0xc0000081
        mov     edx, (0x20 | 3) << 16 | KCS
        xor     eax, eax
        wrmsr
        mov     ecx, 0xc0000082
        mov     rax, sc_entry
        mov     rdx, rax
        shr     rdx, 32
        wrmsr
        mov     ecx, 0xc0000084
        mov     eax, 0x201
        xor     edx, edx
        wrmsr
        USER    us_start, us_end
        CHECK_USER "syscall and sysret", 0x81, NOERR, us_end - us_start
        EQUAL   "syscall: rcx", [sc_rcx], UCODE + us_back - us_start
        mov     rax, [sc_r11]
        and     eax, 0x201
        EQUAL   "syscall: r11", rax, 0x201
        mov     rax, [sc_flags]
        and     eax, 0x201
        EQUAL   "syscall: flags masked", rax, 0
        EQUAL   "syscall: cs", [sc_cs], KCS
        EQUAL   "syscall: ss", [sc_ss], KDS
        EQUAL   "syscall: rsp unchanged", [sc_rsp], USTACK
        and     r13d, 0x201
        EQUAL   "sysret: flags", r13, 0x201
        EQUAL   "sysret: cs", [got_cs], UCS
        EQUAL   "sysret: ss", [got_ss], UDS
        mov     ecx, 0xc0000080
        rdmsr
        and     eax, ~1
        wrmsr
        FAULT   "syscall without SCE", 6, NOERR, syscall
        mov     ecx, 0xc0000080
        rdmsr
        or      eax, 1
        wrmsr
        ret

test_iret:
        ; to 32-bit user code
        mov     rdi, UCODE
        mov     dword [rdi], 0x40c031   ; xor eax, eax; inc eax (a REX prefix in 64-bit code)
        mov     word [rdi + 3], 0x81cd  ; int 0x81
        ARM     .back
        push    qword UDS
        push    qword USTACK
        push    qword 0x202
        push    qword UCS32
        push    qword UCODE
        iretq
.back:  CHECK_USER "iret to 32-bit code", 0x81, NOERR, 5
        EQUAL   "cs of 32-bit code", [got_cs], UCS32
        ; errors
        mov     [save_sp], rsp
        push    qword UDS
        push    qword USTACK
        push    qword 0x202
        push    qword 0
        push    qword UCODE
        FAULT   "iret to a null cs", 13, 0, iretq
        mov     rsp, [save_sp]
        push    qword KDS
        push    qword USTACK
        push    qword 0x202
        push    qword UCS
        push    qword UCODE
        FAULT   "iret with a stack of ring 0", 13, KDS, iretq
        mov     rsp, [save_sp]
        push    qword UDS
        push    qword USTACK
        push    qword 0x202
        push    qword UDS
        push    qword UCODE
        FAULT   "iret to data", 13, UDS & ~3, iretq
        mov     rsp, [save_sp]
        push    qword UDS
        push    qword USTACK
        push    qword 0x4202
        push    qword UCS
        push    qword UCODE
        pushfq
        or      qword [rsp], 0x4000     ; NT
        popfq
        FAULT   "iret with NT in long mode", 13, 0, iretq
        pushfq
        and     qword [rsp], ~0x4000
        popfq
        mov     rsp, [save_sp]
        ; same level, the stack pointer is popped
        ARM     .no
        mov     rbx, rsp
        mov     rax, ss
        push    rax
        push    qword 0x51000
        push    qword 2
        push    qword KCS
        push    qword .here
        iretq
.no:    mov     rsp, rbx
.here:  mov     rax, rsp
        mov     rsp, rbx
        EQUAL   "iret at the same level pops rsp", rax, 0x51000
        ret

; a call gate from ring 3 to ring 0 and back
ucg:    mov     rbx, 0x58 << 32 | 0
        push    qword 0x5b
        push    qword 0
        call    far [rsp]
        int     0x81
ucg_end:
cg_entry:
        mov     rax, cs
        mov     [sc_cs], rax
        mov     rax, ss
        mov     [sc_ss], rax
        mov     [sc_rsp], rsp
        o64 retf

test_callgate:
        mov     rax, cg_entry
        mov     [gdt + 0x58], ax
        shr     rax, 16
        mov     [gdt + 0x58 + 6], ax
        shr     rax, 16
        mov     [gdt + 0x60], eax
        USER    ucg, ucg_end
        cmp     dword [got_vec], 0x81
        CHECK   "call gate and return", e
        EQUAL   "call gate: cs", [sc_cs], KCS
        EQUAL   "call gate: ss", [sc_ss], 0
        EQUAL   "call gate: rsp", [sc_rsp], RSP0 - 32
        EQUAL   "after the return: cs", [got_cs], UCS
        ret

test_double:
        mov     byte [idt + 8 * 16 + 4], 1       ; #DF on its own stack
        mov     byte [idt + 14 * 16 + 5], 0x0e   ; #PF: not present
        ARM     .back
.at:    mov     al, [0x800000]
.back:  mov     byte [idt + 14 * 16 + 5], 0x8e
        cmp     dword [got_vec], 8
        CHECK   "#NP on #PF is a double fault", e
        EQUAL   "error code of the double fault", [got_err], 0
        mov     byte [idt + 6 * 16 + 5], 0x0e    ; #UD: not present
        FAULT   "#NP on #UD is #NP", 11, 6 * 8 + 2 + 1, ud2
        mov     byte [idt + 6 * 16 + 5], 0x8e
        mov     word [idt + 13 * 16 + 2], 0      ; #GP through a null selector
        ARM     .gp
        mov     rbx, 0x800000000000
        mov     al, [rbx]
.gp:    mov     word [idt + 13 * 16 + 2], KCS
        cmp     dword [got_vec], 8
        CHECK   "#GP on #GP is a double fault", e
        ; a stack that cannot be pushed to
        mov     rbx, rsp
        mov     qword [resume], .st
        mov     [resume_sp], rsp
        mov     rsp, 0x900000
        ud2
.st:    cmp     dword [got_vec], 8
        CHECK   "a page fault in delivering #PF is a double fault", e
        ret

sel_1000: dw    0x1000
sel_48: dw      0x48
sel_50: dw      0x50
sel_28: dw      0x28
sel_38: dw      0x38
        align   8
save_sp: dq     0
sc_rcx: dq      0
sc_r11: dq      0
sc_rsp: dq      0
sc_ss:  dq      0
sc_cs:  dq      0
sc_flags: dq    0
idtr_small: dw  0
        dq      idt
        ROM_END
