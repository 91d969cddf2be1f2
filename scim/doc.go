// Package scim holds the words of SCIM 2.0 (RFC 7643, RFC 7644): schemas,
// resources, replacement, patches, projection, filters and errors. It is pure:
// bytes and values go in, values and errors come out. It knows no network, no
// database and no clock.
//
// Schemas are data. Compile binds a resource type to its schemas and to a rule
// set and yields a Type, an immutable table of attributes; everything else
// works on that table:
//
//	Type.Parse       a client's bytes        -> Resource, bounded and checked
//	Type.Decode      a stored document       -> Resource
//	Create, Replace  what POST and PUT make of it, attribute by attribute
//	Type.ParsePatch  the bytes of a PATCH    -> Patch, whose Apply makes a Resource
//	Diff             which attributes changed, before and after
//	Resource.Append  the canonical document
//	Type.Render      the answer: document + id, meta, groups, cut by a Projection
package scim
