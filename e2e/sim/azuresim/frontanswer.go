package azuresim

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
)

// atOnce answers what is answered at once.
func atOnce[T any](ctx context.Context, f *Front, body any) (resp azfake.Responder[T], refused azfake.ErrorResponder) {
	r := ctx.Value(requestKey{}).(*http.Request)
	w := f.ask(r, r.Method, r.URL.RequestURI(), body)
	if w.Code >= 400 && r.Method != http.MethodHead {
		refused.SetResponseError(w.Code, code(w))
		return resp, refused
	}
	var answer T
	f.read(w.Body.Bytes(), &answer)
	resp.SetResponse(w.Code, answer, nil)
	return resp, refused
}

// pages answers with all pages of a list.
func pages[T any](f *Front) (resp azfake.PagerResponder[T]) {
	for address := f.lister.URL.RequestURI(); address != ""; {
		w := f.ask(f.lister, http.MethodGet, address, nil)
		if w.Code >= 400 {
			resp.AddResponseError(w.Code, code(w))
			return resp
		}
		var next struct {
			NextLink string `json:"nextLink"`
		}
		var page T
		_ = json.Unmarshal(w.Body.Bytes(), &next)
		f.read(w.Body.Bytes(), &page)
		resp.AddPage(w.Code, page, nil)
		u, err := url.Parse(next.NextLink)
		if err != nil {
			return resp
		}
		address = u.RequestURI()
		if next.NextLink == "" {
			return resp
		}
	}
	return resp
}

// long begins what takes a while, and lets the fake server tell of its end when
// it is polled for the second time.
func long[T any](ctx context.Context, f *Front, body any) (resp azfake.PollerResponder[T], refused azfake.ErrorResponder) {
	r := ctx.Value(requestKey{}).(*http.Request)
	if path, poll := strings.CutSuffix(r.URL.Path, pollEnd); poll {
		// Two asked for the same, and the other one has heard of its end: as the
		// fake servers do, it is asked for again.
		r = r.Clone(ctx)
		r.Method, r.URL.Path = http.MethodDelete, path
	}
	w := f.ask(r, r.Method, r.URL.RequestURI(), body)
	if w.Code >= 400 {
		refused.SetResponseError(w.Code, code(w))
		return resp, refused
	}
	begun := http.StatusAccepted
	if r.Method == http.MethodPut {
		begun = http.StatusCreated
	}
	if w.Code != http.StatusNoContent {
		resp.AddNonTerminalResponse(begun, nil)
		resp.AddNonTerminalResponse(http.StatusOK, nil)
	}
	if failed := f.await(r, w.Header()); failed != "" {
		resp.SetTerminalError(http.StatusConflict, failed)
		return resp, refused
	}
	var answer T
	if r.Method == http.MethodPut || r.Method == http.MethodPatch {
		f.read(f.ask(r, http.MethodGet, r.URL.RequestURI(), nil).Body.Bytes(), &answer)
	}
	resp.SetTerminalResponse(http.StatusOK, answer, nil)
	return resp, refused
}

// await waits for the end of an operation and returns its error code.
func (f *Front) await(r *http.Request, begun http.Header) string {
	address := begun.Get("Azure-AsyncOperation")
	if address == "" {
		address = begun.Get("Location")
	}
	u, err := url.Parse(address)
	for address != "" && err == nil {
		w := f.ask(r, http.MethodGet, u.RequestURI(), nil)
		var said struct {
			Status string `json:"status"`
		}
		_ = json.Unmarshal(w.Body.Bytes(), &said)
		switch {
		case w.Code == http.StatusAccepted || said.Status == "InProgress":
			select {
			case <-time.After(f.Cloud.config.Operation / 2):
				continue
			case <-r.Context().Done():
			}
		case w.Code >= 400 || said.Status == "Failed":
			return code(w)
		case said.Status == "Canceled":
			return "OperationPreempted"
		}
		break
	}
	return ""
}

// read reads an answer into a model of the SDK.
func (f *Front) read(text []byte, model any) {
	if f.config.Sparse {
		text = thin(text)
	}
	if list, is := model.(*armcompute.VirtualMachineImagesClientListResponse); is {
		model = &list.VirtualMachineImageResourceArray
	}
	_ = json.Unmarshal(text, model) // what the SDK does not understand its fake servers cannot say
}

// thin leaves out of an answer what need not be there.
func thin(text []byte) []byte {
	var tree any
	if json.Unmarshal(text, &tree) != nil {
		return text
	}
	text, _ = json.Marshal(strip(tree)) // was JSON
	return text
}

func strip(tree any) any {
	switch t := tree.(type) {
	case []any:
		for i := range t {
			t[i] = strip(t[i])
		}
		return append(t, nil)
	case map[string]any:
		for k, v := range t {
			if !kept(k) {
				delete(t, k)
				continue
			}
			t[k] = strip(v)
		}
	}
	return tree
}

// kept tells what a client cannot do without.
func kept(name string) bool {
	return oneOf(name, "value", "nextLink", "id", "name", "type", "resourceType", "tags", "properties", "instanceView", "statuses", "code", "ipConfigurations", "privateIPAddress", "ipAddress",
		"subnets", "serialConsoleLogBlobUri", "machine-store", "machine-name", "machine-creator")
}
