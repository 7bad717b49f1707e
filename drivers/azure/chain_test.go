package azure

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/hostsmith/machine/drivers"
)

// absent is a way to log in that there is not.
type absent struct{ words string }

func (a absent) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, azidentity.NewCredentialUnavailableError(a.words)
}

// TestChainThatLeadsNowhere is told in few words; what became of each way is evidence.
func TestChainThatLeadsNowhere(t *testing.T) {
	t.Parallel()
	chain, err := azidentity.NewChainedTokenCredential([]azcore.TokenCredential{
		absent{"EnvironmentCredential: missing environment variable AZURE_TENANT_ID"},
		absent{"AzureCLICredential: ERROR: hunter2 has expired.\nRun az login"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = chain.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"x/.default"}})
	err = (&account{secrets: []string{"hunter2"}}).fault(t.Context(), "list sizes", err)
	if want := "list sizes: credentials refused: none of environment, workload identity, managed identity, az login gives a token"; err.Error() != want || !errors.Is(err, drivers.ErrCredentials) {
		t.Errorf("Got %q, want %q", err, want)
	}
	var evidence interface{ Details() []string }
	want := []string{"EnvironmentCredential: missing environment variable AZURE_TENANT_ID", "AzureCLICredential: ERROR: REDACTED has expired. Run az login"}
	if !errors.As(err, &evidence) || !slices.Equal(evidence.Details(), want) {
		t.Errorf("Got %+v, want %q", evidence, want)
	}
	var advised *drivers.HintError
	if !errors.As(err, &advised) || !strings.Contains(advised.Advice, "az login") {
		t.Errorf("Got no advice to log in: %v", err)
	}
}
