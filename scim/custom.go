package scim

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a Custom.
const (
	MaxCustomBytes      = 1 << 20 // of its document
	MaxCustomSchemas    = 100
	MaxCustomTypes      = 100
	MaxCustomAttributes = 2000 // of all schemas together, sub-attributes too
	maxFaults           = 20   // faults that one error names
)

// A Custom is what a directory serves besides what is built in: schemas of its
// own, resource types made of them, and, by an entry named User or Group, more
// extensions of those. The zero Custom adds nothing.
type Custom struct {
	Schemas       []*Schema
	ResourceTypes []ResourceType
}

// ParseCustom reads the document
//
//	{"schemas": [schema, …], "resourceTypes": [resource type, …]}
//
// whose parts have the form of RFC 7643 sections 7 and 6, as /Schemas and
// /ResourceTypes of any service answer it; empty is none. A characteristic that
// is left out has the value of RFC 7643 section 2.2. References and binary
// values are case exact whatever is said (sections 2.3.6 and 2.3.7). The error is
// an *Error with status 400 that names every fault, the first twenty at least,
// each with its schema and attribute.
func ParseCustom(data []byte) (*Custom, error) {
	if len(data) == 0 {
		return new(Custom), nil
	}
	if len(data) > MaxCustomBytes {
		return nil, Errorf(400, InvalidValue, "the schemas have more than %d bytes", MaxCustomBytes)
	}
	var doc customDocument
	if err := json.Unmarshal(data, &doc, json.RejectUnknownMembers(true)); err != nil {
		return nil, notCustom(err)
	}
	b := &customBuilder{custom: new(Custom)}
	b.schemas(doc.Schemas)
	b.types(doc.ResourceTypes)
	if len(b.faults) == 0 {
		return b.custom, nil
	}
	if n := len(b.faults) - maxFaults; n > 0 {
		b.faults = append(b.faults[:maxFaults], fmt.Sprintf("and %d more", n))
	}
	return nil, Errorf(400, InvalidValue, "%s", strings.Join(b.faults, "; "))
}

// notCustom says what of a document has not the form of a Custom, and where.
func notCustom(err error) *Error {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return Errorf(400, InvalidSyntax, "the schemas are not valid JSON: %s", clip(strings.TrimPrefix(syntax.Err.Error(), "jsontext: ")))
	}
	what, at := "has another type", ""
	if e := (*json.SemanticError)(nil); errors.As(err, &e) {
		at = string(e.JSONPointer)
		if errors.Is(e.Err, json.ErrUnknownName) {
			what = "is no member of it"
		}
	}
	if at == "" {
		at = "the whole"
	}
	return Errorf(400, InvalidSyntax, `send {"schemas": […], "resourceTypes": […]} of the forms of RFC 7643 sections 7 and 6: %s %s`, clip(at), what)
}

// The documents of schemas and resource types. What other services put beside
// them (schemas, meta) is passed over.
type (
	customDocument struct {
		Schemas       []schemaDocument       `json:"schemas"`
		ResourceTypes []resourceTypeDocument `json:"resourceTypes"`
	}
	schemaDocument struct {
		URNs        jsontext.Value      `json:"schemas"`
		Meta        jsontext.Value      `json:"meta"`
		ID          string              `json:"id"`
		Name        string              `json:"name"`
		Description string              `json:"description"`
		Attributes  []attributeDocument `json:"attributes"`
	}
	attributeDocument struct {
		Attribute
		SubAttributes []attributeDocument `json:"subAttributes"`
	}
	resourceTypeDocument struct {
		URNs        jsontext.Value    `json:"schemas"`
		Meta        jsontext.Value    `json:"meta"`
		ID          string            `json:"id"`
		Name        string            `json:"name"`
		Endpoint    string            `json:"endpoint"`
		Description string            `json:"description"`
		Schema      string            `json:"schema"`
		Extensions  []SchemaExtension `json:"schemaExtensions"`
	}
)

// builtinURNs are the schemas that a Custom cannot define; an extension of User
// among them may be named, as /ResourceTypes names it.
var builtinURNs = []string{UserURN, GroupURN, EnterpriseUserURN, AtlassianExternalURN, SchemaURN, ResourceTypeURN, ServiceProviderConfigURN}

// builtinEndpoints are those that a resource type cannot have.
var builtinEndpoints = []string{"/Users", "/Groups", "/Schemas", "/ResourceTypes", "/ServiceProviderConfig", "/Bulk", "/Me"}

var (
	// customURN is the URN of RFC 8141 without what would need escapes in a path.
	customURN = regexp.MustCompile(`^(?i:urn):[A-Za-z0-9][A-Za-z0-9-]{0,31}:[A-Za-z0-9._:-]{1,160}$`)
	typeName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)
)

// A customBuilder makes a Custom and collects what is wrong with it.
type customBuilder struct {
	custom     *Custom
	attributes int
	faults     []string
}

func (b *customBuilder) fault(format string, args ...any) {
	b.faults = append(b.faults, clip(fmt.Sprintf(format, args...)))
}

func (b *customBuilder) schemas(docs []schemaDocument) {
	if len(docs) > MaxCustomSchemas {
		b.fault("there are %d schemas: %d at the most", len(docs), MaxCustomSchemas)
		return
	}
	for i := range docs {
		d := &docs[i]
		at := "schema " + d.ID
		switch {
		case !customURN.MatchString(d.ID):
			b.fault(`schema %d: id %q is no URN such as "urn:example:schemas:Badge"`, i+1, d.ID)
			continue
		case hasFold(builtinURNs, d.ID):
			b.fault("%s is built in: give your own another id", at)
		case b.custom.schema(d.ID) != nil:
			b.fault("%s is defined twice", at)
		}
		s := &Schema{ID: d.ID, Name: d.Name, Description: d.Description}
		if s.Name == "" {
			s.Name = d.ID[strings.LastIndexByte(d.ID, ':')+1:]
		}
		if len(d.Attributes) == 0 {
			b.fault("%s has no attributes", at)
		}
		s.Attributes = b.list(at, d.Attributes, nil)
		b.custom.Schemas = append(b.custom.Schemas, s)
	}
	if b.attributes > MaxCustomAttributes {
		b.fault("there are %d attributes: %d at the most", b.attributes, MaxCustomAttributes)
	}
}

// list makes the attributes of a schema, or the sub-attributes of parent.
func (b *customBuilder) list(at string, docs []attributeDocument, parent *Attribute) []*Attribute {
	b.attributes += len(docs)
	var list []*Attribute
	seen := make(map[string]bool, len(docs))
	for i := range docs {
		d := &docs[i]
		at := at + ", attribute " + d.Name
		switch name := foldName(d.Name); {
		case !isName(d.Name) || len(d.Name) > 100 || d.Name[0] == '$' && parent == nil:
			b.fault("%s: the name must be letters, digits, - and _, a letter first (RFC 7643 section 2.1)", at)
			continue
		case parent == nil && (name == "id" || name == "externalid" || name == "meta" || name == "schemas"):
			b.fault("%s: the name is that of a common attribute (RFC 7643 section 3.1)", at)
		case seen[name]:
			b.fault("%s is defined twice (names ignore case)", at)
		default:
			seen[name] = true
		}
		list = append(list, b.attribute(at, d, parent))
	}
	return list
}

// attribute makes one attribute, with what is left out filled in.
func (b *customBuilder) attribute(at string, d *attributeDocument, parent *Attribute) *Attribute {
	a := d.Attribute
	b.word(at, "type", &a.Type, TypeString, TypeBoolean, TypeDecimal, TypeInteger, TypeDateTime, TypeBinary, TypeReference, TypeComplex)
	b.word(at, "mutability", &a.Mutability, ReadWrite, ReadOnly, Immutable, WriteOnly)
	b.word(at, "returned", &a.Returned, ReturnedDefault, ReturnedAlways, ReturnedNever, ReturnedRequest)
	b.word(at, "uniqueness", &a.Uniqueness, UniqueNone, UniqueServer, UniqueGlobal)
	a.CaseExact = a.CaseExact || a.Type == TypeBinary || a.Type == TypeReference
	switch {
	case parent != nil && a.Type == TypeComplex:
		b.fault("%s: a sub-attribute cannot be complex (RFC 7643 section 2.3.8)", at)
		return &a
	case parent != nil && a.MultiValued:
		b.fault("%s: a sub-attribute has one value: make the attribute above it multi-valued", at)
	case a.Type == TypeComplex && len(d.SubAttributes) == 0:
		b.fault("%s: it is complex: give it subAttributes", at)
	case a.Type != TypeComplex && len(d.SubAttributes) > 0:
		b.fault("%s: subAttributes are for complex attributes alone", at)
		return &a
	}
	kept := a.Mutability != WriteOnly && a.Returned != ReturnedNever
	switch {
	case a.Mutability == WriteOnly && a.Returned == ReturnedAlways:
		b.fault("%s: what is writeOnly cannot be returned always", at)
	case a.Required && !kept:
		b.fault("%s: what is not kept (writeOnly, or returned never) cannot be required", at)
	}
	if a.Uniqueness == UniqueServer || a.Uniqueness == UniqueGlobal {
		switch {
		case a.Type == TypeComplex, a.Type == TypeBoolean, a.Type == TypeDecimal, a.Type == TypeDateTime:
			b.fault("%s: a %s cannot be unique: a string, a reference, a binary or an integer can", at, a.Type)
		case !kept:
			b.fault("%s: what is not kept (writeOnly, or returned never) cannot be unique", at)
		}
	}
	if a.Type == TypeComplex {
		a.SubAttributes = b.list(at, d.SubAttributes, &a)
	}
	return &a
}

// word checks a characteristic, of which the first word is the default.
func (b *customBuilder) word(at, name string, value *string, words ...string) {
	if *value == "" {
		*value = words[0]
	}
	if !slices.Contains(words, *value) {
		b.fault("%s: %s is %q: there are %s", at, name, *value, strings.Join(words, ", "))
	}
}

func (b *customBuilder) types(docs []resourceTypeDocument) {
	if len(docs) > MaxCustomTypes {
		b.fault("there are %d resource types: %d at the most", len(docs), MaxCustomTypes)
		return
	}
	for i := range docs {
		d := &docs[i]
		rt := ResourceType{Name: d.Name, Endpoint: d.Endpoint, Description: d.Description, Schema: d.Schema, Extensions: d.Extensions}
		at := "resource type " + d.Name
		switch {
		case !typeName.MatchString(d.Name):
			b.fault("resource type %d: the name %q must be up to 64 letters, digits, - and _, a letter first", i+1, d.Name)
			continue
		case d.ID != "" && d.ID != d.Name:
			b.fault("%s: the id must be the name, or left out", at)
		case slices.ContainsFunc(b.custom.ResourceTypes, func(o ResourceType) bool { return strings.EqualFold(o.Name, d.Name) }):
			b.fault("%s is defined twice", at)
		}
		switch d.Name {
		case "User":
			b.builtin(at, &rt, "/Users", UserURN)
		case "Group":
			b.builtin(at, &rt, "/Groups", GroupURN)
		default:
			b.own(at, &rt)
		}
		b.extensions(at, &rt)
		b.custom.ResourceTypes = append(b.custom.ResourceTypes, rt)
	}
}

// builtin checks the entry of a type that is built in, of which the extensions
// alone are taken.
func (b *customBuilder) builtin(at string, rt *ResourceType, endpoint, schema string) {
	if rt.Endpoint != "" && rt.Endpoint != endpoint {
		b.fault("%s: the endpoint stays %s", at, endpoint)
	}
	if rt.Schema != "" && !strings.EqualFold(rt.Schema, schema) {
		b.fault("%s: the schema stays %s: add attributes in schemaExtensions", at, schema)
	}
	rt.Endpoint, rt.Schema = endpoint, schema
}

// own checks the entry of a type of the directory's own.
func (b *customBuilder) own(at string, rt *ResourceType) {
	name, slash := strings.CutPrefix(rt.Endpoint, "/")
	switch {
	case strings.EqualFold(rt.Name, "User"), strings.EqualFold(rt.Name, "Group"):
		b.fault("%s: the name is built in, spelt in another way", at)
	case !slash || !typeName.MatchString(name):
		b.fault(`%s: the endpoint %q must be one segment such as "/Badges"`, at, rt.Endpoint)
	case hasFold(builtinEndpoints, rt.Endpoint):
		b.fault("%s: the endpoint %s is taken", at, rt.Endpoint)
	case slices.ContainsFunc(b.custom.ResourceTypes, func(o ResourceType) bool { return strings.EqualFold(o.Endpoint, rt.Endpoint) }):
		b.fault("%s: another type has the endpoint %s", at, rt.Endpoint)
	}
	if s := b.custom.schema(rt.Schema); s != nil {
		rt.Schema = s.ID
	} else {
		b.fault("%s: the schema %q is not among the schemas of this document", at, rt.Schema)
	}
}

func (b *customBuilder) extensions(at string, rt *ResourceType) {
	for i := range rt.Extensions {
		e := &rt.Extensions[i]
		s := b.custom.schema(e.Schema)
		switch builtin := hasFold([]string{EnterpriseUserURN, AtlassianExternalURN}, e.Schema); {
		case strings.EqualFold(e.Schema, rt.Schema):
			b.fault("%s: the extension %s is its schema already", at, e.Schema)
		case slices.ContainsFunc(rt.Extensions[:i], func(o SchemaExtension) bool { return strings.EqualFold(o.Schema, e.Schema) }):
			b.fault("%s: the extension %s is given twice", at, e.Schema)
		case s != nil:
			e.Schema = s.ID
			b.unambiguous(at, rt.Schema, s.ID)
		case !builtin || rt.Schema != UserURN:
			b.fault("%s: the extension %q is not among the schemas of this document", at, e.Schema)
		}
	}
}

// unambiguous refuses an extension whose URN is the qualified name of an
// attribute: "urn:…:core" with the attribute x, and "urn:…:core:x".
func (b *customBuilder) unambiguous(at, core, extension string) {
	s := b.custom.schema(core)
	if s == nil {
		return
	}
	for _, a := range s.Attributes {
		if strings.EqualFold(core+":"+a.Name, extension) {
			b.fault("%s: the extension %s is called as the attribute %s is: give it another id", at, extension, a.Name)
		}
	}
}

func (c *Custom) schema(urn string) *Schema {
	if s, err := findSchema(c.Schemas, urn); err == nil {
		return s
	}
	return nil
}

func hasFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(t string) bool { return strings.EqualFold(s, t) })
}

// extend returns the extensions of a type that is built in with those of a
// Custom's entry, which may also make a built-in one required.
func (c *Custom) extend(rt ResourceType) ResourceType {
	i := slices.IndexFunc(c.ResourceTypes, func(o ResourceType) bool { return o.Name == rt.Name })
	if i < 0 {
		return rt
	}
	rt.Extensions = slices.Clone(rt.Extensions)
	for _, e := range c.ResourceTypes[i].Extensions {
		if j := slices.IndexFunc(rt.Extensions, func(o SchemaExtension) bool { return strings.EqualFold(o.Schema, e.Schema) }); j >= 0 {
			rt.Extensions[j].Required = e.Required
			continue
		}
		rt.Extensions = append(rt.Extensions, e)
	}
	return rt
}

// Differences says in words which characteristics of RFC 7643 section 7 b has
// otherwise than a, such as "type: string -> integer".
func (a *Attr) Differences(b *Attr) []string {
	var list []string
	add := func(name string, from, to any) {
		if from != to {
			list = append(list, fmt.Sprintf("%s: %v -> %v", name, from, to))
		}
	}
	add("type", a.Type, b.Type)
	add("multiValued", a.MultiValued, b.MultiValued)
	add("required", a.Required, b.Required)
	add("caseExact", a.CaseExact, b.CaseExact)
	add("mutability", a.Mutability, b.Mutability)
	add("returned", a.Returned, b.Returned)
	add("uniqueness", a.Uniqueness, b.Uniqueness)
	return list
}
