package scim_test

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// What refers to an operation that waits is left out: items of arrays, attributes
// of the resource and of its extensions. Below those nothing is looked into, so
// that the work does not grow with the depth.
func TestBulkOperation_Without(t *testing.T) {
	t.Parallel()
	const levels = 5000
	for _, c := range []struct{ data, want string }{
		{`{"a":"bulkId:x","b":"bulkId:y","c":1}`, `{"b":"bulkId:y","c":1}`},
		{`{"members":[{"value":"bulkId:x"},{"value":"bulkId:y"}]}`, `{"members":[{"value":"bulkId:y"}]}`},
		{`{"urn:x":{"manager":{"value":"bulkId:x"},"b":2}}`, `{"urn:x":{"b":2}}`},
		{`{"urn:x":{"urn:y":{"a":"bulkId:x","b":2},"c":3}}`, `{"urn:x":{"c":3}}`},
		{
			`{"urn:x":` + strings.Repeat(`{"a:b":`, levels) + `{"a":"bulkId:x","b":"` + strings.Repeat("b", 1<<20) + `"}` + strings.Repeat(`}`, levels) + `}`,
			`{"urn:x":{}}`,
		},
	} {
		o, err := scim.BulkOperation{Data: jsontext.Value(c.data)}.Without(map[string]string{"y": "1"})
		if err != nil {
			t.Fatalf("%.80s: %v", c.data, err)
		}
		if got := string(o.Data); got != c.want {
			t.Errorf("%.80s without x is %.200s, want %s", c.data, got, c.want)
		}
	}
}
