package cli

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

func someRows() []lifecycle.Row {
	return []lifecycle.Row{
		{
			Name: "m1", Active: "* (swarm)", ActiveSwarm: true, DriverName: "docker", State: "Running", URL: "tcp://172.18.0.2:2376",
			Swarm: "prod (master)", DockerVersion: "v28.5.2", ResponseTime: 42 * time.Millisecond, Phase: "ready",
			CertExpires:   time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC),
			EngineOptions: lifecycle.EngineOptions{Labels: []string{"a=b"}},
		},
		{Name: "a-longer-name", Active: "-", DriverName: "generic", State: "Stopped", DockerVersion: "Unknown"},
		{Name: "slow", DriverName: "docker", State: "Timeout", DockerVersion: "Unknown", ResponseTime: 10 * time.Second},
		{Name: "broken", DriverName: "not found", State: "Error", DockerVersion: "Unknown", Error: "record cannot be read: unexpected end"},
		{
			Name: "denied", DriverName: "azure", State: "Error", DockerVersion: "Unknown",
			Error: "look for virtual machine denied-5f3a9c01: credentials refused: AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID",
		},
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	for name, format := range map[string]string{
		"table":   lsTable,
		"columns": `table {{.Name}}\t{{.CertExpires}}\t{{.Phase}}`,
		"lines":   `{{.Name}} {{.Active}}|{{.URL | urlquery}}\n{{.ResponseTime | printf "%d"}} {{json .EngineOptions.Labels}}`,
		"all":     `table {{.ActiveHost}}\t{{.ActiveSwarm}}\t{{.ResponseTime}}\t{{.Swarm}}\t{{.Error}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tmpl, table, err := parseRowFormat(format)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := writeRows(&out, someRows(), rowHeadings(), tmpl, table); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "ls", name+".golden"), out.String())
		})
	}
}

func TestRowsJSON(t *testing.T) {
	t.Parallel()
	out, err := json.MarshalIndent(rowsJSON(someRows()), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "ls", "json.golden"), string(out)+"\n")
}
