package vspheresim

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"net/url"
	"strings"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vmdk"
)

// descriptor is that of an appliance with cloud-init and one network "nat".
//
//go:embed appliance.ovf
var descriptor string

// withREST does something as a user of the REST interface.
func (c *Cloud) withREST(do func(context.Context, *rest.Client) error) error {
	u := *c.server.URL
	client, err := vim25.NewClient(c.ctx, soap.NewClient(&u, false))
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	r := rest.NewClient(client)
	if err := r.Login(c.ctx, url.UserPassword(Username, Password)); err != nil {
		return err
	}
	defer func() { _ = r.Logout(c.ctx) }() // it would expire
	return do(c.ctx, r)
}

// library makes a content library with an appliance.
func (c *Cloud) library(finder *find.Finder) error {
	ds, err := finder.Datastore(c.ctx, Datastore)
	if err != nil {
		return err
	}
	return c.withREST(func(ctx context.Context, client *rest.Client) error {
		m := library.NewManager(client)
		id, err := m.CreateLibrary(ctx, library.Library{Name: Library, Type: "LOCAL", Storage: []library.StorageBacking{
			{DatastoreID: ds.Reference().Value, Type: "DATASTORE"},
		}})
		if err != nil {
			return err
		}
		item, err := m.CreateLibraryItem(ctx, library.Item{Name: LibraryItem, Type: library.ItemTypeOVF, LibraryID: id})
		if err != nil {
			return err
		}
		return fill(ctx, m, item, map[string]string{"appliance.ovf": descriptor, "appliance-disk1.vmdk": emptyDisk()})
	})
}

// emptyDisk is the beginning of a stream-optimized disk of 10 GB, which is all
// that anybody reads of it.
func emptyDisk() string {
	header := vmdk.SparseExtentHeaderOnDisk{
		MagicNumber: 0x564d444b, Version: 3, Flags: 3 | 1<<16 | 1<<17, Capacity: 10 << 30 / vmdk.SectorSize,
		GrainSize: 128, DescriptorOffset: 1, DescriptorSize: 1, NumGTEsPerGT: 512, CompressAlgorithm: 1,
	}
	text := bytes.NewBuffer(nil)
	_ = binary.Write(text, binary.LittleEndian, &header) // neither fails on a buffer
	_ = vmdk.NewDescriptor(vmdk.Extent{Size: int64(header.Capacity), Info: "appliance-disk1.vmdk"}).Write(text)
	return text.String() + strings.Repeat("\x00", vmdk.SectorSize)
}

// fill uploads files to a library's item.
func fill(ctx context.Context, m *library.Manager, item string, files map[string]string) error {
	session, err := m.CreateLibraryItemUpdateSession(ctx, library.Session{LibraryItemID: item})
	if err != nil {
		return err
	}
	for name, text := range files {
		update, err := m.AddLibraryItemFile(ctx, session, library.UpdateFile{
			Name: name, SourceType: "PUSH", Size: int64(len(text)),
		})
		if err != nil {
			return err
		}
		to, err := url.Parse(update.UploadEndpoint.URI)
		if err != nil {
			return err
		}
		param := soap.DefaultUpload
		param.ContentLength = int64(len(text))
		if err := m.Client.Upload(ctx, strings.NewReader(text), to, &param); err != nil {
			return err
		}
	}
	return m.CompleteLibraryItemUpdateSession(ctx, session)
}

// iso puts an image to boot from on the datastore.
func (c *Cloud) iso(finder *find.Finder) error {
	ds, err := finder.Datastore(c.ctx, Datastore)
	if err != nil {
		return err
	}
	for _, e := range c.registry().All("Datastore") {
		if e.Reference() == ds.Reference() {
			return putFile(e, strings.TrimPrefix(ISO, "["+Datastore+"] "), "iso")
		}
	}
	return nil
}
