package action

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// A Manifest describes an action for people and programs.
type Manifest struct {
	Name          string         `json:"name"`    // "update-user": of its page, too
	Title         string         `json:"title"`   // "Update User"
	Summary       string         `json:"summary"` // one line
	Description   string         `json:"description"`
	Method        string         `json:"method"`        // of the request: "PUT"
	Path          string         `json:"path"`          // below the directory: "/Users/{userId}"
	Documentation string         `json:"documentation"` // the URL of the API's own page
	Basic         []Parameter    `json:"basic"`         // those that come first
	Advanced      []Parameter    `json:"advanced"`
	ExampleOutput jsontext.Value `json:"exampleOutput"`
}

// A Type is the JSON type of a parameter's value.
type Type string

// The types of parameters.
const (
	String  Type = "string"
	Boolean Type = "boolean"
	Object  Type = "object"
	Array   Type = "array"
	// Names is a list of attribute names: an array of strings, or one string
	// with commas between them.
	Names Type = "names"
)

// A Place is where a parameter goes in the request.
type Place string

// The places of parameters.
const (
	InPath  Place = "path"
	InQuery Place = "query"
	InBody  Place = "body"
)

// A Parameter is one input of an action.
type Parameter struct {
	Name        string `json:"name"`  // in an Input, and in the request: "userName"
	Title       string `json:"title"` // for people: "User Name"
	Flag        string `json:"flag"`  // of the command: "user-name"; the id is an argument
	In          Place  `json:"in"`
	Type        Type   `json:"type"`
	Required    bool   `json:"required"`
	Description string `json:"description"`
	Example     string `json:"example"` // as it is typed: text, or JSON for an object or array
	// ExclusiveWith names the parameters that may not be given with this one.
	ExclusiveWith []string `json:"exclusiveWith,omitempty"`
}

// Parameters returns all parameters, the basic ones first.
func (m *Manifest) Parameters() []Parameter { return slices.Concat(m.Basic, m.Advanced) }

// Parameter returns the parameter of that name, or nil.
func (m *Manifest) Parameter(name string) *Parameter {
	all := m.Parameters()
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}
