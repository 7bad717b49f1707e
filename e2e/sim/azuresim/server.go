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
	answer, refusal := c.manage(w, r, body)
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
func (c *Cloud) manage(w http.ResponseWriter, r *http.Request, body []byte) (*reply, *armError) {
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
	kind := map[bool]string{true: "reads", false: "writes"}[r.Method == http.MethodGet]
	w.Header().Set("x-ms-ratelimit-remaining-subscription-"+kind, c.remaining(k.who))
	if err := c.admit(&k); err != nil {
		return nil, err
	}
	return c.dispatch(&k)
}

// checkQuery refuses parameters that nobody looks at.
func checkQuery(k *call) *armError {
	looked := map[string][]string{
		http.MethodGet:    {"$expand", "$filter", "$orderby", "$top", "$skiptoken", "statusOnly", "includeExtendedLocations", "monitor"},
		http.MethodPost:   {"skipShutdown", "hibernate"},
		http.MethodDelete: {"forceDeletion", "forceDeletionTypes"},
	}[k.r.Method]
	for name := range k.r.URL.Query() {
		if name != "api-version" && !slices.Contains(looked, name) {
			return notSimulated("the query parameter %s", name)
		}
	}
	return nil
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
	if err := checkQuery(k); err != nil {
		return err
	}
	versions := versionsOf(k)
	if slices.Contains(versions, version) {
		return nil
	}
	if _, known := c.registered[lower(k.provider)]; k.provider != "" && !known {
		return c.unregistered(k)
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
	scope := k.scope(kind)
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
		name = properly(k.types[len(k.types)-2]) + "/" + name
	}
	return r.Method + " " + properly(name)
}

// properly writes a type as its kind does, whatever the case in the path.
func properly(word string) string {
	for _, kd := range append(kinds(), groupKind()) {
		if strings.EqualFold(kd.last(), word) {
			return kd.last()
		}
	}
	return word
}

// Refuse answers as ARM does when it fails in the way of f.
func (c *Cloud) Refuse(w http.ResponseWriter, _ *http.Request, f sim.Fault) {
	w.Header().Set("x-ms-request-id", newID())
	if f.Mode == sim.Throttle {
		writeError(w, tooMany(1))
		return
	}
	e := refuse(http.StatusInternalServerError, "InternalServerError", "The server encountered an internal error. Please retry the request.")
	if f.Code != "" {
		e.Status = usualStatus(f.Code)
	}
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

// usualStatus is that of an error code.
func usualStatus(code string) int {
	switch code {
	case "AuthorizationFailed", "LinkedAuthorizationFailed", "RequestDisallowedByPolicy":
		return http.StatusForbidden
	case "InvalidAuthenticationToken", "ExpiredAuthenticationToken":
		return http.StatusUnauthorized
	case "ResourceNotFound", "ResourceGroupNotFound", "SubscriptionNotFound", "NotFound", "ParentResourceNotFound":
		return http.StatusNotFound
	case "TooManyRequests", "RetryableError", "SubscriptionRequestsThrottled":
		return http.StatusTooManyRequests
	case "ServiceUnavailable", "ServerTimeout":
		return http.StatusServiceUnavailable
	case "InternalServerError", "InternalExecutionError":
		return http.StatusInternalServerError
	case "SkuNotAvailable", "OperationNotAllowed", "Conflict", "AnotherOperationInProgress", "AllocationFailed", "ZonalAllocationFailed", "ReferencedResourceNotProvisioned", "ResourceGroupBeingDeleted", "MissingSubscriptionRegistration":
		return http.StatusConflict
	}
	return http.StatusBadRequest
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
