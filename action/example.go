package action

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// The example outputs of the manifests.
var (
	exampleUser = jsontext.Value(`{
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
}`)
	exampleGroup = jsontext.Value(`{
  "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
  "id": "3b7f0c52-6d1e-4f7a-9b55-1c8e2a4d6f90",
  "externalId": "e5f6a7",
  "displayName": "engineering",
  "members": [
    {
      "type": "User",
      "value": "8c1f2a6e-2f0b-4a6c-9d0e-3f5b7a1c2d4e",
      "display": "ada@corp.example",
      "$ref": "https://users.corp.example/scim/directory/d1/Users/8c1f2a6e-2f0b-4a6c-9d0e-3f5b7a1c2d4e"
    }
  ],
  "meta": {
    "resourceType": "Group",
    "created": "2026-01-12T09:30:11.185473Z",
    "lastModified": "2026-03-02T16:04:05.49073Z",
    "location": "https://users.corp.example/scim/directory/d1/Groups/3b7f0c52-6d1e-4f7a-9b55-1c8e2a4d6f90"
  }
}`)
	exampleSchema = jsontext.Value(`{
  "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
  "id": "urn:ietf:params:scim:schemas:core:2.0:Group",
  "name": "Group",
  "description": "Group",
  "attributes": [
    {
      "name": "displayName",
      "type": "string",
      "multiValued": false,
      "description": "The name of the group, for people.",
      "required": true,
      "caseExact": false,
      "mutability": "readWrite",
      "returned": "default",
      "uniqueness": "server"
    }
  ],
  "meta": {
    "resourceType": "Schema",
    "location": "https://users.corp.example/scim/directory/d1/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group"
  }
}`)
	exampleResourceType = jsontext.Value(`{
  "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
  "id": "User",
  "name": "User",
  "endpoint": "/Users",
  "description": "User Account",
  "schema": "urn:ietf:params:scim:schemas:core:2.0:User",
  "schemaExtensions": [
    {
      "schema": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
      "required": false
    }
  ],
  "meta": {
    "resourceType": "ResourceType",
    "location": "https://users.corp.example/scim/directory/d1/ResourceTypes/User"
  }
}`)
	exampleConfig = jsontext.Value(`{
  "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
  "patch": {"supported": true},
  "bulk": {"supported": true, "maxOperations": 1000, "maxPayloadSize": 10485760},
  "filter": {"supported": true, "maxResults": 100},
  "changePassword": {"supported": false},
  "sort": {"supported": true},
  "etag": {"supported": true},
  "pagination": {"cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": 100, "maxPageSize": 100, "cursorTimeout": 3600},
  "authenticationSchemes": [{"type": "oauthbearertoken", "name": "API key", "description": "The key of the directory as a bearer token"}],
  "documentationUri": "https://users.corp.example/docs",
  "meta": {
    "resourceType": "ServiceProviderConfig",
    "created": "2026-01-12T09:30:11.185473Z",
    "lastModified": "2026-01-12T09:30:11.185473Z",
    "location": "https://users.corp.example/scim/directory/d1/ServiceProviderConfig"
  }
}`)
	exampleLinks = jsontext.Value(`{
  "scimLinks": [
    {
      "scimUserId": "8c1f2a6e-2f0b-4a6c-9d0e-3f5b7a1c2d4e",
      "atlassianAccountId": "712020:5d0b1f0e-7a34-4b0e-8a55-0f6a3c1d9e77",
      "orgId": "0d4c7f1e-5b0a-4e55-9f3c-2a6d8e1b7c90",
      "directoryId": "6a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
    }
  ]
}`)
)

// exampleList returns the example of a list of one.
func exampleList(one jsontext.Value) jsontext.Value {
	list := jsontext.Value(`{"schemas":["` + scim.ListResponseURN + `"],"totalResults":1,"startIndex":1,"itemsPerPage":1,"Resources":[` + string(one) + `]}`)
	if err := list.Indent(jsontext.WithIndent("  ")); err != nil {
		panic(err) // an example of this file is no JSON
	}
	return list
}
