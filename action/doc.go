// Package action holds the provisioning actions that people and workflows run on
// a directory: a Manifest and a function each, in one table, All.
//
// The manifest is the one source of an action's command and flags, of its form,
// of a workflow step's validation and of its page in docs/actions:
//
//	what a person typed -> Manifest.Input -> Input -> Manifest.Validate -> Action.Run -> Output
//
// Update User works in three steps, so that nobody is surprised by what a PUT
// clears, and UpdateUser has them one by one:
//
//	validate   Input -> every fault at once, before any request   validate.go
//	plan       current user + Input -> Plan, line by line         plan.go, change.go
//	apply      Plan -> the answer, and what it changed            update.go
//
// All but the requests is pure: it works on values, with the rules of package
// scim that a Roster itself follows.
package action
