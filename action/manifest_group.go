package action

func createGroupManifest() *Manifest {
	return &Manifest{
		Name: "create-group", Title: "Create Group", Command: "group create", Writes: true,
		Summary:     "Add a group to a directory.",
		Description: "Makes a group, empty or with members. The directory gives the id. A name that another group has is refused (409).",
		Method:      "POST", Path: "/Groups",
		Documentation: apiDocs + "api-group-groups/#api-scim-directory-directoryid-groups-post",
		Basic:         []Parameter{groupName("The name of the group. Atlassian's directories never change it.")},
		Advanced:      append(groupParameters("The members of the group, as a JSON array of objects with `value`, the id of a user."), projectionParameters()...),
		Columns:       groupColumns(),
		ExampleOutput: exampleGroup,
	}
}

func getGroupManifest() *Manifest {
	return &Manifest{
		Name: "get-group", Title: "Get Group", Command: "group get",
		Summary:     "Show one group of a directory, with its members.",
		Description: "Reads the group of that id. Without its members, which may be many, it is read with Excluded Attributes.",
		Method:      "GET", Path: "/Groups/{groupId}",
		Documentation: apiDocs + "api-group-groups/#api-scim-directory-directoryid-groups-id-get",
		Basic:         []Parameter{groupID()},
		Advanced:      projectionParameters(),
		Columns:       groupColumns(),
		ExampleOutput: exampleGroup,
	}
}

func listGroupsManifest() *Manifest {
	return &Manifest{
		Name: "list-groups", Title: "List Groups", Command: "group list",
		Summary: "List the groups of a directory, all or those that a filter selects.",
		Description: `Reads one page of the groups, or with All every page. Atlassian's directories filter by one exact match of
displayName alone, and do not sort; a Roster takes every filter of RFC 7644.`,
		Method: "GET", Path: "/Groups",
		Documentation: apiDocs + "api-group-groups/#api-scim-directory-directoryid-groups-get",
		Basic:         listParameters(`displayName eq "engineering"`),
		Advanced:      listAdvanced("displayName"),
		Columns:       groupColumns(),
		ExampleOutput: exampleList(exampleGroup),
	}
}

func updateGroupManifest() *Manifest {
	return &Manifest{
		Name: "update-group", Title: "Update Group", Command: "group update", Writes: true,
		Summary: "Replace the attributes of one group of a directory.",
		Description: `Makes a group what the parameters say. Members that are given take the place of all that there were. Whether
left-out members are kept, and whether the name can change, is a rule of the directory: Atlassian's keep them, and
refuse another name. Add Members To Group and Remove Members From Group change some and leave the others.`,
		Method: "PUT", Path: "/Groups/{groupId}",
		Documentation: apiDocs + "api-group-groups/#api-scim-directory-directoryid-groups-id-put",
		Basic:         []Parameter{groupID(), groupName("The name of the group. Every update must give it.")},
		Advanced: append(append(groupParameters("All members of the group, as a JSON array of objects with `value`, the id of a user. `[]` empties it."),
			projectionParameters()...), ifMatch()),
		Columns:       groupColumns(),
		ExampleOutput: exampleGroup,
	}
}

func addMembersManifest() *Manifest {
	return &Manifest{
		Name: "add-members", Title: "Add Members To Group", Command: "group add-members", Writes: true,
		Summary: "Add users to a group, and leave its other members.",
		Description: `Who is a member already stays one. Many are added in several requests: when one of them fails, those before it are
done, and the action can be run again.`,
		Method: "PATCH", Path: "/Groups/{groupId}",
		Documentation: apiDocs + "api-group-groups/#api-scim-directory-directoryid-groups-id-patch",
		Basic: []Parameter{groupID(), {
			Name: "members", Title: "Members", Flag: "member", In: InBody, Type: List, Required: true,
			Description: "The ids of the users, with commas between them or as a JSON array.",
			Example:     "8c1f2a6e-2f0b-4a6c-9d0e-3f5b7a1c2d4e",
		}},
		ExampleOutput: []byte(`{
  "id": "3b7f0c52-6d1e-4f7a-9b55-1c8e2a4d6f90",
  "added": 1
}`),
	}
}

func removeMembersManifest() *Manifest {
	m := addMembersManifest()
	m.Name, m.Title, m.Command = "remove-members", "Remove Members From Group", "group remove-members"
	m.Summary = "Remove users from a group, and leave its other members."
	m.Description = `Who is no member is passed over. Many are removed in several requests: when one of them fails,
those before it are done, and the action can be run again.`
	m.ExampleOutput = []byte(`{
  "id": "3b7f0c52-6d1e-4f7a-9b55-1c8e2a4d6f90",
  "removed": 1
}`)
	return m
}

func deleteGroupManifest() *Manifest {
	return &Manifest{
		Name: "delete-group", Title: "Delete Group", Command: "group delete", Writes: true,
		Summary:     "Delete a group from a directory.",
		Description: "The members stay in the directory. A Roster keeps deleted groups in a trash, from which roster trash restore brings them back.",
		Method:      "DELETE", Path: "/Groups/{groupId}",
		Documentation: apiDocs + "api-group-groups/#api-scim-directory-directoryid-groups-id-delete",
		Basic:         []Parameter{groupID()},
		Advanced:      []Parameter{ifMatch()},
	}
}

func groupColumns() []Column {
	return []Column{{"ID", "id"}, {"DISPLAY NAME", "displayName"}, {"EXTERNAL ID", "externalId"}}
}

func groupID() Parameter {
	return Parameter{
		Name: "groupId", Title: "Group ID", Flag: "group-id", In: InPath, Type: String, Required: true,
		Description: "The id that the directory gave the group. `roster group list` finds it.",
		Example:     "3b7f0c52-6d1e-4f7a-9b55-1c8e2a4d6f90",
	}
}

func groupName(description string) Parameter {
	return Parameter{
		Name: "displayName", Title: "Display Name", Flag: "display-name", In: InBody, Type: String, Required: true,
		Description: description,
		Example:     "engineering",
	}
}

// groupParameters returns the other attributes of a group.
func groupParameters(members string) []Parameter {
	return []Parameter{
		{
			Name: "externalId", Title: "External ID", Flag: "external-id", In: InBody, Type: String,
			Description: "The id that the provisioning client knows the group by.",
			Example:     "e5f6a7",
		},
		{
			Name: "members", Title: "Members", Flag: "members", In: InBody, Type: Array,
			Description: members,
			Example:     `[{"value":"8c1f2a6e-2f0b-4a6c-9d0e-3f5b7a1c2d4e"}]`,
			Parts: []Part{
				{Name: "value", Type: String, Description: "The id of the user."},
				{Name: "type", Type: String, Description: "`User`, or `Group` where the service nests them."},
				{Name: "display", Type: String, Description: "The form to show."},
			},
			Short: &Short{Flag: "member", Word: "id", Description: "The id of a member."},
		},
	}
}
