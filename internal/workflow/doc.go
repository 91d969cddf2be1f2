// Package workflow runs files of steps: provisioning actions, mails, requests,
// conditions and loops.
//
// A file is parsed and checked whole before anything runs (Parse, File.Check).
// A run is carried out by an Engine, which keeps what each step gave, so that a
// run goes on after a crash where it was (package durable is the engine). A step
// changes users through an action on a connection alone; that of the run's own
// directory is the same client on a transport within the process.
package workflow
