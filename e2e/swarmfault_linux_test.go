package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSwarmFaults makes a swarm of hosts whose networks have faults: what is wrong is named before
// anything is changed, with both ends, and the swarm goes on when the fault is gone.
func TestSwarmFaults(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	hosts := map[string]*host{}
	var creating []*running
	for _, name := range []string{"m", "a", "b", "other"} {
		hosts[name] = newHost(t, withEngine)
		creating = append(creating, f.start(t.Context(), append(append([]string{"create"}, hosts[name].generic("root")...), f.name(name))...))
	}
	for _, c := range creating {
		if r := c.wait(); r.code != 0 {
			t.Fatalf("%s", r)
		}
	}
	m, a, b := f.name("m"), f.name("a"), f.name("b")

	t.Run("an address of nobody is doubted", func(t *testing.T) {
		f := f.in(t)
		r := f.run("swarm", "init", "--swarm-name", "wrong", "--advertise-addr", "192.0.2.7", m)
		if r.code != 0 || !strings.Contains(r.stderr, "192.0.2.7 is no address of the host's own, which has "+hosts["m"].ip+" (eth0)") {
			t.Errorf("The address that it has is not offered\n%s", r)
		}
		f.ok("swarm", "leave", m)
		f.ok("swarm", "init", "--swarm-name", "prod", m)
	})
	t.Run("an address that nobody reaches is refused", func(t *testing.T) {
		f := f.in(t)
		r := f.fails(1, "swarm", "join", "--swarm-name", "prod", "--advertise-addr", "192.0.2.7", a)
		f.reason(r, "SWARM_ADDRESS", `192\.0\.2\.7.*has `+regexp.QuoteMeta(hosts["a"].ip))
		if got := hosts["a"].sh("docker info -f {{.Swarm.LocalNodeState}}"); got != "inactive" {
			t.Errorf("The refused machine is %s in a swarm", got)
		}
	})
	t.Run("2377 is blocked", func(t *testing.T) {
		f := f.in(t)
		hosts["m"].sh("iptables -I INPUT -p tcp --dport 2377 -j DROP")
		r := f.fails(1, "swarm", "join", "--swarm-name", "prod", a)
		f.reason(r, "SWARM_NETWORK", `\b`+a+`\b.*\b`+m+`\b.*2377/tcp`)
		hosts["m"].sh("iptables -D INPUT -p tcp --dport 2377 -j DROP")
	})
	t.Run("4789 is blocked", func(t *testing.T) {
		f := f.in(t)
		hosts["a"].sh("iptables -I INPUT -p udp --dport 4789 -j DROP")
		r := f.run("swarm", "join", "--swarm-name", "prod", a)
		if r.code != 0 || !regexp.MustCompile(m+`.*`+a+`.*4789/udp.*firewall`).MatchString(r.stderr) {
			t.Errorf("The join does not tell which port is closed from where to where\n%s", r)
		}
		hosts["a"].sh("iptables -D INPUT -p udp --dport 4789 -j DROP")
	})
	t.Run("small MTU", func(t *testing.T) {
		f := f.in(t)
		hosts["b"].sh("ip link set eth0 mtu 1400")
		r := f.run("swarm", "join", "--swarm-name", "prod", b)
		if r.code != 0 || !strings.Contains(r.stderr, "com.docker.network.driver.mtu=1400") {
			t.Errorf("The join does not tell the option that overlay networks need\n%s", r)
		}
		hosts["b"].sh("ip link set eth0 mtu 1500")
	})
	t.Run("a second network", func(t *testing.T) {
		f := f.in(t)
		network := f.prefix + "-second"
		// Engines within the hosts have taken the usual subnets for themselves.
		third, err := strconv.ParseUint(f.prefix[len(f.prefix)-2:], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		mustRun(t, "docker", "network", "create", "--subnet", fmt.Sprintf("10.213.%d.0/24", third), network)
		t.Cleanup(func() {
			for _, h := range []string{"m", "b"} {
				_ = exec.Command("docker", "network", "disconnect", network, hosts[h].container).Run() // it may not be connected
			}
			if out, err := exec.Command("docker", "network", "rm", network).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
		for _, h := range []string{"m", "b"} {
			mustRun(t, "docker", "network", "connect", network, hosts[h].container)
		}
		second := hosts["b"].inspect(`{{(index .NetworkSettings.Networks "` + network + `").IPAddress}}`)
		f.ok("swarm", "leave", b)
		r := f.run("swarm", "join", "--swarm-name", "prod", "--advertise-addr", second, b)
		if r.code != 0 || strings.Contains(r.stderr, "elsewhere") {
			t.Fatalf("%s", r)
		}
		if got := hosts["b"].sh("docker info -f '{{.Swarm.NodeAddr}} {{.Swarm.LocalNodeState}}'"); got != second+" active" {
			t.Errorf("The node advertises %q, want %s", got, second)
		}
		f.ok("swarm", "leave", b)
		f.ok("swarm", "join", "--swarm-name", "prod", b)
	})
	t.Run("a node of another swarm", func(t *testing.T) {
		f := f.in(t)
		hosts["other"].sh("docker swarm init --advertise-addr " + hosts["other"].ip)
		ours, theirs := f.swarmStatus("prod").ID, hosts["other"].sh("docker info -f {{.Swarm.Cluster.ID}}")
		r := f.fails(1, "swarm", "join", "--swarm-name", "prod", f.name("other"))
		f.reason(r, "SWARM_FOREIGN", ours)
		f.reason(r, "SWARM_FOREIGN", theirs)
		hosts["other"].sh("docker swarm leave --force")
	})
	t.Run("a manager dies while others join", func(t *testing.T) {
		f := f.in(t)
		joining := f.start(t.Context(), "swarm", "join", "--swarm-name", "prod", "--manager", f.name("other"))
		eventually(t, 60*time.Second, func() error { // the intent is on disk before anything is done
			record, err := os.ReadFile(f.path(f.name("other"), "config.json"))
			if err == nil && !regexp.MustCompile(`"Role": "manager"`).Match(record) {
				err = errors.New("the intent is not recorded")
			}
			return err
		})
		hosts["m"].sh("systemctl kill -s KILL docker.service") // systemd starts it again
		r := joining.wait()
		t.Logf("%s", r)
		failed := time.Now()
		if r.code != 0 {
			eventually(t, 180*time.Second, func() error {
				r := f.run("swarm", "join", "--swarm-name", "prod", "--manager", f.name("other"))
				if r.code == 0 {
					return nil
				}
				// The one manager may count the one that did not come to be: then no waiting helps, and the hint does.
				if time.Since(failed) > 45*time.Second && strings.Contains(r.stderr, "machine swarm recover prod") {
					t.Logf("%s", f.run("swarm", "recover", "-y", "prod"))
				}
				return fmt.Errorf("%s", r)
			})
		}
		eventually(t, 120*time.Second, func() error {
			s := f.swarmStatus("prod")
			if s.Managers != 2 || s.Reachable != 2 || len(s.Nodes) != 4 {
				return fmt.Errorf("got %+v", s)
			}
			return nil
		})
	})
	t.Run("a worker is cut off and comes back", func(t *testing.T) {
		f := f.in(t)
		state := func(want string) {
			t.Helper()
			eventually(t, 120*time.Second, func() error {
				for _, n := range f.swarmStatus("prod").Nodes {
					if n.Machine == b && n.State == want {
						return nil
					}
				}
				return fmt.Errorf("%s is not %s", b, want)
			})
		}
		peers := hosts["m"].ip + "," + hosts["other"].ip
		hosts["b"].sh("iptables -I INPUT -s " + peers + " -j DROP")
		state("down")
		hosts["b"].sh("for rule in 1 2; do iptables -D INPUT 1; done")
		state("ready")
	})
}

// reason checks that a failure has a reason, and its error a text.
func (f *fleet) reason(r result, id, says string) {
	f.t.Helper()
	var text string
	for line := range strings.Lines(r.stderr) {
		if strings.HasPrefix(line, "Error") {
			text += line
		}
	}
	if !strings.Contains(r.stderr, "Reason: "+id+"\n") || !regexp.MustCompile(says).MatchString(text) {
		f.t.Errorf("Want reason %s and an error that matches %q\n%s", id, says, r)
	}
}
