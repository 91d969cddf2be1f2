package scim

import (
	"fmt"
	"slices"
	"strings"
)

// An Attr is one attribute of a Type: its definition and its place. An
// extension of a type is an Attr too, complex, named by its URN.
type Attr struct {
	*Attribute
	// Path is how the attribute is called from outside: "userName",
	// "emails.value", "urn:…:User:department", "urn:…:User:manager.value".
	Path string
	// Extension says that the Attr stands for a whole extension.
	Extension bool

	ord    int // its place in Type.attrs: canonical order, a parent before its subs
	parent *Attr
	subs   []*Attr
	names  map[string]*Attr // subs by name, as defined and folded
	// view is the attribute that shows the same value: Atlassian's department
	// and organization exist twice, at the top and in the enterprise extension.
	view *Attr
	// linked says that the value is kept as memberships, not in the document.
	linked    bool
	hidden    bool    // never, or below what is
	primary   *Attr   // of a list: the sub-attribute that marks the preferred value
	required  []*Attr // subs that a client must send
	demanding bool    // complex, and has required subs
	guarded   bool    // one complex value with subs that a client cannot write, or once only
}

// Sub returns the sub-attribute of that name, without regard to case, or nil.
func (a *Attr) Sub(name string) *Attr {
	if s, ok := a.names[name]; ok {
		return s
	}
	return a.names[foldName(name)]
}

// never says that a value is checked and then forgotten: no answer may show it,
// and nothing here compares with it (a password above all).
func (a *Attr) never() bool { return a.Returned == ReturnedNever || a.Mutability == WriteOnly }

// readOnly says that a client can write neither a nor what it is a part of.
func (a *Attr) readOnly() bool {
	return a.Mutability == ReadOnly || a.parent != nil && a.parent.Mutability == ReadOnly
}

// A Type is a resource type bound to its schemas and to a rule set: an
// immutable table of attributes, safe for concurrent use.
type Type struct {
	ResourceType
	Rules RuleSet

	root   *Attr   // its subs are the attributes at the top
	attrs  []*Attr // by ord
	linked *Attr   // groups of a User, members of a Group; or nil

	externalID               *Attr
	active, userName, emails *Attr // nil when the type has none

	// urns are the schemas of an answer under ObservedShape.
	urns []string
	// plain says that a stored document can be sent as it is: nothing in it is
	// returned on request only.
	plain bool
	// unasked is the Projection of an answer that nobody asked to be cut.
	unasked *Projection
	views   []*Attr // at the top, each with its view in an extension
}

// Attributes returns every attribute of the type in canonical order, each
// before its sub-attributes.
func (t *Type) Attributes() []*Attr { return t.attrs }

// Compile binds rt to its schemas, which must all be in schemas, and to rules.
func Compile(rt ResourceType, schemas []*Schema, rules RuleSet) (*Type, error) {
	t := &Type{ResourceType: rt, Rules: rules, plain: true}
	core, err := findSchema(schemas, rt.Schema)
	if err != nil {
		return nil, err
	}
	if !isURN(core.ID) {
		return nil, fmt.Errorf("schema %q: not a URN", core.ID)
	}
	top := commonAttributes(rules)
	meta := top[3]
	top = append(top[:3], core.Attributes...)
	t.root = &Attr{Attribute: &Attribute{Type: TypeComplex, SubAttributes: append(top, meta)}, ord: -1}
	for _, e := range rt.Extensions {
		s, err := findSchema(schemas, e.Schema)
		if err != nil {
			return nil, err
		}
		if !isURN(s.ID) {
			return nil, fmt.Errorf("schema %q: not a URN", s.ID)
		}
		t.root.SubAttributes = append(t.root.SubAttributes, &Attribute{
			Name: s.ID, Type: TypeComplex, SubAttributes: s.Attributes, Description: s.Description,
			Required: e.Required, Mutability: extensionMutability(s), Returned: ReturnedDefault, Uniqueness: UniqueNone,
		})
		t.urns = append(t.urns, s.ID)
	}
	t.urns = append([]string{rt.Schema}, t.urns...)
	// As Atlassian lists them: its own extension, the core, the enterprise one.
	if i := slices.Index(t.urns, AtlassianExternalURN); i > 0 {
		t.urns = slices.Insert(slices.Delete(t.urns, i, i+1), 0, AtlassianExternalURN)
	}
	if err := t.add(t.root, ""); err != nil {
		return nil, fmt.Errorf("resource type %s: %w", rt.Name, err)
	}
	t.externalID, t.active, t.userName, t.emails = t.root.Sub("externalId"), t.root.Sub("active"), t.root.Sub("userName"), t.root.Sub("emails")
	switch rt.Schema {
	case UserURN:
		t.link("groups")
	case GroupURN:
		t.link("members")
	}
	if rules.Schemas == Atlassian {
		t.pairViews()
	}
	t.root.derive()
	t.unasked = t.excluding(nil)
	return t, nil
}

// extensionMutability is readOnly for an extension that a client can write
// nothing of: it is then passed over as a whole.
func extensionMutability(s *Schema) string {
	for _, a := range s.Attributes {
		if a.Mutability != ReadOnly {
			return ReadWrite
		}
	}
	return ReadOnly
}

// derive notes of a, and of all below it, what follows from its subs.
func (a *Attr) derive() {
	if a.MultiValued {
		a.primary = a.names["primary"]
	}
	for _, s := range a.subs {
		s.derive()
		if s.Required && s.Mutability != ReadOnly && !s.linked {
			a.required = append(a.required, s)
		}
		a.demanding = a.demanding || s.demanding
		a.guarded = a.guarded || !a.MultiValued && (s.Mutability == ReadOnly || s.Mutability == Immutable)
	}
	a.demanding = a.demanding || len(a.required) > 0
}

func findSchema(schemas []*Schema, urn string) (*Schema, error) {
	for _, s := range schemas {
		if strings.EqualFold(s.ID, urn) {
			return s, nil
		}
	}
	return nil, fmt.Errorf("no schema %s", urn)
}

// Unique reports whether no two resources of a directory may share a value of a.
func (a *Attr) Unique() bool { return a.Uniqueness == UniqueServer || a.Uniqueness == UniqueGlobal }

// Key returns a text value of a as it is searched for and compared: folded,
// where a ignores case.
func (a *Attr) Key(text string) string {
	if a.CaseExact {
		return text
	}
	return Fold(text)
}

// add makes the Attrs below parent.
func (t *Type) add(parent *Attr, prefix string) error {
	parent.names = make(map[string]*Attr, 2*len(parent.SubAttributes))
	for _, def := range parent.SubAttributes {
		a := &Attr{Attribute: def, Path: prefix + def.Name, ord: len(t.attrs), parent: parent}
		a.Extension = parent == t.root && strings.Contains(def.Name, ":")
		if !a.Extension && !isName(def.Name) {
			return fmt.Errorf("attribute %q: not a name (RFC 7643 section 2.1)", a.Path)
		}
		if parent.names[foldName(def.Name)] != nil {
			return fmt.Errorf("attribute %s is defined twice", a.Path)
		}
		a.hidden = a.never() || parent.hidden
		parent.names[def.Name] = a
		parent.names[foldName(def.Name)] = a
		parent.subs = append(parent.subs, a)
		t.attrs = append(t.attrs, a)
		t.plain = t.plain && def.Returned != ReturnedRequest
		if def.Type != TypeComplex {
			continue
		}
		sep := "."
		if a.Extension {
			sep = ":"
		}
		if err := t.add(a, a.Path+sep); err != nil {
			return err
		}
	}
	return nil
}

// isName reports whether s is an ATTRNAME of RFC 7643 section 2.1, or "$ref".
func isName(s string) bool {
	s = strings.TrimPrefix(s, "$")
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '-' || c == '_'):
		default:
			return false
		}
	}
	return s != ""
}

// isURN reports whether s can name a schema: it stands in documents as it is.
func isURN(s string) bool {
	return strings.Contains(s, ":") && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }) < 0
}

func (t *Type) link(name string) {
	if a := t.root.Sub(name); a != nil {
		a.linked = true
		t.linked = a
	}
}

func (t *Type) pairViews() {
	ext := t.root.Sub(EnterpriseUserURN)
	if ext == nil {
		return
	}
	for _, a := range t.root.subs {
		if b := ext.Sub(a.Name); b != nil && b.Type == a.Type {
			a.view, b.view = b, a
			t.views = append(t.views, a)
		}
	}
}

// Attr returns the attribute that a client calls path: a name, a name and a
// sub-attribute with a dot between them, either of them behind the URN of a
// schema and a colon, or the URN of an extension; without regard to case (RFC
// 7644 section 3.10). It returns nil when there is none.
func (t *Type) Attr(path string) *Attr {
	scope := t.root
	if strings.Contains(path, ":") {
		urn, rest := t.cutURN(path)
		if urn == nil {
			return nil
		}
		if rest == "" {
			if urn == t.root {
				return nil
			}
			return urn
		}
		scope, path = urn, rest
	}
	name, sub, dotted := strings.Cut(path, ".")
	a := scope.Sub(name)
	if a == nil || a.Extension || !dotted {
		return a
	}
	return a.Sub(sub)
}

// cutURN splits a path that begins with the URN of one of the type's schemas,
// the longest that fits. An URN may itself hold dots and colons, so the schemas
// decide where it ends.
func (t *Type) cutURN(path string) (scope *Attr, rest string) {
	longest := 0
	try := func(urn string, a *Attr) {
		n := len(urn)
		if n <= longest || len(path) < n || !strings.EqualFold(path[:n], urn) {
			return
		}
		switch tail := path[n:]; {
		case tail == "":
			scope, rest, longest = a, "", n
		case tail[0] == ':' && len(tail) > 1:
			scope, rest, longest = a, tail[1:], n
		}
	}
	try(t.Schema, t.root)
	for _, a := range t.root.subs {
		if a.Extension {
			try(a.Name, a)
		}
	}
	return scope, rest
}

// A Model is all that a directory serves: its rules, its schemas and its
// resource types.
type Model struct {
	Rules   RuleSet
	Schemas []*Schema
	Types   []*Type
}

// NewModel returns the model of the built-in schemas that rules names and of
// those that custom adds; nil adds none. custom must not be changed afterwards.
func NewModel(rules RuleSet, custom *Custom) (*Model, error) {
	if custom == nil {
		custom = new(Custom)
	}
	files := []string{"user.json", "enterprise-user.json", "group.json"}
	user := ResourceType{Name: "User", Endpoint: "/Users", Description: "User accounts.", Schema: UserURN,
		Extensions: []SchemaExtension{{Schema: EnterpriseUserURN}}}
	if rules.Schemas == Atlassian {
		files = []string{"atlassian-user.json", "atlassian-enterprise-user.json", "atlassian-external.json", "atlassian-group.json"}
		user.Extensions = append(user.Extensions, SchemaExtension{Schema: AtlassianExternalURN})
	}
	m := &Model{Rules: rules}
	for _, f := range files {
		s, err := builtinSchema(f)
		if err != nil {
			return nil, err
		}
		m.Schemas = append(m.Schemas, s)
	}
	m.applyRules()
	m.Schemas = append(m.Schemas, custom.Schemas...)
	group := ResourceType{Name: "Group", Endpoint: "/Groups", Description: "Groups of users.", Schema: GroupURN}
	types := []ResourceType{custom.extend(user), custom.extend(group)}
	for _, rt := range custom.ResourceTypes {
		if rt.Name != user.Name && rt.Name != group.Name {
			types = append(types, rt)
		}
	}
	for _, rt := range types {
		t, err := Compile(rt, m.Schemas, rules)
		if err != nil {
			return nil, err
		}
		m.Types = append(m.Types, t)
	}
	return m, nil
}

// applyRules makes the schemas say what the rules make of them.
func (m *Model) applyRules() {
	unique := func(a *Attribute, is bool) {
		a.Uniqueness = UniqueNone
		if is {
			a.Uniqueness = UniqueServer
		}
	}
	for _, s := range m.Schemas {
		for _, a := range s.Attributes {
			switch {
			case s.ID == UserURN && a.Name == "emails":
				a.Required = m.Rules.RequireEmails
				for _, sub := range a.SubAttributes {
					if sub.Name == "value" {
						unique(sub, m.Rules.UniqueEmails)
					}
				}
			case s.ID == GroupURN && a.Name == "displayName":
				unique(a, m.Rules.UniqueGroupNames)
				a.Mutability = ReadWrite
				if m.Rules.RefuseGroupRename {
					a.Mutability = Immutable
				}
			}
		}
	}
}

// Type returns the resource type of that name, or nil.
func (m *Model) Type(name string) *Type {
	for _, t := range m.Types {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Top returns the attribute at the top of a resource, or of an extension, that
// a is or is a sub-attribute of.
func (a *Attr) Top() *Attr {
	for a.parent.ord >= 0 && !a.parent.Extension {
		a = a.parent
	}
	return a
}

// Above returns the attribute that a is a sub-attribute of, or the extension that
// it belongs to; nil at the top.
func (a *Attr) Above() *Attr {
	if a.parent.ord < 0 {
		return nil
	}
	return a.parent
}
