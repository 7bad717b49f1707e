package vspheresim

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/netip"
	"regexp"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// seed is what cloud-init finds in a machine.
type seed struct {
	hostname string
	keys     []string
	static   netip.Addr
	userData []byte
}

// seedOf reads what cloud-init's data sources VMware (guestinfo) and OVF (vApp
// properties) read. The machine is locked by the caller.
func seedOf(vm *simulator.VirtualMachine) seed {
	s := seed{hostname: vm.Name}
	config := map[string]string{}
	for _, o := range vm.Config.ExtraConfig {
		v := o.GetOptionValue()
		config[v.Key] = fmt.Sprint(v.Value)
	}
	if vm.Config.VAppConfig != nil {
		s.fromOVF(vm.Config.VAppConfig.GetVmConfigInfo().Property)
	}
	if text, err := decoded(config["guestinfo.userdata"], config["guestinfo.userdata.encoding"]); err != nil {
		log.Printf("vspheresim: %s: guestinfo.userdata: %v", vm.Name, err)
	} else if len(text) > 0 {
		s.userData = text
	}
	text, err := decoded(config["guestinfo.metadata"], config["guestinfo.metadata.encoding"])
	if err != nil {
		log.Printf("vspheresim: %s: guestinfo.metadata: %v", vm.Name, err)
	}
	s.fromMetadata(text)
	return s
}

// decoded undoes an encoding that cloud-init knows.
func decoded(value, encoding string) ([]byte, error) {
	if value == "" {
		return nil, nil
	}
	switch strings.ToLower(encoding) {
	case "":
		return []byte(value), nil
	case "base64", "b64":
		return base64.StdEncoding.DecodeString(value)
	case "gzip+base64", "gz+b64":
		packed, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return nil, err
		}
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	return nil, fmt.Errorf("unknown encoding %q", encoding)
}

func (s *seed) fromOVF(properties []types.VAppPropertyInfo) {
	for _, p := range properties {
		value := p.Value
		if value == "" {
			value = p.DefaultValue
		}
		switch {
		case value == "":
		case p.Id == "hostname":
			s.hostname = value
		case p.Id == "public-keys":
			s.keys = append(s.keys, value)
		case p.Id == "user-data":
			if text, err := base64.StdEncoding.DecodeString(value); err == nil {
				s.userData = text
			}
		}
	}
}

// fromMetadata reads metadata in JSON, and of YAML only the lines it needs.
func (s *seed) fromMetadata(text []byte) {
	var m struct {
		Hostname string          `json:"local-hostname"`
		Keys     json.RawMessage `json:"public-keys-data"`
		Network  json.RawMessage `json:"network"`
		Encoding string          `json:"network.encoding"`
	}
	if json.Unmarshal(text, &m) != nil {
		s.fromYAML(text)
		return
	}
	if m.Hostname != "" {
		s.hostname = m.Hostname
	}
	var keys string
	if json.Unmarshal(m.Keys, &keys) == nil && keys != "" {
		s.keys = append(s.keys, strings.Split(strings.TrimSpace(keys), "\n")...)
	}
	network := []byte(m.Network)
	var packed string
	if json.Unmarshal(network, &packed) == nil {
		network, _ = decoded(packed, m.Encoding) // what cannot be read asks for nothing
	}
	s.static = firstAddress(network)
}

var (
	hostnameLine = regexp.MustCompile(`(?m)^local-hostname:\s*["']?([^"'\s]+)`)
	networkLine  = regexp.MustCompile(`(?m)^network:\s*["']?([A-Za-z0-9+/=]{16,})["']?\s*$`)
	encodingLine = regexp.MustCompile(`(?m)^network\.encoding:\s*["']?([a-z0-9+]+)`)
	addresses    = regexp.MustCompile(`(?s)["']?addresses["']?\s*:\s*[\[\s"'-]*(\d+\.\d+\.\d+\.\d+/\d+)`)
)

func (s *seed) fromYAML(text []byte) {
	if found := hostnameLine.FindSubmatch(text); found != nil {
		s.hostname = string(found[1])
	}
	if packed := networkLine.FindSubmatch(text); packed != nil {
		var encoding string
		if found := encodingLine.FindSubmatch(text); found != nil {
			encoding = string(found[1])
		}
		text, _ = decoded(string(packed[1]), encoding) // what cannot be read asks for nothing
	}
	s.static = firstAddress(text)
}

// firstAddress returns the first address with a prefix that a network
// configuration asks for; those of name servers have none.
func firstAddress(config []byte) netip.Addr {
	found := addresses.FindSubmatch(config)
	if found == nil {
		return netip.Addr{}
	}
	prefix, err := netip.ParsePrefix(string(found[1]))
	if err != nil {
		return netip.Addr{}
	}
	return prefix.Addr()
}
