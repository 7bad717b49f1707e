package azure

import (
	"slices"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestOptionsOfDockerMachine demands each flag and variable of docker-machine's
// driver, with its type and a value that its users give.
func TestOptionsOfDockerMachine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		kind  drivers.Kind
		env   string
		value string
	}{
		{"azure-environment", drivers.String, "AZURE_ENVIRONMENT", "AzureChinaCloud"},
		{"azure-subscription-id", drivers.String, "AZURE_SUBSCRIPTION_ID", "22222222-2222-4222-8222-222222222222"},
		{"azure-resource-group", drivers.String, "AZURE_RESOURCE_GROUP", "docker-machine"},
		{"azure-ssh-user", drivers.String, "AZURE_SSH_USER", "docker-user"},
		{"azure-docker-port", drivers.Int, "AZURE_DOCKER_PORT", "2376"},
		{"azure-location", drivers.String, "AZURE_LOCATION", "West US"},
		{"azure-size", drivers.String, "AZURE_SIZE", "Standard_A2"},
		{"azure-image", drivers.String, "AZURE_IMAGE", "canonical:UbuntuServer:16.04.0-LTS:latest"},
		{"azure-vnet", drivers.String, "AZURE_VNET", "group:docker-machine-vnet"},
		{"azure-subnet", drivers.String, "AZURE_SUBNET", "docker-machine"},
		{"azure-subnet-prefix", drivers.String, "AZURE_SUBNET_PREFIX", "192.168.0.0/16"},
		{"azure-availability-set", drivers.String, "AZURE_AVAILABILITY_SET", "docker-machine"},
		{"azure-custom-data", drivers.String, "AZURE_CUSTOM_DATA_FILE", "/etc/cloud.yml"},
		{"azure-private-ip-address", drivers.String, "", "192.168.0.10"},
		{"azure-storage-type", drivers.String, "AZURE_STORAGE_TYPE", "Standard_LRS"},
		{"azure-use-private-ip", drivers.Bool, "", "true"},
		{"azure-no-public-ip", drivers.Bool, "", "true"},
		{"azure-static-public-ip", drivers.Bool, "", "true"},
		{"azure-dns", drivers.String, "AZURE_DNS_LABEL", "my-host"},
		{"azure-open-port", drivers.Strings, "", "8080/tcp"},
		{"azure-client-id", drivers.String, "AZURE_CLIENT_ID", "33333333-3333-4333-8333-333333333333"},
		{"azure-client-secret", drivers.String, "", "secret"}, // AZURE_CLIENT_SECRET is read when it is needed, and not stored
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := Factory()
			i := slices.IndexFunc(f.Options(), func(o drivers.Option) bool { return o.Name == c.name })
			if i < 0 {
				t.Fatal("is unknown")
			}
			o := f.Options()[i]
			if o.Kind != c.kind || c.env != "" && !slices.Contains(o.Env, c.env) || c.env == "" && len(o.Env) > 0 {
				t.Errorf("got %s, %q, want %s, %q", o.Kind, o.Env, c.kind, c.env)
			}
			values := drivers.Values{"azure-subscription-id": {"22222222-2222-4222-8222-222222222222"}, c.name: {c.value}}
			if _, _, err := f.Configure(values); err != nil {
				t.Errorf("%s: %v", c.value, err)
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"https://management.local.azurestack.external": true, "http://127.0.0.1:8080": true, "http://[::1]:80": true, "http://localhost:1": true,
		"http://management.example": false, "http://10.0.0.1": false, "http://localhost.example": false, "ftp://127.0.0.1": false, "https://": false,
		"https://user:word@host": false, "http://user:word@127.0.0.1": false, "127.0.0.1": false, "": false,
	} {
		if got := isEndpoint(s); got != want {
			t.Errorf("%q: got %v", s, got)
		}
	}
	c := Config{Environment: "AzurePublicCloud", Endpoint: "https://x/", Authority: "https://y/"}
	for audience, want := range map[string]string{"": "https://x", "https://other/": "https://other/"} {
		c.Audience = audience
		if e, err := c.resolve(t.Context(), nil); err != nil || e.audience != want || e.endpoint != "https://x" || e.authority != "https://y/" || !e.own {
			t.Errorf("got %+v, %v, want audience %s", e, err, want)
		}
	}
}
