package action

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// A Manifest describes an action for people and programs.
type Manifest struct {
	Name        string `json:"name"`    // "update-user": of its page, too
	Title       string `json:"title"`   // "Update User"
	Summary     string `json:"summary"` // one line
	Description string `json:"description"`
	// Command is the friendlier command, "user update"; empty: there is none. It
	// takes the first parameter of the path as an argument.
	Command string `json:"command,omitempty"`
	Method  string `json:"method"` // of the request: "PUT"
	// Path is below the directory: "/Users/{userId}"; that of an action with an
	// organisation's key is below the service.
	Path          string      `json:"path"`
	Documentation string      `json:"documentation"` // the URL of the API's own page
	Writes        bool        `json:"writes"`        // whether it can change something
	Organization  bool        `json:"organization"`  // whether it needs the key of the organisation, and no directory
	Basic         []Parameter `json:"basic"`         // those that come first
	Advanced      []Parameter `json:"advanced"`
	// Columns are what a table shows of each resource that is the output, or is in
	// the list that it is; nil: it is neither.
	Columns       []Column       `json:"columns,omitempty"`
	ExampleOutput jsontext.Value `json:"exampleOutput,omitempty"` // empty: there is no output
}

// A Column is one column of a table of resources.
type Column struct {
	Title string `json:"title"`
	Path  string `json:"path"` // of the attribute: "userName", "emails.value"
}

// A Type is the JSON type of a parameter's value.
type Type string

// The types of parameters.
const (
	String  Type = "string"
	Boolean Type = "boolean"
	Integer Type = "integer"
	Object  Type = "object" // of Parts
	Array   Type = "array"  // of objects of Parts
	// Names is a list of attribute names: an array of strings, or one string
	// with commas between them.
	Names Type = "names"
	// List is a list of any texts, in the same forms as Names.
	List Type = "list"
	// Any is any JSON value, as the value of a Part.
	Any Type = "any"
)

// A Place is where a parameter goes in the request.
type Place string

// The places of parameters.
const (
	InPath   Place = "path"
	InQuery  Place = "query"
	InHeader Place = "header"
	InBody   Place = "body"
	// InAction is that of a parameter which says how the action goes, and is in no
	// request itself.
	InAction Place = "action"
)

// A Parameter is one input of an action.
type Parameter struct {
	Name        string `json:"name"`  // in an Input, and in the request: "userName"
	Title       string `json:"title"` // for people: "User Name"
	Flag        string `json:"flag"`  // of the command: "user-name"
	In          Place  `json:"in"`
	Type        Type   `json:"type"`
	Required    bool   `json:"required"`
	Description string `json:"description"`
	Example     string `json:"example"` // as it is typed: text, or JSON for an object or array
	// Default says what holds when the parameter is left out; empty: nothing does.
	Default string `json:"default,omitempty"`
	// Values are the only texts that it may have; nil: any.
	Values []string `json:"values,omitempty"`
	// Parts are the members of an object, or of the objects of an array.
	Parts []Part `json:"parts,omitempty"`
	// Short is another flag for an array; nil: there is none.
	Short *Short `json:"short,omitempty"`
	// ExclusiveWith names the parameters that may not be given with this one.
	ExclusiveWith []string `json:"exclusiveWith,omitempty"`
}

// A Part is a member of an object.
type Part struct {
	Name        string `json:"name"`
	Type        Type   `json:"type"` // String, Boolean or Any
	Description string `json:"description"`
	Flag        string `json:"flag,omitempty"` // that gives it alone, for a parameter of type Object
}

// A Short is a flag that gives the values of an array alone: "--email ADDRESS".
type Short struct {
	Flag        string `json:"flag"`
	Word        string `json:"word"`             // what stands for a value in the help: "address"
	Type        string `json:"type,omitempty"`   // the part type of each object; empty: none
	Primary     bool   `json:"primary,omitzero"` // the first one is primary
	Description string `json:"description"`
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

// Validate returns nil when in fits the manifest, and else an *InputError with
// every fault. It knows neither the directory nor its rules, which may refuse
// more.
func (m *Manifest) Validate(in Input) error { return validate(m, validator{in: in}) }

// body returns the body of the request: the parameters of in that go there, in
// the order of the manifest, with a lone e-mail marked primary. No parameter is
// called schemas.
func (m *Manifest) body(schema string, in Input) jsontext.Value {
	body := []byte(`{"schemas":["` + schema + `"]`)
	for _, p := range m.Parameters() {
		v, ok := in[p.Name]
		if !ok || p.In != InBody {
			continue
		}
		if p.Name == "emails" {
			v = markLone(v)
		}
		body = append(body, `,"`+p.Name+`":`...)
		body = append(body, v...)
	}
	return append(body, '}')
}

// userBody is body of a user.
func userBody(in Input) jsontext.Value { return UpdateUserManifest().body(scim.UserURN, in) }

// object returns the object that a value of the flag stands for.
func (s *Short) object(value string, first bool) client.MultiValue {
	v := client.Value(value, s.Type)
	if s.Primary && first {
		v = client.Primary(v)
	}
	return v
}

// Near returns the one of names that s may be a mistyping of, "" when none is.
func Near(s string, names []string) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(s))
	}
	best, least := "", 3 // more than two edits are another word
	for _, name := range names {
		a, b := plain(s), plain(name)
		if len(a) > 64 {
			return ""
		}
		if d := distance(a, b); d < least && d < len(b)/2 {
			best, least = name, d
		}
	}
	return best
}

// distance returns how many bytes must be put in, taken out or replaced, or two
// beside each other swapped, to make a of b.
func distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			if a[i] == b[j] {
				next[j+1] = row[j]
				continue
			}
			next[j+1] = 1 + min(row[j], next[j], row[j+1])
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], 1+before[j-1])
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
