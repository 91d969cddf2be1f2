package workflow

import (
	"fmt"
	"slices"
)

// maxExpressions bounds the expressions of a file, each of which is compiled.
const maxExpressions = 2000

// A scope is what the names of an expression or a template mean at one place of
// a file.
type scope struct {
	inputs  []Input
	trigger bool     // of a trigger, where there are only event and run
	onError bool     // of on-error, where there is error
	item    string   // of a for-each; empty: in none
	steps   []string // that come before and can be named, in their order
	// all says of each id in the file whether a for-each has it, so that a text can
	// say why it is not among steps.
	all map[string]bool

	expressions *int // that the file has had so far
}

// The names that are in the roots.
var (
	stepFields  = []string{"output", "error", "status", "changes", "before"}
	runFields   = []string{"id", "workflow", "directory", "trigger", "started"}
	errorFields = []string{"step", "status", "scimType", "message", "temporary"}
	eventFields = []string{"seq", "id", "directory", "resourceType", "resource", "version", "operation", "key", "request",
		"at", "undoes", "changes", "purged", "cause"}
)

// roots returns the names that an expression can begin with.
func (s *scope) roots() []string {
	if s.trigger {
		return []string{"event", "run"}
	}
	names := []string{"inputs", "steps", "event", "run"}
	if s.onError {
		names = append(names, "error")
	}
	if s.item != "" {
		names = append(names, s.item)
	}
	return names
}

// root says what is wrong with a name at the beginning, "" when nothing is.
func (s *scope) root(name string) string {
	switch {
	case slices.Contains(s.roots(), name):
		return ""
	case name == "error":
		return "error is known in on-error alone: use steps.ID.error"
	case name == "null":
		return "there is no null: write nil"
	case s.input(name) != nil && !s.trigger:
		return fmt.Sprintf("there is no %s: write inputs.%s", name, name)
	case slices.Contains(s.steps, name):
		return fmt.Sprintf("there is no %s: write steps.%s", name, name)
	}
	return fmt.Sprintf("there is no %s%s", name, suggest(name, s.roots()))
}

// path says what is wrong with the names after a root that is known, "" when
// nothing is, and whether they lead to a secret input.
func (s *scope) path(root string, path []string) (fault string, secret bool) {
	fields := map[string][]string{"run": runFields, "error": errorFields, "event": eventFields}[root]
	switch {
	case root == s.item:
	case root == "inputs":
		in := s.input(path[0])
		if in == nil {
			return fmt.Sprintf("there is no input %s%s", path[0], suggest(path[0], s.inputNames())), false
		}
		return "", in.Secret
	case root == "steps":
		return s.step(path), false
	case !slices.Contains(fields, path[0]):
		return fmt.Sprintf("%s has no %s%s", root, path[0], suggest(path[0], fields)), false
	}
	return "", false
}

func (s *scope) step(path []string) string {
	id := path[0]
	inLoop, known := s.all[id]
	switch {
	case slices.Contains(s.steps, id):
		if len(path) > 1 && !slices.Contains(stepFields, path[1]) {
			return fmt.Sprintf("a step has no %s%s", path[1], suggest(path[1], stepFields))
		}
		return ""
	case known && inLoop:
		return fmt.Sprintf("the step %s is within a for-each: name it there after it, or use the output of the for-each, a list with what each item gave", id)
	case known:
		return fmt.Sprintf("the step %s does not come before this: move it up, or name an earlier one", id)
	}
	return fmt.Sprintf("there is no step %s%s", id, suggest(id, s.steps))
}

func (s *scope) input(name string) *Input {
	for i := range s.inputs {
		if s.inputs[i].Name == name {
			return &s.inputs[i]
		}
	}
	return nil
}

func (s *scope) inputNames() (names []string) {
	for _, in := range s.inputs {
		names = append(names, in.Name)
	}
	return names
}

// inputKind returns the kind of an input that always has a value, else nullNode.
func (s *scope) inputKind(name string) kind {
	in := s.input(name)
	if in == nil || !in.Required && len(in.Default) == 0 {
		return nullNode
	}
	return inputKinds[in.Type]
}

// inputKinds are the types of inputs.
var inputKinds = map[string]kind{
	"string": textNode, "boolean": boolNode, "integer": numberNode, "object": mapNode, "array": listNode, "any": nullNode,
}

func (s *scope) hasSecret() bool {
	return slices.ContainsFunc(s.inputs, func(in Input) bool { return in.Secret })
}
