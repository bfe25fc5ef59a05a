; SPDX-License-Identifier: GPL-2.0-or-later
;
; What a debugger looks at: a PVH kernel in long mode, whose memory is at FFFFFFFF80000000 too,
; whose first processor calls `tick` in a loop and whose second one counts in
; `ap_loop`.  It runs until `stop_flag` is set, and then ends the machine by port 0xF4 with
; 'stop_flag'.
;
;   nasm -f elf64 gdb.asm; ld -n -Ttext 0x100000 -e start32

APIC    equ     0xfee00000
AP_PAGE equ     0x8000

        section .note.pvh note alloc align=4
        dd      4, 4, 18                ; XEN_ELFNOTE_PHYS32_ENTRY
        db      "Xen", 0
        dd      start32

        section .text
        bits    32
        global  start32
start32:
        mov     esp, stack_top
        mov     edi, pml4
        mov     ecx, (tables_end - pml4) / 4
        xor     eax, eax
        rep stosd
        mov     dword [pml4], pdpt_low + 3
        mov     dword [pml4 + 511 * 8], pdpt_high + 3
        mov     dword [pdpt_low], pd + 3
        mov     dword [pdpt_low + 3 * 8], pd_apic + 3
        mov     dword [pdpt_high + 510 * 8], pd + 3
        xor     ecx, ecx
        mov     eax, 0x83
fill:   mov     [pd + ecx * 8], eax
        add     eax, 0x200000
        inc     ecx
        cmp     ecx, 8
        jne     fill
        mov     dword [pd_apic + 503 * 8], 0xfee00000 + 0x9b
        call    enter_long
        jmp     8:start64

; On both processors: long mode but for the far jump.
enter_long:
        mov     eax, cr4
        or      eax, 0x620              ; PAE, OSFXSR, OSXMMEXCPT
        mov     cr4, eax
        mov     eax, pml4
        mov     cr3, eax
        mov     ecx, 0xc0000080
        rdmsr
        or      eax, 0x100
        wrmsr
        mov     eax, cr0
        and     eax, ~4
        or      eax, 0x80000001
        mov     cr0, eax
        lgdt    [gdtr]
        ret

        bits    64
start64:
        mov     ax, 16
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        global  start64, tick, work, ap_loop, counter, watched, ap_counter, stop_flag
        mov     esi, ap_start           ; the second processor
        mov     edi, AP_PAGE
        mov     ecx, ap_end - ap_start
        rep movsb
        mov     ebx, APIC
        mov     dword [rbx + 0x310], 1 << 24
        mov     dword [rbx + 0x300], 0x4500
        mov     dword [rbx + 0x310], 1 << 24
        mov     dword [rbx + 0x300], 0x4600 + AP_PAGE / 0x1000
        movaps  xmm1, [rel pattern]
        fninit
        fldpi
work:
        call    tick
        mov     rax, [rel counter]
        test    al, 15
        jnz     .on
        mov     [rel watched], rax
.on:    mov     eax, [rel stop_flag]
        test    eax, eax
        jz      work
        mov     dx, 0xf4
        out     dx, eax
        hlt

tick:
        inc     qword [rel counter]
        mov     ecx, 0x1234
        lea     rdx, [rcx + 1]
        ret

ap_loop:
        inc     qword [rel ap_counter]
        pause
        jmp     ap_loop

        align   16
        bits    16
ap_start:
        cli
        xor     ax, ax
        mov     ds, ax
        o32 lgdt [AP_PAGE + ap_gdtr - ap_start]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     dword 24:AP_PAGE + ap32 - ap_start
        bits    32
ap32:   mov     ax, 16
        mov     ds, ax
        mov     ss, ax
        mov     esp, ap_stack_top
        mov     eax, enter_long
        call    eax
        jmp     8:ap64
ap_gdtr:
        dw      gdt_end - gdt - 1
        dd      gdt
ap_end:
        bits    64
ap64:   mov     eax, ap_loop
        jmp     rax

        section .data
        align   16
pattern: dq     0x1122334455667788, 0x99aabbccddeeff00
counter: dq     0
ap_counter: dq  0
stop_flag: dq   0
gdt:    dq      0, 0x00af9a000000ffff, 0x00cf92000000ffff, 0x00cf9a000000ffff
gdt_end:
gdtr:   dw      gdt_end - gdt - 1
        dq      gdt
        align   64
watched: dq     0

        section .bss
        alignb  4096
pml4:   resb    4096
pdpt_low: resb  4096
pdpt_high: resb 4096
pd:     resb    4096
pd_apic: resb   4096
tables_end:
        resb    4096
stack_top:
        resb    4096
ap_stack_top:
