// Package action holds the provisioning actions that people and workflows run on
// a directory: a Manifest and a function each, in one table, All.
//
// The manifest is the one source of an action's command and flags, of its form,
// of a workflow step's validation and of its page in docs/actions:
//
//	what a person typed -> Manifest.Input -> Input -> Manifest.Validate -> Action.Run -> Output
//
// An action that writes has a plan, so that nobody is surprised by what a PUT clears.
// Write has the steps one by one:
//
//	validate   Input -> every fault at once, before any request     validate.go
//	plan       what is there + Input -> Plan, line by line          planned.go, plan.go, state.go, change.go
//	apply      Plan -> the answer, and what it changed              write.go, send.go
//
// All but the requests is pure: it works on values, with the rules of package
// scim that a Roster itself follows: those that the service tells, else
// those that its caller gives.
package action
