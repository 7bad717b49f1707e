package seed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// Where ISO 9660 (ECMA-119) and Rock Ridge (IEEE P1282) have times.
const (
	volume     = 16 * sectorSize // the primary volume descriptor
	volumeRoot = volume + 156    // the record of the root folder in it
	volumeTime = volume + 813    // four of 17 bytes

	recordExtent = 2  // in a record of a folder: the first sector,
	recordLength = 10 // the bytes,
	recordTime   = 18 // seven bytes,
	recordFlags  = 25 // and bit 1 for a folder
	recordName   = 32 // its length, and then the name
)

// timeless takes all times out of an image, which the library takes from the clock
// and from its working files, so that the same content makes the same image.
func timeless(image *os.File) error {
	var unset [4 * 17]byte
	for i := range unset {
		unset[i] = '0'
		if i%17 == 16 {
			unset[i] = 0 // the zone
		}
	}
	if _, err := image.WriteAt(unset[:], volumeTime); err != nil {
		return err
	}
	root := make([]byte, 34)
	if _, err := image.ReadAt(root, volumeRoot); err != nil {
		return err
	}
	copy(root[recordTime:recordFlags], noTime())
	if _, err := image.WriteAt(root, volumeRoot); err != nil {
		return err
	}
	return timelessFolder(image, root, 0)
}

// timelessFolder does it for the folder of a record and those in it.
func timelessFolder(image *os.File, record []byte, depth int) error {
	if depth > 8 {
		return errors.New("folders in folders without an end")
	}
	at := int64(binary.LittleEndian.Uint32(record[recordExtent:])) * sectorSize
	data := make([]byte, binary.LittleEndian.Uint32(record[recordLength:]))
	if _, err := image.ReadAt(data, at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for i := 0; i < len(data); {
		length := int(data[i])
		if length == 0 { // the rest of the sector is empty
			i += sectorSize - i%sectorSize
			continue
		}
		if length < recordName+2 || i+length > len(data) {
			return errors.New("a record of a folder is broken")
		}
		r := data[i : i+length]
		i += length
		copy(r[recordTime:recordFlags], noTime())
		clearStamps(r[recordName+1+int(r[recordName]):])
		if self := r[recordName] == 1 && r[recordName+1] <= 1; r[recordFlags]&2 == 0 || self {
			continue
		}
		if err := timelessFolder(image, r, depth+1); err != nil {
			return err
		}
	}
	_, err := image.WriteAt(data, at)
	return err
}

// clearStamps does it for the time stamps among the Rock Ridge fields of a record.
func clearStamps(fields []byte) {
	stamps := bytes.Index(fields, []byte{'T', 'F', 26, 1, 0x0e}) // three of seven bytes
	if stamps >= 0 && stamps+26 <= len(fields) {
		copy(fields[stamps+5:], bytes.Repeat(noTime(), 3))
	}
}

// noTime is the first day of 1980, which all systems can read: year, month, day,
// hour, minute, second and zone.
func noTime() []byte { return []byte{80, 1, 1, 0, 0, 0, 0} }
