package azuresim

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// armError is an answer that refuses. It marshals as ARM's error object.
type armError struct {
	Status  int         `json:"-"`
	Code    string      `json:"code"`
	Target  string      `json:"target,omitempty"`
	Message string      `json:"message"`
	Details []*armError `json:"details,omitempty"`

	header http.Header
}

func (e *armError) Error() string { return e.Code + ": " + e.Message }

func refuse(status int, code, format string, args ...any) *armError {
	return &armError{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// notSimulated refuses what Azure knows and the simulator does not act upon.
func notSimulated(format string, args ...any) *armError {
	return refuse(http.StatusNotImplemented, "NotSimulated", "The simulator does not act upon "+format, args...)
}

func writeError(w http.ResponseWriter, e *armError) {
	for k, v := range e.header {
		w.Header()[k] = v
	}
	w.Header().Set("x-ms-error-code", e.Code)
	writeJSON(w, e.Status, map[string]any{"error": e})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	if body == nil {
		w.WriteHeader(status)
		return
	}
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":{"code":"InternalServerError","message":"`+err.Error()+`"}}`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may be gone
}

func notFound(id string, group string) *armError {
	return refuse(404, "ResourceNotFound", "The Resource '%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", id, group)
}

func groupNotFound(name string) *armError {
	return refuse(404, "ResourceGroupNotFound", "Resource group '%s' could not be found.", name)
}

func invalidReference(id, by string) *armError {
	return refuse(400, "InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.", id, by)
}
