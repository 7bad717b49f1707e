package azure

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/hostsmith/machine/drivers"
)

// method is a way to log in.
type method string

const (
	bySecret      method = "client secret"
	byCertificate method = "client certificate"
	byToken       method = "federated token"
	byIdentity    method = "managed identity"
	byDevice      method = "device code"
	byChain       method = "environment, workload identity, managed identity, az login"
)

// login is what a way to log in needs.
type login struct {
	method         method
	tenant, client string
	secret         drivers.Secret // of the client, or of its certificate's file
	file           string         // certificate or token
}

// login chooses the way: what options ask for, then what the environment has.
func (c Config) login(getenv func(string) string) login {
	l := login{tenant: c.Tenant, client: c.Client}
	secret := c.Secret
	if secret == "" && c.Certificate == "" && c.TokenFile == "" {
		secret = drivers.Secret(getenv("AZURE_CLIENT_SECRET"))
	}
	password := c.CertPassword
	if password == "" {
		password = drivers.Secret(getenv("AZURE_CLIENT_CERTIFICATE_PASSWORD"))
	}
	switch {
	case c.DeviceCode:
		l.method = byDevice
	case c.Managed:
		l.method = byIdentity
	case c.Client != "" && secret != "":
		l.method, l.secret = bySecret, secret
	case c.Client != "" && c.Certificate != "":
		l.method, l.file, l.secret = byCertificate, c.Certificate, password
	case c.Client != "" && c.TokenFile != "":
		l.method, l.file = byToken, c.TokenFile
	default:
		l.method = byChain
	}
	return l
}

// needsTenant tells whether nobody else knows the tenant: az login does, and who
// enters a code says it there.
func (l login) needsTenant() bool { return l.method != byChain && l.method != byDevice }

// open returns the credential. tell passes a message to the person who waits.
func (l login) open(e environment, transport policy.Transporter, tell func(context.Context, string)) (azcore.TokenCredential, error) {
	options := azcore.ClientOptions{Cloud: e.sdk(), Transport: transport}
	switch l.method {
	case bySecret:
		return azidentity.NewClientSecretCredential(l.tenant, l.client, l.secret.Reveal(),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: e.own})
	case byCertificate:
		certs, key, err := l.certificate()
		if err != nil {
			return nil, err
		}
		return azidentity.NewClientCertificateCredential(l.tenant, l.client, certs, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: e.own})
	case byToken:
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, ClientID: l.client, TenantID: l.tenant, TokenFilePath: l.file, DisableInstanceDiscovery: e.own,
		})
	case byIdentity:
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: azcore.ClientOptions{Cloud: e.sdk()}}
		if l.client != "" {
			o.ID = azidentity.ClientID(l.client)
		}
		return azidentity.NewManagedIdentityCredential(o)
	case byDevice:
		return azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
			ClientOptions: options, TenantID: l.tenant, DisableInstanceDiscovery: e.own,
			UserPrompt: func(ctx context.Context, m azidentity.DeviceCodeMessage) error {
				tell(ctx, m.Message)
				return nil
			},
		})
	default:
		return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
			ClientOptions: options, TenantID: l.tenant, DisableInstanceDiscovery: e.own,
		})
	}
}

// certificate reads certificate and key of the service principal.
func (l login) certificate() ([]*x509.Certificate, crypto.PrivateKey, error) {
	data, err := os.ReadFile(l.file)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", drivers.ErrCredentials, err)
	}
	password := []byte(l.secret.Reveal())
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		password = nil // is of PKCS 12 files alone
	}
	certs, key, err := azidentity.ParseCertificates(data, password)
	if err != nil {
		return nil, nil, &drivers.HintError{
			Err:    fmt.Errorf("read certificate %s: %w: %w", l.file, drivers.ErrCredentials, err),
			Advice: "PEM without a password is always read: openssl pkcs12 -in FILE -nodes -out FILE.pem makes it of PKCS 12",
		}
	}
	return certs, key, nil
}

// waysToLogIn is the advice when none works.
const waysToLogIn = "log in with az login, or give --azure-client-id with --azure-client-secret (AZURE_CLIENT_ID, AZURE_CLIENT_SECRET), " +
	"--azure-client-certificate-path or --azure-federated-token-file, or --azure-managed-identity, or --azure-device-code"
