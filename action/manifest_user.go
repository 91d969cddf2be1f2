package action

// apiDocs is where the API's own pages are.
const apiDocs = "https://developer.atlassian.com/cloud/admin/user-provisioning/rest/"

// CreateUserManifest returns the manifest of Create User, whose parameters are
// those of Update User without the id.
func CreateUserManifest() *Manifest {
	m := UpdateUserManifest()
	m.Name, m.Title, m.Command = "create-user", "Create User", "user create"
	m.Summary = "Add a user to a directory."
	m.Description = `Makes a user of what the parameters say. The directory gives the id. Active is true when it is left out. A user
name or, where the directory has that rule, an e-mail address that another user has is refused (409).`
	m.Method, m.Path = "POST", "/Users"
	m.Documentation = apiDocs + "api-group-users/#api-scim-directory-directoryid-users-post"
	m.Basic = m.Basic[1:]
	return m
}

func getUserManifest() *Manifest {
	return &Manifest{
		Name: "get-user", Title: "Get User", Command: "user get",
		Summary:     "Show one user of a directory.",
		Description: "Reads the user of that id. One that was deleted is not found (404).",
		Method:      "GET", Path: "/Users/{userId}",
		Documentation: apiDocs + "api-group-users/#api-scim-directory-directoryid-users-userid-get",
		Basic:         []Parameter{userID()},
		Advanced:      projectionParameters(),
		Columns:       userColumns(),
		ExampleOutput: exampleUser,
	}
}

func listUsersManifest() *Manifest {
	return &Manifest{
		Name: "list-users", Title: "List Users", Command: "user list",
		Summary: "List the users of a directory, all or those that a filter selects.",
		Description: `Reads one page of the users, or with All every page. Atlassian's directories filter by one exact match of userName
or externalId alone, and do not sort; a Roster takes every filter of RFC 7644.`,
		Method: "GET", Path: "/Users",
		Documentation: apiDocs + "api-group-users/#api-scim-directory-directoryid-users-get",
		Basic:         listParameters(`userName eq "ada@corp.example"`),
		Advanced:      listAdvanced("userName"),
		Columns:       userColumns(),
		ExampleOutput: exampleList(exampleUser),
	}
}

func patchUserManifest() *Manifest {
	return &Manifest{
		Name: "patch-user", Title: "Patch User", Command: "user patch", Writes: true,
		Summary: "Change some attributes of one user, and leave the others as they are.",
		Description: `Carries out the operations in their order, all of them or none. What no operation names stays: unlike Update User,
nothing is cleared by being left out.`,
		Method: "PATCH", Path: "/Users/{userId}",
		Documentation: apiDocs + "api-group-users/#api-scim-directory-directoryid-users-userid-patch",
		Basic: []Parameter{userID(), {
			Name: "operations", Title: "Operations", Flag: "operations", In: InBody, Type: Array, Required: true,
			Description: "What to do, as a JSON array of objects with `op` (`add`, `replace` or `remove`), `path` and `value`. A path is as in a filter: `title`, `name.givenName`, `emails[type eq \"work\"].value`.",
			Example:     `[{"op":"replace","path":"title","value":"Chief Analyst"}]`,
			Parts: []Part{
				{Name: "op", Type: String, Description: "`add`, `replace` or `remove`."},
				{Name: "path", Type: String, Description: "The attribute that it acts on."},
				{Name: "value", Type: Any, Description: "The value, which a remove does not need."},
			},
		}},
		Advanced:      append(projectionParameters(), ifMatch()),
		Columns:       userColumns(),
		ExampleOutput: exampleUser,
	}
}

// activeManifest returns the manifest of Activate User or Deactivate User.
func activeManifest(verb, title, summary, description string) *Manifest {
	m := patchUserManifest()
	m.Name, m.Title, m.Command = verb+"-user", title, "user "+verb
	m.Summary, m.Description = summary, description
	m.Basic = m.Basic[:1]
	return m
}

func deactivateUserManifest() *Manifest {
	return activeManifest("deactivate", "Deactivate User", "Make one user inactive, and leave all else as it is.",
		"The user stays in the directory, with its groups, and can be activated again. One that is inactive stays so.")
}

func activateUserManifest() *Manifest {
	return activeManifest("activate", "Activate User", "Make one user active, and leave all else as it is.",
		"One that is active stays so.")
}

func deleteUserManifest() *Manifest {
	return &Manifest{
		Name: "delete-user", Title: "Delete User", Command: "user delete", Writes: true,
		Summary: "Delete a user from a directory.",
		Description: `A Roster keeps deleted users in a trash, from which roster trash restore brings them back. Other services may delete
for good; Atlassian's deactivates the account that the user is linked to.`,
		Method: "DELETE", Path: "/Users/{userId}",
		Documentation: apiDocs + "api-group-users/#api-scim-directory-directoryid-users-userid-delete",
		Basic:         []Parameter{userID()},
		Advanced:      []Parameter{ifMatch()},
	}
}

func userColumns() []Column {
	return []Column{{"ID", "id"}, {"USER NAME", "userName"}, {"DISPLAY NAME", "displayName"}, {"E-MAIL", "emails.value"}, {"ACTIVE", "active"}}
}

// userID returns the parameter of Update User.
func userID() Parameter { return UpdateUserManifest().Basic[0] }

// projectionParameters returns those that cut an answer.
func projectionParameters() []Parameter {
	return []Parameter{
		{
			Name: "attributes", Title: "Attributes", Flag: "attributes", In: InQuery, Type: Names,
			Description:   "What the answer shows, as names with commas between them. Not together with Excluded Attributes.",
			Example:       "userName,emails.value",
			ExclusiveWith: []string{"excludedAttributes"},
		},
		{
			Name: "excludedAttributes", Title: "Excluded Attributes", Flag: "excluded-attributes", In: InQuery, Type: Names,
			Description:   "What the answer leaves out, as names with commas between them. Not together with Attributes.",
			Example:       "timezone,emails.type,department",
			ExclusiveWith: []string{"attributes"},
		},
	}
}

// listParameters returns the basic parameters of a list.
func listParameters(filter string) []Parameter {
	return []Parameter{
		{
			Name: "filter", Title: "Filter", Flag: "filter", In: InQuery, Type: String,
			Description: "Which ones to list, as a SCIM filter, which is sent as it is.",
			Example:     filter, Default: "all",
		},
		{
			Name: "count", Title: "Count", Flag: "count", In: InQuery, Type: Integer,
			Description: "How many to list in one page, at the most. 0 asks for the total alone.",
			Example:     "100", Default: "as the service has it",
		},
		{
			Name: "startIndex", Title: "Start Index", Flag: "start-index", In: InQuery, Type: Integer,
			Description: "The number of the first one, counted from 1.",
			Example:     "101", Default: "1",
		},
		{
			Name: "all", Title: "All", Flag: "all", In: InAction, Type: Boolean,
			Description: "Whether to go on through all pages: `true` or `false`.",
			Example:     "true", Default: "false",
		},
	}
}

// listAdvanced returns the advanced parameters of a list.
func listAdvanced(sortBy string) []Parameter {
	return append(projectionParameters(),
		Parameter{
			Name: "sortBy", Title: "Sort By", Flag: "sort-by", In: InQuery, Type: String,
			Description: "The attribute to sort by, where the service sorts.",
			Example:     sortBy,
		},
		Parameter{
			Name: "sortOrder", Title: "Sort Order", Flag: "sort-order", In: InQuery, Type: String,
			Description: "The direction to sort in, with Sort By.",
			Example:     "descending", Default: "ascending", Values: []string{"ascending", "descending"},
		})
}

func ifMatch() Parameter {
	return Parameter{
		Name: "ifMatch", Title: "If Match", Flag: "if-match", In: InHeader, Type: String,
		Description: "The ETag that it must still have, where the service has them. Another one is refused (412).",
		Example:     `W/"3"`,
	}
}
