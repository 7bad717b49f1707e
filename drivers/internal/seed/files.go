package seed

import (
	"encoding/json"
	"fmt"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/cloudinit"
)

// files returns the content of the disk by path, and its label.
func (s Seed) files(kind string) (files map[string][]byte, label string, err error) {
	switch kind {
	case KindNoCloud:
		files, err = s.noCloud()
		return files, "cidata", err
	}
	return nil, "", fmt.Errorf("%w: no seed of kind %q is known", drivers.ErrUnsupported, kind)
}

func (s Seed) noCloud() (map[string][]byte, error) {
	user, err := cloudinit.UserData(cloudinit.Seed{Hostname: s.Hostname, User: s.User, Keys: s.Keys, HostKey: s.HostKey}, s.UserData)
	if err != nil {
		return nil, err
	}
	meta, err := json.Marshal(map[string]string{"instance-id": s.Instance, "local-hostname": s.Hostname})
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"meta-data": meta, "user-data": user}, nil
}
