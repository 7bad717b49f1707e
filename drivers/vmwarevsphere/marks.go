package vmwarevsphere

import (
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
)

// Configuration parameters that mark a virtual machine as ours.
const (
	markPrefix  = "machine."
	markStore   = markPrefix + "store"
	markName    = markPrefix + "name"
	markCreator = markPrefix + "creator"
	markToken   = markPrefix + "token"
	markDisks   = markPrefix + "disks" // UUIDs of the disks that it was made with
	markTag     = markPrefix + "tag."
)

// marks are on a virtual machine from its birth.
func marks(env drivers.Env, token string) []types.BaseOptionValue {
	return []types.BaseOptionValue{
		option(markStore, env.StoreID),
		option(markName, env.Machine),
		option(markCreator, env.Creator),
		option(markToken, token),
	}
}

func option(key, value string) *types.OptionValue {
	return &types.OptionValue{Key: key, Value: value}
}

// parameters returns configuration parameters by name.
func parameters(list []types.BaseOptionValue) map[string]string {
	all := make(map[string]string, len(list))
	for _, o := range list {
		v := o.GetOptionValue()
		if text, ok := v.Value.(string); ok {
			all[strings.ToLower(v.Key)] = text
		}
	}
	return all
}
