// Package client is the Go SDK for any user directory that speaks SCIM 2.0:
// Atlassian's cloud, a Roster, or another service (RFC 7643, RFC 7644).
//
//	c := &client.Client{BaseURL: "https://api.atlassian.com", Directory: id, Key: key}
//	u, err := c.Users().Get(ctx, userID, nil)
//	if err != nil { … }
//	u.Title = client.Set("CTO")
//	u.NickName = client.Null[string]()
//	u, err = c.Users().Replace(ctx, userID, u, nil)
//
// A PUT replaces: what is left out of it is cleared. So every attribute is a
// Field, which tells "leave it out" from null, from empty and from false, and a
// User keeps the members it does not know: what was read can be sent back
// whole. A Patch changes what it names alone.
//
// Users, Groups and Resources have the same calls: Create, Get, List, Search,
// Replace, Patch, Delete. Bulk sends many changes in few requests.
//
// Errors are for errors.As: a *scim.Error when the service answered with one, or
// with anything else that is no success, and around it a *Error with the
// request's id and Retry-After. Requests are tried again where that is safe; see
// Client.Retries.
//
// The management of a Roster itself (directories, keys, events, trash) is in
// management.go; no other service has it.
package client
