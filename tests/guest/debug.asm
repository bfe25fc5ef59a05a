; SPDX-License-Identifier: GPL-2.0-or-later
; Debug exceptions: single step, code, data and I/O breakpoints, RF, general detect; interrupt
; shadows; self-modifying code.  32-bit protected mode.
%include "kit32.inc"

DR6_0   equ     0xffff0ff0

%macro DR6CLR 0
        mov     eax, DR6_0
        mov     dr6, eax
%endmacro

tests:
        call    test_step
        call    test_code_bp
        call    test_data_bp
        call    test_io_bp
        call    test_gd
        call    test_smc
        ret

; ---------------------------------------------------------------- single step

test_step:
        DR6CLR
        ARM     .got1
        pushf
        or      dword [esp], 0x100
        popf                            ; TF takes effect after the next instruction
        nop
.at1:   nop
.got1:  CHECK_AT "single step", 1, NOERR, .at1
        EQUAL   "DR6.BS", [got_dr6], DR6_0 | 0x4000
        mov     ecx, [got_flags]
        and     ecx, 0x100
        EQUAL   "TF saved", ecx, 0x100
        pushf
        pop     ecx
        and     ecx, 0x100
        EQUAL   "TF cleared in the handler", ecx, 0
        DR6CLR
        ARM     .got2
        pushf
        or      dword [esp], 0x100
        popf
        mov     ax, ss
.p2:    nop
        nop
.got2:  CHECK_AT "step: mov from ss", 1, NOERR, .p2
        DR6CLR
        mov     bx, ss
        ARM     .got3
        pushf
        or      dword [esp], 0x100
        popf
        mov     ss, bx                  ; no trap after this one
        nop
.p3:    nop
.got3:  CHECK_AT "step over mov ss", 1, NOERR, .p3
        DR6CLR
        ARM     .got4
        pushf
        or      dword [esp], 0x100
        popf
        int     0x81                    ; clears TF: no step trap in the handler
.p4:    nop
.got4:  CHECK_AT "int under TF", 0x81, NOERR, .p4
        ; a step trap after each iteration of a repeated string instruction
        DR6CLR
        mov     ecx, 5
        mov     edi, 0x60000
        mov     al, 0x55
        ARM     .got5
        pushf
        or      dword [esp], 0x100
        popf
.p5:    rep stosb
.got5:  mov     [t_ecx], ecx
        CHECK_AT "step inside rep stosb", 1, NOERR, .p5
        EQUAL   "one iteration done", [t_ecx], 4
        ; iret with TF steps the first instruction
        DR6CLR
        ARM     .got6
        pushf
        or      dword [esp], 0x100
        push    dword KCS
        push    dword .p6
        iret
.p6:    nop
.p6b:   nop
.got6:  CHECK_AT "step after iret", 1, NOERR, .p6b
        ; a fault is not followed by a trap
        DR6CLR
        ARM     .got7
        pushf
        or      dword [esp], 0x100
        popf
.p7:    ud2
.got7:  CHECK_AT "fault under TF", 6, NOERR, .p7
        DR6CLR
        TRAP    "int1", 1, NOERR, db 0xf1
        EQUAL   "int1 leaves DR6", [got_dr6], DR6_0
        ret

; ---------------------------------------------------------------- breakpoints

test_code_bp:
        DR6CLR
        mov     eax, .p1
        mov     dr0, eax
        mov     eax, 0x402
        mov     dr7, eax                ; G0, execution
        ARM     .got1
        nop
.p1:    nop
        nop
.got1:  CHECK_AT "code breakpoint", 1, NOERR, .p1
        EQUAL   "DR6.B0", [got_dr6], DR6_0 | 1
        mov     ecx, [got_flags]
        and     ecx, 0x10000
        EQUAL   "RF not set by a code breakpoint", ecx, 0
        ; with RF it runs once
        ARM     .got2
        pushf
        or      dword [esp], 0x10000
        push    dword KCS
        push    dword .p1b
        mov     eax, .p1b
        mov     dr0, eax
        iret
.p1b:   nop
        inc     dword [t_count]
        jmp     .p1b
.got2:  CHECK_AT "RF holds for one instruction", 1, NOERR, .p1b
        EQUAL   "and it ran", [t_count], 1
        mov     eax, 0x400
        mov     dr7, eax
        FAULT   "a fault", 6, NOERR, ud2
        mov     ecx, [got_flags]
        and     ecx, 0x10000
        EQUAL   "RF in the flags of a fault", ecx, 0x10000
        ret

test_data_bp:
        DR6CLR
        mov     eax, t_word
        mov     dr1, eax
        mov     eax, 0x400 | 8 | 1 << 20 | 3 << 22      ; G1, write, 4 bytes
        mov     dr7, eax
        ARM     .got1
        mov     eax, [t_word]
        mov     [t_word - 1], al
        mov     [t_word + 3], al
.p1:    nop
        nop
.got1:  CHECK_AT "data breakpoint, write", 1, NOERR, .p1
        EQUAL   "DR6.B1", [got_dr6], DR6_0 | 2
        DR6CLR
        ARM     .got2
        mov     [t_word - 2], eax
.p2:    nop
.got2:  CHECK_AT "data breakpoint, partly", 1, NOERR, .p2
        mov     eax, 0x400 | 8 | 3 << 20 | 3 << 22      ; read or write
        mov     dr7, eax
        DR6CLR
        ARM     .got3
        mov     eax, [t_word]
.p3:    nop
.got3:  CHECK_AT "data breakpoint, read", 1, NOERR, .p3
        DR6CLR
        ARM     .got4
        add     dword [t_word], 0
.p4:    nop
.got4:  CHECK_AT "data breakpoint, read-modify-write", 1, NOERR, .p4
        mov     eax, 0x400
        mov     dr7, eax
        NOFAULT "breakpoints off", mov [t_word], eax
        ret

test_io_bp:
        mov     eax, cr4
        or      eax, 8
        mov     cr4, eax                ; DE
        mov     eax, 0x80
        mov     dr2, eax
        mov     eax, 0x400 | 0x20 | 2 << 24     ; G2, I/O, 1 byte
        mov     dr7, eax
        DR6CLR
        ARM     .got1
        out     0x80, al
.p1:    nop
.got1:  CHECK_AT "I/O breakpoint", 1, NOERR, .p1
        EQUAL   "DR6.B2", [got_dr6], DR6_0 | 4
        mov     eax, 0x400
        mov     dr7, eax
        FAULT   "DR4 with CR4.DE", 6, NOERR, mov eax, dr4
        mov     eax, cr4
        and     eax, ~8
        mov     cr4, eax
        NOFAULT "DR4 is DR6 without", mov eax, dr4
        ret

test_gd:
        mov     eax, 0x2400
        mov     dr7, eax
        FAULT   "general detect", 1, NOERR, mov eax, dr0
        mov     ecx, [got_dr6]
        and     ecx, 0x2000
        EQUAL   "DR6.BD", ecx, 0x2000
        mov     eax, dr7
        EQUAL   "GD cleared", eax, 0x400
        ret

; ---------------------------------------------------------------- self-modifying code

test_smc:
        ; the very next instruction
        mov     byte [.p1 + 1], 0x22
        mov     eax, 0
.p1:    mov     al, 0x11
        mov     ecx, eax
        EQUAL   "next instruction changed", ecx, 0x22
        ; a loop that changes itself
        mov     ecx, 100
        xor     edx, edx
.loop:
.imm:   mov     eax, 0
        add     edx, eax
        inc     dword [.imm + 1]
        loop    .loop
        EQUAL   "a loop that changes itself", edx, 4950
        ; copied code
        mov     edi, 0x60000
        mov     esi, f_a
        mov     ecx, f_end - f_a
        rep movsb
        mov     eax, 0x60000
        call    eax
        mov     ebx, eax
        mov     edi, 0x60000
        mov     esi, f_b
        mov     ecx, f_end - f_b
        rep movsb
        mov     eax, 0x60000
        call    eax
        add     eax, ebx
        EQUAL   "code copied over code", eax, 0x333
        ret
f_a:    mov     eax, 0x111
        ret
f_b:    mov     eax, 0x222
        ret
f_end:

t_ecx:  dd      0
t_count: dd     0
        align   8
        dd      0
t_word: dd      0
        dd      0
        ROM_END
