package vspheresim

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"regexp"
	"strings"
)

// Action returns the SOAP method, such as "CloneVM_Task", or for other requests
// the HTTP method and path with all ids as {id}, such as "GET
// /rest/com/vmware/cis/tagging/tag/{id}". Sessions, waits and views have none.
func (*Cloud) Action(r *http.Request, body []byte) string {
	if !speaksSOAP(r) {
		return restAction(r)
	}
	if r.Method != http.MethodPost {
		return ""
	}
	method := soapMethod(body)
	if passing(method) {
		return ""
	}
	return method
}

// passing tells whether a method changes nothing but what a session has of its own.
func passing(method string) bool {
	switch method {
	case "Login", "LoginByToken", "LoginExtensionByCertificate", "CloneSession", "AcquireCloneTicket",
		"SessionIsActive", "Logout", "RetrieveServiceContent", "PbmRetrieveServiceContent", "CurrentTime",
		"CreatePropertyCollector", "DestroyPropertyCollector", "CreateFilter", "DestroyPropertyFilter",
		"WaitForUpdatesEx", "WaitForUpdates", "CheckForUpdates", "CancelWaitForUpdates",
		"CreateContainerView", "CreateListView", "DestroyView":
		return true
	}
	return false
}

// soapMethod returns the name of the element in a SOAP message's body.
func soapMethod(body []byte) string {
	d := xml.NewDecoder(bytes.NewReader(body))
	inBody := false
	for {
		token, err := d.Token()
		if err != nil {
			return "unreadable"
		}
		start, ok := token.(xml.StartElement)
		switch {
		case !ok:
		case inBody:
			return start.Name.Local
		case start.Name.Local == "Body":
			inBody = true
		}
	}
}

var idPart = regexp.MustCompile(`^(id:.*|urn:.*|[0-9a-f]{8}-[0-9a-f-]{27}.*|(vm|group|datastore|host|resgroup|network|dvportgroup)-[a-z]?\d+)$`)

func restAction(r *http.Request) string {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if path == "/rest/com/vmware/cis/session" || path == "/api/session" || strings.HasSuffix(path, "Versions.xml") {
		return ""
	}
	if strings.HasPrefix(path, "/folder/") || strings.HasPrefix(path, "/nfc/") {
		return r.Method + " /" + strings.Split(path, "/")[1]
	}
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if idPart.MatchString(p) {
			parts[i] = "{id}"
		}
	}
	name := r.Method + " " + strings.Join(parts, "/")
	for _, query := range []string{"~action", "action"} {
		if a := r.URL.Query().Get(query); a != "" {
			name += "?" + query + "=" + a
		}
	}
	return name
}
