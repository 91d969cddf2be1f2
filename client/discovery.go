package client

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster/scim"
)

// Schemas returns the schemas of the directory (RFC 7643 section 7).
func (c *Client) Schemas(ctx context.Context) ([]*scim.Schema, error) {
	return discover[scim.Schema](ctx, c, "/Schemas")
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
	Pagination            Pagination             `json:"pagination"` // RFC 9865
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

// Pagination says how a service pages its lists (RFC 9865 section 4).
type Pagination struct {
	Cursor          bool   `json:"cursor"`
	Index           bool   `json:"index"`
	DefaultMethod   string `json:"defaultPaginationMethod"` // "cursor" or "index"
	DefaultPageSize int64  `json:"defaultPageSize"`
	MaxPageSize     int64  `json:"maxPageSize"`
	CursorTimeout   int64  `json:"cursorTimeout"` // seconds; 0: not said
}

// An AuthenticationScheme is a way to authenticate.
type AuthenticationScheme struct {
	Type        string `json:"type"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// ServiceProviderConfig returns what the service can do. It is asked each time;
// the last answer is what List and Bulk go by.
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
	c.config.Store(cfg)
	return cfg, nil
}

// hasCursors reports whether the service pages by cursor. It is asked once; one
// that cannot tell does not.
func (c *Client) hasCursors(ctx context.Context) bool {
	cfg := c.config.Load()
	if cfg == nil {
		var err error
		if cfg, err = c.ServiceProviderConfig(ctx); err != nil {
			var failed *Error
			if errors.As(err, &failed) && failed.Answer != nil {
				c.config.CompareAndSwap(nil, new(ServiceProviderConfig))
			}
			return false
		}
	}
	return cfg.Pagination.Cursor
}

// A ResourceType is a type of resources of the directory (RFC 7643 section 6).
type ResourceType struct {
	ID               string                 `json:"id"`
	Name             string                 `json:"name"`
	Endpoint         string                 `json:"endpoint"` // for Client.Resources
	Description      string                 `json:"description"`
	Schema           string                 `json:"schema"` // its URN
	SchemaExtensions []scim.SchemaExtension `json:"schemaExtensions"`
}

// ResourceTypes returns the resource types of the directory.
func (c *Client) ResourceTypes(ctx context.Context) ([]*ResourceType, error) {
	return discover[ResourceType](ctx, c, "/ResourceTypes")
}

// discover reads a list of discovery, which has no pages (RFC 7644 section 4).
// Some services send the array alone.
func discover[T any](ctx context.Context, c *Client, path string) ([]*T, error) {
	a, err := c.Do(ctx, &Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return nil, err
	}
	var list struct {
		Resources []*T `json:"Resources,case:ignore"`
	}
	if a.Body.Kind() == '[' {
		err = json.Unmarshal(a.Body, &list.Resources, looseJSON)
	} else {
		err = json.Unmarshal(a.Body, &list, looseJSON)
	}
	if err != nil {
		return nil, unreadable(http.MethodGet, path, a, err)
	}
	return list.Resources, nil
}
