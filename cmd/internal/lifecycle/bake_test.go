package lifecycle

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/cloudimage"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
)

const bakedMachine = "bake-debian-28-5"

func bakeRequest() BakeRequest {
	return BakeRequest{Image: "debian-28.5", Create: CreateRequest{Driver: fake.Name}}
}

// bakes demands that a bake leaves the image and nothing else.
func (w *world) bakes(t *testing.T) {
	t.Helper()
	img, err := w.manager().BakeImage(t.Context(), bakeRequest())
	if err != nil {
		t.Fatal(err)
	}
	if img.Name != "debian-28.5" || !img.Cached || img.Summary != "Docker Engine 28.5.2 on Debian GNU/Linux 12 (bookworm)" || img.Format != "raw" || img.Arch != "amd64" {
		t.Errorf("got %+v", img)
	}
	data, err := os.ReadFile(img.Path)
	if err != nil || !strings.Contains(string(data), "disk of "+bakedMachine) {
		t.Errorf("the image is %.20q, %v", data, err)
	}
	if _, all := w.made(); all != 0 {
		t.Errorf("%d resources are left", all)
	}
	if w.hosts[bakedMachine].seals == 0 {
		t.Error("it was not sealed")
	}
	for path := range w.files() {
		if strings.HasPrefix(path, "machines/") || strings.Contains(path, ".new") {
			t.Errorf("left %s", path)
		}
	}
}

func TestBake(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bakedMachine, "m1")
	w.bakes(t)
	m, ctx := w.manager(), t.Context()
	if _, err := m.BakeImage(ctx, bakeRequest()); !errors.Is(err, cloudimage.ErrTaken) || ReasonOf(err).ID != "IMAGE_EXISTS" {
		t.Errorf("bake it again: %v", err)
	}
	img, err := m.images().Parse("debian-28.5", "", "amd64", []string{"qcow2"})
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.images().Get(ctx, img, nil)
	if err != nil || f.Format != "raw" {
		t.Errorf("got %+v, %v", f, err)
	}
	if pulled, err := m.PullImage(ctx, ImageRequest{Image: "debian-28.5", Arch: "amd64"}); err != nil || pulled.Path != f.Path {
		t.Errorf("pulled %+v, %v", pulled, err)
	}
	if names := strings.Join(ImageNames(m.Store, false), " "); !strings.Contains(names, "debian-13 debian-28.5 flatcar") {
		t.Errorf("names are %s", names)
	}
	if removed, err := m.RemoveImages(ctx, []string{"debian-28.5"}); err != nil || len(removed) != 1 {
		t.Errorf("removed %v, %v", removed, err)
	}
	if _, err := m.images().Parse("debian-28.5", "", "amd64", nil); !errors.Is(err, drivers.ErrOption) {
		t.Errorf("an image that was removed: %v", err)
	}
	if _, err := m.images().Get(ctx, img, nil); !errors.Is(err, cloudimage.ErrFetch) || !strings.Contains(err.Error(), "not in the cache any more") {
		t.Errorf("an image that was removed meanwhile: %v", err)
	}
}

func TestBakeRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bakedMachine)
	m, ctx := w.manager(), t.Context()
	for name, want := range map[string]error{"debian-12": cloudimage.ErrTaken, "a/b": drivers.ErrOption, "": drivers.ErrOption, "-x": drivers.ErrOption} {
		if _, err := m.BakeImage(ctx, BakeRequest{Image: name, Create: bakeRequest().Create}); !errors.Is(err, want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := m.BakeImage(ctx, BakeRequest{Image: "x", Create: CreateRequest{Driver: "url", Options: drivers.Values{"url": {"tcp://192.0.2.1:1"}}}}); !errors.Is(err, ErrUsage) {
		t.Errorf("a driver that cannot: %v", err)
	}
	// A machine of the user's own is left alone, whatever it is called.
	w.create(CreateRequest{Names: []string{bakedMachine}})
	if _, err := m.BakeImage(ctx, bakeRequest()); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), "image to bake: none → debian-28.5") {
		t.Errorf("got %v", err)
	}
	if w.hosts[bakedMachine].seals != 0 || w.record(bakedMachine).Phase != store.Ready {
		t.Error("a machine of the user's was sealed")
	}
	w.removes(t, bakedMachine)
}

// A bake that failed can be repeated, or undone.
func TestBakeFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bakedMachine)
	w.setenv(fake.EnvFail, "image")
	if _, err := w.manager().BakeImage(t.Context(), bakeRequest()); err == nil {
		t.Fatal("no error")
	}
	if rec := w.record(bakedMachine); rec.Bake == nil || !rec.Bake.Sealed || rec.Problem == nil {
		t.Errorf("record %+v", rec)
	}
	other := bakeRequest()
	other.Create.Engine.Version = "27"
	if _, err := w.manager().BakeImage(t.Context(), other); !errors.Is(err, ErrSpec) {
		t.Errorf("another bake: %v", err)
	}
	if _, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{bakedMachine}, Driver: fake.Name}); !errors.Is(err, store.ErrExist) {
		t.Errorf("a create of its name: %v", err)
	}
	w.setenv(fake.EnvFail, "")
	w.bakes(t)
	if n := w.hosts[bakedMachine].seals; n != 1 {
		t.Errorf("sealed %d times", n)
	}
}

// A host that shuts down before it has told that all is out is sealed once more.
func TestBakeLosesTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bakedMachine)
	w.hosts[bakedMachine].abrupt = true
	w.bakes(t)
	if n := w.hosts[bakedMachine].seals; n != 2 {
		t.Errorf("sealed %d times", n)
	}
}

func TestKilledBake(t *testing.T) {
	t.Parallel()
	k := killing{
		names: []string{bakedMachine},
		act:   func(ctx context.Context, w *world) { _, _ = w.manager().BakeImage(ctx, bakeRequest()) },
		from:  "put record, ready",
		kinds: "put provider ssh before",
	}
	k.each(t, func(t *testing.T, w *world) {
		w.running.Wait()
		if _, err := w.manager().Store.Get(bakedMachine); errors.Is(err, store.ErrNotExist) {
			return // it was over
		}
		w.bakes(t)
	})
}

func TestKilledBakeIsRemoved(t *testing.T) {
	t.Parallel()
	k := killing{
		names: []string{bakedMachine},
		act:   func(ctx context.Context, w *world) { _, _ = w.manager().BakeImage(ctx, bakeRequest()) },
		from:  "put record, ready",
	}
	k.each(t, func(t *testing.T, w *world) { w.removes(t, bakedMachine) })
}

// The new image boots as that which its machine was made of.
func TestBakedImageBootsAsItsBase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bakedMachine)
	req := bakeRequest()
	req.Create.Options = drivers.Values{"fake-image": {"alpine-3.24"}}
	if _, err := w.manager().BakeImage(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	f, ok := w.manager().images().Baked(req.Image, "amd64")
	if !ok || !f.Busybox || len(f.Firmware) != 1 || f.Seed != "nocloud" || !f.Image.Baked() {
		t.Errorf("got %+v", f)
	}
}
