package action

// UpdateUserManifest returns the manifest of Update User. Its parameters, their
// groups and their order are those of the action of that name that automation
// platforms offer on Atlassian's User Provisioning API.
func UpdateUserManifest() *Manifest {
	const docs = "https://developer.atlassian.com/cloud/admin/user-provisioning/rest/api-group-users/#api-scim-directory-directoryid-users-userid-put"
	return &Manifest{
		Name:    "update-user",
		Title:   "Update User",
		Summary: "Replace the attributes of one user of a directory.",
		Description: `Makes a user what the parameters say, attribute by attribute. An attribute that is given takes the place of
the old value; one that is left out is cleared. What the service alone decides (the id, the groups, the times of
change) stays as it is. A list, such as Emails, and the parts of Name are replaced as a whole.

Whether a left-out Active is kept or becomes true, and whether a left-out external id is kept, is a rule of the
directory. The plan shows both, with all else that would be replaced or cleared, before anything is sent.`,
		Command:       "user update",
		Writes:        true,
		Method:        "PUT",
		Path:          "/Users/{userId}",
		Documentation: docs,
		Basic: []Parameter{
			{
				Name: "userId", Title: "User ID", Flag: "user-id", In: InPath, Type: String, Required: true,
				Description: "The id that the directory gave the user. `roster user list` finds it.",
				Example:     "8c1f2a6e-2f0b-4a6c-9d0e-3f5b7a1c2d4e",
			},
			{
				Name: "userName", Title: "User Name", Flag: "user-name", In: InBody, Type: String, Required: true,
				Description: "The name that the provisioning client knows the user by. No two users of a directory have the same one, whatever its case. Every update must give it.",
				Example:     "ada@corp.example",
			},
		},
		Advanced: []Parameter{
			{
				Name: "active", Title: "Active", Flag: "active", In: InBody, Type: Boolean,
				Description: "Whether the user may be used: `true` or `false`. Left out, the directory's rules decide; the plan warns when that would re-activate somebody.",
				Example:     "true",
			},
			{
				Name: "attributes", Title: "Attributes", Flag: "attributes", In: InQuery, Type: Names,
				Description:   "What the answer shows, as names with commas between them. It does not narrow what is replaced. Not together with Excluded Attributes.",
				Example:       "userName,emails.value",
				ExclusiveWith: []string{"excludedAttributes"},
			},
			{
				Name: "department", Title: "Department", Flag: "department", In: InBody, Type: String,
				Description: "The department that the user works in.",
				Example:     "Research",
			},
			{
				Name: "displayName", Title: "Display Name", Flag: "display-name", In: InBody, Type: String,
				Description: "The name to show for the user. It is not made from the parts of Name.",
				Example:     "Ada Lovelace",
			},
			{
				Name: "emails", Title: "Emails", Flag: "emails", In: InBody, Type: Array,
				Description: "All e-mail addresses of the user, as a JSON array of objects with `value`, `type` and `primary`. Atlassian's directories demand at least one, and one of them primary; a lone one is marked for you.",
				Example:     `[{"value":"ada@corp.example","type":"work","primary":true}]`,
				Parts:       valueParts(),
				Short:       &Short{Flag: "email", Word: "address", Type: "work", Primary: true, Description: "An e-mail address of type work, the first one primary."},
			},
			{
				Name: "excludedAttributes", Title: "Excluded Attributes", Flag: "excluded-attributes", In: InQuery, Type: Names,
				Description:   "What the answer leaves out, as names with commas between them. Not together with Attributes.",
				Example:       "timezone,emails.type,department",
				ExclusiveWith: []string{"attributes"},
			},
			{
				Name: "name", Title: "Name", Flag: "name", In: InBody, Type: Object,
				Description: "The parts of the user's name, as a JSON object with `formatted`, `familyName`, `givenName`, `middleName`, `honorificPrefix` and `honorificSuffix`. Parts that are left out are cleared.",
				Example:     `{"givenName":"Ada","familyName":"Lovelace"}`,
				Parts: []Part{
					{Name: "formatted", Type: String, Flag: "formatted-name", Description: "The whole name as it is shown."},
					{Name: "familyName", Type: String, Flag: "family-name", Description: "The family name."},
					{Name: "givenName", Type: String, Flag: "given-name", Description: "The given name."},
					{Name: "middleName", Type: String, Flag: "middle-name", Description: "The middle names."},
					{Name: "honorificPrefix", Type: String, Flag: "honorific-prefix", Description: "The title before the name (Dr.)."},
					{Name: "honorificSuffix", Type: String, Flag: "honorific-suffix", Description: "The suffix after the name (III)."},
				},
			},
			{
				Name: "nickName", Title: "Nick Name", Flag: "nick-name", In: InBody, Type: String,
				Description: "The casual name of the user.",
				Example:     "Countess",
			},
			{
				Name: "organization", Title: "Organization", Flag: "organization", In: InBody, Type: String,
				Description: "The organization that the user belongs to.",
				Example:     "Analytical Engines Ltd",
			},
			{
				Name: "phoneNumbers", Title: "Phone Numbers", Flag: "phone-numbers", In: InBody, Type: Array,
				Description: "All phone numbers of the user, as a JSON array of objects with `value`, `type` and `primary`.",
				Example:     `[{"value":"+44 20 7946 0000","type":"work"}]`,
				Parts:       valueParts(),
				Short:       &Short{Flag: "phone", Word: "number", Type: "work", Description: "A phone number of type work."},
			},
			{
				Name: "preferredLanguage", Title: "Preferred Language", Flag: "preferred-language", In: InBody, Type: String,
				Description: "The language that the user wants to be addressed in, as a language tag.",
				Example:     "en-GB",
			},
			{
				Name: "timezone", Title: "Timezone", Flag: "timezone", In: InBody, Type: String,
				Description: "The time zone of the user, as a name of the IANA database.",
				Example:     "Europe/London",
			},
			{
				Name: "title", Title: "Title", Flag: "title", In: InBody, Type: String,
				Description: "The job title of the user.",
				Example:     "Chief Analyst",
			},
		},
		Columns:       userColumns(),
		ExampleOutput: exampleUser,
	}
}

// valueParts are those of the e-mail addresses and phone numbers.
func valueParts() []Part {
	return []Part{
		{Name: "value", Type: String, Description: "The address or number itself."},
		{Name: "type", Type: String, Description: "What it is for: `work`, `home`, `mobile`."},
		{Name: "primary", Type: Boolean, Description: "Whether it is the one to use first."},
		{Name: "display", Type: String, Description: "The form to show."},
	}
}
