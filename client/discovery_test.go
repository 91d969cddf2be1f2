package client

import (
	"testing"
)

func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := serve(t,
		answer(200, `{"Resources":[{"id":"urn:a","name":"User","attributes":[{"name":"userName","type":"string"}]}]}`),
		answer(200, `{"id":"urn:a:b","name":"User"}`),
		answer(200, `{"patch":{"supported":true},"filter":{"supported":true,"maxResults":100},"x":1}`))
	c := s.client()
	schemas, err := c.Schemas(t.Context())
	if err != nil || len(schemas) != 1 || schemas[0].Attributes[0].Name != "userName" {
		t.Errorf("got %v, %v", schemas, err)
	}
	schema, err := c.Schema(t.Context(), "urn:a:b")
	if err != nil || schema.ID != "urn:a:b" {
		t.Errorf("got %v, %v", schema, err)
	}
	cfg, err := c.ServiceProviderConfig(t.Context())
	if err != nil || !cfg.Patch.Supported || cfg.Filter.MaxResults != 100 || cfg.Bulk.Supported {
		t.Errorf("got %+v, %v", cfg, err)
	}
	for i, want := range []string{"Schemas", "Schemas/urn:a:b", "ServiceProviderConfig"} {
		if got := s.requests()[i]; got != "GET /scim/directory/d/"+want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
