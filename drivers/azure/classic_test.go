package azure

import (
	"encoding/json"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestClassicAndBack demands that a machine in docker-machine's words can be taken over as what it was.
func TestClassicAndBack(t *testing.T) {
	t.Parallel()
	c := defaults()
	c.Subscription, c.Client, c.Secret, c.OpenPort = "s", "c", "hush", []string{"80"}
	d := &driver{cfg: c, env: drivers.Env{Machine: "m"}, state: &drivers.Durable[State]{Value: State{
		Subscription: "s", Group: "g", Location: "westeurope", Size: "Standard_B2s", Image: "p:o:s:v",
		Network: id("s", "g", typeNetwork, "net"), Set: id("s", "g", typeSet, "set"), Private: "10.0.0.4",
	}}}
	data, err := json.Marshal(d.Classic())
	if err != nil {
		t.Fatal(err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if r.ClientSecret != "" || r.ClientID != "c" || r.ResourceGroup != "g" || r.VirtualNetwork != "net" || r.AvailabilitySet != "set" || r.PrivateIPAddr != "10.0.0.4" {
		t.Errorf("got %s", data)
	}
	back, st, err := takeOver(data)
	if err != nil || back.Size != "Standard_B2s" || back.Image != "p:o:s:v" || back.OpenPort[0] != "80" ||
		st.Group != "g" || st.Subscription != "s" || st.Location != "westeurope" || st.Network != d.state.Value.Network || st.Set != d.state.Value.Set {
		t.Errorf("taken over %+v, %+v, %v", back, st, err)
	}
}
