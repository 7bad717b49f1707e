package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

// address is what a status says of where the machine is.
func (x *machine) address(st drivers.Status) store.Address {
	a := store.Address{Host: st.Host, Peer: st.Peer, User: st.User, SSHPort: st.SSHPort, EnginePort: st.EnginePort}
	if a.Peer == "" {
		a.Peer = a.Host
	}
	if a.User == "" {
		a.User = "root"
	}
	if a.SSHPort == 0 {
		a.SSHPort = 22
	}
	return a
}

// await waits until the provider says that the host runs and has an address, and records it.
func (x *machine) await(ctx context.Context) error {
	ctx, cancel := x.within(ctx, x.m.Wait.SSH, sshDeadline, "wait for the host to run")
	defer cancel()
	var st drivers.Status
	var last error
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		now, err := x.drv.Status(ctx)
		if err != nil {
			err = fmt.Errorf("ask for the host's state: %w", err)
			if refused(err) {
				return false, err
			}
			if ctx.Err() == nil {
				if last == nil {
					x.m.Note(ctx, err.Error()+"; asking again")
				}
				last = err
			}
			return false, nil
		}
		st, last = now, nil
		if x.own() && st.Host != "" {
			return true, nil // SSH tells better than a state why such a host does not answer
		}
		if st.State == drivers.Stopped || st.State == drivers.Error {
			return false, fmt.Errorf("wait for the host to run: %w: its state is %s", ErrNotRunning, st.State)
		}
		return st.State == drivers.Running && st.Host != "", nil
	})
	if err != nil {
		if last != nil && errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", err, last)
		}
		return err
	}
	return x.setAddress(x.address(st))
}

// refused tells whether a provider's answer stays the same however often it is asked.
func refused(err error) bool {
	return slices.ContainsFunc([]error{drivers.ErrNotFound, drivers.ErrCredentials, drivers.ErrPermission, drivers.ErrOption, drivers.ErrUnsupported},
		func(target error) bool { return errors.Is(err, target) })
}

// setAddress records where the machine is now; an address that is not told does not replace one that was.
func (x *machine) setAddress(now store.Address) error {
	if now.Host == "" {
		return fmt.Errorf("record address: %w: the provider tells no address", ErrNotRunning)
	}
	if now == x.rec.Address {
		return nil
	}
	if err := x.moveKnownHost(x.rec.Address, now); err != nil {
		return err
	}
	x.rec.Address = now
	return x.put()
}

// sans returns the names and addresses that the server certificate must cover.
func (x *machine) sans(hostname string) []string {
	hosts := []string{x.rec.Address.Host, x.rec.Address.Peer, x.rec.Name}
	if certs.CheckHost(hostname) == nil { // a host may call itself anything
		hosts = append(hosts, hostname)
	}
	hosts = append(hosts, x.rec.HostOptions.AuthOptions.ServerCertSANs...)
	hosts = slices.DeleteFunc(hosts, func(h string) bool { return h == "" })
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// serverPair returns the machine's server certificate: the one on disk while it is good, else a new one, which
// is not stored.
func (x *machine) serverPair(a authority, hosts []string, renew bool) (certs.Pair, error) {
	pair, err := readPair(x.path(serverFile), x.path(serverKeyFile))
	if err == nil && !renew {
		err = certs.Verify(pair, certs.Need{Roots: a.cert, Hosts: hosts, Both: x.callsEngines(), Now: x.m.Now()})
		if err == nil {
			return pair, nil
		}
		x.m.Log.Info("server certificate is issued again", "machine", x.rec.Name, "why", err)
	}
	if a.foreign {
		return pair, x.errForeignCert(fmt.Errorf("server certificate: %w", err))
	}
	if a.ca == nil {
		return pair, fmt.Errorf("issue server certificate: %w", errNoCAKey(x.m.Store.CertsDir()))
	}
	issue := a.ca.Server
	if x.callsEngines() {
		issue = a.ca.ServerAndClient
	}
	if pair, err = issue(hosts, x.m.Now()); err != nil {
		return pair, fmt.Errorf("issue server certificate: %w", err)
	}
	return pair, nil
}

// callsEngines: the manager of a classic swarm calls the nodes' engines with the certificate of its own engine.
func (x *machine) callsEngines() bool { return classicMaster(x.rec.HostOptions.SwarmOptions) }

// keep writes files that are not what they should be, all of them together: a client that reads a key
// beside a certificate finds them as they belong to each other.
func (x *machine) keep(files ...store.File) error {
	var differ []store.File
	for _, f := range files {
		if old, err := x.txn.ReadFile(f.Name); err != nil || !bytes.Equal(old, f.Data) {
			differ = append(differ, f)
		}
	}
	if len(differ) == 0 {
		return nil
	}
	return x.txn.WriteFiles(differ...)
}

// keepPair writes a key and its certificate.
func (x *machine) keepPair(cert, key string, p certs.Pair) error {
	return x.keep(store.File{Name: key, Data: p.Key}, store.File{Name: cert, Data: p.Cert})
}

// handOut puts what a client needs into the machine's folder.
func (x *machine) handOut(trust []byte, client certs.Pair) error {
	return x.keep(store.File{Name: caFile, Data: trust}, store.File{Name: keyFile, Data: client.Key}, store.File{Name: certFile, Data: client.Cert})
}

// wanted is the engine asked for, in provision's words.
func (x *machine) wanted() provision.Engine {
	e := engineOf(x.rec.HostOptions.EngineOptions)
	if !slices.ContainsFunc(e.Labels, func(l string) bool { return strings.HasPrefix(l, "provider=") }) {
		e.Labels = append(slices.Clone(e.Labels), "provider="+x.rec.DriverName)
	}
	e.Port, e.Gentle, e.Slowness = x.enginePort(), x.own(), x.slowness()
	return e
}

// engineOf is what options ask of an engine, in provision's words.
func engineOf(o store.EngineOptions) provision.Engine {
	return provision.Engine{
		Version:            o.Version,
		Source:             provision.Source(o.Source),
		InstallURL:         o.InstallURL,
		RepoURL:            o.RepoURL,
		Port:               o.Port,
		Options:            o.ArbitraryFlags,
		Env:                o.Env,
		Labels:             o.Labels,
		InsecureRegistries: o.InsecureRegistry,
		RegistryMirrors:    o.RegistryMirror,
		StorageDriver:      o.StorageDriver,
		HTTPProxy:          o.HTTPProxy,
		HTTPSProxy:         o.HTTPSProxy,
		NoProxy:            o.NoProxy,
	}
}

// refit is how provisioning differs from its usual course.
type refit struct {
	trust   []byte                  // whom the engine trusts; nil: the authority's trust
	renew   bool                    // a new server certificate, also when the old one is good
	adjust  func(*provision.Engine) // changes what is asked for
	planned func([]provision.Step)  // is told the plan; may be nil
	changed *bool                   // set to whether anything was done; may be nil
}

// provision makes the host a Docker host that answers over TLS: probe, certificate, plan, apply,
// verify. Nothing happens on the host where nothing changed.
func (x *machine) provision(ctx context.Context, conn *ssh.Client, a authority, r refit) error {
	want := x.wanted()
	if r.adjust != nil {
		r.adjust(&want)
	}
	a = x.authorityFor(ctx, a, r)
	facts, tls, steps, err := x.survey(ctx, conn, a, want, r)
	if err != nil {
		return err
	}
	if r.changed != nil {
		*r.changed = len(steps) > 0
	}
	if r.planned != nil {
		r.planned(steps)
	}
	// The client's side first: it trusts all that the engine may show, before and after.
	if err := x.handOut(a.trust, a.client); err != nil {
		return err
	}
	if err := provision.Apply(ctx, conn, steps, x.m.Step); err != nil {
		return fmt.Errorf("provision %s: %w", facts.Pretty, err)
	}
	// The copy here is of what the engine has: expiry and addresses are judged by it.
	if err := x.keepPair(serverFile, serverKeyFile, certs.Pair{Cert: tls.Cert, Key: tls.Key}); err != nil {
		return err
	}
	x.rec.Installed.OS = facts.Pretty
	x.rec.Installed.Arch = facts.Arch
	x.rec.Installed.Hosts = tls.hosts
	if x.rec.Phase == store.Pending || x.rec.Phase == store.Created {
		x.rec.Phase = store.Provisioned
	}
	if err := x.put(); err != nil {
		return err
	}
	if err := x.verifyEngine(ctx, conn, want); err != nil {
		return err
	}
	if r.trust != nil {
		return x.handOut(r.trust, a.client) // the engine shows what is of this trust only, as was just seen
	}
	return nil
}

type serverTLS struct {
	provision.TLS
	hosts []string
}

// survey asks the host and plans; it changes nothing, here or there.
func (x *machine) survey(ctx context.Context, conn *ssh.Client, a authority, want provision.Engine, r refit) (provision.Facts, serverTLS, []provision.Step, error) {
	var facts provision.Facts
	err := x.m.Step(ctx, "probe the host", func(ctx context.Context) (err error) {
		facts, err = provision.Probe(ctx, conn, want)
		return err
	})
	if err != nil {
		return facts, serverTLS{}, nil, err
	}
	if skew := x.m.Now().Sub(facts.Clock); !facts.Clock.IsZero() && (skew > time.Minute || skew < -certs.Backdate) {
		x.m.Note(ctx, fmt.Sprintf("the host's clock differs by %s: certificates and swarm membership depend on clocks", skew.Abs().Round(time.Second)))
	}
	hosts := x.sans(facts.Hostname)
	pair, err := x.serverPair(a, hosts, r.renew)
	if err != nil {
		return facts, serverTLS{}, nil, err
	}
	trust := r.trust
	if trust == nil {
		trust = a.trust
	}
	tls := serverTLS{TLS: provision.TLS{CA: trust, Cert: pair.Cert, Key: pair.Key}, hosts: hosts}
	steps, err := provision.Plan(facts, want, tls.TLS)
	if err != nil {
		return facts, tls, nil, fmt.Errorf("plan %s: %w", facts.Pretty, err)
	}
	return facts, tls, steps, nil
}

// verifyEngine asks the engine for its version over TLS, as a client would, and records it.
func (x *machine) verifyEngine(ctx context.Context, conn *ssh.Client, want provision.Engine) error {
	dial := x.dialer(conn)
	eng, err := x.engine(ctx, dial)
	if err != nil {
		return err
	}
	defer eng.close()
	waitCtx, cancel := x.within(ctx, x.m.Wait.Engine, startingDeadline, "wait for the engine")
	defer cancel()
	watch := x.watchEngine(conn)
	var last error
	err = x.m.Step(waitCtx, "verify the engine over TLS", func(ctx context.Context) error {
		return poll(ctx, func(ctx context.Context) (bool, error) {
			asking, cancel := within(ctx, 0, 5*time.Second, "ask the engine for its version")
			defer cancel()
			v, err := eng.version(asking)
			if err == nil {
				x.rec.Installed.Engine = v.Version
				return true, nil
			}
			last = err
			if tlsProblem(err) {
				return false, err
			}
			return false, watch.hopeless(ctx)
		})
	})
	if err != nil {
		if last == nil || errors.Is(err, last) || errors.Is(err, errEngineFailed) {
			last = err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &EngineError{
			URL:      x.engineURL(),
			Err:      last,
			Evidence: provision.Evidence(ctx, conn, want),
		}
	}
	return x.put()
}

// dialer reaches the engine directly, or through the SSH connection when the host is behind a jump host.
func (x *machine) dialer(conn *ssh.Client) dialFunc {
	if x.rec.SSH.Jump == "" || conn == nil {
		return nil
	}
	return conn.DialContext
}

// EngineError is an engine that does not answer over TLS. It wraps ErrTLS.
type EngineError struct {
	URL      string
	Err      error
	Evidence []string // what the host says of it
}

func (e *EngineError) Error() string {
	return fmt.Sprintf("%v: %s: %v", ErrTLS, e.URL, e.Err)
}

func (e *EngineError) Unwrap() []error { return []error{ErrTLS, e.Err} }

// Details are lines that show why.
func (e *EngineError) Details() []string { return e.Evidence }

// sameJSON tells whether two values are the same once stored.
func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
