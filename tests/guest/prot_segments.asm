; SPDX-License-Identifier: GPL-2.0-or-later
; 32-bit protected mode: segment limits, types and privileges, gates, far returns, hardware tasks.
%include "kit32.inc"

RO      equ     0x30
SMALL   equ     0x38    ; data, limit 0xfff
DOWN    equ     0x40    ; expand-down above 0xfff, 32-bit
NPDATA  equ     0x48
XO      equ     0x50    ; execute-only code
CONF    equ     0x58    ; conforming code
SS16    equ     0x60    ; 16-bit stack
CGATE   equ     0x68    ; call gate to ring 0, two parameters
TSS2    equ     0x70
TGATE   equ     0x78
LDT     equ     0x80
CODE16S equ     0x88
RING1D  equ     0x90
DOWN16  equ     0x98
TSS3    equ     0xa0    ; 16-bit
TSS4    equ     0xa8    ; bad stack selector

tests:
        DESC    RO, 0, 0xfffff, 0x91, 12
        DESC    SMALL, 0x20000, 0xfff, 0x93, 4
        DESC    DOWN, 0x20000, 0xfff, 0x97, 4
        DESC    DOWN16, 0x20000, 0xfff, 0x97, 0
        DESC    NPDATA, 0, 0xfffff, 0x13, 12
        DESC    XO, 0, 0xfffff, 0x99, 12
        DESC    CONF, 0, 0xfffff, 0x9f, 12
        DESC    SS16, 0, 0xffff, 0x93, 0
        DESC    CODE16S, 0x10000, 0xffff, 0x9b, 0
        DESC    RING1D, 0, 0xfffff, 0xb3, 12
        call    test_limits
        call    test_loads
        call    test_user
        call    test_gates
        call    test_16
        call    test_task
        ret

%macro SETFS 1
        mov     eax, %1
        mov     fs, ax
%endmacro

; FSFAULT selector, name, instruction: #GP(0) with FS loaded
%macro FSFAULT 3+
        SETFS   %1
        FAULT   %2, 13, 0, %3
%endmacro

test_limits:
        FSFAULT SMALL, "past the limit", mov al, [fs:0x1000]
        FSFAULT SMALL, "word across the limit", mov ax, [fs:0xfff]
        FSFAULT SMALL, "dword across the limit", mov [fs:0xffd], eax
        SETFS   SMALL
        NOFAULT "last byte", mov al, [fs:0xfff]
        NOFAULT "last dword", mov eax, [fs:0xffc]
        FSFAULT DOWN, "expand-down, inside", mov al, [fs:0xfff]
        SETFS   DOWN
        NOFAULT "expand-down, first byte", mov al, [fs:0x1000]
        FSFAULT DOWN16, "expand-down 16, past 64 KiB", mov al, [fs:0x10000]
        SETFS   DOWN16
        NOFAULT "expand-down 16, last byte", mov al, [fs:0xffff]
        FSFAULT RO, "read-only, write", mov [fs:0x20000], al
        SETFS   RO
        NOFAULT "read-only, read", mov al, [fs:0]
        FAULT   "code is not writable", 13, 0, mov [cs:0x20000], al
        NOFAULT "code is readable", mov al, [cs:0x20000]
        FSFAULT 0, "null segment", mov al, [fs:0]
        FSFAULT 0, "null segment, write", mov [fs:0x20000], al
        mov     edx, esp
        mov     eax, SMALL
        mov     dword [resume], .stack
        mov     [resume_sp], edx
        mov     ebp, 0x1000
        mov     ss, ax
        mov     esp, 0x800
        mov     al, [ebp]
.stack: EQUAL   "past the stack's limit: #SS", [got_vec], 12
        EQUAL   "its error code", [got_err], 0
        SETFS   KDS
        ret

test_loads:
        mov     ebx, RO
        FAULT   "mov ss, read-only", 13, RO, mov ss, bx
        mov     ebx, NPDATA
        FAULT   "mov ss, not present", 12, NPDATA, mov ss, bx
        FAULT   "mov fs, not present", 11, NPDATA, mov fs, bx
        mov     ebx, XO
        FAULT   "mov fs, execute-only", 13, XO, mov fs, bx
        mov     ebx, 0
        FAULT   "mov ss, null", 13, 0, mov ss, bx
        mov     ebx, TSS_SEL
        FAULT   "mov fs, a TSS", 13, TSS_SEL, mov fs, bx
        mov     ebx, 0xfff8
        FAULT   "mov fs, beyond the GDT", 13, 0xfff8, mov fs, bx
        mov     ebx, 0x0c
        FAULT   "mov fs, no LDT", 13, 0x0c, mov fs, bx
        mov     ebx, KDS + 1
        FAULT   "mov ss, wrong RPL", 13, KDS, mov ss, bx
        mov     ebx, RING1D
        FAULT   "mov ss, wrong DPL", 13, RING1D, mov ss, bx
        mov     byte [gdt + RO + 5], 0x90
        mov     ebx, RO
        mov     fs, bx
        movzx   ebx, byte [gdt + RO + 5]
        EQUAL   "accessed bit", ebx, 0x91
        mov     ebx, 0x10001
        FAULT   "jmp far null", 13, 0, jmp 0:0
        FAULT   "jmp far data", 13, KDS, jmp KDS:0
        FAULT   "jmp far to ring 3 code", 13, UCS & ~3, jmp (UCS & ~3):0
        FAULT   "call far, not present", 13, NPDATA, call NPDATA:0
        NOFAULT "jmp far", jmp KCS:.next
.next:
        NOFAULT "jmp far conforming", jmp CONF:.conf
.conf:  jmp     KCS:.back
.back:  lar     ecx, [sel_xo]
        and     ecx, ~0xf0000 ; undefined: the limit's high bits on processors, zero on QEMU
        EQUAL   "lar", ecx, 0x00c09900
        lsl     ecx, [sel_small]
        EQUAL   "lsl", ecx, 0xfff
        lsl     ecx, [sel_ro]
        EQUAL   "lsl, 4 KiB units", ecx, 0xffffffff
        verw    [sel_ro]
        CHECK   "verw, read-only", nz
        verr    [sel_ro]
        CHECK   "verr", z
        verr    [sel_xo]
        CHECK   "verr, execute-only", nz
        lar     ecx, [sel_bad]
        CHECK   "lar beyond the GDT", nz
        mov     bx, 0x13
        mov     cx, 0x10
        arpl    cx, bx
        CHECK   "arpl", z
        ret

u_ok:   int     0x81
u_ds0:  mov     ax, KDS
.at:    mov     ds, ax
u_retf: push    dword KCS
        push    dword 0
.at:    retf
u_conf: call    CONF:.in
        int     0x81
.in:    retf
u_iret: push    dword 0x3202            ; IF and IOPL stay as they are
        popf
        pushf
        pop     ebx
        int     0x81
u_in:   in      al, 0x60
u_in2:  in      al, 0x80
        int     0x81
u_in3:  in      ax, 0x87                ; a word: 0x87 is allowed, 0x88 is not
u_gate: push    dword 0x1111
        push    dword 0x2222
        call    CGATE | 3:0
.back:  mov     ebx, esp
        int     0x81
u_lgdt: lgdt    [gdtr]
u_clts: clts
u_mov:  mov     eax, cr0

g_entry:
        mov     eax, [esp + 8]
        mov     [g_p0], eax
        mov     eax, [esp + 12]
        mov     [g_p1], eax
        mov     [g_esp], esp
        mov     eax, ss
        mov     [g_ss], eax
        retf    8

test_user:
        USER    u_ok
        CHECK_AT "ring 3 and back", 0x81, NOERR, u_ok + 2
        EQUAL   "cs", [got_cs], UCS
        EQUAL   "ss", [got_ss], UDS
        EQUAL   "esp", [got_esp], USTACK
        EQUAL   "inner ss", [in_ss], KDS
        EQUAL   "inner esp", [in_esp], ESP0 - 28
        USER    u_ds0
        CHECK_AT "ring 0 data in ring 3", 13, KDS, u_ds0.at
        USER    u_retf
        CHECK_AT "retf to an inner ring", 13, KCS, u_retf.at
        USER    u_conf
        CHECK_AT "conforming code", 0x81, NOERR, u_conf.in
        USER    u_iret
        mov     ecx, ebx
        and     ecx, 0x3200
        EQUAL   "popf in ring 3", ecx, 0
        USER    u_in
        CHECK_AT "port not allowed", 13, 0, u_in
        mov     byte [tss + 0x68 + 32 + 0x10], 0
        USER    u_in2
        CHECK_AT "port allowed", 0x81, NOERR, u_in3
        USER    u_in3
        CHECK_AT "second port of a word not allowed", 13, 0, u_in3
        USER    u_lgdt
        CHECK_AT "lgdt in ring 3", 13, 0, u_lgdt
        USER    u_clts
        CHECK_AT "clts in ring 3", 13, 0, u_clts
        USER    u_mov
        CHECK_AT "mov from cr0 in ring 3", 13, 0, u_mov
        ret

test_gates:
        mov     eax, g_entry
        mov     [gdt + CGATE], ax
        mov     word [gdt + CGATE + 2], KCS
        mov     word [gdt + CGATE + 4], 0xec02
        shr     eax, 16
        mov     [gdt + CGATE + 6], ax
        USER    u_gate
        CHECK_AT "call gate", 0x81, NOERR, u_lgdt
        EQUAL   "first parameter", [g_p0], 0x2222
        EQUAL   "second parameter", [g_p1], 0x1111
        EQUAL   "inner ss", [g_ss], KDS
        EQUAL   "inner esp", [g_esp], ESP0 - 24
        EQUAL   "retf 8 released them outside", ebx, USTACK
        mov     byte [gdt + CGATE + 5], 0x8c
        USER    u_gate
        CHECK_AT "call gate of ring 0", 13, CGATE, u_gate.back - 7
        mov     byte [gdt + CGATE + 5], 0x6c
        USER    u_gate
        CHECK_AT "call gate not present", 11, CGATE, u_gate.back - 7
        ret

; ---------------------------------------------------------------- 16-bit segments

test_16:
        mov     [save_esp], esp
        jmp     CODE16S:R(.code16)
        bits    16
.code16:
        mov     ax, SS16
        mov     ss, ax
        mov     esp, 0xabcd0000
        push    ax                      ; wraps to fffe; the upper half stays
        mov     ebx, esp
        pushf
        pop     cx
        jmp     dword KCS:.code32
        bits    32
.code32:
        mov     ax, KDS
        mov     ss, ax
        mov     esp, [save_esp]
        EQUAL   "16-bit stack pointer", ebx, 0xabcdfffe
        ret

; ---------------------------------------------------------------- tasks

%macro TSSDESC 4                        ; selector, address, limit, access
        DESC    %1, %2, %3, %4, 0
%endmacro

test_task:
        mov     dword [gdt + LDT], 0x0000000f
        DESC    LDT, ldt, 15, 0x82, 0
        TSSDESC TSS2, tss2, 0x67, 0x89
        TSSDESC TSS3, tss3, 0x2b, 0x81
        TSSDESC TSS4, tss4, 0x67, 0x89
        mov     dword [tss2 + 0x20], task2
        mov     dword [tss2 + 0x24], 0x2
        mov     dword [tss2 + 0x38], 0x60000
        mov     dword [tss2 + 0x48], KDS
        mov     dword [tss2 + 0x4c], KCS
        mov     dword [tss2 + 0x50], KDS
        mov     dword [tss2 + 0x54], KDS
        mov     dword [tss2 + 0x58], 0x0c       ; FS from the LDT
        mov     dword [tss2 + 0x5c], 0
        mov     dword [tss2 + 0x60], LDT
        mov     dword [tss2 + 0x28], 0x12345678 ; EAX
        mov     ebx, 0x55
        call    TSS2:0
.after:
        EQUAL   "back from a nested task", ebx, 0x55
        EQUAL   "eax of the task", [t_eax], 0x12345678
        EQUAL   "fs of the task, by its LDT", [t_fs], 0x0c
        EQUAL   "NT in the task", [t_flags], 0x4000
        EQUAL   "back link", [tss2], TSS_SEL
        EQUAL   "TS set by the switch", [t_ts], 8
        movzx   ecx, byte [gdt + TSS_SEL + 5]
        EQUAL   "busy again", ecx, 0x8b
        movzx   ecx, byte [gdt + TSS2 + 5]
        EQUAL   "the other no more", ecx, 0x89
        EQUAL   "saved eip of the old task", [t_old_eip], .after
        pushf
        pop     ecx
        and     ecx, 0x4000
        EQUAL   "NT clear after the return", ecx, 0
        ; task gate
        DESC    TGATE, 0, 0, 0xe5, 0
        mov     word [gdt + TGATE + 2], TSS2
        mov     dword [tss2 + 0x20], task2
        call    TGATE:0
        NOP
        EQUAL   "through a task gate", [t_eax2], 0x12345678
        ; an exception through a task gate, with its error code
        mov     word [idt + 13 * 8 + 2], TSS2
        mov     word [idt + 13 * 8 + 4], 0x8500
        mov     dword [tss2 + 0x20], task_gp
        mov     dword [tss2 + 0x38], 0x60000
        mov     ebx, 0xfff8
        clc
.gp:    mov     fs, bx
.gp_next:
        EQUAL   "error code on the task's stack", [t_err], 0xfff8
        EQUAL   "eip of the fault in the TSS", [t_old_eip], .gp
        GATE    13, KCS, stubs + 13 * 16, 0x8e
        ; 16-bit task
        mov     word [tss3 + 0x0e], task3_16 - 0x10000
        mov     word [tss3 + 0x10], 2
        mov     word [tss3 + 0x1a], 0xff00
        mov     word [tss3 + 0x22], KDS
        mov     word [tss3 + 0x24], CODE16S
        mov     word [tss3 + 0x26], KDS
        mov     word [tss3 + 0x28], KDS
        mov     word [tss3 + 0x12], 0x4321
        call    TSS3:0
        EQUAL   "16-bit task", [t_ax16], 0x4321
        ; errors
        mov     byte [gdt + TSS2 + 5], 0x8b
        FAULT   "call of a busy task", 13, TSS2, call TSS2:0
        mov     byte [gdt + TSS2 + 5], 0x09
        FAULT   "call of a task not present", 11, TSS2, call TSS2:0
        mov     byte [gdt + TSS2 + 5], 0x89
        mov     word [gdt + TSS2], 0x66
        FAULT   "TSS too small", 10, TSS2, call TSS2:0
        mov     word [gdt + TSS2], 0x67
        ; a bad selector in the new task: the fault is the new task's
        mov     dword [tss4 + 0x20], task2
        mov     dword [tss4 + 0x24], 2
        mov     dword [tss4 + 0x38], 0x60000
        mov     dword [tss4 + 0x4c], KCS
        mov     dword [tss4 + 0x50], RO
        mov     dword [tss4 + 0x48], KDS
        mov     dword [tss4 + 0x54], KDS
        DESC    0xb0, tss5, 0x67, 0x89, 0
        mov     word [idt + 10 * 8 + 2], 0xb0   ; #TS by a task gate of its own
        mov     word [idt + 10 * 8 + 4], 0x8500
        mov     dword [tss5 + 0x20], task_ts
        mov     dword [tss5 + 0x24], 2
        mov     dword [tss5 + 0x38], 0x62000
        mov     dword [tss5 + 0x48], KDS
        mov     dword [tss5 + 0x4c], KCS
        mov     dword [tss5 + 0x50], KDS
        mov     dword [tss5 + 0x54], KDS
        mov     [save_esp], esp
        call    TSS4:0
.ts_back:
        EQUAL   "stack selector of the new task: #TS", [t_err], RO
        EQUAL   "in the new task, at its start", [t_old_eip], task2
        ret

task2:  mov     [t_eax], eax
        mov     [t_eax2], eax
        mov     eax, fs
        mov     [t_fs], eax
        pushf
        pop     eax
        and     eax, 0x4000
        mov     [t_flags], eax
        mov     eax, cr0
        and     eax, 8
        mov     [t_ts], eax
        clts
        mov     eax, [tss + 0x20]
        mov     [t_old_eip], eax
        mov     eax, 0x12345678
        iret
        jmp     task2

task_gp:
        pop     dword [t_err]
        mov     eax, [tss + 0x20]
        mov     [t_old_eip], eax
        mov     dword [tss + 0x20], test_task.gp_next
        clts
        iret
        jmp     task_gp

        bits    16
task3_16:
        movzx   eax, ax
        mov     [dword t_ax16], eax
        clts
        iret
        bits    32

task_ts:                                ; comes from TSS4: leaves for good, by a jump
        pop     dword [t_err]
        mov     eax, [tss4 + 0x20]
        mov     [t_old_eip], eax
        clts
        mov     byte [gdt + TSS_SEL + 5], 0x89
        mov     ax, TSS_SEL
        ltr     ax
        pushf
        and     dword [esp], ~0x4000
        popf
        mov     esp, [save_esp]
        jmp     test_task.ts_back

        align   8
ldt:    dq      0
        dq      0x00cf93000000ffff
tss2:   times   26 dd 0
tss4:   times   26 dd 0
tss5:   times   26 dd 0
tss3:   times   22 dw 0
t_eax:  dd      0
t_eax2: dd      0
t_fs:   dd      0
t_flags: dd     0
t_ts:   dd      0
t_old_eip: dd   0
t_err:  dd      0
t_ax16: dd      0
save_esp: dd    0
        align   4
sel_xo: dd      XO
sel_small: dd   SMALL
sel_ro: dd      RO
sel_bad: dd     0xfff0
g_p0:   dd      0
g_p1:   dd      0
g_esp:  dd      0
g_ss:   dd      0
        ROM_END
