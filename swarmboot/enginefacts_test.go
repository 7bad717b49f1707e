package swarmboot_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/swarmboot"
)

// recorded is an engine that answers what one was seen to answer: 20.10 and 26.1 are Debian's; 29.1 is written after the
// types of the API of that release.
type recorded map[string]json.RawMessage

func (r recorded) Do(_ context.Context, _, path string, _, out any) error {
	return json.Unmarshal(r[strings.TrimPrefix(path, "/")], out)
}

func TestAskEngine(t *testing.T) {
	t.Parallel()
	networks := []string{"bridge", "host", "ipvlan", "macvlan", "null", "overlay"}
	for name, want := range map[string]swarmboot.EngineFacts{
		"20.10":        {Version: "20.10.24+dfsg1", APIVersion: "1.41", MinAPIVersion: "1.12", Networks: networks, Forwarding: true, Images: "overlay2"},
		"26.1":         {Version: "26.1.5+dfsg1", APIVersion: "1.45", MinAPIVersion: "1.24", Networks: networks, Forwarding: true, Images: "overlay2"},
		"29.1-written": {Version: "29.1.3", APIVersion: "1.52", MinAPIVersion: "1.44", Networks: networks, Forwarding: true, Images: "containerd", Firewall: "nftables+firewalld"},
	} {
		data, err := os.ReadFile(filepath.Join("testdata", "engine", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var r recorded
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		got, err := swarmboot.AskEngine(t.Context(), r)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestEngineFindings(t *testing.T) {
	t.Parallel()
	joins := func(name, version string) swarmboot.EngineFacts {
		return swarmboot.EngineFacts{Name: name, Joining: true, Version: version, Networks: []string{"bridge", "overlay"}, Forwarding: true}
	}
	with := func(version string, fn func(*swarmboot.EngineFacts)) []swarmboot.EngineFacts {
		e := joins("w1", version)
		fn(&e)
		return []swarmboot.EngineFacts{e}
	}
	const fatal = "FATAL "
	for name, tt := range map[string]struct {
		engines []swarmboot.EngineFacts
		want    []string // the beginnings of findings
	}{
		"nothing":                 {nil, nil},
		"20.10":                   {[]swarmboot.EngineFacts{joins("w1", "20.10.24+dfsg1")}, nil},
		"29.4 with iptables":      {with("29.4.0", func(e *swarmboot.EngineFacts) { e.Firewall = "iptables" }), nil},
		"29.1 with nftables":      {with("29.1.3", func(e *swarmboot.EngineFacts) { e.Firewall = "nftables" }), []string{fatal + "w1: firewall unfit: engine 29.1.3 writes its firewall's rules with nftables"}},
		"29.10 with firewalld":    {with("29.10.0", func(e *swarmboot.EngineFacts) { e.Firewall = "nftables+firewalld" }), []string{fatal + "w1: firewall unfit"}},
		"30 with nftables":        {with("30.0.0-rc.1", func(e *swarmboot.EngineFacts) { e.Firewall = "nftables" }), []string{"w1: firewall doubtful"}},
		"iptables of firewalld":   {with("29.1.3", func(e *swarmboot.EngineFacts) { e.Firewall = "iptables+firewalld" }), nil},
		"rootless":                {with("28.5.2", func(e *swarmboot.EngineFacts) { e.Rootless = true }), []string{fatal + "w1: rootless unfit: overlay networks do not work"}},
		"live restore":            {with("28.5.2", func(e *swarmboot.EngineFacts) { e.LiveRestore = true }), []string{fatal + "w1: live-restore unfit"}},
		"no overlay":              {with("28.5.2", func(e *swarmboot.EngineFacts) { e.Networks = []string{"bridge"} }), []string{fatal + "w1: overlay unfit: the engine has no network driver overlay, only bridge"}},
		"networks not said":       {with("28.5.2", func(e *swarmboot.EngineFacts) { e.Networks = nil }), nil},
		"no forwarding":           {with("28.5.2", func(e *swarmboot.EngineFacts) { e.Forwarding = false }), []string{"w1: forwarding doubtful"}},
		"a member is not judged":  {[]swarmboot.EngineFacts{{Name: "m1", Version: "28.5.2", LiveRestore: true}}, nil},
		"all odd":                 {[]swarmboot.EngineFacts{joins("w1", "29.1.3"), {Name: "m1", Version: "29.2.0"}}, nil},
		"none odd":                {[]swarmboot.EngineFacts{joins("w1", "29.2.1"), {Name: "m1", Version: "20.10.24"}}, nil},
		"a member's version only": {[]swarmboot.EngineFacts{{Name: "m1", Version: "29.1.3"}, {Name: "m2", Version: "28.5.2"}}, nil},
		"odd and even": {[]swarmboot.EngineFacts{joins("w1", "29.1.3"), {Name: "m1", Version: "28.5.2"}, {Name: "m2"}}, []string{
			"w1: encrypted overlays doubtful: overlay networks with --opt encrypted pass nothing between w1 (29.1.3) and m1 (28.5.2); bring all to one release, 29.2.1 or later",
		}},
		"even joins odd":    {[]swarmboot.EngineFacts{joins("w1", "29.2.1"), {Name: "m1", Version: "29.0.0"}}, []string{"m1: encrypted overlays doubtful"}},
		"28.2.2 and 28.2.1": {[]swarmboot.EngineFacts{joins("w1", "28.2.2"), joins("w2", "28.2.1")}, []string{"w1: encrypted overlays doubtful"}},
		"25.0.13, 25.0.12":  {[]swarmboot.EngineFacts{joins("w1", "25.0.13"), joins("w2", "25.0.12")}, []string{"w1: encrypted overlays doubtful"}},
		"no version":        {[]swarmboot.EngineFacts{joins("w1", "dev"), joins("w2", "28.5.2")}, nil},
	} {
		var got []string
		for _, f := range swarmboot.EngineFindings(tt.engines) {
			text := f.String()
			if f.Fatal {
				text = fatal + text
			}
			got = append(got, text)
		}
		if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
