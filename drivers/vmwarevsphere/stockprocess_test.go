package vmwarevsphere

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// What is in a stock simulator, besides what its model has.
const (
	stockUser     = "tester"
	stockPassword = "a~secret"
	stockTemplate = "DC0_C0_RP0_VM1"
	stockLibrary  = "images"
	stockItem     = "appliance"
)

// stockMode says what a stock simulator is like.
type stockMode struct {
	Plain     bool   // neither REST nor storage policies
	Addresses bool   // running machines get addresses
	MainOnly  bool   // of which the main one is told, none of an adapter
	Library   string // OVA of the item of a content library
}

type stockAnswer struct{ URL, Thumbprint string }

// stockVariable holds a stockMode for a process that is a stock simulator. It has a
// process of its own because its tasks write what others read at the same time.
const stockVariable = "VMWAREVSPHERE_TEST_STOCK"

func TestMain(m *testing.M) {
	if os.Getenv(stockVariable) == "" {
		m.Run()
		return
	}
	if err := serveStock(os.Getenv(stockVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// runStock starts a stock simulator that ends with the test.
func runStock(t testing.TB, how stockMode) stockAnswer {
	t.Helper()
	mode, err := json.Marshal(how)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), stockVariable+"="+string(mode), "GORACE=exitcode=0 log_path=/dev/null")
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	var answer stockAnswer
	if err := json.NewDecoder(out).Decode(&answer); err != nil {
		in.Close()
		_ = cmd.Wait()
		t.Fatalf("stock simulator: %v: %s", err, &said)
	}
	return answer
}

// serveStock is a stock simulator until its standard input ends.
func serveStock(mode string) error {
	var how stockMode
	if err := json.Unmarshal([]byte(mode), &how); err != nil {
		return err
	}
	model := simulator.VPX()
	defer model.Remove()
	if err := model.Create(); err != nil {
		return err
	}
	model.Service.TLS = new(tls.Config)
	model.Service.RegisterEndpoints = !how.Plain
	model.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword(stockUser, stockPassword)}
	server := model.Service.NewServer()
	defer server.Close()
	ctx := model.Service.Context.Context
	u := *server.URL
	u.User = model.Service.Listen.User
	client, err := govmomi.NewClient(ctx, &u, true)
	if err != nil {
		return err
	}
	template, err := find.NewFinder(client.Client).VirtualMachine(ctx, stockTemplate)
	if err != nil {
		return err
	}
	task, err := template.PowerOff(ctx)
	if err == nil {
		err = task.Wait(ctx)
	}
	if err == nil {
		err = template.MarkAsTemplate(ctx)
	}
	if err == nil && how.Library != "" {
		err = stockLibraryFrom(ctx, client, how.Library)
	}
	if err != nil {
		return err
	}
	if how.Addresses {
		a := addresser{model: model, client: client, mainOnly: how.MainOnly}
		go a.run(ctx)
	}
	u.User = nil
	if err := json.NewEncoder(os.Stdout).Encode(stockAnswer{URL: u.String(), Thumbprint: soap.ThumbprintSHA256(server.Certificate())}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// addresser gives running machines addresses.
type addresser struct {
	model    *simulator.Model
	client   *govmomi.Client
	mainOnly bool
	last     int
}

func (a *addresser) run(ctx context.Context) {
	for {
		vms, err := find.NewFinder(a.client.Client).VirtualMachineList(ctx, "/DC0/vm/...")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		for _, vm := range vms {
			var p mo.VirtualMachine
			err := property.DefaultCollector(a.client.Client).RetrieveOne(ctx, vm.Reference(), []string{"runtime.powerState", "guest.ipAddress"}, &p)
			if err == nil && p.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn && (p.Guest == nil || p.Guest.IpAddress == "") {
				a.last++
				_ = a.give(ctx, vm, fmt.Sprintf("10.9.%d.%d", a.last/200, a.last%200+1)) // it may be gone
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (a *addresser) give(ctx context.Context, vm *object.VirtualMachine, addr string) error {
	if !a.mainOnly { // how users of the simulator do it
		task, err := vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{option("SET.guest.ipAddress", addr)}})
		if err != nil {
			return err
		}
		return task.Wait(ctx)
	}
	own := *a.model.Service.Context
	if inside, ok := a.model.Map().Get(vm.Reference()).(*simulator.VirtualMachine); ok {
		own.WithLock(inside, func() { own.Update(inside, []types.PropertyChange{{Name: "guest.ipAddress", Val: addr}}) })
	}
	return nil
}

// stockLibraryFrom makes a content library with what is in an OVA.
func stockLibraryFrom(ctx context.Context, client *govmomi.Client, ova string) error {
	ds, err := find.NewFinder(client.Client).Datastore(ctx, "LocalDS_0")
	if err != nil {
		return err
	}
	r := rest.NewClient(client.Client)
	if err := r.Login(ctx, url.UserPassword(stockUser, stockPassword)); err != nil {
		return err
	}
	m := library.NewManager(r)
	id, err := m.CreateLibrary(ctx, library.Library{Name: stockLibrary, Type: "LOCAL", Storage: []library.StorageBacking{{DatastoreID: ds.Reference().Value, Type: "DATASTORE"}}})
	if err != nil {
		return err
	}
	item, err := m.CreateLibraryItem(ctx, library.Item{Name: stockItem, Type: library.ItemTypeOVF, LibraryID: id})
	if err != nil {
		return err
	}
	session, err := m.CreateLibraryItemUpdateSession(ctx, library.Session{LibraryItemID: item})
	if err != nil {
		return err
	}
	f, err := os.Open(ova)
	if err != nil {
		return err
	}
	defer f.Close()
	for files := tar.NewReader(f); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return m.CompleteLibraryItemUpdateSession(ctx, session)
		}
		if err != nil {
			return err
		}
		update, err := m.AddLibraryItemFile(ctx, session, library.UpdateFile{Name: path.Base(header.Name), SourceType: "PUSH", Size: header.Size})
		if err != nil {
			return err
		}
		to, err := url.Parse(update.UploadEndpoint.URI)
		if err != nil {
			return err
		}
		param := soap.DefaultUpload
		param.ContentLength = header.Size
		if err := m.Upload(ctx, files, to, &param); err != nil {
			return err
		}
	}
}
