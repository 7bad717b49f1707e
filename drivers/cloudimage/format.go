package cloudimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// formatOf tells the format of a disk by its content. An image that points at
// other files is refused: it could bring any file of this computer into a guest.
func formatOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	stat, err := file.Stat()
	if err != nil {
		return "", err
	}
	head := make([]byte, 512)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("QFI\xfb")):
		return "qcow2", checkQcow2(head)
	case bytes.HasPrefix(head, []byte("KDMV")):
		return "vmdk", checkVMDK(file, head)
	case bytes.HasPrefix(head, []byte("# Disk DescriptorFile")):
		return "", fmt.Errorf("%w: it is only the description of a VMDK, whose data are in other files", ErrFormat)
	case bytes.HasPrefix(head, []byte("vhdxfile")):
		return "vhdx", checkVHDX(file)
	case len(head) > 68 && binary.LittleEndian.Uint32(head[64:]) == 0xbeda107f:
		return "vdi", differencing(len(head) > 80 && binary.LittleEndian.Uint32(head[76:]) == 4)
	case at(file, stat.Size()-512, "conectix"):
		return "vhd", differencing(at(file, stat.Size()-512+60, "\x00\x00\x00\x04"))
	case at(file, 0x8001, "CD001"):
		return "iso", nil
	}
	return "raw", checkRaw(head, stat.Size())
}

func at(file io.ReaderAt, offset int64, magic string) bool {
	found := make([]byte, len(magic))
	if offset < 0 {
		return false
	}
	_, err := file.ReadAt(found, offset)
	return err == nil && string(found) == magic
}

// checkQcow2 refuses images with a backing file or a data file of their own.
// https://www.qemu.org/docs/master/interop/qcow2.html
func checkQcow2(head []byte) error {
	if len(head) < 104 {
		return fmt.Errorf("%w: it ends in its header", ErrFormat)
	}
	version := binary.BigEndian.Uint32(head[4:])
	const externalData = 1 << 2
	switch {
	case version < 2 || version > 3:
		return fmt.Errorf("%w: version %d of the format QCOW", ErrFormat, version)
	case binary.BigEndian.Uint64(head[8:]) != 0:
		return fmt.Errorf("%w: it is based on another file", ErrFormat)
	case version == 3 && binary.BigEndian.Uint64(head[72:])&externalData != 0:
		return fmt.Errorf("%w: its data are in another file", ErrFormat)
	}
	return nil
}

func differencing(is bool) error {
	if is {
		return fmt.Errorf("%w: it is based on another file", ErrFormat)
	}
	return nil
}

// checkVMDK refuses images whose embedded description names a parent, or other
// files as the disk.
func checkVMDK(file io.ReaderAt, head []byte) error {
	if len(head) < 44 {
		return fmt.Errorf("%w: it ends in its header", ErrFormat)
	}
	capacity, sector, sectors := binary.LittleEndian.Uint64(head[12:]), binary.LittleEndian.Uint64(head[28:]), binary.LittleEndian.Uint64(head[36:])
	if capacity == 0 {
		return fmt.Errorf("%w: its data are in other files", ErrFormat)
	}
	const most = 128 // sectors; real ones have 20
	if sector == 0 || sector > 1<<40 {
		return nil
	}
	description := make([]byte, 512*min(sectors, most))
	if _, err := file.ReadAt(description, int64(sector)*512); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return differencing(bytes.Contains(bytes.ToLower(description), []byte("parentfilenamehint")))
}

// checkRaw refuses what is no disk, such as the page of a server that has no image.
func checkRaw(head []byte, size int64) error {
	if size == 0 {
		return fmt.Errorf("%w: it is empty", ErrFormat)
	}
	if text(head) {
		line, _, _ := strings.Cut(strings.TrimSpace(string(head)), "\n")
		return fmt.Errorf("%w: it is text: %q", ErrFormat, line[:min(len(line), 60)])
	}
	if size%512 != 0 {
		return fmt.Errorf("%w: its %d bytes are no whole number of sectors, and no format is known that begins so", ErrFormat, size)
	}
	return nil
}

func text(head []byte) bool {
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		if r == utf8.RuneError && n == 1 && len(head) >= utf8.UTFMax || !unicode.IsPrint(r) && !unicode.IsSpace(r) && r != utf8.RuneError {
			return false
		}
		head = head[n:]
	}
	return true
}
