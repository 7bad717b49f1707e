package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// consoleTail is how much of the console's text is returned.
const consoleTail = 64 << 10

// Console implements drivers.ConsoleReader.
func (d *driver) Console(ctx context.Context) ([]byte, error) {
	if d.state.Value.VM == "" {
		return nil, d.errNever()
	}
	a, err := d.account(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := wait.Within(ctx, askLimit, "reading the console")
	defer cancel()
	what := "read console of virtual machine " + d.name()
	got, err := call(ctx, a, what, func(ctx context.Context) (armcompute.VirtualMachinesClientRetrieveBootDiagnosticsDataResponse, error) {
		return a.vms.RetrieveBootDiagnosticsData(ctx, d.group(), d.name(), nil)
	})
	if missing(err) {
		return nil, fmt.Errorf("%w: %w", drivers.ErrUnsupported, err)
	}
	if err != nil {
		return nil, err
	}
	if got.SerialConsoleLogBlobURI == nil || *got.SerialConsoleLogBlobURI == "" {
		return nil, fmt.Errorf("%s: %w: Azure keeps none of it", what, drivers.ErrUnsupported)
	}
	text, err := tail(ctx, a.web, *got.SerialConsoleLogBlobURI)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return text, nil
}

// tail returns the end of what is at a signed address, which no error shows.
func tail(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("malformed address of the text")
	}
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("%w: %w", drivers.ErrUnreachable, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the store of the text answers %s", resp.Status)
	}
	var kept []byte
	buffer := make([]byte, consoleTail)
	for {
		n, err := resp.Body.Read(buffer)
		kept = append(kept, buffer[:n]...)
		if len(kept) > 2*consoleTail {
			kept = append(kept[:0], kept[len(kept)-consoleTail:]...)
		}
		if errors.Is(err, io.EOF) {
			return kept[max(len(kept)-consoleTail, 0):], nil
		}
		if err != nil {
			return nil, err
		}
	}
}
