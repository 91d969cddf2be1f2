package scim

import (
	"embed"
	"fmt"

	"github.com/go-json-experiment/json"
)

// The URNs of the schemas that are built in.
const (
	UserURN              = "urn:ietf:params:scim:schemas:core:2.0:User"
	GroupURN             = "urn:ietf:params:scim:schemas:core:2.0:Group"
	EnterpriseUserURN    = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	AtlassianExternalURN = "urn:scim:schemas:extension:atlassian-external:1.0"
)

// The URNs of the resources that describe a service (RFC 7643 sections 5 to 7)
// and of its messages (RFC 7644 section 8.2).
const (
	SchemaURN                = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	ResourceTypeURN          = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	ServiceProviderConfigURN = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	ListResponseURN          = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
)

// The data types of RFC 7643 section 2.3; errata 5606 and 8435 add binary to
// the list of section 7.
const (
	TypeString    = "string"
	TypeBoolean   = "boolean"
	TypeDecimal   = "decimal"
	TypeInteger   = "integer"
	TypeDateTime  = "dateTime"
	TypeBinary    = "binary"
	TypeReference = "reference"
	TypeComplex   = "complex"
)

// The characteristics of RFC 7643 section 2.2 that are words.
const (
	ReadOnly  = "readOnly"
	ReadWrite = "readWrite"
	Immutable = "immutable"
	WriteOnly = "writeOnly"

	ReturnedAlways  = "always"
	ReturnedNever   = "never"
	ReturnedDefault = "default"
	ReturnedRequest = "request"

	UniqueNone   = "none"
	UniqueServer = "server"
	UniqueGlobal = "global"
)

// A Schema is a schema definition (RFC 7643 section 7).
type Schema struct {
	ID          string       `json:"id"` // its URN
	Name        string       `json:"name"`
	Description string       `json:"description"`
	Attributes  []*Attribute `json:"attributes"`
}

// An Attribute is the definition of one attribute (RFC 7643 section 7).
type Attribute struct {
	Name            string       `json:"name"`
	Type            string       `json:"type"`
	SubAttributes   []*Attribute `json:"subAttributes,omitempty"` // of a complex attribute only
	MultiValued     bool         `json:"multiValued"`
	Description     string       `json:"description"`
	Required        bool         `json:"required"`
	CanonicalValues []string     `json:"canonicalValues,omitempty"` // a hint: other values are taken too
	CaseExact       bool         `json:"caseExact"`
	Mutability      string       `json:"mutability"`
	Returned        string       `json:"returned"`
	Uniqueness      string       `json:"uniqueness"`
	ReferenceTypes  []string     `json:"referenceTypes,omitempty"`
}

// A ResourceType names a schema and its extensions (RFC 7643 section 6).
type ResourceType struct {
	Name        string
	Endpoint    string // relative to the base URL: "/Users"
	Description string
	Schema      string // the URN of the core schema
	Extensions  []SchemaExtension
}

// A SchemaExtension is one extension of a ResourceType.
type SchemaExtension struct {
	Schema   string `json:"schema"`
	Required bool   `json:"required"`
}

//go:embed schemas/*.json
var schemaFiles embed.FS

func builtinSchema(file string) (*Schema, error) {
	data, err := schemaFiles.ReadFile("schemas/" + file)
	if err != nil {
		return nil, err
	}
	s := new(Schema)
	if err := json.Unmarshal(data, s, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("schema %s: %w", file, err)
	}
	return s, nil
}

// commonAttributes are those of RFC 7643 section 3.1, which every resource has
// and no schema lists.
func commonAttributes(rules RuleSet) []*Attribute {
	unique := UniqueNone
	if rules.UniqueExternalID {
		unique = UniqueServer
	}
	return []*Attribute{
		{Name: "schemas", Type: TypeReference, MultiValued: true, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedAlways},
		{Name: "id", Type: TypeString, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedAlways, Uniqueness: UniqueServer},
		{Name: "externalId", Type: TypeString, CaseExact: true, Mutability: ReadWrite, Returned: ReturnedDefault, Uniqueness: unique},
		{Name: "meta", Type: TypeComplex, Mutability: ReadOnly, Returned: ReturnedDefault, SubAttributes: []*Attribute{
			{Name: "resourceType", Type: TypeString, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedDefault},
			{Name: "created", Type: TypeDateTime, Mutability: ReadOnly, Returned: ReturnedDefault},
			{Name: "lastModified", Type: TypeDateTime, Mutability: ReadOnly, Returned: ReturnedDefault},
			{Name: "location", Type: TypeReference, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedDefault},
			{Name: "version", Type: TypeString, CaseExact: true, Mutability: ReadOnly, Returned: ReturnedDefault},
		}},
	}
}
