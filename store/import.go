package store

import (
	"encoding/json"
	"fmt"
)

// Import makes a machine that was made elsewhere, with all that belongs to it, in one step: whoever looks, and whatever
// ends this command, sees the whole machine or none. A machine that exists is ErrExist. Name and ConfigVersion of the record
// are set here.
func (t *Txn) Import(r Record, secrets json.RawMessage, files map[string][]byte) error {
	r.Name, r.ConfigVersion = t.Name, Version
	data, err := encode(r)
	if err != nil {
		return fmt.Errorf("encode record of %q: %w", t.Name, err)
	}
	if secrets != nil && !json.Valid(secrets) {
		return fmt.Errorf("write %s of %q: it is not JSON", secretsFile, t.Name)
	}
	all := map[string][]byte{recordFile: data}
	if secrets != nil {
		all[secretsFile] = secrets
	}
	for name, data := range files {
		if err := ownFile(name); err != nil {
			return err
		}
		all[name] = data
	}
	return t.do(func() error {
		if isDir(t.dir) {
			return fmt.Errorf("%w: %q", ErrExist, t.Name)
		}
		if err := t.lock.Found(machinePath(t.Name), all); err != nil {
			return writeError("make the folder of "+t.Name, err)
		}
		t.current = true
		return nil
	})
}

// DecodeRecord reads a record of any version that is not in a store, which a machine of that name is to get. inFolder
// tells whether a file of that name comes with it. The error wraps ErrCorrupt or ErrFuture.
func DecodeRecord(name string, data []byte, inFolder func(file string) bool) (Record, error) {
	if err := usableName(name); err != nil {
		return Record{}, err
	}
	return decode(name, data, inFolder)
}

// EncodeRecord writes a record as it stands in a store.
func EncodeRecord(r Record) ([]byte, error) {
	r.ConfigVersion = Version
	return encode(r)
}

// DecodeCluster reads the record of a swarm that is not in a store. The error wraps ErrCorrupt or ErrFuture.
func DecodeCluster(data []byte) (Cluster, error) { return decodeCluster(data) }

// EncodeCluster writes the record of a swarm as it stands in a store.
func EncodeCluster(c Cluster) ([]byte, error) {
	return encode(storedCluster{ConfigVersion: clusterVersion, Cluster: c})
}
