; SPDX-License-Identifier: GPL-2.0-or-later
; A boot sector that counts its runs in the disk's second sector and says so on COM1, then ends the
; machine by port 0xf4 with status 1; 3 if the disk fails.  By the BIOS's disk services, so whatever
; controller the disk is on.
bits 16
org 0x7c00
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7c00
        mov     [drive], dl
        mov     ax, 0x0201              ; read
        call    sector
        inc     byte [0x7e00]
        mov     ax, 0x0301              ; write
        call    sector
        mov     si, says
        call    print
        mov     al, [0x7e00]
        add     al, '0'
        call    putc
        mov     al, 10
        call    putc
        mov     al, 0
        out     0xf4, al
stop:   hlt
        jmp     stop
sector: mov     cx, 2
        mov     dh, 0
        mov     dl, [drive]
        mov     bx, 0x7e00
        int     0x13
        jc      fail
        ret
fail:   mov     al, 1
        out     0xf4, al
        jmp     stop
print:  lodsb
        test    al, al
        jz      .end
        call    putc
        jmp     print
.end:   ret
putc:   push    ax
        mov     dx, 0x3fd
.wait:  in      al, dx
        test    al, 0x20
        jz      .wait
        pop     ax
        mov     dx, 0x3f8
        out     dx, al
        ret
drive:  db 0
says:   db "this is run ", 0
        times 510 - ($ - $$) db 0
        dw 0xaa55
