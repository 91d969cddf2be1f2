package scim

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The names of the rule sets.
const (
	Atlassian = "atlassian"
	Standard  = "standard"
	Strict    = "strict"
)

// A RuleSet says how strictly a directory reads the RFC where the RFC, or its
// clients, leave room. It is data: Parse, Create and Replace follow it on the
// server, and a client's plan follows the same one to foretell them.
type RuleSet struct {
	// Name is the rule set that the rules started from.
	Name string `json:"-"`
	// Schemas are the schemas of the directory: "atlassian" (Atlassian's User
	// with its two extensions, and Group) or "standard" (the whole of RFC 7643).
	Schemas string `json:"schemas"`
	// RequireEmails demands at least one e-mail address with a value.
	RequireEmails bool `json:"requireEmails"`
	// RequirePrimaryEmail demands that exactly one e-mail is marked primary.
	// Two primaries are refused whatever it says (RFC 7643 section 2.4).
	RequirePrimaryEmail bool `json:"requirePrimaryEmail"`
	// UniqueEmails makes every e-mail address unique in the directory.
	UniqueEmails bool `json:"uniqueEmails"`
	// UniqueExternalID makes externalId unique in the directory.
	UniqueExternalID bool `json:"uniqueExternalId"`
	// UniqueGroupNames makes a group's displayName unique in the directory.
	UniqueGroupNames bool `json:"uniqueGroupNames"`
	// RefuseUnknown makes an attribute that no schema knows a 400
	// invalidSyntax; otherwise it is ignored, and reported.
	RefuseUnknown bool `json:"refuseUnknown"`
	// Tolerant takes what identity providers send against the RFC ("True" for
	// true, dotted and URN-qualified names, manager as a string), and reports it.
	Tolerant bool `json:"tolerant"`
	// KeepOmittedActive keeps active when a PUT leaves it out; otherwise it
	// becomes true, as in a POST.
	KeepOmittedActive bool `json:"keepOmittedActive"`
	// KeepOmittedExternalID keeps externalId when a PUT leaves it out; null
	// clears it all the same.
	KeepOmittedExternalID bool `json:"keepOmittedExternalId"`
	// KeepEmptyStrings takes "" as a value; otherwise it is as if left out.
	KeepEmptyStrings bool `json:"keepEmptyStrings"`
	// ObservedShape answers as Atlassian was seen to: schemas lists every
	// schema of the type, and groups is there when it is empty.
	ObservedShape bool `json:"observedShape"`
	// MetaVersion puts the version into meta.
	MetaVersion bool `json:"metaVersion"`
	// NarrowFilters allows what Atlassian's service allows alone: one eq, on
	// userName or externalId of users and on displayName of groups.
	NarrowFilters bool `json:"narrowFilters"`
	// FailureBody answers 401 and 403 with {"error", "traceId"} in the place of
	// a SCIM error.
	FailureBody bool `json:"failureBody"`
	// RefuseGroupRename makes the displayName of a group immutable: another one is
	// a 400 mutability.
	RefuseGroupRename bool `json:"refuseGroupRename"`
	// KeepOmittedMembers keeps the members of a group when a PUT leaves them
	// out; [] and null empty it all the same.
	KeepOmittedMembers bool `json:"keepOmittedMembers"`
	// NestedGroups lets a group be a member of a group.
	NestedGroups bool `json:"nestedGroups"`
	// MissingMember says what becomes of a member that the directory does not
	// have: one of the Missing constants.
	MissingMember string `json:"missingMember"`
	// AnswerMembers bounds the answer to a PATCH of a group: with more members
	// than that it is a 204, otherwise a 200 with the group. 0: always a 200.
	AnswerMembers int `json:"answerMembers"`
	// RelativeReferences writes the $ref of groups and members relative to the URL
	// of the directory ("Users/ID"), as RFC 7643 section 2.3.7 allows too.
	RelativeReferences bool `json:"relativeReferences"`
	// MaxPage is the largest page of a list, and the default one where it is
	// less than 100. At least 1, at most 10,000.
	MaxPage int `json:"maxPage"`
}

// What becomes of a member that the directory does not have.
const (
	MissingRefused  = "refuse"   // 400 invalidValue
	MissingNotFound = "notFound" // 404 of a PATCH, 400 invalidValue of anything else
	MissingIgnored  = "ignore"   // passed over, and reported
)

// Rules returns the rule set of that name.
func Rules(name string) (RuleSet, error) {
	switch name {
	case Atlassian:
		return RuleSet{
			Name: Atlassian, Schemas: Atlassian,
			RequireEmails: true, RequirePrimaryEmail: true, UniqueEmails: true, UniqueGroupNames: true,
			Tolerant: true, KeepOmittedExternalID: true,
			ObservedShape: true, FailureBody: true, MaxPage: 100,
			RefuseGroupRename: true, KeepOmittedMembers: true, MissingMember: MissingNotFound,
		}, nil
	case Standard:
		return RuleSet{
			Name: Standard, Schemas: Standard,
			Tolerant: true, KeepOmittedActive: true, MetaVersion: true, MaxPage: 1000,
			NestedGroups: true, MissingMember: MissingRefused, AnswerMembers: 1000,
		}, nil
	case Strict:
		return RuleSet{
			Name: Strict, Schemas: Standard, RefuseUnknown: true,
			KeepOmittedActive: true, KeepEmptyStrings: true, MetaVersion: true, MaxPage: 1000,
			NestedGroups: true, MissingMember: MissingRefused, AnswerMembers: 1000,
		}, nil
	}
	return RuleSet{}, fmt.Errorf("no rule set %q: there are %s", name, strings.Join(RuleSetNames, ", "))
}

// RuleSetNames are the names that Rules knows.
var RuleSetNames = []string{Atlassian, Standard, Strict}

// With returns r with the rules that overrides names changed. overrides is a
// JSON object of rule names as in the struct's tags, or empty; an unknown rule
// or a wrong type is an error that names it.
func (r RuleSet) With(overrides []byte) (RuleSet, error) {
	if len(bytes.TrimSpace(overrides)) == 0 {
		return r, nil
	}
	var members map[string]jsontext.Value
	if err := json.Unmarshal(overrides, &members); err != nil {
		return r, fmt.Errorf("rules: %w", err)
	}
	rules := r.List()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		i := slices.IndexFunc(rules, func(rule Rule) bool { return rule.Name == name })
		if i < 0 {
			var names []string
			for _, rule := range rules {
				names = append(names, rule.Name)
			}
			return r, fmt.Errorf("rules: no rule %q: there are %s", name, strings.Join(names, ", "))
		}
		v := members[name]
		if v.Kind() == 'n' {
			return r, fmt.Errorf("rules: %s is null: leave it out, or give it a value", name)
		}
		if _, ok := rules[i].Value.(bool); ok && v.Kind() != 't' && v.Kind() != 'f' {
			return r, fmt.Errorf("rules: %s is %s: it takes true or false", name, v)
		}
	}
	if err := json.Unmarshal(overrides, &r); err != nil {
		return r, fmt.Errorf("rules: %w", err)
	}
	if r.Schemas != Atlassian && r.Schemas != Standard {
		return r, fmt.Errorf("rules: schemas is %q: there are %s and %s", r.Schemas, Atlassian, Standard)
	}
	if r.MissingMember != MissingRefused && r.MissingMember != MissingNotFound && r.MissingMember != MissingIgnored {
		return r, fmt.Errorf("rules: missingMember is %q: there are %s, %s and %s", r.MissingMember, MissingRefused, MissingNotFound, MissingIgnored)
	}
	if r.AnswerMembers < 0 {
		return r, fmt.Errorf("rules: answerMembers is %d: 0 or more", r.AnswerMembers)
	}
	if r.MaxPage < 1 || r.MaxPage > 10000 {
		return r, fmt.Errorf("rules: maxPage is %d: from 1 to 10000", r.MaxPage)
	}
	return r, nil
}

// A Rule is one rule of a RuleSet: its name, and its value, which is a string, a
// bool or an int.
type Rule struct {
	Name  string
	Value any
}

// List returns the rules in the order of RuleSet.
func (r RuleSet) List() []Rule {
	var list []Rule
	v := reflect.ValueOf(r)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("json"); name != "-" {
			list = append(list, Rule{name, v.Field(i).Interface()})
		}
	}
	return list
}
