package amazonec2

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/cloudinit"
)

// userDataLimit is what EC2 takes, before it is encoded:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
const userDataLimit = 16 << 10

// Check implements drivers.Driver.
func (d *driver) Check(ctx context.Context) error {
	a, err := d.account(ctx)
	if err != nil {
		return err
	}
	if _, _, err := d.candidates(ctx, a); err != nil {
		return err
	}
	if _, err := d.ownUserData(drivers.CreateRequest{}); err != nil {
		return err
	}
	if _, err := d.publicKey(drivers.CreateRequest{}); err != nil {
		return err
	}
	return d.checkKey(ctx, a)
}

// checkKey finds out whether the user's key pair exists.
func (d *driver) checkKey(ctx context.Context, a *account) error {
	if d.cfg.KeyPair == "" {
		return nil
	}
	found, err := a.findKey(ctx, d.cfg.KeyPair, false)
	if err == nil && found == nil {
		err = &drivers.OptionError{
			Option: Name + "-keypair-name", Err: fmt.Errorf("%s in %s: %w", d.cfg.KeyPair, a.region, errMissing),
			Advice: "aws ec2 describe-key-pairs lists them; without the option the key of --" + Name + "-ssh-keypath is imported",
		}
	}
	return err
}

// Create implements drivers.Driver.
func (d *driver) Create(ctx context.Context, req drivers.CreateRequest) error {
	a, err := d.account(ctx)
	if err != nil {
		return err
	}
	st := &d.state.Value
	if st.Instance != "" {
		there, err := d.revive(ctx, a)
		if err != nil {
			return err
		}
		if !there {
			if err := d.dropInstance(ctx, a); err != nil {
				return err
			}
		}
	}
	if st.Instance == "" {
		if err := d.make(ctx, a, req); err != nil {
			return err
		}
	}
	return d.ensureAddress(ctx, a)
}

// revive has the recorded instance run, and tells whether it exists.
func (d *driver) revive(ctx context.Context, a *account) (bool, error) {
	i, found, err := d.recorded(ctx, a)
	if err != nil || !found || ended(i) {
		return false, err
	}
	if err := d.start(ctx, a); err != nil {
		return true, err
	}
	_, err = d.awaitRunning(ctx, a)
	return true, err
}

// recorded returns the recorded instance, and whether it exists. One that was just
// asked for may not be known everywhere yet.
func (d *driver) recorded(ctx context.Context, a *account) (i types.Instance, found bool, err error) {
	st := d.state.Value
	isNew := time.Since(st.Launch.Asked) < unheardOf
	err = d.settle(ctx, "instance "+st.Instance+" to be known", func(ctx context.Context) (bool, error) {
		i, found, err = a.instance(ctx, st.Instance)
		return found || !isNew, err
	})
	if err != nil && !errors.Is(err, errUnsettled) {
		return i, false, err
	}
	if !found {
		return i, false, d.elsewhere(ctx, a)
	}
	return i, true, nil
}

// forgetInstance clears an instance that is gone from the state.
func (d *driver) forgetInstance() error {
	st := &d.state.Value
	st.Instance, st.SpotRequest, st.Launch, st.Address.Bound = "", "", Launch{}, false
	return d.state.Save()
}

// make makes an instance and what it needs.
func (d *driver) make(ctx context.Context, a *account, req drivers.CreateRequest) error {
	candidates, without, err := d.candidates(ctx, a)
	if err != nil {
		return err
	}
	d.noteSpotless(ctx)
	j := &job{driver: d, a: a, ports: req.OpenPorts, hostKey: req.HostKey}
	if j.public, err = d.publicKey(req); err != nil {
		return err
	}
	if j.own, err = d.ownUserData(req); err != nil {
		return err
	}
	if err := d.intend(a, candidates[0], j.ports); err != nil {
		return err
	}
	if err := d.ensureKey(ctx, a, j.public); err != nil {
		return err
	}
	return j.try(ctx, candidates, without)
}

// job is the making of an instance.
type job struct {
	*driver
	a       *account
	ports   []drivers.Port
	public  string // key that may log in; empty: EC2 has it
	hostKey []byte
	own     []byte // the user's user data
}

// intend records what finds all that will be made.
func (d *driver) intend(a *account, first candidate, ports []drivers.Port) error {
	st := &d.state.Value
	if st.Launch.Token != "" {
		return nil
	}
	st.Region, st.Endpoint = a.region, a.endpoint
	st.Groups = Groups{VPC: first.vpc}
	for _, p := range ports {
		if !p.Peers {
			st.Groups.Ports = append(st.Groups.Ports, fmt.Sprintf("%d/%s", p.Number, p.Protocol))
		}
	}
	for _, name := range d.groupNames() {
		if !isGroupID(name) {
			st.Groups.Names = append(st.Groups.Names, name)
		}
	}
	if st.Key.Name == "" {
		st.Key = Key{Name: d.keyName(), Ours: true}
		if d.cfg.KeyPair != "" {
			st.Key = Key{Name: d.cfg.KeyPair}
		}
	}
	st.Launch.Token = newToken()
	return d.state.Save()
}

func newToken() string { return "machine-" + rand.Text() }

// candidates returns the ways to get an instance, in the order in which they
// are tried: spot first, then the types in the user's order, each in all zones. Types
// that the region does not have are told apart.
func (d *driver) candidates(ctx context.Context, a *account) (all []candidate, without failures, err error) {
	sites, err := a.sites(ctx, d.cfg)
	if err != nil {
		return nil, nil, err
	}
	markets := []bool{d.cfg.Spot}
	if d.cfg.Spot && d.cfg.SpotFallback {
		markets = append(markets, false)
	}
	for _, name := range split(d.cfg.Types) {
		t, err := a.machineType(ctx, name)
		if errors.Is(err, errMissing) {
			without = append(without, err)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		i, err := a.imageFor(ctx, d.cfg, t)
		if err != nil {
			return nil, nil, err
		}
		for _, s := range sites {
			all = append(all, candidate{site: s, machineType: name, image: i})
		}
	}
	if len(all) == 0 {
		return nil, nil, without.err()
	}
	var inMarkets []candidate
	for _, spot := range markets {
		for _, c := range all {
			c.spot = spot
			inMarkets = append(inMarkets, c)
		}
	}
	return inMarkets, without, nil
}

// noteSpotless tells of options that are about spot instances, where none is wanted.
func (d *driver) noteSpotless(ctx context.Context) {
	if d.cfg.Spot {
		return
	}
	for _, o := range []struct {
		given bool
		name  string
	}{
		{d.cfg.SpotPrice != "", "spot-price"}, {d.cfg.BlockDuration != 0, "block-duration-minutes"},
		{d.cfg.SpotInterruption != defaults().SpotInterruption, "spot-interruption"},
	} {
		if o.given {
			d.env.Note(ctx, "--"+Name+"-"+o.name+" does nothing without --"+Name+"-request-spot-instance")
		}
	}
}

// try asks for an instance in one way after the other until there is one.
func (d *job) try(ctx context.Context, candidates []candidate, refused failures) error {
	spent := map[string]bool{} // what a quota of the region is exhausted of
	for _, c := range candidates {
		kind := fmt.Sprint(c.machineType, c.spot)
		if spent[kind] {
			continue
		}
		err := d.launch(ctx, c)
		if err == nil {
			d.tell(ctx, c, refused)
			return nil
		}
		if !another(err) || context.Cause(ctx) != nil {
			return err
		}
		spent[kind] = errors.Is(err, drivers.ErrQuota)
		refused = append(refused, err)
		d.env.Log.Info("no instance", "type", c.machineType, "zone", c.zone, "spot", c.spot, "error", err)
	}
	return refused.err()
}

// failures are all the ways that were tried.
type failures []error

func (f failures) Unwrap() []error { return f }

// err returns the failure if it is one alone.
func (f failures) err() error {
	if len(f) == 1 {
		return f[0]
	}
	return f
}

func (f failures) Error() string {
	words := make([]string, len(f))
	for i, err := range f {
		words[i] = err.Error()
	}
	return fmt.Sprintf("tried %d ways: %s", len(f), strings.Join(words, "; "))
}

// another tells whether the next candidate may do better.
func another(err error) bool {
	return errors.Is(err, drivers.ErrCapacity) || says(err, vcpuLimits()...)
}

// tell says what was chosen and why.
func (d *driver) tell(ctx context.Context, c candidate, refused failures) {
	kind := ""
	if c.spot {
		kind = "spot "
	}
	d.env.Note(ctx, fmt.Sprintf("%s%s in %s (subnet %s of VPC %s), image %s (%s)", kind, c.machineType, c.zone, c.subnet, c.vpc, c.image.name, c.image.id))
	if len(refused) > 0 {
		d.env.Note(ctx, fmt.Sprintf("%d other choices could not be had: %v", len(refused), refused[0]))
	}
}

// ownUserData returns the user's own user data.
func (d *driver) ownUserData(req drivers.CreateRequest) ([]byte, error) {
	if d.cfg.UserData == "" {
		return req.UserData, nil
	}
	option := func(err error) error { return &drivers.OptionError{Option: Name + "-userdata", Err: err} }
	if req.UserData != nil {
		return nil, option(errors.New("is given twice"))
	}
	data, err := os.ReadFile(d.expandHome(d.cfg.UserData))
	if err != nil {
		return nil, option(err)
	}
	return data, nil
}

func (d *job) userData(c candidate) ([]byte, error) {
	seed := cloudinit.Seed{Hostname: d.env.Machine, HostKey: d.hostKey}
	if d.public != "" {
		seed.User, seed.Keys = d.user(c.image), []string{d.public}
	}
	data, err := cloudinit.UserData(seed, d.own)
	if err != nil {
		return nil, fmt.Errorf("make user data: %w", err)
	}
	return cloudinit.Fit(data, userDataLimit)
}

// user is who logs in.
func (d *driver) user(i image) string {
	if d.cfg.SSHUser != "" {
		return d.cfg.SSHUser
	}
	return i.user
}
