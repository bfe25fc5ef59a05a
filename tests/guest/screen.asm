; SPDX-License-Identifier: GPL-2.0-or-later
; A boot floppy that draws a picture in every VGA mode and in VBE modes of every depth, and asks
; screen_run.c (port 0x900) to compare each.  The byte at offset o of plane p is
; o * 7 + (o >> 8) * 13 + p * 37; the palette is set to something that is easily computed.

        bits    16
        org     0x7c00

CHECK   equ     0x900                   ; dword: what is on the screen; 0xffff = the end
SIZE    equ     0x904                   ; dword: width | height << 16, of VBE modes
FORMAT  equ     0x908                   ; dword: bits a pixel | bytes a line << 16

start:  jmp     0:.here
.here:  xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7c00
        mov     ax, 0x0200 + 16 - 1     ; the rest of this file
        mov     bx, 0x7e00
        mov     cx, 2
        mov     dh, 0
        int     0x13
        jc      $
        jmp     main
        times   510 - ($ - $$) db 0
        dw      0xaa55

main:   call    unreal
        mov     si, vga_modes
.vga:   lodsw
        cmp     ax, -1
        je      .x
        push    ax
        call    [si]                    ; sets the mode in al and draws
        add     si, 2
        pop     ax
        call    check
        jmp     .vga
.x:     call    mode_x
        mov     ax, 0x93
        call    check
        mov     si, vbe_modes
.vbe:   lodsw
        cmp     ax, -1
        je      .end
        call    vbe
        jmp     .vbe
.end:   call    largest
        mov     ax, 0xffff
        call    check
        cli
        hlt

check:  movzx   eax, ax
        mov     dx, CHECK
        out     dx, eax
        ret

; fs reaches 4 GiB from now on.
unreal: cli
        lgdt    [gdt_at]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        mov     bx, 8
        mov     fs, bx
        and     al, 0xfe
        mov     cr0, eax
        xor     bx, bx
        mov     fs, bx
        sti
        ret

; A mode of the BIOS, our palette in the DAC and, if it goes through them, palette registers that
; change nothing.
set_mode:
        mov     ah, al                  ; SeaBIOS sets the CRT controller at its new address before
        mov     dx, 0x3c2               ; it moves it there
        mov     al, 0x67
        cmp     ah, 7
        jne     .color
        dec     al
.color: out     dx, al
        mov     al, ah
        mov     ah, 0
        int     0x10
palettes:
        cli
        mov     dx, 0x3ba               ; wherever it is: the next write to 3c0 is an index
        in      al, dx
        mov     dx, 0x3da
        in      al, dx
        mov     dx, 0x3c0
        xor     cx, cx
.attr:  mov     al, cl
        out     dx, al
        out     dx, al
        inc     cx
        cmp     cx, 16
        jb      .attr
        mov     al, 0x20
        out     dx, al
        mov     dx, 0x3c8
        mov     al, 0
        out     dx, al
        inc     dx
        xor     cx, cx
.dac:   mov     al, 5
        mul     cl
        and     al, 63
        out     dx, al
        mov     al, 3
        mul     cl
        add     al, 7
        and     al, 63
        out     dx, al
        mov     al, 11
        mul     cl
        and     al, 63
        out     dx, al
        inc     cx
        cmp     cx, 256
        jb      .dac
        sti
        ret

; es: segment, cx: bytes (0 = 65536), dl: plane.
fill:   mov     al, 37
        mul     dl
        mov     dl, al
        xor     di, di
.byte:  mov     bx, di
        mov     al, 7
        mul     bl
        mov     bl, al
        mov     al, 13
        mul     bh
        add     al, bl
        add     al, dl
        stosb
        loop    .byte
        ret

text:   call    set_mode
        mov     ax, 0x1003              ; bright backgrounds, no blinking
        mov     bx, 0
        int     0x10
        mov     dx, 0x3d4
        mov     ax, 0x200a              ; no cursor
        out     dx, ax
        mov     ax, 0xb800
        jmp     text_fill
mono:   call    set_mode
        mov     ax, 0x1003
        mov     bx, 0
        int     0x10
        mov     dx, 0x3b4
        mov     ax, 0x200a
        out     dx, ax
        mov     ax, 0xb000
text_fill:
        mov     es, ax
        mov     cx, 4000
        mov     dl, 0
        jmp     fill

cga:    call    set_mode
        mov     ax, 0xb800
        mov     es, ax
        mov     cx, 0x4000
        mov     dl, 0
        jmp     fill

planar: call    set_mode
planes: mov     ax, 0xa000
        mov     es, ax
        mov     dx, 0x3ce
        mov     ax, 0xff08
        out     dx, ax
        mov     dl, 0
.plane: push    dx
        mov     cl, dl
        mov     ah, 1
        shl     ah, cl
        mov     al, 2
        mov     dx, 0x3c4
        out     dx, ax
        pop     dx
        push    dx
        mov     cx, 0x9600              ; 80 bytes, 480 lines
        call    fill
        pop     dx
        inc     dl
        cmp     dl, 4
        jb      .plane
        ret

bytes:  call    set_mode
        mov     ax, 0xa000
        mov     es, ax
        mov     cx, 64000
        mov     dl, 0
        jmp     fill

; 320x240 in 256 colours, four planes: mode 13h without chain-4, with the timing of 480 lines.
mode_x: mov     al, 0x13
        call    set_mode
        mov     dx, 0x3c4
        mov     ax, 0x0604
        out     dx, ax
        mov     dx, 0x3c2
        mov     al, 0xe3
        out     dx, al
        mov     dx, 0x3d4
        mov     al, 0x11
        out     dx, al
        inc     dx
        in      al, dx
        and     al, 0x7f
        out     dx, al
        dec     dx
        mov     si, .crtc
        mov     cx, 10
.reg:   lodsw
        out     dx, ax
        loop    .reg
        jmp     planes
.crtc:  dw      0x0d06, 0x3e07, 0x4109, 0xea10, 0xac11, 0xdf12, 0x0014, 0xe715, 0x0616, 0xe317

; A VBE mode (ax) with its frame buffer, filled byte by byte.
vbe:    mov     [.mode], ax
        mov     cx, ax
        mov     ax, 0x4f01
        mov     di, info
        push    ds
        pop     es
        int     0x10
        cmp     ax, 0x004f
        jne     .none
        mov     bx, [.mode]
        or      bx, 0x4000
        mov     ax, 0x4f02
        int     0x10
        cmp     ax, 0x004f
        jne     .none
        call    palettes
        mov     edi, [info + 0x28]
        movzx   ecx, word [info + 0x10]
        movzx   eax, word [info + 0x14]
        imul    ecx, eax
        xor     edx, edx
.byte:  imul    eax, edx, 7
        mov     bl, dh
        imul    bx, bx, 13
        add     al, bl
        mov     [fs:edi + edx], al
        inc     edx
        cmp     edx, ecx
        jb      .byte
        call    tell
        mov     ax, [.mode]
.none:  jmp     check                   ; ax: the mode, or the error
.mode:  dw      0

tell:   mov     eax, [info + 0x12]      ; width and height
        mov     dx, SIZE
        out     dx, eax
        movzx   eax, word [info + 0x10] ; bytes a line
        shl     eax, 16
        mov     al, [info + 0x19]
        mov     dx, FORMAT
        out     dx, eax
        ret

; 2560x1600 in 32 bits, set past the BIOS: each line is a colour.
largest:
        mov     si, .regs
.reg:   lodsw
        cmp     ax, -1
        je      .draw
        mov     dx, 0x1ce
        out     dx, ax
        lodsw
        inc     dx
        out     dx, ax
        jmp     .reg
.draw:  mov     edi, [info + 0x28]
        mov     ecx, 2560 * 1600
        xor     eax, eax
        mov     ebx, 2560
.pixel: mov     [fs:edi], eax
        add     edi, 4
        dec     ebx
        jnz     .same
        add     eax, 0x00010307
        mov     ebx, 2560
.same:  dec     ecx
        jnz     .pixel
        mov     ax, 0x300
        jmp     check
.regs:  dw      4, 0, 1, 2560, 2, 1600, 3, 32, 4, 0x41, -1

vga_modes:
        dw      0x00, text, 0x01, text, 0x02, text, 0x03, text, 0x04, cga, 0x05, cga, 0x06, cga
        dw      0x07, mono, 0x0d, planar, 0x0e, planar, 0x0f, planar, 0x10, planar, 0x11, planar
        dw      0x12, planar, 0x13, bytes, -1
; 640x400x8, 640x480x8, x15, x16, x24, x32, 800x600x32, 1024x768x16
vbe_modes:
        dw      0x100, 0x101, 0x110, 0x111, 0x112, 0x142, 0x143, 0x117, -1

        align   8
gdt:    dq      0, 0x00cf92000000ffff
gdt_at: dw      15
        dd      gdt
info:   times   256 db 0

        times   1474560 - ($ - $$) db 0
