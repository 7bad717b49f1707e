package lifecycle

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/provision"
)

// AdoptedHost is what was found on a host.
type AdoptedHost struct {
	OS         string   `json:"os"`
	Arch       string   `json:"arch"`
	Init       string   `json:"init"`
	User       string   `json:"user"`
	Root       bool     `json:"root"`             // the login has root rights
	Engine     string   `json:"engine,omitempty"` // version
	Package    string   `json:"package,omitempty"`
	State      string   `json:"state,omitempty"`      // of the engine's service
	Socket     bool     `json:"socket"`               // the login reaches the engine's socket
	Asked      bool     `json:"asked"`                // the engine has answered
	Containers int      `json:"containers"`           // that run; -1: not known
	Rootless   bool     `json:"rootless,omitempty"`   // it is an engine without root that answers, or the only one
	DaemonJSON []string `json:"daemonJson,omitempty"` // its keys
	DropIns    []string `json:"dropIns,omitempty"`
	Manager    string   `json:"dockerMachine,omitempty"` // the drop-in that docker-machine or this program left
	TLS        string   `json:"tls,omitempty"`           // where a TLS engine listens
	Authority  string   `json:"authority,omitempty"`     // who signed its certificate
	Ours       bool     `json:"ours,omitempty"`          // it is this store's authority
	LiveOn     bool     `json:"liveRestore,omitempty"`
	Swarm      string   `json:"swarm,omitempty"` // state and role in Swarm mode
	SwarmID    string   `json:"swarmId,omitempty"`
	NodeID     string   `json:"nodeId,omitempty"`
	SwarmName  string   `json:"swarmName,omitempty"` // of that swarm, if this store records it
	DockerCLI  bool     `json:"dockerCli"`
}

// Lines tell it to people.
func (h AdoptedHost) Lines() []string {
	engine := "no Docker Engine"
	if h.Engine != "" {
		engine = "Docker Engine " + h.Engine
		if h.Package != "" {
			engine += " of package " + h.Package
		}
		engine += ", " + cmp.Or(h.State, "state not known")
	}
	lines := []string{strings.TrimSpace(h.OS + " " + h.Arch), engine}
	if h.Asked {
		live := ""
		if h.LiveOn {
			live = ", which survive a restart of the engine (live-restore)"
		}
		lines = append(lines, fmt.Sprintf("%d running containers%s", h.Containers, live))
	}
	if len(h.DaemonJSON) > 0 {
		lines = append(lines, "daemon.json with "+joinWords(h.DaemonJSON))
	}
	if h.Manager != "" {
		lines = append(lines, "it was set up by docker-machine or machine: "+h.Manager)
	}
	for _, file := range h.DropIns {
		lines = append(lines, "the engine's command line is changed by "+file)
	}
	if h.TLS != "" {
		whose := "signed by " + h.Authority
		if h.Ours {
			whose = "of this store's authority"
		}
		lines = append(lines, fmt.Sprintf("an engine listens with TLS at %s, its certificate %s", h.TLS, whose))
	}
	if h.Swarm != "" {
		lines = append(lines, fmt.Sprintf("it is a %s of swarm %s, node %s", h.Swarm, cmp.Or(h.SwarmName, h.SwarmID, "(id not known)"), h.NodeID))
	}
	if h.Rootless {
		lines = append(lines, "an engine runs there without root")
	}
	return lines
}

// look asks the host what it has, and decides what will be done. Nothing is changed.
func (a *adopting) look(ctx context.Context) (res Adoption, err error) {
	err = a.m.Step(ctx, "look at the host", func(ctx context.Context) error {
		if err := a.dial(ctx); err != nil {
			return err
		}
		if a.facts, err = provision.Probe(ctx, a.conn, provision.Engine{Port: a.req.Port}); err != nil {
			return err
		}
		a.find(ctx)
		a.findSwarm(ctx)
		return nil
	})
	if err != nil {
		return res, err
	}
	in := adoptionInput{req: a.req, facts: a.facts, found: a.found}
	if a.req.TLS {
		in.steps, in.planErr = a.provisioning()
	}
	plan := planAdoption(in)
	a.x.rec.Address.EnginePort = a.req.Port
	res = Adoption{
		Machine: a.req.Name, URL: a.x.engineURL(), Found: a.found, Steps: plan.steps, Warnings: plan.warnings, HostKey: a.fingerprint, plan: plan,
	}
	if plan.refused != nil {
		res.Refused, res.Hint = plan.refused.Error(), HintOf(plan.refused)
	}
	return res, nil
}

// provisioning is the plan by which the engine gets TLS, with certificates that are only for the look of it.
func (a *adopting) provisioning() ([]provision.Step, error) {
	now := a.m.Now()
	ca, err := certs.NewCA(a.m.organisation(), now)
	if err != nil {
		return nil, err
	}
	hosts := a.x.sans(a.facts.Hostname)
	pair, err := ca.Server(hosts, now)
	if err != nil {
		return nil, err
	}
	want := a.x.wanted()
	if a.req.Engine == EngineInstall {
		want.Source, want.Version, want.RepoURL = provision.Source(a.req.Source), a.req.Version, a.req.RepoURL
	}
	return provision.Plan(a.facts, want, provision.TLS{CA: ca.Pair().Cert, Cert: pair.Cert, Key: pair.Key})
}

// find puts together what the host's files, its engine and its TLS port tell.
func (a *adopting) find(ctx context.Context) {
	f := a.facts
	a.found = AdoptedHost{
		OS: f.Pretty, Arch: f.Arch, Init: f.Init, User: a.x.rec.Address.User, Root: f.UID == 0 || f.Sudo, Engine: f.Version, Package: f.Package,
		State: f.EngineState, Containers: -1, DropIns: f.DropIns, DockerCLI: f.DockerCLI, Rootless: f.Rootless != "" && f.EngineState != "active",
		DaemonJSON: provision.DaemonKeys(f.DaemonJSON),
	}
	if strings.HasSuffix(f.OurDropIn, "-machine.conf") {
		a.found.Manager = f.OurDropIn
	}
	if f.SwarmActive {
		a.found.Swarm = "node"
	}
	if f.EngineState == "active" || f.Rootless != "" { // a question would start one that a socket activates
		a.askEngine(ctx)
	}
	a.askTLS(ctx)
}

// engineInfo is what an engine tells of itself.
type engineInfo struct {
	ServerVersion      string
	ContainersRunning  int
	LiveRestoreEnabled bool
	SecurityOptions    []string
	Swarm              struct {
		LocalNodeState   string
		NodeID           string
		ControlAvailable bool
		Cluster          *struct{ ID string }
	}
}

const lookDeadline = 20 * time.Second

func (a *adopting) askEngine(ctx context.Context) {
	ctx, cancel := within(ctx, 0, lookDeadline, "ask the engine")
	defer cancel()
	for i, commands := range [][]string{{dialStdio}, {"sudo -n " + dialStdio}} {
		if i > 0 && !a.facts.Sudo {
			break
		}
		eng := newEngine(a.req.Name, "http://docker", nil, func(ctx context.Context, _, _ string) (net.Conn, error) {
			if i > 0 {
				return dialCommand(ctx, a.conn, commands[0])
			}
			return dialSocket(ctx, a.conn, commands...)
		})
		var info engineInfo
		err := eng.Do(ctx, http.MethodGet, "/info", nil, &info)
		eng.close()
		if err != nil {
			a.m.Log.Info("the engine was not asked", "by", commands[0], "err", err)
			continue
		}
		a.found.Socket = i == 0
		a.found.take(info)
		return
	}
}

func (h *AdoptedHost) take(info engineInfo) {
	h.Asked, h.Containers, h.LiveOn = true, info.ContainersRunning, info.LiveRestoreEnabled
	h.Engine = cmp.Or(info.ServerVersion, h.Engine)
	h.Rootless = slices.ContainsFunc(info.SecurityOptions, func(s string) bool { return strings.Contains(s, "rootless") })
	h.Swarm = ""
	if s := info.Swarm; s.NodeID != "" {
		h.Swarm, h.NodeID = "worker", s.NodeID
		if s.ControlAvailable {
			h.Swarm = "manager"
		}
		if s.Cluster != nil {
			h.SwarmID = s.Cluster.ID
		}
	}
}

// askTLS shakes hands with whoever listens at the engine's port, as far as to see the certificate.
func (a *adopting) askTLS(ctx context.Context) {
	ctx, cancel := within(ctx, 0, lookDeadline, "look at the engine's certificate")
	defer cancel()
	port := cmp.Or(a.req.Port, provision.DefaultPort)
	raw, err := a.conn.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return // nobody listens
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	// The certificate is looked at, and nothing is said to who shows it.
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // see above
	if err := conn.HandshakeContext(ctx); err != nil && len(conn.ConnectionState().PeerCertificates) == 0 {
		return
	}
	shown := conn.ConnectionState().PeerCertificates
	if len(shown) == 0 {
		return
	}
	a.found.TLS = "port " + strconv.Itoa(port)
	a.found.Authority = cmp.Or(shown[0].Issuer.CommonName, strings.Join(shown[0].Issuer.Organization, ", "), shown[0].Issuer.String(), "an authority without a name")
	if own, err := a.m.readAuthority(); err == nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(own.trust)
		_, err := shown[0].Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		a.found.Ours = err == nil
	}
}
