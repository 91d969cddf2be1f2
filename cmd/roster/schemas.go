package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// readSchemas returns the schemas and resource types in a file, or in all files
// *.json of a folder together, as one document. It reports every file that is
// not of the form; what the schemas say is checked by scim.ParseCustom.
func readSchemas(path string) (jsontext.Value, error) {
	files := []string{path}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		files = nil
		entries, err := os.ReadDir(path) // in the order of their names
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if filepath.Ext(e.Name()) == ".json" {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
	}
	var all struct {
		Schemas       []jsontext.Value `json:"schemas"`
		ResourceTypes []jsontext.Value `json:"resourceTypes"`
	}
	var faults []error
	for _, file := range files {
		one := all
		one.Schemas, one.ResourceTypes = nil, nil
		data, err := readFile(file)
		if err == nil {
			err = json.Unmarshal(data, &one, json.RejectUnknownMembers(true))
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", file, err))
			continue
		}
		all.Schemas = append(all.Schemas, one.Schemas...)
		all.ResourceTypes = append(all.ResourceTypes, one.ResourceTypes...)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return json.Marshal(all)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, scim.MaxCustomBytes+1))
	if err == nil && len(data) > scim.MaxCustomBytes {
		err = fmt.Errorf("more than %d bytes", scim.MaxCustomBytes)
	}
	return data, err
}
