package hypervsim

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A disk of a fixed size is a VHD as it is: the contents, and a footer of 512 bytes.
// A dynamic one is a file that says how large it is and how it begins.
const (
	footer    = "conectix"
	signature = "vhdxfile"
	textAt    = 196 << 10 // where ours is; before it is what any reader of a VHDX looks at
)

// Disk is what a file of a dynamic disk holds here.
type Disk struct {
	Bytes int64  `json:"bytes"`
	Head  []byte `json:"head"` // the first 4 KiB
}

// ReadDisk returns what a dynamic disk holds.
func ReadDisk(path string) (Disk, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Disk{}, err
	}
	var d Disk
	if !bytes.HasPrefix(text, []byte(signature)) {
		return d, fmt.Errorf("%s is no VHDX", path)
	}
	if len(text) < textAt || json.Unmarshal(text[textAt:], &d) != nil {
		d.Bytes = 4 << 30 // somebody's real one
	}
	return d, nil
}

// WriteDisk makes a file of a dynamic disk.
func WriteDisk(path string, d Disk) error {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	whole := make([]byte, textAt)
	copy(whole, signature)
	tables(whole)
	return os.WriteFile(path, append(whole, text...), 0o600)
}

// tables writes the tables that a VHDX has, with the entry in each by which a reader
// finds out that the disk is based on no other.
func tables(whole []byte) {
	const (
		regions, metadata, parameters = 192 << 10, 193 << 10, 194 << 10
		// The ids as they are written: the first three groups with their last byte first.
		metadataID   = "\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e"
		parametersID = "\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b"
	)
	copy(whole[regions:], "regi")
	binary.LittleEndian.PutUint32(whole[regions+8:], 1)
	copy(whole[regions+16:], metadataID)
	binary.LittleEndian.PutUint64(whole[regions+32:], metadata)
	binary.LittleEndian.PutUint32(whole[regions+40:], 1<<20)
	copy(whole[metadata:], "metadata")
	binary.LittleEndian.PutUint16(whole[metadata+10:], 1)
	copy(whole[metadata+32:], parametersID)
	binary.LittleEndian.PutUint32(whole[metadata+48:], parameters-metadata)
	binary.LittleEndian.PutUint32(whole[metadata+52:], 8)
	binary.LittleEndian.PutUint32(whole[parameters:], 32<<20) // the size of a block, and no flags
}

func diskRefusal(cmdlet, path, why, code string) *Refusal {
	no := refuse("NotSpecified", "OperationFailed", cmdlet, "Failed to work on the virtual hard disk. The system failed at '%s': %s (0x%s).", path, why, code)
	return no
}

func (c *call) newFixedDisk(a arguments) (any, error) {
	switch {
	case filepath.Ext(a.Path) != ".vhd":
		return nil, diskRefusal("NewVHD", a.Path, "The file name extension is not one of a virtual hard disk.", "C03A0025")
	case a.Bytes%512 != 0 || a.Bytes < 3<<20:
		return nil, diskRefusal("NewVHD", a.Path, "The size is not valid.", "80070057")
	}
	out, err := os.OpenFile(a.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, diskRefusal("NewVHD", a.Path, "The file exists.", "80070050")
	}
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if _, err := out.WriteAt(append([]byte(footer), make([]byte, 512-len(footer))...), a.Bytes); err != nil {
		return nil, err
	}
	return none{}, nil
}

func (c *call) convertDisk(a arguments) (any, error) {
	if _, err := os.Stat(a.To); err == nil {
		return nil, diskRefusal("ConvertVHD", a.To, "The file exists.", "80070050")
	}
	if filepath.Ext(a.To) != ".vhdx" {
		return nil, diskRefusal("ConvertVHD", a.To, "The file name extension is not one of a virtual hard disk.", "C03A0025")
	}
	d, err := readAny(a.From)
	if errors.Is(err, os.ErrNotExist) {
		return nil, diskRefusal("ConvertVHD", a.From, "The system cannot find the file specified.", "80070002")
	}
	if err != nil {
		return nil, diskRefusal("ConvertVHD", a.From, "The file or directory is corrupted and unreadable.", "80070570")
	}
	return none{}, WriteDisk(a.To, d)
}

// readAny reads a dynamic disk or one of a fixed size.
func readAny(path string) (Disk, error) {
	if filepath.Ext(path) == ".vhdx" {
		return ReadDisk(path)
	}
	in, err := os.Open(path)
	if err != nil {
		return Disk{}, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return Disk{}, err
	}
	end := make([]byte, len(footer))
	if _, err := in.ReadAt(end, info.Size()-512); err != nil || string(end) != footer {
		return Disk{}, errors.Join(fmt.Errorf("%s is no VHD", path), err)
	}
	head, err := io.ReadAll(io.NewSectionReader(in, 0, min(4<<10, info.Size()-512)))
	return Disk{Bytes: info.Size() - 512, Head: head}, err
}

func (c *call) growDisk(a arguments) (any, error) {
	d, err := ReadDisk(a.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, diskRefusal("GetVHD", a.Path, "The system cannot find the file specified.", "80070002")
	}
	if err != nil {
		return nil, diskRefusal("GetVHD", a.Path, "The file or directory is corrupted and unreadable.", "80070570")
	}
	if d.Bytes < a.Bytes {
		d.Bytes = a.Bytes
		if err := WriteDisk(a.Path, d); err != nil {
			return nil, err
		}
	}
	return map[string]any{"bytes": d.Bytes}, nil
}
