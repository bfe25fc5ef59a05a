; SPDX-License-Identifier: GPL-2.0-or-later
; Real mode: interrupt vectors, faults, limits, big real mode, stack wrap, string instructions with
; 16-bit wrap, single step, far branches, interrupt shadow.  All code is 16-bit, CS = DS = SS = 0x1000.
%include "rom.inc"

main16:
        xor     ax, ax
        mov     fs, ax
        mov     cx, 256                 ; every vector to its stub
        xor     bx, bx
        mov     ax, R(stubs)
.ivt:   mov     [fs:bx], ax
        mov     word [fs:bx + 2], RAM_SEG
        add     bx, 4
        add     ax, 8
        loop    .ivt
        call    tests
        movzx   eax, word [R(failures)]
        mov     dx, 0x501
        out     dx, eax
        mov     dx, 0xf4
        out     dx, eax
        cli
        hlt

        align   8
stubs:
%assign n 0
%rep 256
        align   8
        push    word n
        jmp     strict near caught
%assign n n+1
%endrep

caught:                                 ; vector, ip, cs, flags
        push    ax
        push    ds
        mov     ax, RAM_SEG
        mov     ds, ax
        pop     word [R(in_ds)]
        pop     word [R(got_ax)]
        mov     [R(in_sp)], sp
        pop     word [R(got_vec)]
        pop     word [R(got_ip)]
        pop     word [R(got_cs)]
        pop     word [R(got_flags)]
        mov     ax, RAM_SEG
        mov     es, ax
        mov     ss, ax
        mov     sp, [R(resume_sp)]
        mov     ax, [R(got_ax)]
        jmp     [R(resume)]

puts:   lodsb
        test    al, al
        jz      .end
        out     0xe9, al
        jmp     puts
.end:   ret

; ax: prints " hhhh"
hex:    mov     bx, ax
        mov     al, ' '
        out     0xe9, al
        mov     cx, 4
.next:  rol     bx, 4
        mov     al, bl
        and     al, 15
        add     al, '0'
        cmp     al, '9'
        jbe     .put
        add     al, 39
.put:   out     0xe9, al
        loop    .next
        ret

pass:   mov     si, R(s_pass)
        call    puts
        mov     si, di
        call    puts
        mov     al, 10
        out     0xe9, al
        ret
fail:   inc     word [R(failures)]
        mov     si, R(s_fail)
        call    puts
        mov     si, di
        call    puts
        mov     ax, [R(got_vec)]
        call    hex
        mov     ax, [R(got_ip)]
        call    hex
        mov     ax, [R(got_val)]
        call    hex
        mov     al, 10
        out     0xe9, al
        ret

; di name, cx vector, ax ip
check_fault:
        cmp     [R(got_vec)], cx
        jne     fail
        cmp     [R(got_ip)], ax
        jne     fail
        jmp     pass

%macro NAME 1
        jmp     %%over
%%text: db      %1, 0
%%over: mov     di, R(%%text)
%endmacro
%macro ARM 1
        mov     word [R(resume)], R(%1)
        mov     [R(resume_sp)], sp
        mov     word [R(got_vec)], 0xffff
%endmacro
%macro FAULT 3+
        ARM     %%after
%%at:   %3
%%after:
        mov     ax, R(%%at)
        mov     cx, %2
        NAME    %1
        call    check_fault
%endmacro
%macro TRAP 3+
        ARM     %%after
        %3
%%after:
        mov     ax, R(%%after)
        mov     cx, %2
        NAME    %1
        call    check_fault
%endmacro
%macro CHECK_AT 3
        mov     ax, %3
        mov     cx, %2
        NAME    %1
        call    check_fault
%endmacro
%macro CHECK 2
        j%+2    %%yes
        NAME    %1
        call    fail
        jmp     %%end
%%yes:  NAME    %1
        call    pass
%%end:
%endmacro
%macro EQUAL 3
        mov     ax, %2
        mov     [R(got_val)], ax
        cmp     ax, %3
        CHECK   %1, e
%endmacro

tests:
        TRAP    "int 0x42", 0x42, int 0x42
        EQUAL   "cs", [R(got_cs)], RAM_SEG
        TRAP    "int3", 3, int3
        FAULT   "ud2", 6, ud2
        xor     cx, cx
        FAULT   "divide", 0, div cx
        mov     bx, 0xffff
        FAULT   "word across 64 KiB", 13, mov ax, [bx]
        mov     bp, 0xffff
        FAULT   "word across 64 KiB of the stack", 12, mov ax, [bp]
        mov     ebx, 0x10000
        FAULT   "past 64 KiB by a 32-bit address", 13, mov al, [ebx]
        FAULT   "lldt is undefined", 6, lldt ax
        FAULT   "lar is undefined", 6, lar ax, cx
        mov     ax, 0x7fff
        add     ax, 1
        TRAP    "into", 4, into
        push    word 5
        push    word 9
        mov     ax, 10
        mov     bx, sp
        FAULT   "bound", 5, bound ax, [bx]
        add     sp, 4
        call    test_stack
        call    test_string
        call    test_far
        call    test_flags
        call    test_step
        call    test_big_real
        call    test_idt
        ret

test_stack:
        mov     bx, sp
        mov     ax, 0x7000
        mov     ss, ax
        xor     sp, sp
        push    word 0x1234             ; to 7000:fffe
        mov     cx, sp
        mov     ax, 0x7fff
        mov     es, ax
        mov     dx, [es:0x000e]         ; 7000:fffe
        pop     ax
        mov     bp, sp
        mov     ax, RAM_SEG
        mov     ss, ax
        mov     sp, bx
        mov     es, ax
        EQUAL   "push wraps", cx, 0xfffe
        EQUAL   "what it wrote", dx, 0x1234
        EQUAL   "pop wraps", bp, 0
        mov     bx, sp
        push    sp
        pop     cx
        EQUAL   "push sp", cx, bx
        pusha
        mov     bp, sp
        mov     cx, [bp + 6]
        popa
        EQUAL   "pusha: sp", cx, sp
        enter   8, 0
        mov     cx, bp
        sub     cx, sp
        leave
        EQUAL   "enter", cx, 8
        ret

test_string:
        mov     ax, 0x7000
        mov     es, ax
        mov     di, 0xfffe
        mov     cx, 4
        mov     al, 0x5a
        rep stosb
        EQUAL   "stosb wraps", di, 2
        mov     al, [es:1]
        xor     ah, ah
        EQUAL   "what it wrote at 1", ax, 0x5a
        mov     di, 0x10
        mov     si, 0x100
        std
        mov     cx, 3
        rep stosw
        cld
        EQUAL   "stosw down", di, 0x0a
        mov     ax, RAM_SEG
        mov     es, ax
        mov     si, R(s_pass)
        mov     di, R(s_pass)
        mov     cx, 4
        repe cmpsb
        CHECK   "cmpsb", e
        mov     di, R(s_pass)
        mov     al, 'S'
        mov     cx, 10
        repne scasb
        EQUAL   "scasb", cx, 7
        mov     bx, R(s_pass)
        mov     al, 1
        xlatb
        cmp     al, 'A'
        CHECK   "xlat", e
        ret

test_far:
        call    RAM_SEG:R(.near)
        jmp     .on
.near:  mov     bp, sp
        mov     cx, [bp + 2]
        retf
.on:    EQUAL   "far call: cs", cx, RAM_SEG
        jmp     0x1010:(R(.other) - 0x100)
.other: mov     cx, cs
        jmp     RAM_SEG:R(.back)
.back:  EQUAL   "far jump", cx, 0x1010
        call    far [R(far_ptr)]
        EQUAL   "far call by memory", cx, 0x77
        pushf
        push    cs
        push    word R(.iret)
        iret
.iret:  NAME    "iret"
        call    pass
        ret
far_target:
        mov     cx, 0x77
        retf

test_flags:
        pushf
        pop     cx
        and     cx, 0xf000
        EQUAL   "upper flags after reset", cx, 0
        push    word 0x7002
        popf
        pushf
        pop     cx
        and     cx, 0x7000
        EQUAL   "IOPL and NT can be set", cx, 0x7000
        push    word 2
        popf
        stc
        mov     ah, 0
        sahf
        CHECK   "sahf", nc
        stc
        lahf
        and     ah, 1
        xor     al, al
        EQUAL   "lahf", ax, 0x100
        ret

test_step:
        ARM     .got
        pushf
        pop     ax
        or      ah, 1
        push    ax
        popf
        nop
.at:    nop
.got:   CHECK_AT "single step", 1, R(.at)
        ret

; Through protected mode for a segment with a 4 GiB limit.
test_big_real:
        push    ds
        lgdt    [R(gdtr)]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        mov     bx, 8
        mov     gs, bx
        and     al, 0xfe
        mov     cr0, eax
        pop     ds
        mov     ebx, 0x200000
        mov     dword [gs:ebx], 0xcafe1234
        mov     cx, [gs:ebx]
        EQUAL   "big real mode", cx, 0x1234
        mov     ax, 0x2000
        mov     gs, ax
        mov     ebx, 0x1f0000
        mov     word [gs:ebx], 0x4321   ; base 0x20000, the limit stays
        xor     ax, ax
        mov     gs, ax
        mov     ebx, 0x210000
        mov     cx, [gs:ebx]
        EQUAL   "limit stays after a load", cx, 0x4321
        ret

test_idt:
        lidt    [R(idtr_far)]
        xor     ax, ax
        mov     es, ax
        mov     word [es:0x600 + 0x42 * 4], R(stubs) + 8 * 0x43
        mov     word [es:0x600 + 0x42 * 4 + 2], RAM_SEG
        mov     ax, RAM_SEG
        mov     es, ax
        TRAP    "moved interrupt table", 0x43, int 0x42
        lidt    [R(idtr)]
        ret

s_pass: db      "PASS ", 0
s_fail: db      "FAIL ", 0
        align   8
gdt:    dq      0
        dq      0x008f93000000ffff
gdtr:   dw      15
        dd      gdt
idtr:   dw      0x3ff
        dd      0
idtr_far: dw    0x3ff
        dd      0x600
far_ptr: dw     R(far_target), RAM_SEG
failures: dw    0
resume: dw      0
resume_sp: dw   0
got_ax: dw      0
got_vec: dw     0
got_ip: dw      0
got_cs: dw      0
got_flags: dw   0
got_val: dw     0
in_ds:  dw      0
in_sp:  dw      0
        ROM_END
