package host

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func needDocker(t *testing.T) {
	t.Helper()
	if os.Getenv("MACHINE_E2E") == "" && os.Getenv("MACHINE_TEST_DOCKER") == "" {
		t.Skip("needs a Docker Engine: MACHINE_TEST_DOCKER=1")
	}
}

func newDocker(t *testing.T) *Docker {
	t.Helper()
	needDocker(t)
	d, err := NewDocker(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		out, err := docker(context.Background(), nil, "ps", "-aq", "--filter", "name="+d.prefix)
		if err != nil || len(out) > 0 {
			t.Errorf("left behind: %q, %v", out, err)
		}
	})
	return d
}

// nth returns an address of a network that may be given away.
func nth(p netip.Prefix, n int) netip.Addr {
	a := p.Addr()
	for range 16 + n {
		a = a.Next()
	}
	return a
}

func newKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

// say runs a command over SSH on a host that must present the key.
func say(user string, at netip.Addr, key, hostKey ssh.Signer, command string) (string, error) {
	c, err := ssh.Dial("tcp", netip.AddrPortFrom(at, 22).String(), &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, Timeout: 5 * time.Second,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
		HostKeyCallback:   ssh.FixedHostKey(hostKey.PublicKey()),
	})
	if err != nil {
		return "", err
	}
	defer c.Close()
	s, err := c.NewSession()
	if err != nil {
		return "", err
	}
	out, err := s.CombinedOutput(command)
	return strings.TrimSpace(string(out)), err
}

func eventually(t *testing.T, try func() error) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// A host comes to life through cloud-init, and keeps its disk.
func TestDockerLife(t *testing.T) {
	t.Parallel()
	d := newDocker(t)
	key, _ := newKey(t)
	hostKey, hostPEM := newKey(t)
	private, public := d.Networks()
	spec := Spec{
		ID: "i-1", Hostname: "m1", Private: nth(private, 1), Public: nth(public, 1), User: "ubuntu",
		Keys: []string{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))},
		UserData: fmt.Appendf(nil, "#cloud-config\nssh_keys: {ed25519_private: %q}\nssh_deletekeys: true\n"+
			"users: [default, {name: bob, ssh_authorized_keys: [%q]}]\nruncmd: [touch /ran]\n",
			hostPEM, ssh.MarshalAuthorizedKey(key.PublicKey())),
	}
	ctx := t.Context()
	if err := d.Launch(ctx, spec); err != nil {
		t.Fatal(err)
	}
	if err := d.Launch(ctx, spec); err != nil {
		t.Errorf("launch what is there: %v", err)
	}
	expect := func(user string, at netip.Addr, command, want string) {
		t.Helper()
		eventually(t, func() error {
			got, err := say(user, at, key, hostKey, command)
			if err == nil && got != want {
				err = fmt.Errorf("%s: got %q, want %q", command, got, want)
			}
			return err
		})
	}
	state := func(want bool) {
		t.Helper()
		eventually(t, func() error {
			if got, err := d.Running(ctx, spec.ID); err != nil || got != want {
				return fmt.Errorf("running: got %v, %v, want %v", got, err, want)
			}
			return nil
		})
	}
	do := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	expect("ubuntu", spec.Public, "cloud-init status --wait >/dev/null; hostname; ls /ran", "m1\n/ran")
	expect("bob", spec.Private, "id -un", "bob")
	expect("ubuntu", spec.Public, "sudo docker info -f '{{.ServerVersion}}' >/dev/null && sudo touch /var/lib/docker/kept && echo ok", "ok")
	state(true)

	do("stop", d.Stop(ctx, spec.ID, false))
	state(false)
	do("stop what is stopped", d.Stop(ctx, spec.ID, true))
	do("set public", d.SetPublic(ctx, spec.ID, nth(public, 2)))
	do("set public again", d.SetPublic(ctx, spec.ID, nth(public, 2)))
	do("start", d.Start(ctx, spec.ID))
	do("start what runs", d.Start(ctx, spec.ID))
	expect("ubuntu", nth(public, 2), "sudo ls /ran /var/lib/docker/kept", "/ran\n/var/lib/docker/kept")
	if _, err := net.DialTimeout("tcp", netip.AddrPortFrom(spec.Public, 22).String(), time.Second); err == nil {
		t.Error("the old address answers")
	}

	do("set public while it runs", d.SetPublic(ctx, spec.ID, nth(public, 3)))
	expect("ubuntu", nth(public, 3), "true", "")
	do("take the address", d.SetPublic(ctx, spec.ID, netip.Addr{}))
	expect("ubuntu", spec.Private, "true", "")
	do("restart", d.Restart(ctx, spec.ID))
	expect("ubuntu", spec.Private, "true", "")

	_, _ = say("ubuntu", spec.Private, key, hostKey, "sudo poweroff")
	state(false)
	do("start", d.Start(ctx, spec.ID))
	expect("ubuntu", spec.Private, "true", "")
	do("stop hard", d.Stop(ctx, spec.ID, true))
	state(false)
	console, err := d.Console(ctx, spec.ID)
	do("console", err)
	if !bytes.Contains(console, []byte("cloud-init")) {
		t.Errorf("console without cloud-init's words:\n%s", console)
	}
	do("remove", d.Remove(ctx, spec.ID))
	do("remove what is gone", d.Remove(ctx, spec.ID))
	if _, err := d.Running(ctx, spec.ID); err == nil {
		t.Error("a removed host has a state")
	}
}

// Processes at once have networks of their own, and hosts can be launched at once.
func TestDockerAtOnce(t *testing.T) {
	t.Parallel()
	one, two := newDocker(t), newDocker(t)
	p1, w1 := one.Networks()
	p2, w2 := two.Networks()
	if p1.Overlaps(p2) || w1.Overlaps(w2) {
		t.Fatalf("networks overlap: %v %v, %v %v", p1, p2, w1, w2)
	}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			id := fmt.Sprintf("/subscriptions/x/vm%d", i/2) // each twice
			if err := one.Launch(t.Context(), Spec{ID: id, Hostname: "h", Private: nth(p1, i/2)}); err != nil {
				t.Error(err)
			}
			if running, err := one.Running(t.Context(), id); err != nil || !running {
				t.Errorf("running: %v, %v", running, err)
			}
		})
	}
	group.Wait()
	if err := one.Launch(t.Context(), Spec{ID: "bad", Private: netip.MustParseAddr("192.0.2.1")}); err == nil {
		t.Error("an address of another network is taken")
	}
	if _, err := one.Running(t.Context(), "bad"); err == nil {
		t.Error("a failed launch leaves a host")
	}
}

// What a process left that was killed is removed by the next.
func TestDockerSweep(t *testing.T) {
	t.Parallel()
	needDocker(t)
	child := exec.CommandContext(t.Context(), "sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	owner := fmt.Sprintf("%d-%s/test", child.Process.Pid, born(child.Process.Pid))
	if dead(owner) || dead("x") || dead("1-") || !dead(fmt.Sprintf("%d-1-x/test", child.Process.Pid)) {
		t.Error("the living are taken for dead")
	}
	name := fmt.Sprintf("machine-sim-test-%d", child.Process.Pid)
	if _, err := docker(t.Context(), nil, "network", "create", "--label", ownerLabel+"="+owner, name); err != nil {
		t.Fatal(err)
	}
	exists := func() bool {
		_, err := docker(t.Context(), nil, "network", "inspect", name)
		return err == nil
	}
	newDocker(t)
	if !exists() {
		t.Fatal("what belongs to a living process is swept")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	newDocker(t)
	if exists() {
		t.Error("what belonged to a killed process is there")
	}
}
