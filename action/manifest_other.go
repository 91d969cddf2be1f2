package action

func listSchemasManifest() *Manifest {
	return &Manifest{
		Name: "list-schemas", Title: "List Schemas",
		Summary:     "List the schemas of a directory.",
		Description: "Reads which attributes there are, of which type, and what may be done with each (RFC 7643 section 7).",
		Method:      "GET", Path: "/Schemas",
		Documentation: apiDocs + "api-group-schemas/#api-scim-directory-directoryid-schemas-get",
		Columns:       []Column{{"ID", "id"}, {"NAME", "name"}},
		ExampleOutput: exampleList(exampleSchema),
	}
}

func getSchemaManifest() *Manifest {
	return &Manifest{
		Name: "get-schema", Title: "Get Schema",
		Summary:     "Show one schema of a directory.",
		Description: "Reads the schema of that URN. Atlassian's service has those of users, groups and the enterprise extension.",
		Method:      "GET", Path: "/Schemas/{schema}",
		Documentation: apiDocs + "api-group-schemas/#api-group-schemas",
		Basic: []Parameter{{
			Name: "schema", Title: "Schema", Flag: "schema", In: InPath, Type: String, Required: true,
			Description: "The URN of the schema.",
			Example:     "urn:ietf:params:scim:schemas:core:2.0:Group",
		}},
		ExampleOutput: exampleSchema,
	}
}

func listResourceTypesManifest() *Manifest {
	return &Manifest{
		Name: "list-resource-types", Title: "List Resource Types",
		Summary:     "List the resource types of a directory.",
		Description: "Reads which types of resources there are, under which path, and of which schemas (RFC 7643 section 6).",
		Method:      "GET", Path: "/ResourceTypes",
		Documentation: apiDocs + "api-group-resource-types/#api-scim-directory-directoryid-resourcetypes-get",
		Columns:       []Column{{"NAME", "name"}, {"ENDPOINT", "endpoint"}, {"SCHEMA", "schema"}},
		ExampleOutput: exampleList(exampleResourceType),
	}
}

func getResourceTypeManifest() *Manifest {
	return &Manifest{
		Name: "get-resource-type", Title: "Get Resource Type",
		Summary:     "Show one resource type of a directory.",
		Description: "Reads the resource type of that name.",
		Method:      "GET", Path: "/ResourceTypes/{resourceType}",
		Documentation: apiDocs + "api-group-resource-types/#api-group-resource-types",
		Basic: []Parameter{{
			Name: "resourceType", Title: "Resource Type", Flag: "resource-type", In: InPath, Type: String, Required: true,
			Description: "The name of the resource type: `User` or `Group`, or one that the directory adds.",
			Example:     "User",
		}},
		ExampleOutput: exampleResourceType,
	}
}

func getConfigManifest() *Manifest {
	return &Manifest{
		Name: "get-service-provider-config", Title: "Get Service Provider Config",
		Summary:     "Show what a service can do.",
		Description: "Reads whether it takes patches, bulk requests, filters, sorting and ETags, and within which limits (RFC 7643 section 5).",
		Method:      "GET", Path: "/ServiceProviderConfig",
		Documentation: apiDocs + "api-group-service-provider-configuration/#api-scim-directory-directoryid-serviceproviderconfig-get",
		ExampleOutput: exampleConfig,
	}
}

// The Admin APIs.
const (
	orgPath = "/admin/user-provisioning/v1/org/{orgId}"
	orgDocs = apiDocs + "api-group-admin-apis/#api-group-admin-apis"
)

func getLinksManifest() *Manifest {
	return &Manifest{
		Name: "get-scim-links", Title: "Get SCIM Links", Organization: true,
		Summary:     "List the records that are linked to an Atlassian account, in every directory of the organisation.",
		Description: "Reads which user of which directory the account is linked to. It takes the key of the organisation, not that of a directory.",
		Method:      "GET", Path: orgPath + "/user/{accountId}/get-scim-links",
		Documentation: orgDocs,
		Basic:         []Parameter{accountID()},
		Advanced:      []Parameter{orgID()},
		Columns:       linkColumns(),
		ExampleOutput: exampleLinks,
	}
}

func getLinksOfEmailManifest() *Manifest {
	return &Manifest{
		Name: "get-scim-links-for-email", Title: "Get SCIM Links For Email", Organization: true,
		Summary: "List the records that have an e-mail address, in every directory of the organisation.",
		Description: `Reads them with the account that each is linked to; one that is not linked has none (null). It finds the record that
holds an address which another user is refused (409). It takes the key of the organisation.`,
		Method: "POST", Path: orgPath + "/get-scim-links-for-email",
		Documentation: orgDocs,
		Basic: []Parameter{{
			Name: "email", Title: "Email", Flag: "email", In: InBody, Type: String, Required: true,
			Description: "The e-mail address.",
			Example:     "ada@corp.example",
		}},
		Advanced:      []Parameter{orgID()},
		Columns:       linkColumns(),
		ExampleOutput: exampleLinks,
	}
}

func unlinkManifest() *Manifest {
	userID := userID()
	userID.Name, userID.Title, userID.Flag = "scimUserId", "SCIM User ID", "scim-user-id"
	return &Manifest{
		Name: "unlink", Title: "Unlink User", Writes: true, Organization: true,
		Summary:     "Take its Atlassian account from a user, who stays in the directory.",
		Description: "Breaks the link between the record and the account, and deletes neither. It takes the key of the organisation.",
		Method:      "PATCH", Path: orgPath + "/scimDirectoryId/{scimDirectoryId}/scimUserId/{scimUserId}/unlink",
		Documentation: orgDocs,
		Basic: []Parameter{{
			Name: "scimDirectoryId", Title: "SCIM Directory ID", Flag: "scim-directory-id", In: InPath, Type: String, Required: true,
			Description: "The id of the directory that the user is in.",
			Example:     "6a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
		}, userID},
		Advanced: []Parameter{orgID()},
	}
}

func deleteRecordsManifest() *Manifest {
	return &Manifest{
		Name: "only-delete-user-in-db", Title: "Only Delete User In DB", Writes: true, Organization: true,
		Summary: "Delete the records that are linked to an Atlassian account, from every directory of the organisation.",
		Description: `The account itself stays. Its places in groups are gone with the records, and must be provisioned again. It takes the
key of the organisation.`,
		Method: "DELETE", Path: orgPath + "/user/{accountId}/onlyDeleteUserInDB",
		Documentation: orgDocs,
		Basic:         []Parameter{accountID()},
		Advanced:      []Parameter{orgID()},
	}
}

func accountID() Parameter {
	return Parameter{
		Name: "accountId", Title: "Account ID", Flag: "account-id", In: InPath, Type: String, Required: true,
		Description: "The id of the Atlassian account.",
		Example:     "712020:5d0b1f0e-7a34-4b0e-8a55-0f6a3c1d9e77",
	}
}

func orgID() Parameter {
	return Parameter{
		Name: "orgId", Title: "Organisation ID", Flag: "org-id", In: InPath, Type: String,
		Description: "The id of the organisation. Atlassian's service must be told it.",
		Example:     "0d4c7f1e-5b0a-4e55-9f3c-2a6d8e1b7c90", Default: "the one that a Roster says it is",
	}
}

func linkColumns() []Column {
	return []Column{{"USER ID", "scimUserId"}, {"ACCOUNT ID", "atlassianAccountId"}, {"DIRECTORY", "directoryId"}}
}
