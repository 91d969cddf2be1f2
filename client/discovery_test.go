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

func TestDiscovery_ReadsLooseTypes(t *testing.T) {
	t.Parallel()
	s := serve(t,
		answer(200, `{"patch":{"supported":"True"},"bulk":{"supported":1},"x":null}`),
		answer(200, `{"patch":{"supported":"True"},"bulk":{"maxOperations":"7"},"filter":null,"pagination":{"cursor":"true","maxPageSize":"50"}}`),
		answer(200, `[{"id":"Device","endpoint":"/Devices","schemaExtensions":null}]`),
		answer(200, `{"Resources":null}`))
	c := s.client()
	if cfg, err := c.ServiceProviderConfig(t.Context()); err == nil {
		t.Errorf("1 passed as a boolean: %+v", cfg)
	}
	cfg, err := c.ServiceProviderConfig(t.Context())
	if err != nil || !cfg.Patch.Supported || cfg.Bulk.MaxOperations != 7 || !cfg.Pagination.Cursor || cfg.Pagination.MaxPageSize != 50 {
		t.Errorf("got %+v, %v", cfg, err)
	}
	types, err := c.ResourceTypes(t.Context())
	if err != nil || len(types) != 1 || types[0].Endpoint != "/Devices" {
		t.Errorf("got %v, %v", types, err)
	}
	if schemas, err := c.Schemas(t.Context()); err != nil || len(schemas) != 0 {
		t.Errorf("got %v, %v", schemas, err)
	}
}
