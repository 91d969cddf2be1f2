// Package durable is the workflow.Engine on DBOS Transact, a library that keeps
// the steps of a run in a database of ours: a SQLite file of its own, or a schema
// of its own in the PostgreSQL database of the directories.
//
// What DBOS does: it queues runs, hands them to nodes, keeps what a step gave, and
// refuses what an execution writes that has lost its run to another one. What this
// package adds:
//
//   - Nothing is readable in its tables but ids, names of steps and times: inputs,
//     results, outputs and errors are sealed, each bound to its run (see seal.go).
//   - A node that dies is found by its lease, and one other node takes over its
//     runs; a node that was taken for dead stops what it does (see node.go).
//   - A run is listed by directory through an index of our own (see query.go).
//   - What ends with a node is kept nowhere (see run.go).
//   - A run of which the database keeps nothing for a while has not failed, and one
//     that was taken and is carried out by nobody begins again (see watch.go).
//
// What a step does may happen twice: when the node dies between the effect and the
// moment in which its result is kept, and when a node that stood still goes on for
// the moment until it notices. So the functions given to Execution.Do are
// idempotent, by a key made of the run and the step.
//
// docs/decisions/0015-durable-runs.md has the reasons and the traps.
package durable
