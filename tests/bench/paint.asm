; SPDX-License-Identifier: GPL-2.0-or-later
; A Multiboot guest that paints 1024x768x32 as fast as it can: two channels of moving hills, one of
; a moving texture.  Each second of the real-time clock it prints, on the serial port, how many
; pictures it has painted.
        bits    32
        org     0x100000

WIDTH   equ     1024
HEIGHT  equ     768
BASE    equ     0x100000

header: dd      0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
        dd      header, BASE, end_of_file, end_of_bss, start

start:  mov     esp, stack
        cld
        call    find_vga
        call    set_mode
        call    make_hills
        call    second
        mov     [last], al
.frame: call    paint
        inc     dword [painted]
        call    second
        cmp     al, [last]
        je      .frame
        mov     [last], al
        mov     eax, [painted]
        mov     dword [painted], 0
        call    print
        jmp     .frame

; edi = the frame buffer: BAR 0 of the first display controller on bus 0.
find_vga:
        mov     ebx, 0x80000008
.next:  mov     eax, ebx
        mov     dx, 0xcf8
        out     dx, eax
        mov     dx, 0xcfc
        in      eax, dx
        shr     eax, 24
        cmp     al, 3
        je      .found
        add     ebx, 0x800
        cmp     ebx, 0x80010008
        jb      .next
        hlt
.found: lea     eax, [ebx + 8]
        mov     dx, 0xcf8
        out     dx, eax
        mov     dx, 0xcfc
        in      eax, dx
        and     al, 0xf0
        mov     [lfb], eax
        ret

; Bochs' VBE registers.
set_mode:
        mov     esi, .regs
        mov     ecx, 5
.next:  mov     dx, 0x1ce
        lodsw
        out     dx, ax
        inc     edx
        lodsw
        out     dx, ax
        loop    .next
        ret
.regs:  dw      4, 0, 1, WIDTH, 2, HEIGHT, 3, 32, 4, 0x41

; A period of something like a sine, 0 to 255.
make_hills:
        xor     ecx, ecx
.next:  mov     eax, ecx
        and     eax, 127
        mov     edx, 128
        sub     edx, eax
        imul    eax, edx                ; 0 to 4096
        shr     eax, 5
        test    cl, 128
        jnz     .low
        neg     eax
.low:   add     eax, 128
        cmp     eax, 255
        jbe     .ok
        mov     eax, 255
.ok:    mov     [hills + ecx], al
        inc     cl
        jnz     .next
        ret

paint:  mov     edi, [lfb]
        mov     ebp, [time]
        inc     dword [time]
        xor     esi, esi                ; y
.line:  xor     ecx, ecx                ; x
        lea     edx, [esi * 2 + ebp]
        and     edx, 255
        movzx   edx, byte [hills + edx]
        shl     edx, 8
.pixel: lea     eax, [ecx + ebp * 2]
        and     eax, 255
        movzx   eax, byte [hills + eax]
        shl     eax, 16
        or      eax, edx
        mov     ebx, ecx
        xor     ebx, esi
        add     ebx, ebp
        and     ebx, 255
        or      eax, ebx
        stosd
        inc     ecx
        cmp     ecx, WIDTH
        jb      .pixel
        inc     esi
        cmp     esi, HEIGHT
        jb      .line
        ret

; al = the seconds of the real-time clock.
second: xor     al, al
        out     0x70, al
        in      al, 0x71
        ret

; eax in decimal, and a new line.
print:  mov     ebx, 10
        mov     edi, digits_end
.next:  xor     edx, edx
        div     ebx
        add     dl, '0'
        dec     edi
        mov     [edi], dl
        test    eax, eax
        jnz     .next
        mov     dx, 0x3f8
.put:   mov     al, [edi]
        out     dx, al
        inc     edi
        cmp     al, 10
        jne     .put
        ret

digits: times 10 db 0
digits_end: db  10
last:   db      0
        align   4
time:   dd      0
painted: dd     0
lfb:    dd      0
end_of_file:
        absolute end_of_file
hills:  resb    256
        resb    4096
stack:
end_of_bss:
