package vmwarevsphere

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/cloudinit"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// Guest data travels as configuration parameters that cloud-init's VMware
// datasource reads: https://docs.cloud-init.io/en/latest/reference/datasources/vmware.html
const (
	guestMetadata = "guestinfo.metadata"
	guestUserData = "guestinfo.userdata"
	encoding      = ".encoding"

	plainMost = 16 << 10 // what is longer is compressed
	valueMost = 60 << 10 // of one parameter: the guest reads them in messages of 64 KiB
)

// isGuestData tells whether a configuration parameter is one of those.
func isGuestData(key string) bool {
	key = strings.TrimSuffix(strings.ToLower(key), encoding)
	return key == guestMetadata || key == guestUserData
}

// metadata is what cloud-init takes as guestinfo.metadata.
type metadata struct {
	InstanceID string     `json:"instance-id"`
	Hostname   string     `json:"local-hostname"`
	Network    *netConfig `json:"network,omitempty"`
	Cleanup    []string   `json:"cleanup-guestinfo"` // the host key shall not stay readable
}

// netConfig is cloud-init's network configuration, version 2.
type netConfig struct {
	Version   int                 `json:"version"`
	Ethernets map[string]ethernet `json:"ethernets"`
}

type ethernet struct {
	Match       match       `json:"match"`
	DHCP4       bool        `json:"dhcp4"`
	DHCP6       bool        `json:"dhcp6"`
	Overrides   *overrides  `json:"dhcp4-overrides,omitempty"`
	Addresses   []string    `json:"addresses,omitempty"`
	Routes      []route     `json:"routes,omitempty"`
	NameServers *nameserver `json:"nameservers,omitempty"`
	Optional    bool        `json:"optional,omitempty"`
}

type (
	match struct {
		MAC string `json:"macaddress"`
	}
	overrides struct {
		Metric int `json:"route-metric"`
	}
	nameserver struct {
		Addresses []string `json:"addresses"`
	}
	route struct {
		To     string `json:"to"`
		Via    string `json:"via"`
		OnLink bool   `json:"on-link,omitempty"`
	}
)

// needsAddresses tells whether the network configuration is ours to say: an
// image by itself asks DHCP on its first adapter alone.
func (d *driver) needsAddresses(h *hardware, adapters []adapter) bool {
	return len(d.cfg.IP) > 0 || max(len(adapters), len(h.nics())) > 1
}

// guestInfo returns the parameters that cloud-init reads.
func (d *driver) guestInfo(h *hardware, userData []byte, adapters int) ([]types.BaseOptionValue, error) {
	m := metadata{InstanceID: d.state.Value.Token, Hostname: d.env.Machine, Cleanup: []string{"userdata"}}
	if len(d.cfg.IP) > 0 || adapters > 1 {
		var err error
		if m.Network, err = d.network(h.nics()); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	var all []types.BaseOptionValue
	for _, p := range []struct {
		key  string
		data []byte
	}{{guestMetadata, text}, {guestUserData, userData}} {
		value, how, err := encode(p.data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.key, err)
		}
		all = append(all, option(p.key, value), option(p.key+encoding, how))
	}
	return all, nil
}

// encode returns data as the value of a parameter, and how it is encoded.
func encode(data []byte) (value, how string, err error) {
	how = "base64"
	if len(data) > plainMost {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(data); err != nil {
			return "", "", err
		}
		if err := z.Close(); err != nil {
			return "", "", err
		}
		data, how = b.Bytes(), "gzip+base64"
	}
	value = base64.StdEncoding.EncodeToString(data)
	if len(value) > valueMost {
		return "", "", fmt.Errorf("%w: %d bytes are more than the %d that a guest can be given", drivers.ErrOption, len(value), valueMost)
	}
	return value, how, nil
}

// userData returns what cloud-init gets: ours, merged with the user's.
func (d *driver) userData(ctx context.Context, req drivers.CreateRequest) ([]byte, error) {
	own := req.UserData
	if d.cfg.CloudInit != "" {
		if own != nil {
			return nil, fmt.Errorf("merge user data: %w: it is given both by the command and by --vmwarevsphere-cloudinit", drivers.ErrOption)
		}
		var err error
		if own, err = fetch(ctx, d.cfg.CloudInit); err != nil {
			return nil, err
		}
	}
	seed := cloudinit.Seed{Hostname: d.env.Machine, User: d.cfg.SSHUser, HostKey: req.HostKey}
	if req.AuthorizedKey != "" {
		seed.Keys = []string{req.AuthorizedKey}
	}
	data, err := cloudinit.UserData(seed, own)
	if err != nil {
		return nil, fmt.Errorf("merge user data: %w", err)
	}
	return data, nil
}

// checkUserData tells whether --vmwarevsphere-cloudinit can be read.
func (d *driver) checkUserData(ctx context.Context) error {
	if d.cfg.CloudInit == "" {
		return nil
	}
	_, err := fetch(ctx, d.cfg.CloudInit)
	return err
}

const fetchLimit = 30 * time.Second

// fetch returns a small file or what is at an http(s) URL.
func fetch(ctx context.Context, from string) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("read --vmwarevsphere-cloudinit %s: %w: %w", from, drivers.ErrOption, err)
	}
	if !remote(from) {
		data, err := os.ReadFile(from)
		if err != nil {
			return fail(err)
		}
		return data, nil
	}
	ctx, cancel := wait.Within(ctx, fetchLimit, "read "+from)
	defer cancel()
	body, _, err := get(ctx, from)
	if err != nil {
		return fail(err)
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, 1<<20))
	if err != nil {
		return fail(err)
	}
	return data, nil
}

func remote(from string) bool {
	return strings.HasPrefix(from, "http://") || strings.HasPrefix(from, "https://")
}

// get opens what is at a URL; size is -1 if it is not told.
func get(ctx context.Context, from string) (body io.ReadCloser, size int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, 0, errors.New(resp.Status)
	}
	return resp.Body, resp.ContentLength, nil
}
