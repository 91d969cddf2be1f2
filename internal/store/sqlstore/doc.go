// Package sqlstore is the store on a SQL database: SQLite, embedded in one file,
// or PostgreSQL, for any number of nodes.
//
// The rules of the contract are written once, in reader.go, tx.go, admin.go,
// event.go and prune.go, as queries that both databases understand. What they
// run on is a conn, of which there are two:
//
//	         SQLite                                   PostgreSQL
//	View     one of a pool of read-only connections   one connection of the pool
//	Update   one goroutine owns the one connection    a transaction of its own, the writes
//	         that writes and commits all waiting      of which travel together with the next
//	         functions together (group commit)        read or with the COMMIT
//	Events   what is committed is in order            see settled in postgres_event.go
//
// The drivers are used below database/sql and below pgx's types (driver.Conn,
// pgconn): their locks, goroutines and conversions cost more than what is done
// here. On PostgreSQL leaving them out halved the CPU time of an Update.
package sqlstore
