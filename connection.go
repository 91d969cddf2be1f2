package roster

import "time"

// LocalConnection is the name of the connection of every workflow on a server
// that is its own directory.
const LocalConnection = "local"

// A Connection is where an action acts: a service, a directory of it and a key.
// The key is not here: it can be written and never read.
type Connection struct {
	// Owner is the id of the directory whose workflows may use it.
	Owner string `json:"owner"`
	Name  string `json:"name"` // unique in the directory that owns it
	URL   string `json:"url"`  // of the service; of any SCIM service its base URL
	// Directory is the id of the directory on the service; empty: URL is itself
	// the SCIM base URL.
	Directory string    `json:"directory,omitempty"`
	RuleSet   string    `json:"ruleSet"` // by which its directory reads what is sent
	Created   time.Time `json:"created"`
	Modified  time.Time `json:"modified"`
	Version   int64     `json:"version"` // from 1, up by one with each change
}
