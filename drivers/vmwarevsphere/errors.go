package vmwarevsphere

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
)

// explain returns err as one of the errors that callers decide on if it is one: what
// kind it is comes first, and then the vCenter's own words.
func (c *center) explain(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s: %w", what, cause)
	}
	if reason, advice := untrusted(err); reason != nil {
		return &drivers.HintError{Err: fmt.Errorf("%s: %w: %w", what, drivers.ErrUnreachable, reason), Advice: advice}
	}
	text, sentinel, advice := c.classify(err)
	var result error
	switch {
	case sentinel != nil:
		result = fmt.Errorf("%s: %w: %s", what, sentinel, text)
	case faultOf(err) != nil:
		result = fmt.Errorf("%s: %s", what, text)
	default:
		result = fmt.Errorf("%s: %w", what, err)
	}
	if advice != "" {
		return &drivers.HintError{Err: result, Advice: advice}
	}
	return result
}

// classify returns the vCenter's words for an error and what it is to callers.
func (c *center) classify(err error) (text string, sentinel error, advice string) {
	f := faultOf(err)
	if f == nil {
		return classifyTransport(err)
	}
	text = words(err, f)
	switch f := f.(type) {
	case *types.InvalidLogin:
		return text, drivers.ErrCredentials, "check the user, which needs its domain (name@vsphere.local), and the password"
	case *types.NotAuthenticated, *types.InvalidLocale, *types.PasswordExpired:
		return text, drivers.ErrCredentials, ""
	case *types.NoPermission:
		return text + c.lackOf(f), drivers.ErrPermission, "give the user's role the privilege on that object or on one above it"
	case *types.ManagedObjectNotFound, *types.NotFound, *types.FileNotFound:
		return text, drivers.ErrNotFound, ""
	case *types.DuplicateName:
		return fmt.Sprintf("%s: %s has the name %q", text, c.called(&f.Object), f.Name), drivers.ErrConflict, ""
	case *types.AlreadyExists, *types.FileAlreadyExists:
		return text, drivers.ErrConflict, ""
	case *types.NoDiskSpace:
		return text + " on " + f.Datastore, drivers.ErrCapacity, "free space there, or choose another --vmwarevsphere-datastore"
	case *types.NotEnoughLicenses, *types.LicenseExpired, *types.LicenseRestricted, *types.LicenseServerUnavailable,
		*types.NoLicenseServerConfigured, *types.InvalidLicense, *types.RestrictedVersion, *types.IncorrectHostInformation:
		return text, drivers.ErrQuota, "the license does not permit it: look at Administration > Licensing in vCenter"
	case *types.ResourceInUse, *types.TaskInProgress, *types.ConcurrentAccess, *types.FileLocked:
		return text, drivers.ErrInUse, ""
	case *types.HostNotReachable, *types.HostNotConnected, *types.HostCommunication:
		return text, drivers.ErrCapacity, "the host is not connected to its vCenter; choose another"
	case *types.LimitExceeded:
		return text + ": " + f.Property, drivers.ErrQuota, ""
	case *types.NotSupported:
		return text, drivers.ErrUnsupported, ""
	}
	if file, ok := f.(types.BaseFileFault); ok && !strings.Contains(text, file.GetFileFault().File) {
		text += ": " + file.GetFileFault().File
	}
	return text, kindOf(f), ""
}

// kindOf is about families of faults.
func kindOf(f types.BaseMethodFault) error {
	switch f.(type) {
	case types.BaseInsufficientResourcesFault, *types.NoActiveHostInCluster, *types.NoCompatibleHost, *types.VmConfigIncompatibleForRecordReplay:
		return drivers.ErrCapacity
	case types.BaseNoPermission:
		return drivers.ErrPermission
	case types.BaseInvalidLogin:
		return drivers.ErrCredentials
	case types.BaseNotEnoughLicenses:
		return drivers.ErrQuota
	case types.BaseHostCommunication:
		return drivers.ErrCapacity
	}
	return nil
}

// faultOf returns the vCenter's fault in err; nil: there is none.
func faultOf(err error) types.BaseMethodFault {
	var f types.BaseMethodFault
	if _, ok := fault.As(err, &f); ok {
		return f
	}
	return nil
}

// words returns what the vCenter said, and the fault's name if that is not in it.
func words(err error, f types.BaseMethodFault) string {
	var said []string
	text, _ := fault.As(err, &f)
	if text == "" && soap.IsSoapFault(err) {
		text = soap.ToSoapFault(err).String
	}
	if text == "" {
		text = err.Error()
	}
	said = append(said, strings.TrimSuffix(strings.TrimSpace(text), "."))
	add := func(more string) {
		if more != "" && !strings.Contains(strings.Join(said, " "), more) {
			said = append(said, strings.TrimSuffix(strings.TrimSpace(more), "."))
		}
	}
	if m := f.GetMethodFault(); m != nil {
		for _, line := range m.FaultMessage {
			add(line.Message)
		}
		if m.FaultCause != nil {
			add(m.FaultCause.LocalizedMessage)
		}
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", f), "*types.")
	if !strings.Contains(strings.Join(said, " "), name) {
		return name + ": " + strings.Join(said, ": ")
	}
	return strings.Join(said, ": ")
}

// lackOf names the privileges that are missing, and on what.
func (c *center) lackOf(f *types.NoPermission) string {
	missing := f.MissingPrivileges
	if len(missing) == 0 && f.PrivilegeId != "" {
		missing = []types.NoPermissionEntityPrivileges{{PrivilegeIds: []string{f.PrivilegeId}}}
		if f.Object != nil {
			missing[0].Entity = *f.Object
		}
	}
	var text strings.Builder
	for _, m := range missing {
		text.WriteString(": needs privilege " + strings.Join(m.PrivilegeIds, ", "))
		if m.Entity.Value != "" {
			text.WriteString(" on " + c.called(&m.Entity))
		}
	}
	return text.String()
}

// called returns an object's path if it is known, and its reference.
func (c *center) called(ref *reference) string {
	if tree := c.tree.Load(); tree != nil {
		if i := (*tree)[*ref]; i != nil {
			return i.path + " (" + refText(ref) + ")"
		}
	}
	return refText(ref)
}

func refText(ref *types.ManagedObjectReference) string { return ref.Type + ":" + ref.Value }

// classifyTransport is about errors on the way to the vCenter and of its REST interface.
func classifyTransport(err error) (text string, sentinel error, advice string) {
	text = err.Error()
	if layer := (*url.Error)(nil); errors.As(err, &layer) {
		text = layer.Err.Error() // without the URL, which is told already
	}
	for status, sentinel := range map[int]error{
		http.StatusUnauthorized:       drivers.ErrCredentials,
		http.StatusForbidden:          drivers.ErrPermission,
		http.StatusNotFound:           drivers.ErrNotFound,
		http.StatusTooManyRequests:    drivers.ErrThrottled,
		http.StatusServiceUnavailable: drivers.ErrUnreachable,
	} {
		if rest.IsStatusError(err, status) {
			return text, sentinel, ""
		}
	}
	var netErr net.Error
	if layer := (*net.OpError)(nil); errors.As(err, &layer) || errors.As(err, &netErr) {
		return text, drivers.ErrUnreachable, "check --vmwarevsphere-vcenter, and that this computer reaches it"
	}
	return text, nil, ""
}

// gone tells whether err says that an object does not exist (any more).
func gone(err error) bool {
	return err != nil && (fault.Is(err, &types.ManagedObjectNotFound{}) || errors.Is(err, drivers.ErrNotFound))
}
