package lifecycle

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/swarmboot"
)

// certUntil is a certificate of a node, PEM, of ninety days.
func certUntil(t *testing.T, until time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.Add(-90 * 24 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestSwarmIsWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"})
	until := time.Now().Add(60 * 24 * time.Hour).Truncate(time.Second)
	for _, name := range []string{"m1", "m2", "m3"} {
		w.hosts[name].set(func(h *host) { h.nodeCert = certUntil(t, until) })
	}
	w.hosts["w1"].engine.AddTask("web", 1, 0)
	watch := w.manager().WatchSwarm("w1")
	view, err := watch.Look(t.Context())
	if err != nil || view.Health != HealthOK || view.Leader != "m1" || view.AskedVia != "m1" || len(view.Nodes) != 4 {
		t.Fatalf("got %+v, %v", view, err)
	}
	for _, n := range view.Nodes {
		if n.Machine == "w1" {
			if n.CertExpires != nil || !strings.Contains(n.CertProblem, "no certificate") || n.Tasks != 1 {
				t.Errorf("node %+v", n)
			}
		} else if n.CertExpires == nil || !n.CertExpires.Equal(until) {
			t.Errorf("node %+v, want that its certificate ends %s", n, until)
		}
	}
	if len(view.TaskList) != 1 || view.TaskList[0].Name != "web.1" || view.TaskList[0].Node != "w1" || len(view.Services) != 1 {
		t.Errorf("tasks %+v, services %+v", view.TaskList, view.Services)
	}

	w.hosts["m1"].setEngine(false)
	view, err = watch.Look(t.Context())
	if err != nil || view.Health != HealthWarning || view.Leader != "m2" || view.CanLose != 0 || !slices.Contains(view.Problems, "m1: down unreachable") {
		t.Errorf("one manager down: %+v, %v", view.SwarmStatus, err)
	}

	w.hosts["m2"].setEngine(false)
	view, err = watch.Look(t.Context())
	if !errors.Is(err, swarmboot.ErrNoLeader) || !strings.Contains(HintOf(err), "machine start m1 m2; if they are lost for good: machine swarm recover m1") {
		t.Errorf("quorum lost: %v, hint %q", err, HintOf(err))
	}
	states := map[string]string{}
	for _, n := range view.Nodes {
		states[n.Machine] = n.State
	}
	if view.Health != HealthNoQuorum || states["m1"] != "no answer" || states["m3"] != "active" || states["w1"] != "active" || view.Reachable != 1 || view.Managers != 3 {
		t.Errorf("quorum lost: %+v", view.SwarmStatus)
	}

	w.hosts["m3"].engine.SetState("locked", "")
	if view, err = watch.Look(t.Context()); !errors.Is(err, swarmboot.ErrLocked) || view.Health != HealthLocked || HintOf(err) != "machine swarm unlock m1" {
		t.Errorf("locked: %+v, %v", view.SwarmStatus, err)
	}
	w.hosts["m3"].setEngine(false)
	if view, err = watch.Look(t.Context()); !errors.Is(err, swarmboot.ErrNoManager) || view.Health != HealthSilent || len(view.Nodes) != 4 {
		t.Errorf("silent: %+v, %v", view.SwarmStatus, err)
	}
	if _, err = w.manager().WatchSwarm("nothing").Look(t.Context()); !errors.Is(err, ErrNoSwarm) {
		t.Errorf("a swarm that is not recorded: %v", err)
	}
}

func TestNodeCertificateIsRead(t *testing.T) {
	t.Parallel()
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	leaf, issuer := certUntil(t, until), certUntil(t, until.Add(time.Hour))
	c, err := parseNodeCert(slices.Concat(leaf, issuer))
	if err != nil || !c.Until.Equal(until) || !c.From.Equal(until.Add(-90*24*time.Hour)) {
		t.Errorf("got %+v, %v", c, err)
	}
	for what, data := range map[string][]byte{
		"nothing": nil, "text": []byte("cat: no such file"), "a key": bytes.ReplaceAll(leaf, []byte("CERTIFICATE"), []byte("EC PRIVATE KEY")),
		"broken": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}),
	} {
		if c, err := parseNodeCert(data); err == nil {
			t.Errorf("%s: got %+v", what, c)
		}
	}
}

// TestStatusTellsWorkFromLeftovers looks at a swarm while a command is at work on it, and after that was killed.
func TestStatusTellsWorkFromLeftovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.swarm([]string{"m1"}, nil)
	m := w.manager()
	txn, c, err := m.lockCluster(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := begin(m, txn, &c, upgradeOperation, "swarm upgrade m1", 1); err != nil {
		t.Fatal(err)
	}
	st := w.status("m1")
	if len(st.Findings) != 1 || st.Health != HealthOK || st.Findings[0].Severity != SeverityNote || !strings.Contains(st.Findings[0].Text, "is under way: machine test") {
		t.Errorf("at work: %+v", st.Findings)
	}
	if err := txn.Close(); err != nil {
		t.Fatal(err)
	}
	st = w.status("m1")
	if len(st.Findings) != 1 || st.Health != HealthWarning || !strings.Contains(st.Findings[0].Text, "was left half done") || st.Findings[0].Advice != "machine swarm upgrade m1" {
		t.Errorf("left: %+v", st.Findings)
	}
}
