package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
)

func newDirectoryRequestsCmd(g *globals) *cobra.Command {
	o := new(directoryOptions)
	cmd := &cobra.Command{
		Use:   "requests ID",
		Short: "List the last requests to a directory, with what was taken against the RFC or ignored",
		Long: `List the last 1,000 requests to a directory that this server has answered, the newest
first: what was asked, the status and the scimType of a refusal, what was taken against the RFC (COERCED), and which
attributes no schema knows (IGNORED). There are names in it and never values, and the
REQUEST of each answer's Roster-Request-Id. It takes a key with the scope admin.`,
		Example: `  roster directory requests ID
  roster directory requests ID -o ndjson | grep coerced`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runDirectoryRequests(cmd.Context(), g, o)
		},
	}
	o.addServerFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	return cmd
}

func runDirectoryRequests(ctx context.Context, g *globals, o *directoryOptions) error {
	c, err := o.open(g)
	if err != nil {
		return err
	}
	requests, err := c.Management().ListRequests(ctx, o.id)
	if err != nil {
		return noDirectory(err)
	}
	l := newListing(g.stdout, o.output, "AT", "STATUS", "TYPE", "METHOD", "ROUTE", "RESOURCE", "COERCED", "IGNORED", "KEY", "REQUEST")
	for _, doc := range requests {
		var r struct {
			At       time.Time `json:"at"`
			Status   int       `json:"status"`
			ScimType string    `json:"scimType"`
			Method   string    `json:"method"`
			Route    string    `json:"route"`
			Resource string    `json:"resource"`
			Coerced  []string  `json:"coerced"`
			Ignored  []string  `json:"ignored"`
			Key      string    `json:"key"`
			Request  string    `json:"request"`
		}
		if err := json.Unmarshal(doc, &r); err != nil {
			return fmt.Errorf("read the requests of the directory: %w", err)
		}
		err := l.add(doc, when(r.At), fmt.Sprint(r.Status), r.ScimType, r.Method, strings.TrimPrefix(r.Route, r.Method+" "), r.Resource,
			strings.Join(r.Coerced, ", "), strings.Join(r.Ignored, ", "), r.Key, r.Request)
		if err != nil {
			return err
		}
	}
	return l.end()
}
