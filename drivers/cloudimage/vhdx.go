package cloudimage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Where a VHDX says whether it has a parent:
// https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx
const (
	vhdxRegions    = 192 << 10 // the table of regions
	vhdxEntries    = 2047      // at most, in either table
	vhdxMetadata   = "\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e"
	vhdxParameters = "\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b"
	vhdxHasParent  = 1 << 1
)

// checkVHDX refuses a disk that differs from another one, and one that cannot be read.
func checkVHDX(file io.ReaderAt) error {
	region, err := vhdxItem(file, vhdxRegions, "regi", 8, 16, vhdxMetadata)
	if err != nil {
		return err
	}
	metadata := int64(binary.LittleEndian.Uint64(region[16:]))
	item, err := vhdxItem(file, metadata, "metadata", 10, 32, vhdxParameters)
	if err != nil {
		return err
	}
	parameters := make([]byte, 8)
	if _, err := file.ReadAt(parameters, metadata+int64(binary.LittleEndian.Uint32(item[16:]))); err != nil {
		return fmt.Errorf("%w: it ends early: %w", ErrFormat, err)
	}
	return differencing(binary.LittleEndian.Uint32(parameters[4:])&vhdxHasParent != 0)
}

// vhdxItem returns the entry of 32 bytes with an id in a table, which begins with a
// signature, has its number of entries at count and the entries at first.
func vhdxItem(file io.ReaderAt, at int64, signature string, count, first int, id string) ([]byte, error) {
	table := make([]byte, first+vhdxEntries*32)
	n, err := file.ReadAt(table, max(at, 0))
	if table = table[:n]; n < first+32 || string(table[:len(signature)]) != signature {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: it has no table %q, which a VHDX has", ErrFormat, signature)
	}
	entries := int(binary.LittleEndian.Uint16(table[count:]))
	for i := first; i+32 <= len(table) && entries > 0; i += 32 {
		if string(table[i:i+16]) == id {
			return table[i : i+32], nil
		}
		entries--
	}
	return nil, fmt.Errorf("%w: its table %q lacks what a VHDX has there", ErrFormat, signature)
}
