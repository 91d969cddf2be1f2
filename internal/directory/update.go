package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// Update changes a directory: its name, its default mark, its rules, its schemas.
// It is one transaction that keeps all writers of the directory out: the new
// rules hold for what is stored too, or nothing changes. What is stored is indexed
// again where the rules need it, and documents get the form of the new schemas;
// of those no value is dropped. The plan says what was done.
//
// Refused with a 409 that has the reason are: a rule that makes an attribute
// unique of which there are equal values, a resource type taken away of which
// there are resources, a second default directory. Where the IfMatch of c does
// not name the version of the directory, it is a 412.
func (s *Service) Update(ctx context.Context, c Call, id string, u roster.DirectoryUpdate) (rec *roster.Directory, plan *roster.DirectoryPlan, err error) {
	if len(u.Schemas) > 0 && s.schemas != nil {
		return nil, nil, scim.Errorf(409, "", "the schemas of this server's directories are the files of --schema-dir: change them there, and start the server again")
	}
	return s.update(ctx, c, id, u)
}

func (s *Service) update(ctx context.Context, c Call, id string, u roster.DirectoryUpdate) (rec *roster.Directory, plan *roster.DirectoryPlan, err error) {
	if !isID(id) {
		return nil, nil, NoDirectory(id)
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		cur, err := tx.LockDirectory(id)
		if err != nil {
			return err
		}
		m, err := s.migration(c, tx, cur, u)
		if err != nil {
			return err
		}
		plan, rec = m.plan, cur
		if plan.Refused != "" {
			return scim.Errorf(409, "", "%s", plan.Refused)
		}
		if bytes.Equal(cur.Rules, m.next.Rules) && bytes.Equal(cur.Schemas, m.next.Schemas) && len(plan.Settings) == 0 {
			return nil
		}
		rec = m.next.Directory
		if err := m.apply(c, tx); err != nil {
			return err
		}
		return tx.ReplaceDirectory(rec)
	})
	s.reread()
	s.bell.ring(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil, NoDirectory(id)
	case errors.Is(err, store.ErrExists):
		return nil, nil, scim.Errorf(409, scim.Uniqueness, "there is a default directory already: take its mark first")
	case err != nil:
		return nil, nil, err
	}
	return rec, plan, nil
}

// PlanUpdate returns what Update would do, and changes nothing. Others may write
// meanwhile, so what Update finds may be more.
func (s *Service) PlanUpdate(ctx context.Context, c Call, id string, u roster.DirectoryUpdate) (*roster.DirectoryPlan, error) {
	if !isID(id) {
		return nil, NoDirectory(id)
	}
	var m *migration
	err := s.store.View(ctx, func(r store.Reader) error {
		cur, err := r.GetDirectory(id)
		if err != nil {
			return err
		}
		m, err = s.migration(c, r, cur, u)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, NoDirectory(id)
	}
	if err != nil {
		return nil, err
	}
	return m.plan, nil
}

// migration plans the way from cur to what u makes of it.
func (s *Service) migration(c Call, r store.Reader, cur *roster.Directory, u roster.DirectoryUpdate) (*migration, error) {
	if !c.IfMatch.Holds(cur.Version) {
		return nil, scim.Errorf(412, "", "the directory has the version W/\"%d\", which If-Match does not name: read it again and repeat the change on that", cur.Version)
	}
	next := *cur
	next.Version++
	next.Modified = later(s.clock(), cur.Modified)
	if err := change(&next, u); err != nil {
		return nil, err
	}
	from, err := s.bind(cur, nil)
	if err != nil {
		return nil, err
	}
	to, err := s.bind(&next, nil)
	if err != nil {
		return nil, scim.Errorf(400, scim.InvalidValue, "%v", errors.Unwrap(err))
	}
	m := &migration{directory: from, next: to, duplicates: make(map[string]int), plan: &roster.DirectoryPlan{
		Settings: settings(from, to), Types: []roster.TypeChange{}, Attributes: []roster.AttributeChange{}, Duplicates: []roster.Duplicate{},
	}}
	if err := m.types(r); err != nil {
		return nil, err
	}
	for _, t := range m.pairs {
		if err := m.look(r, t); err != nil {
			return nil, err
		}
	}
	m.refuse()
	return m, nil
}

// change makes of d what u says.
func change(d *roster.Directory, u roster.DirectoryUpdate) error {
	if name := strings.TrimSpace(u.Name); u.Name != "" {
		if !isName(name) {
			return badName()
		}
		d.Name = name
	}
	if u.RuleSet != "" {
		d.RuleSet = u.RuleSet
	}
	if u.Default != nil {
		d.Default = *u.Default
	}
	if u.SuppressMail != nil {
		d.SuppressMail = *u.SuppressMail
	}
	if len(u.Schemas) > 0 {
		schemas, err := customOf(u.Schemas)
		if err != nil {
			return err
		}
		d.Schemas = schemas
	}
	if len(u.Rules) == 0 {
		return nil
	}
	rules := make(map[string]jsontext.Value)
	if len(d.Rules) > 0 {
		if err := json.Unmarshal(d.Rules, &rules); err != nil {
			return fmt.Errorf("stored rules: %w", err)
		}
	}
	for name, v := range u.Rules {
		if v.Kind() == 'n' {
			delete(rules, name)
		} else {
			rules[name] = v
		}
	}
	d.Rules = nil
	if len(rules) == 0 {
		return nil
	}
	data, err := json.Marshal(rules, json.Deterministic(true))
	if err != nil {
		return scim.Errorf(400, scim.InvalidSyntax, "rules: %v", err)
	}
	d.Rules = data
	return jsonCompact(&d.Rules)
}

func badName() *scim.Error {
	return scim.Errorf(400, scim.InvalidValue, "name must be 1 to 200 characters on one line")
}

// customOf returns a document of schemas as it is stored: nothing when it has
// none.
func customOf(doc jsontext.Value) (jsontext.Value, error) {
	if doc.Kind() == 'n' {
		return nil, nil
	}
	custom, err := scim.ParseCustom(doc)
	if err != nil || len(custom.Schemas)+len(custom.ResourceTypes) == 0 {
		return nil, err
	}
	doc = doc.Clone()
	return doc, jsonCompact(&doc)
}

// jsonCompact takes the blanks out of v, which is also told in a header.
func jsonCompact(v *jsontext.Value) error {
	if err := v.Compact(); err != nil {
		return scim.Errorf(400, scim.InvalidSyntax, "%v", err)
	}
	return nil
}

// settings lists what changes of the directory itself.
func settings(from, to *Directory) []roster.SettingChange {
	list := []roster.SettingChange{}
	add := func(name string, a, b any) {
		before, err := json.Marshal(a)
		after, err2 := json.Marshal(b)
		if err == nil && err2 == nil && !bytes.Equal(before, after) { // text, numbers and booleans: no error
			list = append(list, roster.SettingChange{Name: name, From: before, To: after})
		}
	}
	add("name", from.Name, to.Name)
	add("ruleSet", from.RuleSet, to.RuleSet)
	add("default", from.Default, to.Default)
	add("suppressMail", from.SuppressMail, to.SuppressMail)
	before, after := from.Model.Rules.List(), to.Model.Rules.List()
	for i := range before {
		add(before[i].Name, before[i].Value, after[i].Value)
	}
	return list
}

// refuse says why the change cannot be made, if it cannot.
func (m *migration) refuse() {
	p := m.plan
	var reasons []string
	for _, t := range p.Types {
		if t.Change == roster.PlanRemoved && t.Resources > 0 {
			reasons = append(reasons, fmt.Sprintf("there are %d resources of the type %s: delete them first", t.Resources, t.Name))
		}
	}
	if n := len(p.Duplicates); n > 0 {
		names := make([]string, n)
		for i, d := range p.Duplicates {
			names[i] = d.String()
		}
		reasons = append(reasons, "values that would have to be unique are not: "+strings.Join(names, "; "))
	}
	if m.tooLong != "" {
		reasons = append(reasons, m.tooLong)
	}
	p.Refused = strings.Join(reasons, "; ")
}

// reread makes the next requests read directories and keys afresh.
func (s *Service) reread() {
	s.mu.Lock()
	s.generation++
	clear(s.directories)
	clear(s.keys)
	s.mu.Unlock()
}
