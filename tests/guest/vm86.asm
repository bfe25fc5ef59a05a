; SPDX-License-Identifier: GPL-2.0-or-later
; Virtual-8086 mode: entry by IRET, leaving by exceptions, sensitive instructions, I/O, CR4.VME.
%include "kit32.inc"

VSEG    equ     0x1000          ; the image itself
VSS     equ     0x6000

; VM start, flags: runs 16-bit code until an exception comes back after the macro
%macro VM 2
        ARM     %%back
        push    dword 0x9999            ; gs
        push    dword 0x8888            ; fs
        push    dword VSEG              ; ds
        push    dword 0x7777            ; es
        push    dword VSS
        push    dword 0x1000            ; esp
        push    dword 0x20000 | (%2)
        push    dword VSEG
        push    dword R(%1)
        iret
%%back:
%endmacro
IOPL0   equ     0x0002
IOPL3   equ     0x3002

tests:
        mov     byte [idt + 0x81 * 8 + 5], 0xee
        VM      v_trap, IOPL3
        CHECK_AT "int 0x81 with IOPL 3", 0x81, NOERR, R(v_trap_end)
        EQUAL   "cs", [got_cs], VSEG
        EQUAL   "ss", [got_ss], VSS
        EQUAL   "es", [got_frame + 20], 0x7777
        EQUAL   "ds", [got_frame + 24], VSEG
        EQUAL   "fs", [got_frame + 28], 0x8888
        EQUAL   "gs", [got_frame + 32], 0x9999
        EQUAL   "ds inside is null", [in_ds], 0
        EQUAL   "frame on the inner stack", [in_esp], ESP0 - 44
        mov     ecx, [got_flags]
        and     ecx, 0x20000
        EQUAL   "VM in the saved flags", ecx, 0x20000
        VM      v_trap, IOPL0
        CHECK_AT "int with IOPL 0", 13, 0, R(v_trap)
        VM      v_int3, IOPL0
        CHECK_AT "int3 needs no IOPL, but the gate's DPL", 13, 3 * 8 + 2, R(v_int3)
        mov     byte [idt + 3 * 8 + 5], 0xee
        VM      v_int3, IOPL0
        CHECK_AT "int3", 3, NOERR, R(v_int3) + 1
        VM      v_cli, IOPL0
        CHECK_AT "cli with IOPL 0", 13, 0, R(v_cli)
        VM      v_cli, IOPL3
        CHECK_AT "cli with IOPL 3", 0x81, NOERR, R(v_cli_end)
        VM      v_pushf, IOPL0
        CHECK_AT "pushf with IOPL 0", 13, 0, R(v_pushf)
        VM      v_popf, IOPL0
        CHECK_AT "popf with IOPL 0", 13, 0, R(v_popf)
        VM      v_iret, IOPL0
        CHECK_AT "iret with IOPL 0", 13, 0, R(v_iret)
        VM      v_iret3, IOPL3
        CHECK_AT "iret with IOPL 3", 0x81, NOERR, R(v_iret3_end)
        VM      v_hlt, IOPL3
        CHECK_AT "hlt", 13, 0, R(v_hlt)
        VM      v_lidt, IOPL3
        CHECK_AT "lidt", 13, 0, R(v_lidt)
        VM      v_lldt, IOPL3
        CHECK_AT "lldt is undefined", 6, NOERR, R(v_lldt)
        VM      v_in, IOPL3
        CHECK_AT "in: the map counts, not IOPL", 13, 0, R(v_in)
        mov     byte [tss + 0x68 + 32 + 0x0c], 0
        VM      v_in, IOPL3
        CHECK_AT "in, allowed", 0x81, NOERR, R(v_in_end)
        VM      v_seg, IOPL3
        CHECK_AT "segment loads", 0x81, NOERR, R(v_seg_end)
        EQUAL   "what it read", ebx, 0x12345678
        VM      v_limit, IOPL3
        CHECK_AT "past 64 KiB", 13, 0, R(v_limit.at)
        VM      v_far, IOPL3
        CHECK_AT "far call and return", 0x81, NOERR, R(v_far_end)
        call    test_vme
        ret

test_vme:
        mov     eax, cr4
        or      eax, 1
        mov     cr4, eax
        VM      v_vcli, IOPL0 | 0x80000
        CHECK_AT "VME: cli", 3, NOERR, R(v_vcli_end)
        mov     ecx, [got_flags]
        and     ecx, 0x80200
        EQUAL   "VIF cleared, IF not", ecx, 0
        VM      v_vsti, IOPL0
        CHECK_AT "VME: sti", 3, NOERR, R(v_vsti_end)
        mov     ecx, [got_flags]
        and     ecx, 0x80200
        EQUAL   "VIF set", ecx, 0x80000
        VM      v_vsti, IOPL0 | 0x100000
        CHECK_AT "VME: sti with VIP", 13, 0, R(v_vsti)
        VM      v_vpushf, IOPL0 | 0x80000
        CHECK_AT "VME: pushf", 3, NOERR, R(v_vpushf_end)
        and     ebx, 0x3200
        EQUAL   "IF and IOPL as VIF and 3", ebx, 0x3200
        VM      v_vpopf, IOPL0
        CHECK_AT "VME: popf", 3, NOERR, R(v_vpopf_end)
        mov     ecx, [got_flags]
        and     ecx, 0x80200
        EQUAL   "VIF from IF", ecx, 0x80000
        ; redirected INT 0x70: vector 0x70 of linear 0
        mov     word [0x70 * 4], R(v_handler)
        mov     word [0x70 * 4 + 2], VSEG
        mov     byte [tss + 0x68 + 0x70 / 8], 0xfe
        VM      v_int70, IOPL0 | 0x80000
        CHECK_AT "VME: int redirected", 3, NOERR, R(v_int70_end)
        EQUAL   "its handler ran", [t_ran], 1
        mov     ecx, [t_flags]
        and     ecx, 0x3200
        EQUAL   "flags that it saw saved", ecx, 0x3200
        mov     ecx, [got_flags]
        and     ecx, 0x80000
        EQUAL   "VIF back by iret", ecx, 0x80000
        VM      v_int71, IOPL0
        CHECK_AT "VME: int not redirected", 13, 0, R(v_int71)
        mov     eax, cr4
        and     eax, ~1
        mov     cr4, eax
        ret

        bits    16
v_trap: int     0x81
v_trap_end:
v_int3: int3
v_cli:  cli
        sti
        int     0x81
v_cli_end:
v_pushf: pushf
v_popf: popf
v_iret: iret
v_iret3:
        pushf
        push    cs
        push    word R(.on)
        iret
.on:    int     0x81
v_iret3_end:
v_hlt:  hlt
v_lidt: lidt    [0]
v_lldt: lldt    ax
v_in:   in      al, 0x60
        int     0x81
v_in_end:
v_seg:  mov     ax, 0x1234
        mov     es, ax
        mov     dword [es:0x10], 0x12345678
        mov     ax, 0x1235
        mov     ds, ax
        mov     ebx, [0]
        int     0x81
v_seg_end:
v_limit: mov    bx, 0xffff
.at:    mov     ax, [bx]
v_far:  call    VSEG:R(v_far_in)
        int     0x81
v_far_end:
v_far_in: retf
v_vcli: cli
        int3
v_vcli_end:
v_vsti: sti
        int3
v_vsti_end:
v_vpushf: xor   ebx, ebx
        pushf
        pop     bx
        int3
v_vpushf_end:
v_vpopf: push   word 0x202
        popf
        int3
v_vpopf_end:
v_int70: int    0x70
        int3
v_int70_end:
v_int71: int    0x71
v_handler:
        mov     bp, sp
        mov     ax, [bp + 4]
        mov     [R(t_flags)], ax
        inc     byte [R(t_ran)]
        iret
        bits    32
        align   4
t_ran:  dd      0
t_flags: dd     0
        ROM_END
