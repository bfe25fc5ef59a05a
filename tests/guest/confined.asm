; SPDX-License-Identifier: GPL-2.0-or-later
; Programs in five address spaces, in turn, for ever: what their processes look like is confined.py's.
%include "kit64.inc"

tests:  mov     byte [idt + 0x81 * 16 + 5], 0xee
        xor     eax, eax
        mov     fs, ax
        mov     gs, ax
        mov     rax, cr4
        or      rax, 0x70000            ; OSXSAVE, PCIDE, FSGSBASE
        mov     cr4, rax
        xor     ecx, ecx
        xor     edx, edx
        mov     eax, 7
        xsetbv
        mov     ebx, 1
.next:  mov     rax, PML4
        or      rax, rbx
        bts     rax, 63
        mov     cr3, rax
        mov     [number], ebx
        USER    u_work, u_end
        cmp     dword [got_vec], 0x81
        jne     .bad
        inc     dword [turns]
        cmp     dword [turns], 20
        jne     .quiet
        NAME    "programs run"
        call    pass
.quiet: mov     ebx, [number]
        inc     ebx
        cmp     ebx, 6
        jb      .next
        mov     ebx, 1
        jmp     .next
.bad:   NAME    "a program"
        jmp     fail

u_work: mov     ecx, 3000000
        mov     edi, TESTMEM
.loop:  mov     [rdi], ecx
        add     edi, 4096 + 64
        and     edi, 0x4fffff
        or      edi, TESTMEM
        loop    .loop
        int     0x81
u_end:

number: dd      0
turns:  dd      0
        ROM_END
