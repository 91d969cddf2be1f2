package client

import (
	"errors"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A Resource is a resource of any type, as JSON.
type Resource struct {
	ID     string         // assigned by the service; not sent
	Body   jsontext.Value // an object: what was read, or what is sent as it is
	Answer *Answer        // what the service said; nil in one that was not read
}

// Resources returns the resources at an endpoint of the directory, as JSON: for
// types of which the SDK knows nothing. The endpoint is that of the resource
// type, such as "/Devices"; it is not escaped.
func (c *Client) Resources(endpoint string) Endpoint[Resource] {
	return Endpoint[Resource]{c, "/" + strings.Trim(endpoint, "/"), "resource"}
}

func (r *Resource) body() (jsontext.Value, error) {
	if r.Body.Kind() != '{' {
		return nil, errors.New("the body of a resource is no JSON object")
	}
	return r.Body, nil
}

func (r *Resource) read(data jsontext.Value) error {
	if data.Kind() != '{' {
		return errors.New("it is no JSON object")
	}
	r.ID, r.Body = idOf(data), data
	return nil
}

func (r *Resource) answered(id string, a *Answer) {
	r.Answer = a
	if r.ID == "" {
		r.ID = id
	}
}

func (*Resource) twin() string { return "" }
