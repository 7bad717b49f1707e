package drivertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
)

// TestSuiteFindsFlaws puts one flaw at a time into a good driver. A flaw that
// the named check does not find would be one that the suite lets pass.
func TestSuiteFindsFlaws(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		check string
		flaw  func(p *fake.Provider, f flawed) flawed
	}{
		"none": {"", func(_ *fake.Provider, f flawed) flawed { return f }},
		"accepts unknown options": {"options/invalid", func(_ *fake.Provider, f flawed) flawed {
			f.configure = func(v drivers.Values) (config, secrets json.RawMessage, err error) {
				delete(v, "no-such-option")
				return f.Factory.Configure(v)
			}
			return f
		}},
		"hides the option at fault": {"options/invalid", func(_ *fake.Provider, f flawed) flawed {
			f.configure = func(v drivers.Values) (config, secrets json.RawMessage, err error) {
				if config, secrets, err = f.Factory.Configure(v); err != nil {
					err = drivers.ErrOption
				}
				return config, secrets, err
			}
			return f
		}},
		"stores secrets with the options": {"options/secret", func(_ *fake.Provider, f flawed) flawed {
			f.configure = func(v drivers.Values) (config, secrets json.RawMessage, err error) {
				if config, secrets, err = f.Factory.Configure(v); err != nil {
					return nil, nil, err
				}
				return json.RawMessage(fmt.Sprintf(`{"both":[%s,%s]}`, config, secrets)), secrets, nil
			}
			return f
		}},
		"logs a secret": {"create/runs", func(_ *fake.Provider, f flawed) flawed {
			f.env = func(e drivers.Env) { e.Log.Debug("request", "token", "fake-hush") }
			return f
		}},
		"tells a secret": {"check/refused", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, check: func(ctx context.Context) error {
				if err := d.Check(ctx); err != nil {
					return fmt.Errorf("login with fake-hush: %w", err)
				}
				return nil
			}}
		})},
		"saves a secret": {"create/runs", func(_ *fake.Provider, f flawed) flawed {
			f.save = func(s json.RawMessage, save func(json.RawMessage) error) error {
				return save(json.RawMessage(strings.Replace(string(s), "{", `{"Secret":"fake-hush",`, 1)))
			}
			return f
		}},
		"check creates": {"check/good", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, check: func(ctx context.Context) error { return d.Create(ctx, drivers.CreateRequest{}) }}
		})},
		"check accepts all": {"check/refused", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, check: func(context.Context) error { return nil }}
		})},
		"check says the same of all": {"check/refused", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, check: func(ctx context.Context) error {
				if d.Check(ctx) != nil {
					return drivers.ErrQuota
				}
				return nil
			}}
		})},
		"never created is stopped": {"status/never created", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, status: func(ctx context.Context) (drivers.Status, error) {
				s, err := d.Status(ctx)
				if errors.Is(err, drivers.ErrNotFound) {
					return drivers.Status{State: drivers.Stopped}, nil
				}
				return s, err
			}}
		})},
		"no address": {"create/runs", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, status: func(ctx context.Context) (drivers.Status, error) {
				s, err := d.Status(ctx)
				s.Host = ""
				return s, err
			}}
		})},
		"never runs": {"create/runs", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, status: func(ctx context.Context) (drivers.Status, error) {
				s, err := d.Status(ctx)
				s.State = drivers.Starting
				return s, err
			}}
		})},
		"makes a second": {"create/again", func(p *fake.Provider, f flawed) flawed {
			f.flaw = func(d drivers.Driver) drivers.Driver {
				return altered{Driver: d, create: func(ctx context.Context, r drivers.CreateRequest) error {
					ours := map[string]string{"store": "drivertest"}
					return errors.Join(d.Create(ctx, r), p.Plant(ctx, fake.Resource{Kind: fake.KindDisk, Labels: ours}))
				}}
			}
			return f
		}},
		"start refuses a running host": {"power/idempotent", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, start: func(ctx context.Context) error {
				if s, err := d.Status(ctx); err != nil || s.State == drivers.Running {
					return errors.Join(err, errors.New("already running"))
				}
				return d.Start(ctx)
			}}
		})},
		"stop does nothing": {"power/idempotent", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, stop: func(context.Context) error { return nil }}
		})},
		"ignores the context": {"context/ended", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, remove: func(ctx context.Context) error { return d.Remove(context.WithoutCancel(ctx)) }}
		})},
		"drops the context's cause": {"context/ended", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, stop: func(ctx context.Context) error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return d.Stop(ctx)
			}}
		})},
		"drops the cause of a cancelled call": {"crash/create at call", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, create: func(ctx context.Context, r drivers.CreateRequest) error {
				if err := d.Create(ctx, r); err != nil && ctx.Err() != nil {
					return ctx.Err()
				} else if err != nil {
					return err
				}
				return nil
			}}
		})},
		"remove does nothing": {"remove/twice", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, remove: func(context.Context) error { return nil }}
		})},
		"remove refuses what is gone": {"remove/vanished", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, remove: func(ctx context.Context) error {
				if _, err := d.Status(ctx); err != nil {
					return err
				}
				return d.Remove(ctx)
			}}
		})},
		"remove checks options": {"remove/spoiled options", func(_ *fake.Provider, f flawed) flawed {
			f.flaw = func(d drivers.Driver) drivers.Driver {
				return altered{Driver: d, remove: func(ctx context.Context) error {
					if s, err := d.Status(ctx); err == nil && s.SSHPort < 1 {
						return errors.New("invalid port")
					}
					return d.Remove(ctx)
				}}
			}
			return f
		}},
		"removes by name": {"remove/foreign", func(p *fake.Provider, f flawed) flawed {
			f.flaw = func(d drivers.Driver) drivers.Driver {
				return altered{Driver: d, remove: func(ctx context.Context) error {
					all, err := p.Resources(ctx)
					for _, r := range all {
						if r.Name == "suite-a" {
							err = errors.Join(err, p.Vanish(ctx, r.ID))
						}
					}
					return errors.Join(err, d.Remove(ctx))
				}}
			}
			return f
		}},
		"takes another's": {"remove/foreign", func(p *fake.Provider, f flawed) flawed {
			f.flaw = func(d drivers.Driver) drivers.Driver {
				return altered{Driver: d, create: func(ctx context.Context, r drivers.CreateRequest) error {
					all, err := p.Resources(ctx)
					for _, x := range all {
						if x.Name == "suite-a" && len(x.Labels) == 0 {
							err = errors.Join(err, p.Vanish(ctx, x.ID))
						}
					}
					return errors.Join(err, d.Create(ctx, r))
				}}
			}
			return f
		}},
		"ignores what save says": {"crash/create at save", func(_ *fake.Provider, f flawed) flawed {
			f.save = func(s json.RawMessage, save func(json.RawMessage) error) error {
				_ = save(s)
				return nil
			}
			return f
		}},
		"saves no intent": {"crash/create at save", func(_ *fake.Provider, f flawed) flawed {
			f.save = func(s json.RawMessage, save func(json.RawMessage) error) error {
				if !strings.Contains(string(s), "Disk") && string(s) != "{}" {
					return nil
				}
				return save(s)
			}
			return f
		}},
		"saves only at the end": {"crash/create at call", func(_ *fake.Provider, f flawed) flawed {
			f.save = func(s json.RawMessage, save func(json.RawMessage) error) error {
				if !strings.Contains(string(s), "Host") && string(s) != "{}" {
					return nil
				}
				return save(s)
			}
			return f
		}},
		"forgets": {"create/again", func(_ *fake.Provider, f flawed) flawed {
			f.forgets = true
			return f
		}},
		"takes any error for gone": {"crash/remove at call", func(_ *fake.Provider, f flawed) flawed {
			f.flaw = func(d drivers.Driver) drivers.Driver {
				return altered{Driver: d, remove: func(ctx context.Context) error {
					if err := d.Remove(ctx); err != nil && errors.Is(err, errProvider) {
						return nil
					} else if err != nil {
						return err
					}
					return nil
				}}
			}
			return f
		}},
		"hangs": {"crash/create at call", replace(func(d drivers.Driver) altered {
			return altered{Driver: d, create: func(ctx context.Context, r drivers.CreateRequest) error {
				err := d.Create(ctx, r)
				if errors.Is(err, errProvider) {
					<-ctx.Done()
					return context.Cause(ctx)
				}
				return err
			}}
		})},
		"claims what is another's": {"orphans/claimed", careless(func(o drivers.Orphans) carelessly {
			return carelessly{Orphans: o, claims: func(drivers.Resource) bool { return true }}
		})},
		"claims nothing": {"orphans/claimed", careless(func(o drivers.Orphans) carelessly {
			return carelessly{Orphans: o, claims: func(drivers.Resource) bool { return false }}
		})},
		"finds nothing": {"orphans/released", careless(func(o drivers.Orphans) carelessly {
			return carelessly{Orphans: o, tagged: func(context.Context) ([]drivers.Resource, error) { return nil, nil }}
		})},
		"finds what is another's": {"orphans/foreign", careless(func(o drivers.Orphans) carelessly {
			return carelessly{Orphans: o, tagged: func(ctx context.Context) ([]drivers.Resource, error) {
				all, err := o.Tagged(ctx)
				return append(all, drivers.Resource{Kind: "disk", ID: "theirs"}), err
			}}
		})},
		"forgets a disk": {"orphans/released", careless(func(o drivers.Orphans) carelessly {
			return carelessly{Orphans: o, tagged: func(ctx context.Context) ([]drivers.Resource, error) {
				all, err := o.Tagged(ctx)
				return slices.DeleteFunc(all, func(r drivers.Resource) bool { return r.Kind == fake.KindDisk }), err
			}}
		})},
		"clears the state first": {"crash/remove at save", func(_ *fake.Provider, f flawed) flawed {
			f.flaw = func(d drivers.Driver) drivers.Driver {
				var cleared atomic.Bool
				return altered{Driver: d, remove: func(ctx context.Context) error {
					cleared.Store(true)
					return d.Remove(ctx)
				}}
			}
			f.save = func(s json.RawMessage, save func(json.RawMessage) error) error {
				if !strings.Contains(string(s), "Host") && strings.Contains(string(s), "Disk") && strings.Contains(string(s), "Token") {
					return errors.Join(save(json.RawMessage("{}")), save(s))
				}
				return save(s)
			}
			return f
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := Harness{New: func(t testing.TB) World {
				p := fake.Memory()
				w := worldOf(p)
				w.Factory = c.flaw(p, flawed{Factory: w.Factory})
				return w
			}}
			if c.check != "" {
				h.Timeout = 200 * time.Millisecond // for what never comes
			}
			found := false
			probe := h.New(t)
			for _, check := range checks() {
				if check.skip(h, probe) != "" || c.check != "" && check.name != c.check {
					continue
				}
				err := perform(t, h, check)
				if c.check == "" && err != nil {
					t.Errorf("%s: %v", check.name, err)
				}
				if check.name == c.check {
					found = true
					if err == nil {
						t.Errorf("%s does not find the flaw", check.name)
					} else {
						t.Logf("%s: %v", check.name, err)
					}
				}
			}
			if c.check != "" && !found {
				t.Errorf("no check is called %s", c.check)
			}
		})
	}
}

// TestSuiteFindsFalseClaims runs a good driver by a harness that says what it is not.
func TestSuiteFindsFalseClaims(t *testing.T) {
	t.Parallel()
	fresh := func(testing.TB) World { return worldOf(fake.Memory()) }
	for name, c := range map[string]struct {
		check string
		h     Harness
	}{
		"hosts have power": {"power/unsupported", Harness{New: fresh, NoPower: true}},
		"nothing can be seen": {"create/runs", Harness{New: func(t testing.TB) World {
			w := fresh(t)
			w.Resources = nil
			return w
		}}},
		"nothing is planted": {"remove/foreign", Harness{New: func(t testing.TB) World {
			w := fresh(t)
			w.Plant = func(context.Context, string) error { return nil }
			return w
		}}},
		"another's field is spoiled": {"remove/spoiled options", Harness{New: func(t testing.TB) World {
			w := fresh(t)
			w.Spoil = map[string]any{"NoSuchField": 1}
			return w
		}}},
	} {
		for _, check := range checks() {
			if check.name == c.check && perform(t, c.h, check) == nil {
				t.Errorf("%s: %s does not find it", name, check.name)
			}
		}
	}
}
