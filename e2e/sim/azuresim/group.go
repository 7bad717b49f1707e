package azuresim

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
)

func groupKind() *kind { return &kind{typ: "Microsoft.Resources/resourceGroups"} }

// groupCall answers a call to a resource group.
func (c *Cloud) groupCall(k *call) (*reply, *armError) {
	if k.provider != "" {
		return nil, notSimulated("%s", k.r.URL.Path)
	}
	verb := map[string]string{http.MethodPut: "write", http.MethodPatch: "write", http.MethodDelete: "delete"}[k.r.Method]
	if verb == "" {
		verb = "read"
	}
	if err := k.may("Microsoft.Resources/subscriptions/resourceGroups/"+verb, k.groupID()); err != nil {
		return nil, err
	}
	if k.r.Method == http.MethodPut {
		return c.putGroup(k)
	}
	rec := c.get(k.groupID())
	if rec == nil {
		return nil, groupNotFound(k.group)
	}
	switch k.r.Method {
	case http.MethodGet:
		return ok(copyOf(rec.model))
	case http.MethodHead:
		return &reply{status: http.StatusNoContent}, nil
	case http.MethodDelete:
		return c.removeGroup(k, rec)
	case http.MethodPatch:
		var said tagsOnly
		if err := decode(k.body, &tagsOnly{}, &said); err != nil {
			return nil, err
		}
		rec.head().Tags = said.Tags
		return ok(copyOf(rec.model))
	}
	return nil, notSimulated("%s of a resource group", k.r.Method)
}

func (c *Cloud) putGroup(k *call) (*reply, *armError) {
	if !groupName.MatchString(k.group) {
		return nil, refuse(400, "InvalidResourceGroupName", "The provided resource group name '%s' has these invalid characters or ends with a period. The name can only be a letter, digit, '-', '.', '(', ')' or '_'.", k.group)
	}
	m := &resourceGroup{}
	if err := decode(k.body, &armresources.ResourceGroup{}, m); err != nil {
		return nil, err
	}
	h := m.head()
	if h.Location == "" {
		return nil, refuse(400, "LocationRequired", "The location property is required for this definition.")
	}
	h.Location = lower(strings.ReplaceAll(h.Location, " ", ""))
	if !slices.Contains(locations(), h.Location) {
		return nil, refuse(400, "LocationNotAvailableForResourceGroup", "The provided location '%s' is not available for resource group. List of available regions is '%s'.", h.Location, strings.Join(locations(), ","))
	}
	if err := checkTags(h.Tags); err != nil {
		return nil, err
	}
	h.ID, h.Name, h.Type = k.groupID(), k.group, "Microsoft.Resources/resourceGroups"
	if m.Properties == nil {
		m.Properties = copyOf(&resourceGroup{Properties: new(struct {
			ProvisioningState string `json:"provisioningState,omitempty"`
		})}).Properties
	}
	*m.state() = "Succeeded"
	old := c.store[lower(k.groupID())]
	if old == nil {
		return &reply{status: http.StatusCreated, body: copyOf(c.add(groupKind(), m).model)}, nil
	}
	switch {
	case *old.state() == "Deleting":
		return nil, beingDeleted(k.group)
	case old.head().Location != h.Location:
		return nil, refuse(409, "InvalidResourceGroupLocation", "Invalid resource group location '%s'. The Resource group already exists in location '%s'.", h.Location, old.head().Location)
	}
	h.ID, h.Name = old.head().ID, old.head().Name
	old.model = m
	return ok(copyOf(old.model))
}

// removeGroup deletes a group with all that is in it, some time later.
func (c *Cloud) removeGroup(k *call, rec *record) (*reply, *armError) {
	op := rec.busy
	if op == nil {
		if err := c.freeGroup(rec); err != nil {
			return nil, err
		}
		*rec.state() = "Deleting"
		wait := c.halt(c.contents(rec))
		op = c.begin(k, rec, "Delete", func(ctx context.Context) error {
			wait()
			return c.removeMachinesOf(ctx, rec)
		}, func(err *armError) {
			if err != nil {
				*rec.state() = "Succeeded"
				return
			}
			c.erase(rec)
		})
		op.provider = ""
	}
	h := c.accepted(k, op, true)
	return &reply{http.StatusAccepted, nil, h}, nil
}

// freeGroup refuses to delete a group with something that others use.
func (c *Cloud) freeGroup(group *record) *armError {
	for _, rec := range c.contents(group) {
		for _, user := range c.users(rec) {
			if !strings.EqualFold(groupOf(user), group.head().Name) {
				return refuse(409, "ResourceGroupDeletionBlocked", "Deletion of resource group '%s' failed as resources with identifiers '%s' could not be deleted: it is in use by '%s'. The provisioning state of the resource group will be rolled back.", group.head().Name, rec.head().ID, user)
			}
		}
	}
	return nil
}

func (c *Cloud) removeMachinesOf(ctx context.Context, group *record) error {
	c.mu.Lock()
	var hosts []string
	for _, rec := range c.contents(group) {
		if vm, is := rec.model.(*virtualMachine); is {
			hosts = append(hosts, vm.Properties.VMID)
		}
	}
	c.mu.Unlock()
	for _, id := range hosts {
		if err := c.config.Hosts.Remove(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// subscriptionCall answers a call to the subscription that is not about one group.
func (c *Cloud) subscriptionCall(k *call) (*reply, *armError) {
	get := k.r.Method == http.MethodGet
	switch {
	case k.subscription == "" && get:
		return list([]any{subscription()})
	case len(k.types) == 0 && get:
		return ok(subscription())
	case k.tail() == "operationresults" && k.whole() && get:
		return c.poll(k, k.name())
	case strings.EqualFold(k.tail(), "resourceGroups") && get:
		return c.listGroups(k)
	case k.tail() == "resources" && get:
		return c.listResources(k)
	case k.tail() == "locations" && get:
		return c.listLocations()
	case k.tail() == "providers" && get:
		return c.providers(k)
	}
	return nil, notSimulated("%s %s", k.r.Method, k.r.URL.Path)
}

func subscription() map[string]any {
	return map[string]any{
		"id": "/subscriptions/" + Subscription, "subscriptionId": Subscription, "tenantId": Tenant,
		"displayName": "Simulated", "state": "Enabled", "authorizationSource": "RoleBased",
		"subscriptionPolicies": map[string]string{"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
	}
}

func (c *Cloud) listGroups(k *call) (*reply, *armError) {
	if err := k.may("Microsoft.Resources/subscriptions/resourceGroups/read", "/subscriptions/"+Subscription); err != nil {
		return nil, err
	}
	if q := k.r.URL.Query(); q.Has("$top") || q.Has("$expand") || q.Has("$orderby") || q.Has("statusOnly") {
		return nil, notSimulated("$top, $expand, $orderby or statusOnly of a list of groups")
	}
	wanted, err := parseFilter(k)
	if err != nil {
		return nil, err
	}
	var found []model
	for _, rec := range c.sorted() {
		if _, group := rec.model.(*resourceGroup); group && wanted(rec) && !time.Now().Before(rec.listed) {
			found = append(found, copyOf(rec.model))
		}
	}
	return c.page(k, found)
}
