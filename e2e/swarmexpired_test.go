package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// swarmAuthority is a swarm's certificate authority whose key the test has, which is the only way to a node certificate that has
// expired: containers have the clock of their host.
type swarmAuthority struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	certPEM []byte
	dir     string
}

func newSwarmAuthority(t *testing.T) swarmAuthority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "swarm-ca"},
		NotBefore: now.AddDate(0, 0, -200), NotAfter: now.AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "swarm-ca"}}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := swarmAuthority{key: key, dir: t.TempDir(), certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"ca.crt": a.certPEM, "ca.key": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(filepath.Join(a.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

const nodeCertificate = "/var/lib/docker/swarm/certificates/swarm-node.crt"

// inContainer runs a script as root on the host of a machine of the docker driver, not by way of machine.
func (f *fleet) inContainer(name, stdin, script string) string {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), "docker", "exec", "-i", f.container(name), "sh", "-c", script)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("on %s: %s: %v\n%s", name, script, err, out)
	}
	return string(out)
}

// expire makes a machine what it is when it was switched off for 100 days: its node certificate ended ten days ago.
func (f *fleet) expire(a swarmAuthority, name string) {
	f.t.Helper()
	f.inContainer(name, "", "systemctl stop docker.socket docker.service")
	block, _ := pem.Decode([]byte(f.inContainer(name, "", "cat "+nodeCertificate)))
	if block == nil {
		f.t.Fatalf("%s has no node certificate", name)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		f.t.Fatal(err)
	}
	old := *leaf
	old.NotBefore, old.NotAfter, old.SignatureAlgorithm = time.Now().AddDate(0, 0, -100), time.Now().AddDate(0, 0, -10), 0
	der, err := x509.CreateCertificate(rand.Reader, &old, a.cert, leaf.PublicKey, a.key)
	if err != nil {
		f.t.Fatal(err)
	}
	chain := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), a.certPEM...)
	f.inContainer(name, string(chain), "cat >"+nodeCertificate+" && systemctl start docker.socket docker.service")
}

// TestSwarmStageExpired is a lab that was switched off for 100 days, with and without autolock: every node certificate has
// expired. machine is killed by SIGKILL again and again while it brings the swarm back.
func TestSwarmStageExpired(t *testing.T) {
	needSwarmStage(t)
	t.Parallel()
	for _, locked := range []bool{false, true} {
		t.Run(fmt.Sprintf("autolock %v", locked), func(t *testing.T) {
			f := newFleet(t)
			managers, worker := f.names("m1", "m2"), f.name("w1")
			all := append(slices.Clone(managers), worker)
			f.ok(append([]string{"create", "-d", "docker", "--swarm-master"}, managers...)...)
			f.ok("create", "-d", "docker", "--swarm", "--swarm-node-label", "tier=work", worker)
			env := f.dockerEnv(managers[0])
			a := newSwarmAuthority(t)
			f.dockerWith(env, "config", "create", "kept", filepath.Join(a.dir, "ca.crt"))
			f.dockerWith(env, "swarm", "ca", "--rotate", "--ca-cert", filepath.Join(a.dir, "ca.crt"), "--ca-key", filepath.Join(a.dir, "ca.key"), "--quiet")
			args, key := []string{"swarm", "recover", "-y"}, ""
			if locked {
				f.dockerWith(env, "swarm", "update", "--autolock=true")
				key = f.dockerWith(env, "swarm", "unlock-key", "-q")
				eventually(t, time.Minute, func() error {
					for _, m := range managers {
						if out := f.inContainer(m, "", "head -1 /var/lib/docker/swarm/certificates/swarm-node.key"); !strings.Contains(out, "ENCRYPTED") {
							return fmt.Errorf("the key of %s is not locked yet", m)
						}
					}
					return nil
				})
				args = append(args, "--unlock-key", "-")
			}
			for _, name := range all {
				f.expire(a, name)
			}
			if locked {
				if r := f.fails(1, "swarm", "recover", "-y", managers[0]); !strings.Contains(r.stderr, "unlock key") {
					t.Errorf("without the key:\n%s", r)
				}
			}
			recover := func() *running {
				p := &running{args: args, begun: time.Now()}
				p.cmd = exec.CommandContext(t.Context(), binary, append(args, managers[0])...)
				p.cmd.Env, p.cmd.Stdin = f.env(), strings.NewReader(key+"\n")
				p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
				p.err = p.cmd.Start()
				return p
			}
			for _, after := range []time.Duration{2, 4, 6, 9, 12} {
				p := recover()
				kill := time.AfterFunc(after*time.Second, func() { _ = p.cmd.Process.Kill() })
				r := p.wait()
				kill.Stop()
				t.Logf("killed after %ds: %s", after, r)
			}
			r := recover().wait()
			t.Logf("%s", r)
			if r.code != 0 && !strings.Contains(r.stderr, "has its quorum") {
				t.Fatal("not recovered")
			}
			s := f.swarmStatus(managers[0])
			if s.Managers != 2 || s.Reachable != 2 || len(s.Nodes) != 3 {
				t.Errorf("Got %+v", s)
			}
			env = f.dockerEnv(managers[0])
			for _, node := range f.nodes(env) {
				if !strings.Contains(node, " Ready Active") {
					t.Errorf("Got %q", node)
				}
			}
			if out := f.dockerWith(env, "config", "ls", "--format", "{{.Name}}"); out != "kept" {
				t.Errorf("Got configs %q, want kept", out)
			}
			if got := f.dockerWith(env, "node", "ls", "-q", "--filter", "node.label=tier=work"); len(strings.Fields(got)) != 1 {
				t.Errorf("Got %q with the label of the worker, want it", got)
			}
			if locked && f.dockerWith(env, "swarm", "unlock-key", "-q") != key {
				t.Error("the unlock key is another one")
			}
			for _, name := range all {
				block, _ := pem.Decode([]byte(f.inContainer(name, "", "cat "+nodeCertificate)))
				cert, err := x509.ParseCertificate(block.Bytes)
				if err != nil || time.Until(cert.NotAfter) < 24*time.Hour {
					t.Errorf("%s: certificate until %v, %v", name, cert.NotAfter, err)
				}
			}
		})
	}
}
