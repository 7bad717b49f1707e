package azuresim

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// put makes a resource or changes it.
func (c *Cloud) put(k *call, kd *kind) (*reply, *armError) {
	id := k.id(kd.typ)
	group := c.get(k.groupID())
	if *group.state() == "Deleting" {
		return nil, beingDeleted(k.group)
	}
	if !kd.name.MatchString(k.name()) {
		return nil, refuse(400, "InvalidResourceName", "Resource name %s is invalid. The name can be up to 80 characters long. It must begin with a word character, and it must end with a word character or with '_'. The name may contain word characters or '.', '-', '_'.", k.name())
	}
	m := kd.model()
	if err := decode(k.body, kd.sdk(), m); err != nil {
		return nil, err
	}
	old := c.store[lower(id)]
	if err := c.checkHeader(m.head(), old, k); err != nil {
		return nil, err
	}
	if err := precondition(k, old); err != nil {
		return nil, err
	}
	if old != nil && old.busy != nil {
		return nil, inProgress(k, old)
	}
	h := m.head()
	h.ID, h.Name, h.Type = id, k.name(), kd.typ
	if old != nil {
		h.ID, h.Name = old.head().ID, old.head().Name
	}
	if err := kd.check(c, k, m, old); err != nil {
		return nil, err
	}
	return c.keep(k, kd, m, old)
}

// keep stores what put has checked, and starts the work on it.
func (c *Cloud) keep(k *call, kd *kind, m model, old *record) (*reply, *armError) {
	if kd.provider() == "Microsoft.Network" {
		m.head().Etag = `W/"` + newID() + `"`
	} else if kd.typ == "Microsoft.Compute/virtualMachines" {
		m.head().Etag = `"` + newID() + `"`
	}
	rec, status := old, http.StatusOK
	*m.state() = "Updating"
	if old == nil {
		rec, status = c.add(kd, m), http.StatusCreated
		if kd.provider() == "Microsoft.Compute" {
			*m.state() = "Creating"
		}
	}
	rec.model = m
	if kd.sync {
		return ok(c.show(rec))
	}
	var op *operation
	if kd.work != nil {
		op = kd.work(c, k, rec, old == nil)
	} else {
		op = c.begin(k, rec, "Put", nil, c.settle(rec))
	}
	return &reply{status, c.show(rec), c.accepted(k, op, false)}, nil
}

// precondition checks what a request says of the state that it is to change.
func precondition(k *call, old *record) *armError {
	match, none := k.r.Header.Get("If-Match"), k.r.Header.Get("If-None-Match")
	switch {
	case none == "" && match == "":
	case none != "" && none != "*":
		return notSimulated("If-None-Match: %s", none)
	case none == "*" && old != nil:
		return refuse(http.StatusPreconditionFailed, "PreconditionFailed", "The precondition given in the request header evaluates to false: the resource '%s' exists.", k.name())
	case match != "" && (old == nil || match != "*" && match != old.head().Etag):
		return etagMismatch()
	}
	return nil
}

func etagMismatch() *armError {
	return refuse(http.StatusPreconditionFailed, "PreconditionFailed", "The precondition given in the request header evaluates to false.")
}

// settle returns what ends an operation: the resource has succeeded or failed.
func (c *Cloud) settle(rec *record) func(*armError) {
	return func(err *armError) {
		*rec.state() = "Succeeded"
		if err != nil {
			*rec.state() = "Failed"
		}
	}
}

func (c *Cloud) checkHeader(h *header, old *record, k *call) *armError {
	if h.Location == "" {
		return refuse(400, "LocationRequired", "The location property is required for this definition.")
	}
	h.Location = lower(strings.ReplaceAll(h.Location, " ", ""))
	if !slices.Contains(locations(), h.Location) {
		return refuse(400, "LocationNotAvailableForResourceType", "The provided location '%s' is not available for resource type '%s'. List of available regions for the resource type is '%s'.", h.Location, k.typ(), strings.Join(locations(), ","))
	}
	if old != nil && old.head().Location != h.Location {
		return refuse(409, "InvalidResourceLocation", "The resource '%s' already exists in location '%s' in resource group '%s'. A resource with the same name cannot be created in location '%s'. Please select a new resource name.", k.name(), old.head().Location, k.group, h.Location)
	}
	return checkTags(h.Tags)
}

func checkTags(tags map[string]string) *armError {
	if len(tags) > 50 {
		return refuse(400, "TagsCountExceeded", "The number of tags '%d' exceeds the maximum of 50.", len(tags))
	}
	for name, value := range tags {
		if len(name) > 512 || strings.ContainsAny(name, `<>%&\?/`) {
			return refuse(400, "InvalidTagNameCharacters", "The following tag names '%s' contains reserved characters '<,>,%%,&,\\,?,/' or control characters.", name)
		}
		if len(value) > 256 {
			return refuse(400, "InvalidTagValueLength", "Tag value too large.  Following tag value '%s' exceeded the maximum length. Maximum allowed length for tag value - '256' characters.", value)
		}
	}
	return nil
}

// show returns a copy of a resource as the interface shows it.
func (c *Cloud) show(rec *record) model {
	m := copyOf(rec.model)
	if rec.kind.view != nil {
		rec.kind.view(c, m)
	}
	return m
}

func (c *Cloud) read(k *call, kd *kind) (*reply, *armError) {
	rec := c.get(k.id(kd.typ))
	if rec == nil {
		return nil, notFound(strings.Join([]string{kd.typ, k.name()}, "/"), k.group)
	}
	m := c.show(rec)
	return c.expand(k, rec, m)
}

// listKind lists a type's resources of a group or of all.
func (c *Cloud) listKind(k *call, kd *kind) (*reply, *armError) {
	if kd.child != nil {
		return kd.child(c, k)
	}
	var found []model
	for _, rec := range c.sorted() {
		if rec.kind.typ != kd.typ || time.Now().Before(rec.listed) || k.group != "" && !strings.EqualFold(rec.group(), k.group) {
			continue
		}
		m := c.show(rec)
		if _, err := c.expand(k, rec, m); err != nil {
			return nil, err
		}
		found = append(found, m)
	}
	return c.page(k, found)
}

// remove deletes a resource that nothing uses.
func (c *Cloud) remove(k *call, kd *kind) (*reply, *armError) {
	rec := c.store[lower(k.id(kd.typ))]
	if rec == nil {
		return &reply{status: http.StatusNoContent}, nil
	}
	if kd.remove == nil && k.r.URL.Query().Has("forceDeletion") {
		return nil, notSimulated("forceDeletion here")
	}
	if op := rec.busy; op != nil && op.verb == "Delete" {
		return &reply{http.StatusAccepted, nil, c.accepted(k, op, true)}, nil
	}
	if kd.free != nil {
		if err := kd.free(c, rec); err != nil {
			return nil, err
		}
	}
	if rec.busy != nil && kd.remove == nil {
		return nil, inProgress(k, rec)
	}
	if kd.sync {
		c.erase(rec)
		return &reply{status: http.StatusOK}, nil
	}
	var op *operation
	if kd.remove != nil {
		c.preempt(rec)
		op = kd.remove(c, k, rec)
	} else {
		op = c.begin(k, rec, "Delete", nil, func(err *armError) {
			if err != nil {
				c.settle(rec)(err)
				return
			}
			c.erase(rec)
		})
	}
	*rec.state() = "Deleting"
	op.status = http.StatusNoContent
	return &reply{http.StatusAccepted, nil, c.accepted(k, op, true)}, nil
}

// patchTags replaces a resource's tags.
func (c *Cloud) patchTags(k *call) (*reply, *armError) {
	rec := c.get(k.id(c.kindOf(k.typ()).typ))
	if rec == nil {
		return nil, notFound(k.typ()+"/"+k.name(), k.group)
	}
	var said struct {
		Tags map[string]string `json:"tags"`
	}
	if err := decode(k.body, rec.kind.sdk(), &said); err != nil {
		return nil, err
	}
	if err := checkTags(said.Tags); err != nil {
		return nil, err
	}
	rec.head().Tags = said.Tags
	return ok(c.show(rec))
}

type tagsOnly struct {
	Tags map[string]string `json:"tags,omitempty"`
}

// detached is the context of what nobody waits for.
func detached() context.Context { return new(http.Request).Context() }

func beingDeleted(name string) *armError {
	return refuse(409, "ResourceGroupBeingDeleted", "The resource group '%s' is in deprovisioning state and cannot perform this operation.", name)
}
