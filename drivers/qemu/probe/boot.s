# The boot sector that tells whether an accelerator runs guests. It does what a
# kernel does first: it leaves real mode for long mode with paging, and is woken by
# timer interrupts. Then it ends QEMU through isa-debug-exit with the code 33.
#
#	as -o boot.o boot.s
#	objcopy -O binary -j .text boot.o boot.bin

	.code16
	.globl _start
_start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0x7c00, %sp
	cld

	# Page tables at 0x1000: the first 2 MiB as they are.
	movw $0x1000, %di
	movw $0x1800, %cx
	rep stosw
	movw $0x2003, 0x1000
	movw $0x3003, 0x2000
	movw $0x0083, 0x3000

	# The timer's interrupt is vector 0x20, all others are off.
	movb $0x11, %al
	outb %al, $0x20
	movb $0x20, %al
	outb %al, $0x21
	movb $0x04, %al
	outb %al, $0x21
	movb $0x01, %al
	outb %al, $0x21
	movb $0xfe, %al
	outb %al, $0x21
	movb $0xff, %al
	outb %al, $0xa1
	movb $0x34, %al
	outb %al, $0x43
	movb $0xa9, %al
	outb %al, $0x40
	movb $0x04, %al
	outb %al, $0x40

	# Its gate, in a table at 0x5000.
	movw $(handler - _start + 0x7c00), 0x5200
	movw $0x0008, 0x5202
	movw $0x8e00, 0x5204
	xorw %ax, %ax
	movw %ax, 0x5206
	movw %ax, 0x5208
	movw %ax, 0x520a

	movl %cr4, %eax
	orl $0x20, %eax
	movl %eax, %cr4
	movl $0x1000, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x100, %eax
	wrmsr
	lgdtl (gdtr - _start + 0x7c00)
	movl %cr0, %eax
	orl $0x80000001, %eax
	movl %eax, %cr0
	ljmpl $8, $(long - _start + 0x7c00)

	.code64
long:
	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movq $0x7c00, %rsp
	lidt (idtr - _start + 0x7c00)
	xorl %ebx, %ebx
	sti
wait:
	hlt
	cmpl $5, %ebx
	jb wait
	cli
	movb $0x10, %al
	movw $0xf4, %dx
	outb %al, %dx
	hlt

handler:
	incl %ebx
	movb $0x20, %al
	outb %al, $0x20
	iretq

	.balign 8
gdt:
	.quad 0
	.quad 0x00209a0000000000
	.quad 0x0000920000000000
gdtr:
	.word gdtr - gdt - 1
	.long gdt - _start + 0x7c00
idtr:
	.word 0x20f
	.quad 0x5000

	.org 510
	.word 0xaa55
