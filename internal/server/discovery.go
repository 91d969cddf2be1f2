package server

import (
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/scim"
)

// The bodies of the discovery endpoints (RFC 7643 sections 5 to 7).
type (
	meta struct {
		ResourceType string `json:"resourceType"`
		Location     string `json:"location"`
	}
	schemaBody struct {
		Schemas []string `json:"schemas"` // erratum 8417
		*scim.Schema
		Meta meta `json:"meta"`
	}
	resourceTypeBody struct {
		Schemas          []string               `json:"schemas"`
		ID               string                 `json:"id"`
		Name             string                 `json:"name"`
		Endpoint         string                 `json:"endpoint"`
		Description      string                 `json:"description"`
		Schema           string                 `json:"schema"`
		SchemaExtensions []scim.SchemaExtension `json:"schemaExtensions,omitempty"`
		Meta             meta                   `json:"meta"`
	}
	supported struct {
		Supported bool `json:"supported"`
	}
	configBody struct {
		Schemas []string  `json:"schemas"`
		Patch   supported `json:"patch"`
		Bulk    struct {
			supported
			MaxOperations  int   `json:"maxOperations"`
			MaxPayloadSize int64 `json:"maxPayloadSize"`
		} `json:"bulk"`
		Filter struct {
			supported
			MaxResults int `json:"maxResults"`
		} `json:"filter"`
		ChangePassword        supported              `json:"changePassword"`
		Sort                  supported              `json:"sort"`
		ETag                  supported              `json:"etag"`
		Pagination            pagination             `json:"pagination"`
		AuthenticationSchemes []authenticationScheme `json:"authenticationSchemes"`
		Meta                  meta                   `json:"meta"`
	}
	// pagination is of RFC 9865 section 4.
	pagination struct {
		Cursor                  bool   `json:"cursor"`
		Index                   bool   `json:"index"`
		DefaultPaginationMethod string `json:"defaultPaginationMethod"`
		DefaultPageSize         int    `json:"defaultPageSize"`
		MaxPageSize             int    `json:"maxPageSize"`
		CursorTimeout           int    `json:"cursorTimeout"` // seconds
	}
	authenticationScheme struct {
		Type        string `json:"type"`
		Name        string `json:"name"`
		Description string `json:"description"`
		Primary     bool   `json:"primary"`
	}
)

// discover serves /Schemas, /ResourceTypes and /ServiceProviderConfig. They
// need a key, as Atlassian's do, but no scope.
func (s *Server) discover(r *request, seg []string) error {
	r.route = "scim /" + seg[0]
	if len(seg) > 2 {
		return scim.Errorf(404, "", "no such endpoint")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return notAllowed(r, "GET")
	}
	// ServiceProviderConfig is one document, of which nobody takes a filter to
	// select something: there it is ignored as the other parameters are.
	if seg[0] != "ServiceProviderConfig" && r.query().Has("filter") {
		return scim.Errorf(403, "", "Forbidden; a filter on %s is not allowed (RFC 7644 section 4)", seg[0])
	}
	base := r.base + "/scim/directory/" + r.dir.ID
	var all []any
	var ids []string
	switch seg[0] {
	case "ServiceProviderConfig":
		if len(seg) == 2 {
			return scim.Errorf(404, "", "no such endpoint")
		}
		return r.sendJSON(http.StatusOK, s.config(r.dir.Model.Rules, base))
	case "Schemas":
		for _, sc := range r.dir.Model.Schemas {
			ids = append(ids, sc.ID)
			all = append(all, schemaBody{[]string{scim.SchemaURN}, sc, meta{"Schema", base + "/Schemas/" + sc.ID}})
		}
	case "ResourceTypes":
		for _, t := range r.dir.Model.Types {
			ids = append(ids, t.Name)
			all = append(all, resourceTypeBody{
				[]string{scim.ResourceTypeURN}, t.Name, t.Name, t.Endpoint, t.Description, t.Schema, t.Extensions,
				meta{"ResourceType", base + "/ResourceTypes/" + t.Name},
			})
		}
	}
	if len(seg) == 2 {
		r.route += "/{id}"
		for i, id := range ids {
			if id == seg[1] {
				return r.sendJSON(http.StatusOK, all[i])
			}
		}
		return scim.Errorf(404, "", "%s: there is no such one", seg[0])
	}
	rows, err := json.Marshal(all)
	if err != nil {
		return err
	}
	r.send(http.StatusOK, scimJSON, scim.AppendList(nil, scim.ListResponse{Total: int64(len(all)), Start: 1, N: len(all)}, rows[1:len(rows)-1]))
	return nil
}

// config says what this version offers, and no more.
func (s *Server) config(rules scim.RuleSet, base string) *configBody {
	c := &configBody{
		Schemas: []string{scim.ServiceProviderConfigURN},
		Patch:   supported{true},
		Sort:    supported{true},
		ETag:    supported{true},
		Pagination: pagination{
			Cursor: true, Index: true, DefaultPaginationMethod: "index",
			DefaultPageSize: min(directory.DefaultPage, rules.MaxPage), MaxPageSize: rules.MaxPage,
			CursorTimeout: int(directory.CursorTimeout.Seconds()),
		},
		AuthenticationSchemes: []authenticationScheme{{
			Type: "oauthbearertoken", Name: "API key", Primary: true,
			Description: "A key of the directory, sent as a bearer token.",
		}},
		Meta: meta{"ServiceProviderConfig", base + "/ServiceProviderConfig"},
	}
	c.Bulk.Supported, c.Bulk.MaxOperations, c.Bulk.MaxPayloadSize = true, scim.MaxBulkOperations, s.MaxBulk
	c.Filter.Supported, c.Filter.MaxResults = true, rules.MaxPage
	return c
}

// sendJSON sends v as a SCIM body.
func (r *request) sendJSON(status int, v any) error {
	body, err := json.Marshal(v, json.Deterministic(true), jsontext.EscapeForHTML(false))
	if err != nil {
		return err
	}
	r.send(status, scimJSON, body)
	return nil
}
