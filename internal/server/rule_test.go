package server_test

import (
	"reflect"

	"github.com/roster-scim/roster/scim"
)

// ruleExists reports whether a rule set has a rule of that name.
func ruleExists(name string) bool {
	for f := range reflect.TypeFor[scim.RuleSet]().Fields() {
		if f.Tag.Get("json") == name {
			return true
		}
	}
	return false
}
