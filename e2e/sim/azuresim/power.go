package azuresim

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// actMachine does what a POST to a machine asks for, or answers a GET of its instance view.
func (c *Cloud) actMachine(k *call) (*reply, *armError) {
	rec := c.get(k.groupID() + "/providers/Microsoft.Compute/virtualMachines/" + k.names[0])
	if rec == nil {
		return nil, notFound("Microsoft.Compute/virtualMachines/"+k.names[0], k.group)
	}
	vm := rec.model.(*virtualMachine)
	if k.r.Method == http.MethodGet && k.tail() == "instanceView" {
		return ok(c.instanceView(k, rec, vm))
	}
	if k.r.Method != http.MethodPost {
		return nil, notSimulated("%s %s", k.r.Method, k.r.URL.Path)
	}
	if strings.EqualFold(k.tail(), "retrieveBootDiagnosticsData") {
		return c.bootData(k, vm)
	}
	return c.power(k, rec, vm)
}

// power starts or stops a machine.
func (c *Cloud) power(k *call, rec *record, vm *virtualMachine) (*reply, *armError) {
	hosts, id := c.config.Hosts, vm.Properties.VMID
	hard := k.r.URL.Query().Get("skipShutdown") == "true"
	acts := map[string]struct {
		during, after string
		do            func(context.Context) error
	}{
		"start":      {"starting", "running", func(ctx context.Context) error { return hosts.Start(ctx, id) }},
		"restart":    {"starting", "running", func(ctx context.Context) error { return hosts.Restart(ctx, id) }},
		"poweroff":   {"stopping", "stopped", func(ctx context.Context) error { return hosts.Stop(ctx, id, hard) }},
		"deallocate": {"deallocating", "deallocated", func(ctx context.Context) error { return hosts.Stop(ctx, id, false) }},
	}
	act, known := acts[lower(k.tail())]
	switch {
	case !known:
		return nil, notSimulated("POST %s", k.tail())
	case k.r.URL.Query().Get("hibernate") == "true":
		return nil, notSimulated("hibernation")
	case rec.busy != nil && rec.busy.verb == "Delete":
		return nil, refuse(http.StatusConflict, "OperationNotAllowed", "Operation '%s' is not allowed on VM '%s' since the VM is marked for deletion. You can only retry the Delete operation (or wait for an ongoing one to complete).", k.tail(), vm.Name)
	case rec.busy != nil:
		return nil, inProgress(k, rec)
	case rec.power == "":
		return nil, refuse(http.StatusConflict, "OperationNotAllowed", "Operation '%s' is not allowed on VM '%s' since the VM has failed to provision.", k.tail(), vm.Name)
	case lower(k.tail()) == "restart" && rec.power == "deallocated":
		return nil, refuse(http.StatusConflict, "OperationNotAllowed", "Operation 'restart' is not allowed on VM '%s' since the VM is either stopped or deallocated.", vm.Name)
	}
	if code := c.scarce[lower(vm.Properties.HardwareProfile.VMSize)]; code != "" && act.after == "running" && rec.power == "deallocated" {
		return nil, allocationFailed(code)
	}
	was := rec.power
	rec.power, *rec.state() = act.during, "Updating"
	if was == "deallocated" && act.after == "stopped" {
		act.after = was
	}
	op := c.begin(k, rec, k.tail(), act.do, func(err *armError) {
		if rec.power = act.after; err != nil {
			rec.power = was
		}
		c.settle(rec)(err)
	})
	return &reply{http.StatusAccepted, nil, c.accepted(k, op, true)}, nil
}

// Evict takes a spot machine's capacity away: it is deallocated, or deleted if
// its eviction policy is that.
func (c *Cloud) Evict(id string) error {
	c.mu.Lock()
	vm, rec, found := lookup[*virtualMachine](c, id)
	if !found || vm.Properties.Priority != "Spot" {
		c.mu.Unlock()
		return fmt.Errorf("azuresim: no spot machine %s", id)
	}
	remove := vm.Properties.EvictionPolicy == "Delete"
	if !remove {
		rec.power = "deallocated"
	}
	c.mu.Unlock()
	if remove {
		return c.Vanish("virtualMachines", id)
	}
	return c.config.Hosts.Stop(detached(), vm.Properties.VMID, true)
}

// patchMachine changes a machine's tags.
func (c *Cloud) patchMachine(k *call) (*reply, *armError) { return c.patchTags(k) }

// expand adds to what is shown of a resource what the query asks for.
func (c *Cloud) expand(k *call, rec *record, m model) (*reply, *armError) {
	q := k.r.URL.Query()
	for name := range q {
		if !oneOf(name, "api-version", "$expand", "statusOnly", "$skiptoken") {
			return nil, notSimulated("the query parameter %s here", name)
		}
	}
	vm, machine := m.(*virtualMachine)
	switch expand := q.Get("$expand"); {
	case k.group != "" && q.Get("statusOnly") != "":
		return nil, notSimulated("statusOnly in one group")
	case !machine && (expand != "" || q.Get("statusOnly") != ""):
		return nil, notSimulated("$expand or statusOnly for %s", rec.kind.typ)
	case machine && strings.EqualFold(expand, "instanceView"):
		vm.Properties.InstanceView = c.instanceView(k, rec, vm)
	case expand != "":
		return nil, notSimulated("$expand=%s", expand)
	}
	if machine && q.Get("statusOnly") == "true" {
		vm.Properties.InstanceView = c.instanceView(k, rec, vm)
	}
	return ok(m)
}

// instanceView tells how a machine does.
func (c *Cloud) instanceView(k *call, rec *record, vm *virtualMachine) *instanceView {
	state := *rec.state()
	words := map[string]string{"Succeeded": "succeeded", "Failed": "failed", "Creating": "creating", "Updating": "updating", "Deleting": "deleting"}
	v := &instanceView{Statuses: []status{{Code: "ProvisioningState/" + words[state], Level: "Info", DisplayStatus: "Provisioning " + words[state], Time: now()}}}
	if op := rec.busy; op == nil && state == "Failed" {
		v.Statuses[0].Code, v.Statuses[0].Level = "ProvisioningState/failed", "Error"
		if err := c.failure[lower(vm.ID)]; err != nil {
			v.Statuses[0].Code += "/" + err.Code
			v.Statuses[0].Message = err.Message
		}
	}
	power := rec.power
	if power == "running" {
		if runs, err := c.config.Hosts.Running(k.r.Context(), vm.Properties.VMID); err == nil && !runs {
			power = "stopped"
		}
	}
	if power != "" {
		v.Statuses = append(v.Statuses, status{Code: "PowerState/" + power, Level: "Info", DisplayStatus: "VM " + power})
	}
	if b := vm.Properties.DiagnosticsProfile; b != nil && b.BootDiagnostics != nil && b.BootDiagnostics.Enabled {
		v.BootDiagnostics = map[string]any{}
	}
	return v
}

// fail notes why a machine failed.
func (c *Cloud) fail(id string, err *armError) {
	if delete(c.failure, lower(id)); err != nil {
		c.failure[lower(id)] = err
	}
}

// viewMachine shows no secrets.
func (c *Cloud) viewMachine(m model) {
	vm := m.(*virtualMachine)
	vm.Properties.OSProfile.AdminPassword, vm.Properties.OSProfile.CustomData = "", ""
}

// bootData tells where a machine's boot log is.
func (c *Cloud) bootData(k *call, vm *virtualMachine) (*reply, *armError) {
	if b := vm.Properties.DiagnosticsProfile; b == nil || b.BootDiagnostics == nil || !b.BootDiagnostics.Enabled {
		return nil, refuse(http.StatusConflict, "OperationNotAllowed", "Boot diagnostics is not enabled on the VM '%s'.", vm.Name)
	}
	signature := c.sign(claims{Subject: vm.Properties.VMID, Expires: time.Now().Add(2 * time.Hour).Unix()})
	at := base(k.r) + "/bootdiagnostics/" + vm.Properties.VMID + "/"
	return ok(map[string]string{
		"consoleScreenshotBlobUri": at + "screenshot.bmp?sig=" + signature,
		"serialConsoleLogBlobUri":  at + "serialconsole.log?sig=" + signature,
	})
}

// bootLog serves a machine's boot log to who has its address.
func (c *Cloud) bootLog(w http.ResponseWriter, r *http.Request, id string) {
	cl, err := c.verify(r.URL.Query().Get("sig"))
	if err != nil || cl.Subject != id || time.Now().Unix() > cl.Expires {
		http.Error(w, "AuthenticationFailed: Server failed to authenticate the request.", http.StatusForbidden)
		return
	}
	text, err := c.config.Hosts.Console(r.Context(), id)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/serialconsole.log") {
		http.Error(w, "BlobNotFound: The specified blob does not exist.", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(text) // the client may be gone
}
