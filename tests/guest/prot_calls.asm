; SPDX-License-Identifier: GPL-2.0-or-later
; 32-bit protected mode: SYSENTER and SYSEXIT, SYSCALL outside long mode, IOPL and CR4.PVI, errors of
; the stacks in a TSS, POP SS between stacks of two widths, interrupt frames of 16-bit gates.
%include "kit32.inc"

STACK16 equ     0x30
EXC_TASK equ    0x38

tests:
        mov     byte [idt + 0x81 * 8 + 5], 0xee
        call    test_sysenter
        call    test_syscall
        call    test_iopl
        call    test_gate16
        call    test_pop_ss
        call    test_tss_stack
        ret

test_sysenter:
        mov     ecx, 0x174
        xor     edx, edx
        xor     eax, eax
        wrmsr
        FAULT   "sysenter without a selector", 13, 0, sysenter
        mov     ecx, 0x174
        xor     edx, edx
        mov     eax, KCS
        wrmsr
        mov     ecx, 0x175
        mov     eax, 0x61000
        wrmsr
        mov     ecx, 0x176
        mov     eax, se_entry
        wrmsr
        USER    u_enter
        CHECK_AT "sysenter and sysexit", 0x81, NOERR, u_enter_end
        EQUAL   "esp inside", [v_esp], 0x61000
        EQUAL   "cs inside", [v_cs], KCS
        EQUAL   "ss inside", [v_ss], KDS
        EQUAL   "esp after", [got_esp], USTACK - 8
        EQUAL   "cs after", [got_cs], UCS
        EQUAL   "ss after", [got_ss], UDS
        USER    u_exit
        CHECK_AT "sysexit in ring 3", 13, 0, u_exit
        ret
u_enter:
        sysenter
u_enter_ret:
        int     0x81
u_enter_end:
u_exit: sysexit
se_entry:
        mov     ax, KDS
        mov     ds, ax
        mov     [v_esp], esp
        mov     [v_cs], cs
        mov     [v_ss], ss
        mov     edx, u_enter_ret
        mov     ecx, USTACK - 8
        sysexit

test_syscall:
        mov     ecx, 0xc0000080
        rdmsr
        or      eax, 1
        wrmsr
        mov     ecx, 0xc0000081
        mov     eax, sc_entry
        mov     edx, 0x1b << 16 | KCS
        wrmsr
        USER    u_syscall
        CHECK_AT "syscall and sysret", 0x81, NOERR, u_syscall_end
        EQUAL   "its return address", [v_ecx], u_syscall_ret
        EQUAL   "cs after", [got_cs], UCS
        mov     ecx, [got_flags]
        and     ecx, 0x200
        EQUAL   "sysret sets IF", ecx, 0x200
        ret
u_syscall:
        syscall
u_syscall_ret:
        int     0x81
u_syscall_end:
sc_entry:
        mov     ax, KDS
        mov     ds, ax
        mov     [v_ecx], ecx
        sysret

; USERF label, flags
%macro USERF 2
        ARM     %%back
        push    dword UDS
        push    dword USTACK
        push    dword %2
        push    dword UCS
        push    dword %1
        iret
%%back:
%endmacro

test_iopl:
        USERF   u_cli, 0x3202
        CHECK_AT "cli with IOPL 3", 0x81, NOERR, u_cli_end
        mov     ecx, [got_flags]
        and     ecx, 0x3200
        EQUAL   "IF cleared, IOPL kept", ecx, 0x3000
        USERF   u_popf, 0x3202
        mov     ecx, [got_flags]
        and     ecx, 0x3200
        EQUAL   "popf clears IF with IOPL 3, not IOPL", ecx, 0x3000
        USERF   u_cli, 0x0202
        CHECK_AT "cli with IOPL 0", 13, 0, u_cli
        mov     eax, cr4
        or      eax, 2
        mov     cr4, eax
        USERF   u_cli, 0x80202
        CHECK_AT "PVI: cli", 0x81, NOERR, u_cli_end
        mov     ecx, [got_flags]
        and     ecx, 0x80200
        EQUAL   "VIF cleared", ecx, 0x200
        USERF   u_sti, 0x202
        CHECK_AT "PVI: sti", 0x81, NOERR, u_sti_end
        mov     ecx, [got_flags]
        and     ecx, 0x80200
        EQUAL   "VIF set", ecx, 0x80200
        USERF   u_sti, 0x100202
        CHECK_AT "PVI: sti with VIP", 13, 0, u_sti
        mov     eax, cr4
        and     eax, ~2
        mov     cr4, eax
        ret
u_cli:  cli
        int     0x81
u_cli_end:
u_sti:  sti
        int     0x81
u_sti_end:
u_popf: push    dword 2
        popf
        int     0x81

; an interrupt gate of 16 bits pushes a frame of words
test_gate16:
        mov     eax, g16 - 0x10000
        mov     [idt + 0x90 * 8], ax
        mov     word [idt + 0x90 * 8 + 2], 0x40
        mov     word [idt + 0x90 * 8 + 4], 0x8600
        DESC    0x40, 0x10000, 0xffff, 0x9b, 0
        mov     [v_esp], esp
        int     0x90
.after: mov     ebx, esp
        EQUAL   "16-bit gate: esp before and in it", [v_ss], 6
        EQUAL   "and after", ebx, [v_esp]
        ret
        bits    16
g16:    mov     eax, [dword v_esp]
        sub     eax, esp
        mov     [dword v_ss], eax
        ; the frame holds 16 bits of EIP and CS: go back by hand to the 32-bit code
        add     esp, 6
        jmp     dword KCS:test_gate16.after
        bits    32

test_pop_ss:
        DESC    STACK16, 0, 0xffff, 0x93, 0
        mov     [v_esp], esp
        mov     edx, esp
        mov     esp, 0x5fff0
        push    dword STACK16
        pop     ss                      ; ESP moves in 32 bits
        mov     ebx, esp
        mov     ax, KDS
        mov     ss, ax
        mov     esp, edx
        EQUAL   "pop ss to a 16-bit stack", ebx, 0x5fff0
        ret

; exceptions from ring 3 while the TSS names a bad stack: #TS, by a task gate
test_tss_stack:
        DESC    EXC_TASK, tss2, 0x67, 0x89, 0
        mov     word [idt + 10 * 8 + 2], EXC_TASK
        mov     word [idt + 10 * 8 + 4], 0x8500
        mov     dword [tss2 + 0x20], ts_task
        mov     dword [tss2 + 0x24], 2
        mov     dword [tss2 + 0x38], 0x62000
        mov     dword [tss2 + 0x48], KDS
        mov     dword [tss2 + 0x4c], KCS
        mov     dword [tss2 + 0x50], KDS
        mov     dword [tss2 + 0x54], KDS
        mov     [v_esp], esp
        mov     dword [tss + 8], 0
        USER    u_int
        ret
u_int:  int     0x81
ts_task:
        pop     dword [v_ecx]
        clts
        mov     byte [gdt + TSS_SEL + 5], 0x89
        mov     ax, TSS_SEL
        ltr     ax
        mov     dword [tss + 8], KDS
        pushf
        and     dword [esp], ~0x4000
        popf
        mov     esp, [v_esp]
        EQUAL   "null stack in the TSS: #TS", [v_ecx], 0
        EQUAL   "saved cs: still ring 3", [tss + 0x4c], UCS
        ret

        align   4
tss2:   times   26 dd 0
v_esp:  dd      0
v_cs:   dd      0
v_ss:   dd      0
v_ecx:  dd      0
        ROM_END
