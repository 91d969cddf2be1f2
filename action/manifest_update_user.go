package action

import "github.com/go-json-experiment/json/jsontext"

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
		Method:        "PUT",
		Path:          "/Users/{userId}",
		Documentation: docs,
		Basic: []Parameter{
			{
				Name: "userId", Title: "User ID", In: InPath, Type: String, Required: true,
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
				Description: "All e-mail addresses of the user, as a JSON array of objects with `value`, `type` and `primary`. Atlassian's directories demand at least one, and one of them primary; a lone one is marked for you. `--email ADDRESS` is short for one.",
				Example:     `[{"value":"ada@corp.example","type":"work","primary":true}]`,
			},
			{
				Name: "excludedAttributes", Title: "Excluded Attributes", Flag: "excluded-attributes", In: InQuery, Type: Names,
				Description:   "What the answer leaves out, as names with commas between them. Not together with Attributes.",
				Example:       "timezone,emails.type,department",
				ExclusiveWith: []string{"attributes"},
			},
			{
				Name: "name", Title: "Name", Flag: "name", In: InBody, Type: Object,
				Description: "The parts of the user's name, as a JSON object with `formatted`, `familyName`, `givenName`, `middleName`, `honorificPrefix` and `honorificSuffix`. Parts that are left out are cleared. Each part has a flag of its own, such as `--given-name`.",
				Example:     `{"givenName":"Ada","familyName":"Lovelace"}`,
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
				Description: "All phone numbers of the user, as a JSON array of objects with `value`, `type` and `primary`. `--phone NUMBER` is short for one.",
				Example:     `[{"value":"+44 20 7946 0000","type":"work"}]`,
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
		ExampleOutput: jsontext.Value(`{
  "schemas": [
    "urn:scim:schemas:extension:atlassian-external:1.0",
    "urn:ietf:params:scim:schemas:core:2.0:User",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
  ],
  "id": "8c1f2a6e-2f0b-4a6c-9d0e-3f5b7a1c2d4e",
  "externalId": "00u1a2b3c4",
  "userName": "ada@corp.example",
  "name": {
    "formatted": "Dr. Ada King Lovelace, FRS",
    "familyName": "Lovelace",
    "givenName": "Ada",
    "middleName": "King",
    "honorificPrefix": "Dr.",
    "honorificSuffix": "FRS"
  },
  "displayName": "Ada Lovelace",
  "nickName": "Countess",
  "title": "Chief Analyst",
  "preferredLanguage": "en-GB",
  "department": "Research",
  "organization": "Analytical Engines Ltd",
  "timezone": "Europe/London",
  "phoneNumbers": [
    {
      "value": "+44 20 7946 0000",
      "type": "work",
      "primary": true
    }
  ],
  "emails": [
    {
      "value": "ada@corp.example",
      "type": "work",
      "primary": true
    }
  ],
  "active": true,
  "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
    "organization": "Analytical Engines Ltd",
    "department": "Research"
  },
  "urn:scim:schemas:extension:atlassian-external:1.0": {
    "atlassianAccountId": "712020:5d0b1f0e-7a34-4b0e-8a55-0f6a3c1d9e77"
  },
  "groups": [
    {
      "value": "3b7f0c52-6d1e-4f7a-9b55-1c8e2a4d6f90",
      "display": "engineering",
      "type": "direct",
      "$ref": "https://users.corp.example/scim/directory/d1/Groups/3b7f0c52-6d1e-4f7a-9b55-1c8e2a4d6f90"
    }
  ],
  "meta": {
    "resourceType": "User",
    "created": "2026-01-12T09:30:11.185473Z",
    "lastModified": "2026-03-02T16:04:05.49073Z",
    "location": "https://users.corp.example/scim/directory/d1/Users/8c1f2a6e-2f0b-4a6c-9d0e-3f5b7a1c2d4e"
  }
}`),
	}
}
