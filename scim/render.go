package scim

import (
	"bytes"
	"strconv"
	"time"
)

// A Meta is what an answer adds to the document of a resource.
type Meta struct {
	ID       string
	Version  int64
	Created  time.Time // sent in UTC with microseconds
	Modified time.Time
	Location string // the URL of the resource
	Base     string // what the URLs of others begin with: that of the directory
	// Links are the values of the attribute that is kept as memberships, the
	// groups of a user or the members of a group, when the answer shows it.
	Links []Link
}

// ETag returns the weak entity tag of what is shown (RFC 7644 section 3.14): the
// version, and after a "~" what tells the links apart, for these change without
// it: a user's groups when it joins one, a member's name when it is renamed.
func (m *Meta) ETag() string {
	return string(append(m.appendTag(append(make([]byte, 0, 40), `W/"`...)), '"'))
}

// appendTag appends what stands between the quotes of the entity tag.
func (m *Meta) appendTag(dst []byte) []byte {
	dst = strconv.AppendInt(dst, m.Version, 10)
	if len(m.Links) == 0 {
		return dst
	}
	sum := uint64(14695981039346656037) // FNV-1a
	for _, l := range m.Links {
		for _, s := range [...]string{l.ID, l.Type, l.Display} {
			for i := range len(s) {
				sum = (sum ^ uint64(s[i])) * 1099511628211
			}
			sum *= 1099511628211 // as a zero byte, which parts one text from the next
		}
	}
	return strconv.AppendUint(append(dst, '~'), sum, 36)
}

// Render appends the answer that shows a stored document (RFC 7643 section 3)
// through p to dst.
func (t *Type) Render(dst, doc []byte, m *Meta, p *Projection) ([]byte, error) {
	if bytes.HasPrefix(doc, leftoverPrefix) {
		var err error
		if doc, err = t.visible(doc); err != nil {
			return dst, err
		}
	}
	if p == nil {
		if t.plain {
			return t.renderAll(dst, doc, m), nil
		}
		p = t.unasked
	}
	r, err := t.Decode(doc)
	if err != nil {
		return dst, err
	}
	dst = append(dst, '{')
	dst = t.appendSchemas(dst, doc)
	dst = append(dst, `,"id":`...)
	dst = appendString(dst, m.ID)
	mark := len(dst)
	dst = append(dst, ',')
	dst = appendMembers(dst, t.linkedMembers(r.members, m, p), p)
	if len(dst) == mark+1 {
		dst = dst[:mark]
	}
	if meta := t.root.Sub("meta"); p.show[meta.ord] {
		mark := len(dst)
		dst = t.appendMeta(append(dst, ','), m, p)
		if bytes.HasSuffix(dst, []byte("{}")) {
			dst = dst[:mark]
		}
	}
	return append(dst, '}'), nil
}

// renderAll needs not read the document, which holds just what is shown.
func (t *Type) renderAll(dst, doc []byte, m *Meta) []byte {
	dst = append(dst, '{')
	dst = t.appendSchemas(dst, doc)
	dst = append(dst, `,"id":`...)
	dst = appendString(dst, m.ID)
	if len(doc) > len("{}") {
		dst = append(dst, ',')
		dst = append(dst, doc[1:len(doc)-1]...)
	}
	if len(m.Links) > 0 || t.showsNoLinks() {
		dst = append(dst, ',', '"')
		dst = append(dst, t.linked.Name...)
		dst = append(dst, '"', ':')
		dst = t.linkValue(m.Links, m.Base).AppendJSON(dst)
	}
	dst = t.appendMeta(append(dst, ','), m, nil)
	return append(dst, '}')
}

// showsNoLinks: Atlassian was seen to show "groups": [].
func (t *Type) showsNoLinks() bool {
	return t.Rules.ObservedShape && t.linked != nil && t.Schema == UserURN
}

// appendSchemas appends the schemas that the document has attributes of. The
// name of an extension can stand in a document as a name only: in a text its
// quotes would be escaped.
func (t *Type) appendSchemas(dst, doc []byte) []byte {
	dst = append(dst, `"schemas":[`...)
	if t.Rules.ObservedShape {
		for i, urn := range t.urns {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, urn)
		}
		return append(dst, ']')
	}
	dst = appendString(dst, t.Schema)
	for _, e := range t.Extensions {
		if bytes.Contains(doc, []byte(`"`+e.Schema+`":{`)) {
			dst = append(dst, ',')
			dst = appendString(dst, e.Schema)
		}
	}
	return append(dst, ']')
}

func (t *Type) appendMeta(dst []byte, m *Meta, p *Projection) []byte {
	dst = append(dst, `"meta":{`...)
	mark := len(dst)
	field := func(name string) bool {
		if p != nil && !p.show[t.root.Sub("meta").Sub(name).ord] {
			return false
		}
		if len(dst) > mark {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, name...)
		dst = append(dst, '"', ':')
		return true
	}
	if field("resourceType") {
		dst = appendString(dst, t.Name)
	}
	if field("created") {
		dst = appendTime(dst, m.Created)
	}
	if field("lastModified") {
		dst = appendTime(dst, m.Modified)
	}
	if field("location") {
		dst = appendString(dst, m.Location)
	}
	if t.Rules.MetaVersion && field("version") {
		dst = append(m.appendTag(append(dst, `"W/\"`...)), `\""`...)
	}
	return append(dst, '}')
}

// appendTime appends a dateTime as Atlassian writes it: UTC, up to six digits
// of a second, zeros at the end cut.
func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.999999Z07:00")
	return append(dst, '"')
}

// A ListResponse is what stands around the resources of a list (RFC 7644 section
// 3.4.2, RFC 9865 section 2).
type ListResponse struct {
	Total int64 // how many there are on all pages
	Start int   // the 1-based index of the first; 0: a page by cursor, which has none
	N     int   // how many are on this page
	// Previous and Next are the cursors of the pages before and after; empty:
	// there is none.
	Previous, Next string
}

// AppendList appends l to dst with its resources, already rendered and joined by
// commas.
func AppendList(dst []byte, l ListResponse, resources []byte) []byte {
	dst = append(dst, `{"schemas":["`+ListResponseURN+`"],"totalResults":`...)
	dst = strconv.AppendInt(dst, l.Total, 10)
	if l.Start > 0 {
		dst = append(dst, `,"startIndex":`...)
		dst = strconv.AppendInt(dst, int64(l.Start), 10)
	}
	dst = append(dst, `,"itemsPerPage":`...)
	dst = strconv.AppendInt(dst, int64(l.N), 10)
	if l.Previous != "" {
		dst = append(dst, `,"previousCursor":`...)
		dst = appendString(dst, l.Previous)
	}
	if l.Next != "" {
		dst = append(dst, `,"nextCursor":`...)
		dst = appendString(dst, l.Next)
	}
	dst = append(dst, `,"Resources":[`...)
	dst = append(dst, resources...)
	return append(dst, "]}"...)
}
