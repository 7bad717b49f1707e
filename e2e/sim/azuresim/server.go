package azuresim

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/e2e/sim"
)

// reply is an answer that does not refuse.
type reply struct {
	status int
	body   any
	header http.Header
}

func ok(body any) (*reply, *armError) { return &reply{status: http.StatusOK, body: body}, nil }

func list[T any](items []T) (*reply, *armError) {
	if items == nil {
		items = []T{}
	}
	return ok(map[string]any{"value": items})
}

// ServeHTTP answers as the authority, the resource manager or the storage of boot diagnostics.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	if r.Body = io.NopCloser(bytes.NewReader(body)); !managed(r.URL.Path) {
		c.authority(w, r)
		return
	}
	w.Header().Set("x-ms-request-id", newID())
	w.Header().Set("x-ms-correlation-request-id", newID())
	answer, refusal := c.manage(r, body)
	if refusal != nil {
		writeError(w, refusal)
		return
	}
	for k, v := range answer.header {
		w.Header()[k] = v
	}
	writeJSON(w, answer.status, answer.body)
}

// managed tells whether a path is the resource manager's.
func managed(path string) bool {
	_, ok := parse(path)
	return ok
}

// manage does what a request to the resource manager asks for.
func (c *Cloud) manage(r *http.Request, body []byte) (*reply, *armError) {
	k, _ := parse(r.URL.Path)
	k.r, k.body = r, body
	if err := c.authenticate(&k); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.throttle(k.who); err != nil {
		return nil, err
	}
	if err := c.admit(&k); err != nil {
		return nil, err
	}
	return c.dispatch(&k)
}

// admit checks what is common to all requests.
func (c *Cloud) admit(k *call) *armError {
	version := k.r.URL.Query().Get("api-version")
	switch {
	case version == "":
		return refuse(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	case k.subscription != "" && !strings.EqualFold(k.subscription, Subscription):
		return refuse(404, "SubscriptionNotFound", "The subscription '%s' could not be found.", k.subscription)
	}
	versions := versionsOf(k)
	if slices.Contains(versions, version) {
		return nil
	}
	if k.provider == "" {
		return refuse(400, "InvalidApiVersionParameter", "The api-version '%s' is invalid. The supported versions are '%s'.", version, strings.Join(versions, ","))
	}
	return refuse(400, "NoRegisteredProviderFound", "No registered resource provider found for location '' and API version '%s' for type '%s'. The supported api-versions are '%s'.", version, k.tail(), strings.Join(versions, ", "))
}

// dispatch hands a call to what answers it.
func (c *Cloud) dispatch(k *call) (*reply, *armError) {
	switch {
	case k.provider == "" && k.group != "" && len(k.types) == 0:
		return c.groupCall(k)
	case k.provider == "":
		return c.subscriptionCall(k)
	case k.group == "" && len(k.types) == 1 && len(k.names) == 0 && k.r.Method == http.MethodPost:
		return c.registerProvider(k)
	case !c.registered[lower(k.provider)]:
		return nil, c.unregistered(k)
	case k.group == "" && !c.isKind(k):
		return c.catalogue(k)
	}
	kind := c.kindOf(k.typ())
	if kind == nil {
		return nil, refuse(404, "InvalidResourceType", "The resource type '%s' could not be found in the namespace '%s' for api version '%s'. The supported api-versions are ''.", k.tail(), k.provider, k.r.URL.Query().Get("api-version"))
	}
	return c.resourceCall(k, kind)
}

func (c *Cloud) isKind(k *call) bool { return len(k.names) == 0 && c.kindOf(k.typ()) != nil }

// resourceCall answers a call to a resource of a provider.
func (c *Cloud) resourceCall(k *call, kind *kind) (*reply, *armError) {
	method := k.r.Method
	scope := k.id2(kind)
	if err := k.may(kind.action(method, k), scope); err != nil {
		return nil, err
	}
	if k.group != "" && c.get(k.groupID()) == nil {
		return nil, groupNotFound(k.group)
	}
	if kind.child != nil && k.whole() {
		return kind.child(c, k)
	}
	switch {
	case method == http.MethodGet && !k.whole() && len(k.names)+1 == len(kind.words()):
		return c.listKind(k, kind)
	case !k.whole():
		if kind.act != nil {
			return kind.act(c, k)
		}
	case method == http.MethodGet:
		return c.read(k, kind)
	case method == http.MethodPut:
		return c.put(k, kind)
	case method == http.MethodPatch && kind.patch != nil:
		return kind.patch(c, k)
	case method == http.MethodDelete:
		return c.remove(k, kind)
	}
	return nil, notSimulated("%s %s", method, k.r.URL.Path)
}

// Action names a call to the resource manager by its method and the last type
// of its path, with the action if it is one: "POST virtualMachines/start".
func (c *Cloud) Action(r *http.Request, _ []byte) string {
	k, ok := parse(r.URL.Path)
	if !ok {
		return ""
	}
	name := k.tail()
	switch {
	case len(k.types) == 0 && k.group != "":
		name = "resourceGroups"
	case len(k.types) == 0:
		name = "subscriptions"
	case r.Method == http.MethodPost && len(k.types) > 1:
		name = k.types[len(k.types)-2] + "/" + name
	}
	return r.Method + " " + name
}

// Refuse answers as ARM does when it fails in the way of f.
func (c *Cloud) Refuse(w http.ResponseWriter, _ *http.Request, f sim.Fault) {
	w.Header().Set("x-ms-request-id", newID())
	if f.Mode == sim.Throttle {
		writeError(w, tooMany(1))
		return
	}
	e := refuse(http.StatusInternalServerError, "InternalServerError", "The server encountered an internal error. Please retry the request.")
	if f.Status != 0 {
		e.Status = f.Status
	}
	if f.Code != "" {
		e.Code = f.Code
	}
	if f.Text != "" {
		e.Message = f.Text
	}
	writeError(w, e)
}

func tooMany(seconds int) *armError {
	e := refuse(http.StatusTooManyRequests, "TooManyRequests", "The request is being throttled as the limit has been reached for operation type - Read. For more information, see - https://aka.ms/srpthrottlinglimits")
	e.header = http.Header{}
	e.header.Set("Retry-After", strconv.Itoa(seconds))
	e.header.Set("x-ms-ratelimit-remaining-subscription-reads", "0")
	e.header.Set("x-ms-ratelimit-remaining-resource", "Microsoft.Compute/HighCostGet;0")
	return e
}

// removeHosts removes the machines behind instances that are gone.
func (c *Cloud) removeHosts(ids []string) error {
	var failed []error
	for _, id := range ids {
		failed = append(failed, c.config.Hosts.Remove(detached(), id))
	}
	return errors.Join(failed...)
}
