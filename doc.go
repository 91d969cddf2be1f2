// Package roster holds the nouns of a user-provisioning directory that you run
// yourself: Directory, Key, Event. They are plain structs without I/O; the
// words of SCIM itself are in package scim.
//
// The whole system, and the way of one request through it:
//
//	PUT /scim/directory/{id}/Users/{id}
//	  internal/server     key, limits, the bytes of the body; scim.Parse binds them to the schema
//	  internal/directory  every rule: scim.Replace(current, body), uniqueness, version, event
//	  internal/store      one transaction, durable before the answer (sqlstore: SQLite, PostgreSQL)
//	  internal/server     scim projection, canonical JSON, ETag, Location
//
// Package client is the same road from the other end, package action is the
// operations that people and workflows run on it, and cmd/roster wires all of it
// into one binary. Who may import whom is the table in arch_test.go.
package roster
