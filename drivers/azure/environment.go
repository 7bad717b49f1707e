package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

const stackCloud = "AZURESTACKCLOUD"

// environment is a cloud as a client needs to know it.
type environment struct {
	endpoint  string // of the resource manager
	audience  string // of its tokens
	authority string // that gives them
	own       bool   // none of Microsoft's: its authority is not to be looked up at Microsoft's
}

// namedCloud returns one of Microsoft's clouds.
func namedCloud(name string) (environment, bool) {
	var c cloud.Configuration
	switch strings.ToLower(name) {
	case "", "azurecloud", "azurepubliccloud":
		c = cloud.AzurePublic
	case "azureusgovernment", "azureusgovernmentcloud":
		c = cloud.AzureGovernment
	case "azurechinacloud":
		c = cloud.AzureChina
	default:
		return environment{}, false
	}
	manager := c.Services[cloud.ResourceManager]
	return environment{manager.Endpoint, manager.Audience, c.ActiveDirectoryAuthorityHost, false}, true
}

// sdk returns the cloud in the SDK's words.
func (e environment) sdk() cloud.Configuration {
	return cloud.Configuration{
		ActiveDirectoryAuthorityHost: e.authority,
		Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: e.endpoint, Audience: e.audience}},
	}
}

// resolve returns the cloud that a configuration leads to.
func (c Config) resolve(ctx context.Context, client *http.Client) (environment, error) {
	env, known := namedCloud(c.Environment)
	var err error
	switch {
	case known:
	case isEndpoint(c.Environment):
		env, err = discover(ctx, client, strings.TrimSuffix(c.Environment, "/"))
	case c.EnvFile != "":
		env, err = readEnvironment(c.EnvFile)
	default:
		err = fmt.Errorf("%w: no cloud is called %q", drivers.ErrOption, c.Environment)
	}
	if err != nil {
		return environment{}, err
	}
	if c.Authority != "" {
		env.authority, env.own = c.Authority, true
	}
	if c.Endpoint != "" {
		env.endpoint = strings.TrimSuffix(c.Endpoint, "/")
		if c.Authority != "" {
			env.audience = env.endpoint
		}
		env.own = true
	}
	if c.Audience != "" {
		env.audience = c.Audience
	}
	return env, nil
}

// readEnvironment reads the description of a cloud as other programs for Azure Stack do.
func readEnvironment(file string) (environment, error) {
	var e struct {
		ResourceManager string `json:"resourceManagerEndpoint"`
		Authority       string `json:"activeDirectoryEndpoint"`
		Management      string `json:"serviceManagementEndpoint"`
		Audience        string `json:"tokenAudience"`
	}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err == nil && (!isURL(e.ResourceManager) || !isURL(e.Authority)) {
		err = errors.New("has no resourceManagerEndpoint or no activeDirectoryEndpoint that is an https URL")
	}
	if err != nil {
		return environment{}, fmt.Errorf("read cloud from %s: %w: %w", file, drivers.ErrOption, err)
	}
	audience := e.Audience
	if audience == "" {
		audience = e.Management
	}
	if audience == "" {
		audience = e.ResourceManager
	}
	return environment{strings.TrimSuffix(e.ResourceManager, "/"), audience, e.Authority, true}, nil
}

// metadata is what a resource manager says of its cloud.
type metadata struct {
	ResourceManager string `json:"resourceManager"`
	Authentication  struct {
		LoginEndpoint string   `json:"loginEndpoint"`
		Audiences     []string `json:"audiences"`
	} `json:"authentication"`
}

// Versions of the metadata: a list of clouds, and the older single one of Azure Stack.
const (
	metadataVersion      = "2022-09-01"
	metadataStackVersion = "2015-01-01"
)

// discover asks a resource manager for its authority.
func discover(ctx context.Context, client *http.Client, endpoint string) (environment, error) {
	var err error
	for _, version := range []string{metadataVersion, metadataStackVersion} {
		var found []metadata
		if found, err = askMetadata(ctx, client, endpoint, version); err != nil {
			continue
		}
		for i, m := range found {
			if len(found) > 1 && !sameHost(m.ResourceManager, endpoint) && i+1 < len(found) {
				continue
			}
			if m.Authentication.LoginEndpoint == "" || len(m.Authentication.Audiences) == 0 {
				err = errors.New("its metadata names no authority")
				break
			}
			return environment{endpoint, m.Authentication.Audiences[0], m.Authentication.LoginEndpoint, true}, nil
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return environment{}, fmt.Errorf("ask %s for its authority: %w: %w", endpoint, drivers.ErrUnreachable, err)
}

func askMetadata(ctx context.Context, client *http.Client, endpoint, version string) ([]metadata, error) {
	resp, body, err := fetch(ctx, client, endpoint+"/metadata/endpoints?api-version="+version)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	var many []metadata
	if json.Unmarshal(body, &many) == nil {
		return many, nil
	}
	var one metadata
	if err := json.Unmarshal(body, &one); err != nil {
		return nil, err
	}
	return []metadata{one}, nil
}

// fetchLimit bounds the questions that come before a log-in.
const fetchLimit = 30 * time.Second

// fetch asks without credentials.
func fetch(ctx context.Context, client *http.Client, address string) (*http.Response, []byte, error) {
	ctx, cancel := wait.Within(ctx, fetchLimit, "the answer")
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp, text, err
}

func sameHost(a, b string) bool {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	return errX == nil && errY == nil && strings.EqualFold(x.Host, y.Host)
}

// tenantOf asks the resource manager whose tenant a subscription is: it tells
// everybody who comes without a token.
func tenantOf(ctx context.Context, client *http.Client, endpoint, subscription string) (string, error) {
	fail := func(err error) (string, error) {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return "", fmt.Errorf("ask %s for the tenant of subscription %s: %w", endpoint, subscription, err)
	}
	resp, _, err := fetch(ctx, client, endpoint+"/subscriptions/"+subscription+"?api-version=2022-12-01")
	if err != nil {
		return fail(fmt.Errorf("%w: %w", drivers.ErrUnreachable, err))
	}
	if tenant := tenantIn(resp.Header.Get("WWW-Authenticate")); tenant != "" {
		return tenant, nil
	}
	return fail(&drivers.HintError{
		Err:    fmt.Errorf("%w: no tenant in the answer (%s)", drivers.ErrCredentials, resp.Status),
		Advice: "see that the subscription's id is right, or name the tenant with --azure-tenant-id",
	})
}

// tenantIn returns the tenant in a challenge such as
// Bearer authorization_uri="https://login.windows.net/TENANT", error="...".
func tenantIn(challenge string) string {
	for _, key := range []string{"authorization_uri=\"", "authorization=\""} {
		_, rest, ok := strings.Cut(challenge, key)
		if !ok {
			continue
		}
		address, _, _ := strings.Cut(rest, "\"")
		u, err := url.Parse(address)
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		if guid.MatchString(first) {
			return first
		}
	}
	return ""
}
