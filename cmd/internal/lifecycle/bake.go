package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

// BakeRequest asks for an image with an engine in it.
type BakeRequest struct {
	Image  string        // the name that it gets
	Create CreateRequest // of the machine that it is made of, without names and swarm
}

const (
	bakePrefix   = "bake-"
	sealDeadline = 5 * time.Minute // for a sealed host to shut down
)

// bakeMachine is the name of the machine that an image is made of.
func bakeMachine(image string) string {
	return bakePrefix + strings.NewReplacer(".", "-", "_", "-").Replace(image)
}

// bakedAs is the image that a machine is made for; empty: none.
func bakedAs(rec store.Record) string {
	if rec.Bake == nil {
		return ""
	}
	return rec.Bake.Image
}

// BakeImage makes a machine, takes out of it what is its own, keeps its disk as an
// image in the cache, and removes it. A bake that did not finish is continued by the
// same request; until then Remove undoes it.
func (m *Manager) BakeImage(ctx context.Context, req BakeRequest) (Image, error) {
	if err := cloudimage.CheckName(req.Image); err != nil {
		return Image{}, err
	}
	name := bakeMachine(req.Image)
	if f, ok := m.images().Baked(req.Image, ""); ok {
		return m.bakedBefore(ctx, name, f)
	}
	req.Create.Names, req.Create.bake = []string{name}, req.Image
	if err := m.makeToBake(ctx, name, req.Create); err != nil {
		return Image{}, err
	}
	var img Image
	err := m.withLock(OnMachine(ctx, name), name, func(ctx context.Context, x *machine) error {
		f, err := x.bake(ctx)
		if err != nil {
			return x.fail(err)
		}
		img = inCache(f)
		return m.removeLocked(ctx, x, false)
	})
	return img, err
}

// bakedBefore ends a bake that was killed after its image was kept.
func (m *Manager) bakedBefore(ctx context.Context, name string, f cloudimage.File) (Image, error) {
	rec, err := m.Store.Get(name)
	if err != nil || bakedAs(rec) != f.Name {
		return Image{}, fmt.Errorf("bake %s: %w", f.Name, cloudimage.ErrTaken)
	}
	_, err = m.Remove(ctx, RemoveRequest{Names: []string{name}})
	return inCache(f), err
}

// makeToBake brings the machine to an engine that answers, unless it is beyond that.
func (m *Manager) makeToBake(ctx context.Context, name string, req CreateRequest) error {
	s, err := m.check(req)
	if err != nil {
		return err
	}
	x := &machine{m: m, rec: store.Record{Name: name, DriverName: s.factory.Name(), Driver: s.config}}
	if err := x.openWith(s.factory, s.secrets); err != nil {
		return err
	}
	if _, ok := x.drv.(drivers.Imager); !ok {
		return fmt.Errorf("%w: driver %s cannot make images", ErrUsage, s.factory.Name())
	}
	rec, err := m.Store.Get(name)
	if err == nil && rec.Phase == store.Ready {
		if diff := s.differs(rec); len(diff) > 0 {
			return &SpecError{Machine: name, Diff: diff}
		}
		return nil
	}
	_, err = m.Create(ctx, req)
	return err
}

// bake makes an image of a machine that is ready for it.
func (x *machine) bake(ctx context.Context) (cloudimage.File, error) {
	if x.rec.Bake == nil {
		return cloudimage.File{}, fmt.Errorf("bake: %w: machine %s is not made for it", ErrUsage, x.rec.Name)
	}
	if err := x.seal(ctx); err != nil {
		return cloudimage.File{}, err
	}
	imager, ok := x.drv.(drivers.Imager)
	if !ok {
		return cloudimage.File{}, fmt.Errorf("bake: %w: driver %s", drivers.ErrUnsupported, x.rec.DriverName)
	}
	img := x.baseImage()
	img.Name = x.rec.Bake.Image
	img.Summary = fmt.Sprintf("Docker Engine %s on %s", x.rec.Installed.Engine, x.rec.Installed.OS)
	if img.Arch == "" {
		img.Arch = x.rec.Installed.Arch
	}
	var f cloudimage.File
	err := x.m.Step(ctx, "make image "+img.Name, func(ctx context.Context) (err error) {
		f, err = x.m.images().Bake(ctx, img, imager.Image)
		return err
	})
	return f, err
}

// baseImage is what the machine's disk began as, as far as that is known: the new image
// boots as it does.
func (x *machine) baseImage() cloudimage.Image {
	base, ok := x.basedOn()
	if !ok {
		base = x.asked()
	}
	return cloudimage.Image{Arch: base.Arch, User: base.User, Busybox: base.Busybox, Firmware: base.Firmware, Seed: base.Seed}
}

// basedOn is the image of the cache that the disk needs.
func (x *machine) basedOn() (cloudimage.Image, bool) {
	u, ok := x.drv.(drivers.ImageUser)
	if !ok {
		return cloudimage.Image{}, false
	}
	var used []string
	for _, path := range u.Images() {
		used = append(used, fileKey(path))
	}
	files, err := x.m.images().List()
	if err != nil {
		return cloudimage.Image{}, false
	}
	i := slices.IndexFunc(files, func(f cloudimage.File) bool { return slices.Contains(used, fileKey(f.Path)) })
	if i < 0 {
		return cloudimage.Image{}, false
	}
	return files[i].Image, true
}

// asked is the image that the driver's option names.
func (x *machine) asked() cloudimage.Image {
	f, err := x.m.driver(x.rec.DriverName)
	if err != nil {
		return cloudimage.Image{}
	}
	describer, ok := f.(drivers.Describer)
	if !ok {
		return cloudimage.Image{}
	}
	values, err := describer.Describe(x.rec.Driver)
	option := values[f.Name()+"-image"]
	if err != nil || len(option) == 0 {
		return cloudimage.Image{}
	}
	img, err := x.m.images().Parse(option[0], cloudimage.NoChecksum, cmp.Or(x.rec.Installed.Arch, runtime.GOARCH), nil)
	if err != nil {
		return cloudimage.Image{}
	}
	return img
}

// seal takes out of the machine what is its own, and stops it. One that was sealed before and
// has been started since is sealed again.
func (x *machine) seal(ctx context.Context) error {
	st, err := x.drv.Status(ctx)
	if err != nil {
		return fmt.Errorf("bake: %w", err)
	}
	if x.rec.Bake.Sealed && (st.State == drivers.Stopped || x.stops(ctx) == nil) {
		return nil
	}
	if st.State == drivers.Running {
		err = x.takeOut(ctx)
	} else {
		err = x.takeOutAgain(ctx)
	}
	if errors.Is(err, ssh.ErrLost) && x.stops(ctx) == nil {
		// It shut down before it told that all is out; nobody knows whether it is.
		err = x.takeOutAgain(ctx)
	}
	if err != nil {
		return err
	}
	x.rec.Bake.Sealed = true
	if err := x.put(); err != nil {
		return err
	}
	err = x.m.Step(ctx, "wait until the host has shut down", x.stops)
	if errors.Is(err, context.DeadlineExceeded) && context.Cause(ctx) == nil {
		return x.m.Step(ctx, "stop the host", func(ctx context.Context) error { return x.drv.Stop(ctx) })
	}
	return err
}

// takeOutAgain is takeOut for a host that does not run.
func (x *machine) takeOutAgain(ctx context.Context) error {
	if err := x.m.Step(ctx, "start the host", func(ctx context.Context) error { return x.drv.Start(ctx) }); err != nil {
		return x.silent(ctx, fmt.Errorf("start: %w", err))
	}
	return x.takeOut(ctx)
}

// takeOut has the host take out what is its own. It shuts down then.
func (x *machine) takeOut(ctx context.Context) error {
	if err := x.await(ctx); err != nil {
		return x.silent(ctx, err)
	}
	conn, err := x.dial(ctx)
	if err != nil {
		return x.silent(ctx, err)
	}
	defer conn.Close()
	facts, err := provision.Probe(ctx, conn, x.wanted())
	if err != nil {
		return err
	}
	steps, err := provision.PlanSeal(facts, x.slowness())
	if err != nil {
		return err
	}
	if err := provision.Apply(ctx, conn, steps, x.m.Step); err != nil {
		return fmt.Errorf("take out what is the host's own: %w", err)
	}
	return nil
}

// stops waits until the host has shut down.
func (x *machine) stops(ctx context.Context) error {
	ctx, cancel := x.within(ctx, 0, sealDeadline, "wait until the host has shut down")
	defer cancel()
	return poll(ctx, func(ctx context.Context) (bool, error) {
		st, err := x.drv.Status(ctx)
		if err != nil && refused(err) {
			return false, err
		}
		return err == nil && st.State == drivers.Stopped, nil
	})
}

// inCache is an image that is in the cache.
func inCache(f cloudimage.File) Image {
	img := describe(f.Image)
	img.Cached, img.Size, img.Sum, img.Path, img.Used = true, f.Size, f.Sum, f.Path, f.Used
	return img
}
