// Package roster holds the nouns of a user-provisioning directory that you run
// yourself: Directory, Key, Event, Connection, Workflow, Run. They are plain
// structs without I/O; the words of SCIM itself are in package scim.
//
// The whole system, and the way of one request through it:
//
//	PUT /scim/directory/{id}/Users/{id}
//	  internal/server     key, limits, the bytes of the body; scim.Parse binds them to the schema
//	  internal/directory  every rule: scim.Replace(current, body), uniqueness, version, event
//	  internal/store      one transaction, durable before the answer (sqlstore: SQLite, PostgreSQL)
//	  internal/server     scim projection, canonical JSON, ETag, Location
//
// Package client is the same road from the other end, and package action is the
// operations that people and workflows run on it. A workflow goes it within the
// process:
//
//	internal/workflow          a file of steps; what starts its runs; each step in its turn
//	internal/workflow/durable  keeps what each step gave, so that a run survives a crash
//	internal/mail              the mails of steps; internal/secret seals what is kept
//
// cmd/roster wires all of it into one binary. Who may import whom is the table in
// arch_test.go.
package roster
