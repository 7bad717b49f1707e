package swarmboot

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// EngineFacts is what an engine says of itself that matters to a swarm.
type EngineFacts struct {
	Name    string // machine name
	Joining bool   // not yet in the swarm

	Version, APIVersion, MinAPIVersion string

	Firewall    string   // what writes its firewall's rules: iptables, nftables, with +firewalld; empty: it does not say
	Networks    []string // network drivers
	Rootless    bool
	LiveRestore bool
	Forwarding  bool // of IPv4
	Images      string
}

// containerdImages is what EngineFacts.Images is where images are in containerd's store; else it is a storage driver.
const containerdImages = "containerd"

// AskEngine asks an engine. Name and Joining are for the caller to say.
func AskEngine(ctx context.Context, e Engine) (EngineFacts, error) {
	var i struct {
		ServerVersion      string
		Driver             string
		DriverStatus       [][2]string
		Plugins            struct{ Network []string }
		SecurityOptions    []string
		LiveRestoreEnabled bool
		IPv4Forwarding     *bool
		FirewallBackend    struct{ Driver string }
	}
	var v struct {
		APIVersion    string `json:"ApiVersion"`
		MinAPIVersion string
	}
	if err := call(ctx, e, http.MethodGet, "/info", nil, &i); err != nil {
		return EngineFacts{}, err
	}
	if err := call(ctx, e, http.MethodGet, "/version", nil, &v); err != nil {
		return EngineFacts{}, err
	}
	f := EngineFacts{
		Version: i.ServerVersion, APIVersion: v.APIVersion, MinAPIVersion: v.MinAPIVersion,
		Firewall: i.FirewallBackend.Driver, Networks: i.Plugins.Network, LiveRestore: i.LiveRestoreEnabled,
		Forwarding: i.IPv4Forwarding == nil || *i.IPv4Forwarding,
		Rootless: slices.ContainsFunc(i.SecurityOptions, func(o string) bool {
			return slices.Contains(strings.Split(o, ","), "name=rootless")
		}),
		Images: i.Driver,
	}
	if slices.Contains(i.DriverStatus, [2]string{"driver-type", "io.containerd.snapshotter.v1"}) {
		f.Images = containerdImages
	}
	return f, nil
}

// EngineFindings judges engines, most by what they say of themselves. Fatal is what an engine that joins would refuse
// itself, with less to go by, or what services could not run with. What concerns nodes that are in the swarm already is
// said where it is about one that joins too.
func EngineFindings(engines []EngineFacts) []Finding {
	var fs []Finding
	for _, e := range engines {
		if e.Joining {
			fs = append(fs, e.findings()...)
		}
	}
	return append(fs, encryptedOverlays(engines)...)
}

// findings are those about one engine.
func (e EngineFacts) findings() []Finding {
	var fs []Finding
	add := func(fatal bool, subject, format string, args ...any) {
		f := Finding{From: e.Name, Subject: subject, Verdict: verdictDoubtful, Detail: fmt.Sprintf(format, args...), Fatal: fatal}
		if fatal {
			f.Verdict = verdictUnfit
		}
		fs = append(fs, f)
	}
	if e.Rootless {
		add(true, "rootless", "overlay networks do not work in a rootless engine; install the engine for the whole host")
	}
	if e.LiveRestore {
		add(true, "live-restore", "the engine's option live-restore is incompatible with Swarm mode; set it to false")
	}
	if strings.HasPrefix(e.Firewall, "nftables") {
		// 29 refuses it. Of later ones nothing is known here, and they say themselves what they do not take.
		major, _ := versionOf(e.Version)
		add(major == 29, "firewall", "engine %s writes its firewall's rules with nftables, which engines of release 29 do not combine with Swarm mode; set firewall-backend to iptables", e.Version)
	}
	if len(e.Networks) > 0 && !slices.Contains(e.Networks, "overlay") {
		add(true, "overlay", "the engine has no network driver overlay, only %s", strings.Join(e.Networks, ", "))
	}
	if !e.Forwarding {
		add(false, "forwarding", "the host does not forward IPv4: published ports and networks of containers do not work; set net.ipv4.ip_forward to 1")
	}
	return fs
}

// encryptedOverlays finds engines between which encrypted overlay networks pass nothing: some releases tell the keys
// of packets apart in another way than all before and after them. No engine says so itself.
func encryptedOverlays(engines []EngineFacts) []Finding {
	var odd, even []string
	joins := false
	for _, e := range engines {
		if e.Version == "" {
			continue
		}
		joins = joins || e.Joining
		text := e.Name + " (" + e.Version + ")"
		if otherPacketKeys(e.Version) {
			odd = append(odd, text)
		} else {
			even = append(even, text)
		}
	}
	if !joins || len(odd) == 0 || len(even) == 0 {
		return nil
	}
	from, _, _ := strings.Cut(odd[0], " ")
	return []Finding{{
		From: from, Subject: "encrypted overlays", Verdict: verdictDoubtful,
		Detail: fmt.Sprintf("overlay networks with --opt encrypted pass nothing between %s and %s; bring all to one release, 29.2.1 or later", strings.Join(odd, ", "), strings.Join(even, ", ")),
	}}
}

// otherPacketKeys: 29.0.0 to 29.2.0, 28.2.2, 25.0.13 and 25.0.14.
func otherPacketKeys(version string) bool {
	major, rest := versionOf(version)
	switch {
	case major == 29:
		return rest[0] < 2 || rest == [2]int{2, 0}
	case major == 28:
		return rest == [2]int{2, 2}
	case major == 25:
		return rest == [2]int{0, 13} || rest == [2]int{0, 14}
	}
	return false
}

// versionOf takes a version such as 29.1.3+dfsg1 apart.
func versionOf(version string) (major int, rest [2]int) {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "+")
	version, _, _ = strings.Cut(version, "-")
	for i, part := range strings.SplitN(version, ".", 3) {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		if i == 0 {
			major = n
		} else {
			rest[i-1] = n
		}
	}
	return major, rest
}
