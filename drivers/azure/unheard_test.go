package azure

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/hostsmith/machine/drivers"
)

// TestLogInThatIsNotHeard: an authority that is not reached, or not trusted, has refused nothing.
func TestLogInThatIsNotHeard(t *testing.T) {
	t.Parallel()
	stranger := httptest.NewTLSServer(http.NotFoundHandler()) // signed by nobody whom we trust
	t.Cleanup(stranger.Close)
	for name, host := range map[string]string{"refused": "https://127.0.0.1:1", "not trusted": stranger.URL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			login, err := azidentity.NewClientSecretCredential("tenant", "client", "hunter2", &azidentity.ClientSecretCredentialOptions{
				ClientOptions: azcore.ClientOptions{
					Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: host},
					Retry: policy.RetryOptions{MaxRetries: -1},
				},
				DisableInstanceDiscovery: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = login.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"x/.default"}})
			err = (&account{}).fault(t.Context(), "list sizes", err)
			if !errors.Is(err, drivers.ErrUnreachable) || errors.Is(err, drivers.ErrCredentials) || !strings.HasPrefix(err.Error(), "list sizes: log in: provider not reachable: Get ") ||
				strings.Contains(err.Error(), "troubleshoot") {
				t.Errorf("Got %v", err)
			}
		})
	}
}
