package roster

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// An Operation is what an event records.
type Operation string

// The operations on a resource.
const (
	OpCreate  Operation = "create"
	OpReplace Operation = "replace"
	OpPatch   Operation = "patch"
	OpDelete  Operation = "delete"
	OpRestore Operation = "restore"
)

// An Event is the record of one change, committed with it.
type Event struct {
	// Seq orders the events of a directory. It grows, with gaps, and the
	// events of one resource are in the order of their versions.
	Seq          int64     `json:"seq"`
	ID           string    `json:"id"`
	Directory    string    `json:"directory"`
	ResourceType string    `json:"resourceType"`
	Resource     string    `json:"resource"` // the id of the user or group
	Version      int64     `json:"version"`  // the version that the change made
	Operation    Operation `json:"operation"`
	Key          string    `json:"key,omitempty"`     // the id of the key that asked for it
	Request      string    `json:"request,omitempty"` // the id of the request
	// Cause is the run of a workflow that made the change; nil: none did. Of a
	// change that came over the network it is what the request has claimed.
	Cause  *Cause    `json:"cause,omitempty"`
	At     time.Time `json:"at"`              // UTC, microseconds: lastModified of the version
	Undoes int64     `json:"undoes,omitzero"` // the Seq of the event that it undoes; 0: of none
	// Changes are the attributes that changed, in the order of the schema: of a
	// create all that were set, of a delete all that there were.
	Changes []Change `json:"changes,omitempty"`
	// Purged says that the values were erased on request.
	Purged bool `json:"purged,omitzero"`
}

// A Change is one attribute before and after. A side that has no value is nil.
type Change struct {
	Attribute string         `json:"attribute"` // name, or URN:name in an extension
	Before    jsontext.Value `json:"before,omitempty"`
	After     jsontext.Value `json:"after,omitempty"`
}

// An Undo says what undoing an event does: as a plan, or when it is done.
type Undo struct {
	Event        int64  `json:"event"` // the Seq of the event that is undone
	ResourceType string `json:"resourceType"`
	Resource     string `json:"resource"` // the id of the user or group
	// Version is that of the resource: the one that a plan is about, or that the
	// change left behind.
	Version int64 `json:"version"`
	// Operation is what undoes the event: patch, delete or restore. Empty: the
	// state is so already, and nothing changes.
	Operation Operation `json:"operation,omitempty"`
	// Changes are those of a patch, as in a plan: the parts of a complex attribute
	// and the values of a multi-valued one each by themselves.
	Changes []Change `json:"changes"`
	// Missing are the ids of members who cannot be added again: they are no more.
	Missing []string `json:"missing,omitempty"`
	// Overridden are the later events whose changes are lost, by Seq: the first 20.
	Overridden []int64 `json:"overridden,omitempty"`
}
