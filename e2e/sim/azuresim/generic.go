package azuresim

import (
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var filterTerm = regexp.MustCompile(`^(tagName|tagValue|resourceType|resourceGroup|name|location)\s+eq\s+'((?:[^']|'')*)'$`)
var and = regexp.MustCompile(`\s+and\s+`)

// parseFilter reads a $filter of terms that are joined by "and".
func parseFilter(k *call) (func(*record) bool, *armError) {
	terms := map[string]string{}
	filter := strings.TrimSpace(k.r.URL.Query().Get("$filter"))
	if filter == "" {
		return func(*record) bool { return true }, nil
	}
	for _, term := range and.Split(filter, -1) {
		found := filterTerm.FindStringSubmatch(strings.TrimSpace(term))
		if found == nil {
			return nil, refuse(400, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string.", filter)
		}
		terms[found[1]] = strings.ReplaceAll(found[2], "''", "'")
	}
	if _, tag := terms["tagName"]; tag && len(terms) > 2 || tag && len(terms) == 2 && terms["tagValue"] == "" {
		return nil, refuse(400, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string: tags cannot be combined with other properties.", filter)
	}
	return func(rec *record) bool { return rec.matches(terms) }, nil
}

func (rec *record) matches(terms map[string]string) bool {
	h := rec.head()
	for what, value := range terms {
		var is bool
		switch what {
		case "tagName":
			_, is = tag(h.Tags, value)
		case "tagValue":
			var v string
			v, is = tag(h.Tags, terms["tagName"])
			is = is && v == value
		case "resourceType":
			is = strings.EqualFold(h.Type, value)
		case "resourceGroup":
			is = strings.EqualFold(rec.group(), value)
		case "name":
			is = strings.EqualFold(h.Name, value)
		case "location":
			is = strings.EqualFold(h.Location, value)
		}
		if !is {
			return false
		}
	}
	return true
}

// tag returns a tag by its name, the case of which does not matter.
func tag(tags map[string]string, name string) (string, bool) {
	for k, v := range tags {
		if strings.EqualFold(k, name) {
			return v, true
		}
	}
	return "", false
}

// listResources lists resources of all types. They appear in it some time after they are made.
func (c *Cloud) listResources(k *call) (*reply, *armError) {
	scope := "/subscriptions/" + Subscription
	action := "Microsoft.Resources/subscriptions/resources/read"
	if k.group != "" {
		scope, action = k.groupID(), "Microsoft.Resources/subscriptions/resourceGroups/resources/read"
		if c.get(scope) == nil {
			return nil, groupNotFound(k.group)
		}
	}
	if err := k.may(action, scope); err != nil {
		return nil, err
	}
	expand, err := expanded(k)
	if err != nil {
		return nil, err
	}
	wanted, err := parseFilter(k)
	if err != nil {
		return nil, err
	}
	var found []map[string]any
	for _, rec := range c.sorted() {
		if _, group := rec.model.(*resourceGroup); group || !wanted(rec) || time.Now().Before(rec.listed) || k.group != "" && !strings.EqualFold(rec.group(), k.group) {
			continue
		}
		h := rec.head()
		one := map[string]any{"id": h.ID, "name": h.Name, "type": h.Type, "location": h.Location}
		if len(h.Tags) > 0 {
			one["tags"] = copyTags(h.Tags)
		}
		if len(h.Zones) > 0 {
			one["zones"] = h.Zones
		}
		for _, what := range expand {
			one[what] = rec.detail(what)
		}
		found = append(found, one)
	}
	return c.page(k, found)
}

// expanded reads what a list of resources is to tell in addition.
func expanded(k *call) ([]string, *armError) {
	query := k.r.URL.Query()
	if query.Has("$top") || query.Has("$orderby") || query.Has("statusOnly") {
		return nil, notSimulated("$top, $orderby or statusOnly of a list of resources")
	}
	if query.Get("$expand") == "" {
		return nil, nil
	}
	words := strings.Split(query.Get("$expand"), ",")
	for _, w := range words {
		if !oneOf(w, "createdTime", "changedTime", "provisioningState") {
			return nil, notSimulated("$expand=%s of a list of resources", w)
		}
	}
	return words, nil
}

// detail is what a list of resources tells if it is asked to.
func (rec *record) detail(what string) string {
	switch what {
	case "createdTime":
		return rec.created.UTC().Format(time.RFC3339Nano)
	case "changedTime":
		if rec.last != nil && rec.last.start.After(rec.created) {
			return rec.last.start.UTC().Format(time.RFC3339Nano)
		}
		return rec.created.UTC().Format(time.RFC3339Nano)
	}
	return *rec.state()
}

// page answers with as much of a list as fits on a page, and where the rest is.
func (c *Cloud) page(k *call, items any) (*reply, *armError) {
	all := reflect.ValueOf(items)
	from, to := 0, all.Len()
	query := k.r.URL.Query()
	if token := query.Get("$skiptoken"); token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 {
			return nil, refuse(400, "InvalidSkipToken", "The skip token '%s' is invalid.", token)
		}
		from = min(n, to)
	}
	body := map[string]any{}
	if c.config.Page > 0 && from+c.config.Page < to {
		to = from + c.config.Page
		query.Set("$skiptoken", strconv.Itoa(to))
		body["nextLink"] = base(k.r) + k.r.URL.Path + "?" + query.Encode()
	}
	values := []any{}
	for i := from; i < to; i++ {
		values = append(values, all.Index(i).Interface())
	}
	body["value"] = values
	return ok(body)
}

func locations() []string {
	return []string{"eastus", "eastus2", "westus", "westus2", "westus3", "northeurope", "westeurope", "germanywestcentral", "swedencentral"}
}

func (c *Cloud) listLocations() (*reply, *armError) {
	var found []map[string]any
	for _, l := range locations() {
		found = append(found, map[string]any{"id": "/subscriptions/" + Subscription + "/locations/" + l, "name": l, "type": "Region", "displayName": l, "regionalDisplayName": l})
	}
	return list(found)
}

// providers shows a resource provider, or all.
func (c *Cloud) providers(k *call) (*reply, *armError) {
	if !k.whole() {
		return list([]any{c.provider("Microsoft.Compute"), c.provider("Microsoft.Network")})
	}
	if _, known := c.registered[lower(k.name())]; !known {
		return nil, refuse(404, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", k.name())
	}
	return ok(c.provider(k.name()))
}

func (c *Cloud) provider(name string) map[string]any {
	state := "Registered"
	if !c.registered[lower(name)] {
		state = "NotRegistered"
	}
	types := []any{}
	for _, kd := range kinds() {
		if strings.EqualFold(kd.provider(), name) {
			name = kd.provider()
			types = append(types, map[string]any{"resourceType": strings.Join(kd.words(), "/"), "locations": locations(), "apiVersions": versionsOf(&call{provider: kd.provider(), types: kd.words()})})
		}
	}
	return map[string]any{"id": "/subscriptions/" + Subscription + "/providers/" + name, "namespace": name, "registrationState": state, "registrationPolicy": "RegistrationRequired", "resourceTypes": types}
}

func (c *Cloud) registerProvider(k *call) (*reply, *armError) {
	if k.tail() != "register" {
		return nil, notSimulated("%s %s", k.r.Method, k.r.URL.Path)
	}
	if err := k.may(k.provider+"/register/action", "/subscriptions/"+Subscription); err != nil {
		return nil, err
	}
	if _, known := c.registered[lower(k.provider)]; !known {
		return nil, refuse(404, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", k.provider)
	}
	c.registered[lower(k.provider)] = true
	return ok(c.provider(k.provider))
}

func (c *Cloud) unregistered(k *call) *armError {
	if _, known := c.registered[lower(k.provider)]; !known {
		return refuse(404, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", k.provider)
	}
	return refuse(http.StatusConflict, "MissingSubscriptionRegistration", "The subscription is not registered to use namespace '%s'. See https://aka.ms/rps-not-found for how to register subscriptions.", k.provider)
}
