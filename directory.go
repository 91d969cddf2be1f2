package roster

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Directory is one tenant: one SCIM base URL, its users and groups, its keys
// and its rule set.
type Directory struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	RuleSet string         `json:"ruleSet"`         // "atlassian", "standard" or "strict"
	Rules   jsontext.Value `json:"rules,omitempty"` // a JSON object of the rules that differ from the rule set (scim.RuleSet); empty for none
	Schemas jsontext.Value `json:"-"`               // a JSON object of the schemas and resource types that it has beside the built-in ones (scim.ParseCustom); empty for none
	Default bool           `json:"default"`         // served under /scim/v2 as well
	// SuppressMail says that no workflow of the directory sends mail: a step that
	// would sends nothing, and says so.
	SuppressMail bool      `json:"suppressMail,omitzero"`
	Created      time.Time `json:"created"`  // UTC, microseconds
	Modified     time.Time `json:"modified"` // UTC, microseconds
	Version      int64     `json:"version"`  // from 1, up by one with each change
	Users        int64     `json:"users"`    // how many there are now; filled by reads
}
