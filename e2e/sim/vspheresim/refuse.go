package vspheresim

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/hostsmith/machine/e2e/sim"
)

var typeName = regexp.MustCompile(`^[A-Za-z]+$`)

// Refuse answers with a fault of type f.Code, a RuntimeFault by default, or as
// the proxy before an overloaded vCenter does.
func (*Cloud) Refuse(w http.ResponseWriter, r *http.Request, f sim.Fault) {
	soap := speaksSOAP(r)
	switch {
	case f.Mode == sim.Throttle:
		http.Error(w, cmp.Or(f.Text, "no healthy upstream"), http.StatusServiceUnavailable)
	case f.Code == "" && f.Status > http.StatusInternalServerError:
		http.Error(w, cmp.Or(f.Text, http.StatusText(f.Status)), f.Status)
	case soap:
		soapFault(w, f)
	default:
		restFault(w, f)
	}
}

func soapFault(w http.ResponseWriter, f sim.Fault) {
	kind := cmp.Or(f.Code, "RuntimeFault")
	if !typeName.MatchString(kind) {
		kind = "RuntimeFault"
	}
	var text strings.Builder
	if err := xml.EscapeText(&text, []byte(cmp.Or(f.Text, "A general system error occurred"))); err != nil {
		text.Reset()
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprintf(w, `%s<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">`+
		`<soapenv:Body><soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>%s</faultstring>`+
		`<detail><%sFault xmlns="urn:vim25" xsi:type="%s"></%sFault></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>`,
		xml.Header, text.String(), kind, kind, kind)
}

func restFault(w http.ResponseWriter, f sim.Fault) {
	status := f.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	kind := cmp.Or(f.Code, "internal_server_error")
	answer := map[string]any{
		"type": "com.vmware.vapi.std.errors." + kind,
		"value": map[string]any{"messages": []map[string]any{
			{"id": kind, "default_message": cmp.Or(f.Text, "A general system error occurred"), "args": []string{}},
		}},
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // the client may be gone
}
