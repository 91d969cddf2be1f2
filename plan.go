package roster

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A DirectoryUpdate says what is to change in a directory; what is left out
// stays.
type DirectoryUpdate struct {
	Name    string `json:"name,omitzero"`
	RuleSet string `json:"ruleSet,omitzero"` // "atlassian", "standard" or "strict"
	// Rules are rules by name; null takes a rule back to what the rule set has.
	Rules   map[string]jsontext.Value `json:"rules,omitzero"`
	Default *bool                     `json:"default,omitzero"` // nil: stays
	// SuppressMail says whether no workflow of the directory sends mail. Nil: stays.
	SuppressMail *bool `json:"suppressMail,omitzero"`
	// Schemas take the place of all schemas and resource types that the directory
	// has beside the built-in ones: a document as of scim.ParseCustom; null is none.
	Schemas jsontext.Value `json:"schemas,omitzero"`
}

// A DirectoryPlan is what an update of a directory would do to it, or has done.
type DirectoryPlan struct {
	// Refused says why the update is refused; empty: it is not.
	Refused string `json:"refused,omitzero"`
	// Settings are the changes of the directory itself: its name, its rule set,
	// its default mark, whether mail is suppressed, and each rule.
	Settings []SettingChange `json:"settings"`
	// Types are the resource types that come or go.
	Types []TypeChange `json:"types"`
	// Attributes are those that come, go, or get other characteristics.
	Attributes []AttributeChange `json:"attributes"`
	// Duplicates are values that could not be unique, the first twenty.
	Duplicates []Duplicate `json:"duplicates"`
	// Resources is how many resources were looked through, 0 when none had to be.
	Resources int64 `json:"resources"`
	// Rewritten is how many of them get another document, with a new version and
	// an event each.
	Rewritten int64 `json:"rewritten"`
}

// A SettingChange is a setting that gets another value, as JSON.
type SettingChange struct {
	Name string         `json:"name"` // "name", "ruleSet", "default", or a rule
	From jsontext.Value `json:"from"`
	To   jsontext.Value `json:"to"`
}

// What becomes of a resource type or an attribute.
const (
	PlanAdded   = "added"
	PlanRemoved = "removed"
	PlanChanged = "changed"
)

// A TypeChange is a resource type that comes or goes.
type TypeChange struct {
	Name      string `json:"name"`
	Change    string `json:"change"`    // PlanAdded or PlanRemoved
	Resources int64  `json:"resources"` // of a removed one: how many there are; it must be none
}

// An AttributeChange is an attribute, or an extension, that comes, goes, or gets
// other characteristics. What is below one that comes or goes is not listed.
type AttributeChange struct {
	ResourceType string `json:"resourceType"`
	Attribute    string `json:"attribute"` // its path, as in a filter
	Change       string `json:"change"`    // PlanAdded, PlanRemoved or PlanChanged
	// Details are the characteristics that change, such as "type: string -> integer".
	Details []string `json:"details,omitempty"`
	// Hidden is how many resources have a value that no longer fits: it is kept,
	// and shown no more.
	Hidden int64 `json:"hidden"`
	// Back is how many have a kept value that fits again.
	Back int64 `json:"back"`
	// Missing is how many have no value of what is required now: the next change
	// of such a resource must bring one.
	Missing int64 `json:"missing"`
}

// A Duplicate is a value that several resources have.
type Duplicate struct {
	ResourceType string   `json:"resourceType"`
	Attribute    string   `json:"attribute"`
	Value        string   `json:"value"` // as one of them has it
	IDs          []string `json:"ids"`   // the first twenty
}

// Empty reports whether the plan changes nothing.
func (p *DirectoryPlan) Empty() bool {
	return len(p.Settings)+len(p.Types)+len(p.Attributes) == 0
}

func (d Duplicate) String() string {
	return d.ResourceType + " " + d.Attribute + " [" + d.Value + "] of " + strings.Join(d.IDs, ", ")
}
