package scim

import (
	"errors"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// SearchRequestURN is the schema of a SearchRequest (RFC 7644 section 3.4.3).
const SearchRequestURN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

// A SearchRequest says which resources a list has, in which order, and which
// page of it is asked for: the parameters of a GET, or the body of a POST to
// /.search (RFC 7644 section 3.4.3, RFC 9865 section 3).
type SearchRequest struct {
	Attributes         []string
	ExcludedAttributes []string
	Filter             string
	SortBy             string
	SortOrder          string
	StartIndex         *int
	Count              *int
	Cursor             *string // nil: by index; empty: the first page
}

// ParseSearch reads a SearchRequest. Names ignore case and unknown members are
// passed over, unless rules are strict. Errors are *Error with status 400.
func ParseSearch(data []byte, rules RuleSet) (*SearchRequest, error) {
	var body struct {
		Schemas            []string       `json:"schemas"`
		Attributes         []string       `json:"attributes"`
		ExcludedAttributes []string       `json:"excludedAttributes"`
		Filter             string         `json:"filter"`
		SortBy             string         `json:"sortBy"`
		SortOrder          string         `json:"sortOrder"`
		StartIndex         jsontext.Value `json:"startIndex"`
		Count              jsontext.Value `json:"count"`
		Cursor             *string        `json:"cursor"`
	}
	err := json.Unmarshal(data, &body, json.MatchCaseInsensitiveNames(rules.Tolerant), json.RejectUnknownMembers(rules.RefuseUnknown))
	if err != nil {
		return nil, bodySyntax("search", "3.4.3", err)
	}
	if !slices.Contains(body.Schemas, SearchRequestURN) && !rules.Tolerant {
		return nil, Errorf(400, InvalidSyntax, "schemas must contain %s", SearchRequestURN)
	}
	q := &SearchRequest{
		Attributes: body.Attributes, ExcludedAttributes: body.ExcludedAttributes,
		Filter: body.Filter, SortBy: body.SortBy, SortOrder: body.SortOrder, Cursor: body.Cursor,
	}
	if q.StartIndex, err = searchInteger("startIndex", body.StartIndex); err != nil {
		return nil, err
	}
	if q.Count, err = searchInteger("count", body.Count); err != nil {
		if q.Cursor != nil {
			return nil, Errorf(400, InvalidCount, "count must be an integer")
		}
		return nil, err
	}
	return q, nil
}

// searchInteger reads a number that may be left out or null. One that is beyond
// what an int holds is as large as one can be.
func searchInteger(name string, v jsontext.Value) (*int, error) {
	if k := v.Kind(); k == 0 || k == 'n' {
		return nil, nil
	}
	n, err := strconv.Atoi(string(v))
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil, Errorf(400, InvalidValue, "%s must be an integer", name)
	}
	return &n, nil
}
