package client

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// A User is a user as a service sends it and takes it: the attributes of RFC
// 7643 section 4.1, those that Atlassian adds, and in Extra all others.
type User struct {
	Schemas           []string            `json:"schemas,omitzero"` // of what was read; sent are those of what is there
	ID                string              `json:"id,omitzero"`      // assigned by the service; not sent
	ExternalID        Field[string]       `json:"externalId,omitzero"`
	UserName          string              `json:"userName,omitzero"` // required in what is sent
	Name              Field[Name]         `json:"name,omitzero"`
	DisplayName       Field[string]       `json:"displayName,omitzero"`
	NickName          Field[string]       `json:"nickName,omitzero"`
	ProfileURL        Field[string]       `json:"profileUrl,omitzero"`
	Title             Field[string]       `json:"title,omitzero"`
	UserType          Field[string]       `json:"userType,omitzero"`
	PreferredLanguage Field[string]       `json:"preferredLanguage,omitzero"`
	Locale            Field[string]       `json:"locale,omitzero"`
	Timezone          Field[string]       `json:"timezone,omitzero"`
	Department        Field[string]       `json:"department,omitzero"`   // Atlassian's; others have it in Enterprise
	Organization      Field[string]       `json:"organization,omitzero"` // Atlassian's; others have it in Enterprise
	Active            Field[bool]         `json:"active,omitzero"`
	Emails            Field[[]MultiValue] `json:"emails,omitzero"` // a lone one is sent as primary
	PhoneNumbers      Field[[]MultiValue] `json:"phoneNumbers,omitzero"`
	Groups            []GroupRef          `json:"groups,omitzero"` // by the service; not sent
	Enterprise        Field[Enterprise]   `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,omitzero"`
	External          External            `json:"urn:scim:schemas:extension:atlassian-external:1.0,omitzero"` // by the service; not sent
	Meta              Meta                `json:"meta,omitzero"`                                              // by the service; not sent
	// Extra is a JSON object of the attributes that have no field here, so that
	// what was read can be sent back whole. Empty: there are none.
	Extra jsontext.Value `json:",embed"`

	// Answer is what the service said; nil in a User that was not read.
	Answer *Answer `json:"-"`
}

// A Name is the components of a name. A PUT replaces it as a whole: the parts
// that are left out are cleared.
type Name struct {
	Formatted       Field[string]  `json:"formatted,omitzero"`
	FamilyName      Field[string]  `json:"familyName,omitzero"`
	GivenName       Field[string]  `json:"givenName,omitzero"`
	MiddleName      Field[string]  `json:"middleName,omitzero"`
	HonorificPrefix Field[string]  `json:"honorificPrefix,omitzero"`
	HonorificSuffix Field[string]  `json:"honorificSuffix,omitzero"`
	Extra           jsontext.Value `json:",embed"`
}

// A MultiValue is one e-mail address or telephone number (RFC 7643 section 2.4).
type MultiValue struct {
	Value   Field[string]  `json:"value,omitzero"`
	Display Field[string]  `json:"display,omitzero"`
	Type    Field[string]  `json:"type,omitzero"` // "work", "home", "mobile" …
	Primary Field[bool]    `json:"primary,omitzero"`
	Extra   jsontext.Value `json:",embed"`
}

// Value returns a MultiValue of that value and type; an empty type is left out.
func Value(value, typ string) MultiValue {
	v := MultiValue{Value: Set(value)}
	if typ != "" {
		v.Type = Set(typ)
	}
	return v
}

// Primary returns v marked as the primary one.
func Primary(v MultiValue) MultiValue {
	v.Primary = Set(true)
	return v
}

// A GroupRef is a group that a user belongs to.
type GroupRef struct {
	Value   string         `json:"value,omitzero"` // the group's id
	Ref     string         `json:"$ref,omitzero"`
	Display string         `json:"display,omitzero"`
	Type    string         `json:"type,omitzero"`
	Extra   jsontext.Value `json:",embed"`
}

// Enterprise is the extension of RFC 7643 section 4.3. Atlassian's service has
// its department and organization alone.
type Enterprise struct {
	EmployeeNumber Field[string]  `json:"employeeNumber,omitzero"`
	CostCenter     Field[string]  `json:"costCenter,omitzero"`
	Organization   Field[string]  `json:"organization,omitzero"`
	Division       Field[string]  `json:"division,omitzero"`
	Department     Field[string]  `json:"department,omitzero"`
	Extra          jsontext.Value `json:",embed"` // the manager above all
}

// External is Atlassian's extension.
type External struct {
	AtlassianAccountID string         `json:"atlassianAccountId,omitzero"`
	Extra              jsontext.Value `json:",embed"`
}

// Meta is what the service keeps about a resource (RFC 7643 section 3.1).
type Meta struct {
	ResourceType string
	Location     string
	Version      string // the ETag, where the service has one
	Created      time.Time
	LastModified time.Time
}

// UnmarshalJSONFrom reads a meta. A time that is none is zero: it is worth no
// failure of a call that was carried out.
func (m *Meta) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var raw struct {
		ResourceType string `json:"resourceType"`
		Location     string `json:"location"`
		Version      string `json:"version"`
		Created      string `json:"created"`
		LastModified string `json:"lastModified"`
	}
	if err := json.UnmarshalDecode(dec, &raw); err != nil {
		return err
	}
	*m = Meta{raw.ResourceType, raw.Location, raw.Version, parseTime(raw.Created), parseTime(raw.LastModified)}
	return nil
}

// MarshalJSONTo writes what there is of m.
func (m Meta) MarshalJSONTo(enc *jsontext.Encoder) error {
	return json.MarshalEncode(enc, struct {
		ResourceType string    `json:"resourceType,omitzero"`
		Location     string    `json:"location,omitzero"`
		Version      string    `json:"version,omitzero"`
		Created      time.Time `json:"created,omitzero"`
		LastModified time.Time `json:"lastModified,omitzero"`
	}(m))
}

// parseTime reads a dateTime (RFC 7643 section 2.3.5), whose zone may be missing.
func parseTime(s string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// body returns u as it is sent: without what the service assigns, with the
// schemas of what is in it, and with a lone e-mail marked primary unless it says
// otherwise, since some services demand a primary one.
func (u *User) body() (jsontext.Value, error) {
	out := *u
	out.ID, out.Groups, out.External, out.Meta = "", nil, External{}, Meta{}
	out.Schemas = []string{scim.UserURN}
	if !u.Enterprise.IsZero() {
		out.Schemas = append(out.Schemas, scim.EnterpriseUserURN)
	}
	var err error
	if out.Schemas, err = withExtensions(out.Schemas, u.Extra); err != nil {
		return nil, err
	}
	if emails, ok := u.Emails.Get(); ok && len(emails) == 1 && emails[0].Primary.IsZero() {
		out.Emails = Set([]MultiValue{Primary(emails[0])})
	}
	return json.Marshal(&out)
}

// withExtensions returns schemas with the extensions among extra, a JSON object.
func withExtensions(schemas []string, extra jsontext.Value) ([]string, error) {
	if len(extra) == 0 {
		return schemas, nil
	}
	var members map[string]jsontext.Value
	if err := json.Unmarshal(extra, &members); err != nil {
		return nil, fmt.Errorf("extra attributes: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if strings.HasPrefix(strings.ToLower(name), "urn:") {
			schemas = append(schemas, name)
		}
	}
	return schemas, nil
}

// Users are the users of the directory.
type Users struct{ Endpoint[User] }

// Users returns the users of the directory.
func (c *Client) Users() Users { return Users{Endpoint[User]{c, "/Users", "user"}} }

func (u *User) read(data jsontext.Value) error { return json.Unmarshal(data, u, looseJSON) }

func (u *User) answered(id string, a *Answer) {
	u.Answer = a
	if u.ID == "" {
		u.ID = id
	}
}

func (u *User) twin() string {
	if u.UserName == "" {
		return ""
	}
	return "userName eq " + Quote(u.UserName)
}

// readUser reads a user from the answer to another call.
func readUser(method, path string, a *Answer) (*User, error) {
	return new(Client).Users().read(method, path, "", a)
}
