package client

import (
	"context"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster/scim"
)

// Schemas returns the schemas of the directory (RFC 7643 section 7).
func (c *Client) Schemas(ctx context.Context) ([]*scim.Schema, error) {
	const path = "/Schemas"
	a, err := c.Do(ctx, &Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return nil, err
	}
	var list struct {
		Resources []*scim.Schema `json:"Resources,case:ignore"`
	}
	if err := json.Unmarshal(a.Body, &list, looseJSON); err != nil {
		return nil, unreadable(http.MethodGet, path, a, err)
	}
	return list.Resources, nil
}

// Schema returns the schema of that URN. No such schema is a *scim.Error with
// status 404.
func (c *Client) Schema(ctx context.Context, urn string) (*scim.Schema, error) {
	id, err := segment("schema", urn)
	if err != nil {
		return nil, err
	}
	// A colon is allowed in a path as it is (RFC 3986 section 3.3), and some
	// services compare without unescaping.
	path := "/Schemas/" + strings.ReplaceAll(id, "%3A", ":")
	a, err := c.Do(ctx, &Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return nil, err
	}
	s := new(scim.Schema)
	if err := json.Unmarshal(a.Body, s, looseJSON); err != nil {
		return nil, unreadable(http.MethodGet, path, a, err)
	}
	return s, nil
}

// A ServiceProviderConfig says what a service can do (RFC 7643 section 5).
type ServiceProviderConfig struct {
	Patch                 Supported              `json:"patch"`
	Bulk                  BulkSupport            `json:"bulk"`
	Filter                FilterSupport          `json:"filter"`
	ChangePassword        Supported              `json:"changePassword"`
	Sort                  Supported              `json:"sort"`
	ETag                  Supported              `json:"etag"`
	AuthenticationSchemes []AuthenticationScheme `json:"authenticationSchemes"`

	Answer *Answer `json:"-"` // what the service said
}

// Supported says whether a service has one feature.
type Supported struct {
	Supported bool `json:"supported"`
}

// BulkSupport says whether a service takes many operations in one request.
type BulkSupport struct {
	Supported      bool  `json:"supported"`
	MaxOperations  int64 `json:"maxOperations"`
	MaxPayloadSize int64 `json:"maxPayloadSize"` // bytes
}

// FilterSupport says whether a service filters, and the most it returns.
type FilterSupport struct {
	Supported  bool  `json:"supported"`
	MaxResults int64 `json:"maxResults"`
}

// An AuthenticationScheme is a way to authenticate.
type AuthenticationScheme struct {
	Type        string `json:"type"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// ServiceProviderConfig returns what the service can do.
func (c *Client) ServiceProviderConfig(ctx context.Context) (*ServiceProviderConfig, error) {
	const path = "/ServiceProviderConfig"
	a, err := c.Do(ctx, &Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return nil, err
	}
	cfg := new(ServiceProviderConfig)
	if err := json.Unmarshal(a.Body, cfg, looseJSON); err != nil {
		return nil, unreadable(http.MethodGet, path, a, err)
	}
	cfg.Answer = a
	return cfg, nil
}
