package main

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/apply"
)

// completionTime bounds what a person waits for after the tab key.
const completionTime = 2 * time.Second

// maxCompletions is how many ids are offered.
const maxCompletions = 100

// completeIDs completes the ids of users or groups, with their names, of the
// directory that the command line leads to. Where it leads nowhere, or the service
// does not answer in time, there are none.
func completeIDs(g *globals, o *connection, endpoint string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, part string) ([]string, cobra.ShellCompDirective) {
		c, done, err := completionClient(g, cmd, o)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer done()
		ctx, stop := context.WithTimeout(cmd.Context(), completionTime)
		defer stop()
		name := map[string]string{"/Users": "userName", "/Groups": "displayName"}[endpoint]
		options := &client.ListOptions{Attributes: []string{"id", name}, Count: maxCompletions}
		if part != "" {
			options.Filter = "id sw " + client.Quote(part)
		}
		var ids []string
		for r, err := range c.Resources(endpoint).List(ctx, options) {
			if err != nil || len(ids) == maxCompletions {
				break // some services cannot filter so
			}
			if strings.HasPrefix(r.ID, part) {
				ids = append(ids, cobra.CompletionWithDesc(printable(r.ID), printable(plain(valueAt(r.Body, name)))))
			}
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeDirectories completes the ids of the directories that the key reaches, with
// their names.
func completeDirectories(g *globals, cmd *cobra.Command, part string) ([]string, cobra.ShellCompDirective) {
	silent := *g
	silent.stderr = io.Discard
	o := &connection{flags: cmd.Flags()}
	if err := configure(&silent, cmd); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for flag, to := range map[string]*string{"connection": &o.name, "url": &o.url, "key-file": &o.keyFile} {
		if f := cmd.Flags().Lookup(flag); f != nil {
			*to = f.Value.String()
		}
	}
	o.timeout = completionTime
	c, err := o.open(&silent)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := at(c, "", -1).Management().ListDirectories(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, d := range list {
		if strings.HasPrefix(d.ID, part) {
			ids = append(ids, cobra.CompletionWithDesc(d.ID, printable(d.Name)))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// completionClient returns a client of the directory that the command line leads to,
// which tries once and says nothing.
func completionClient(g *globals, cmd *cobra.Command, o *connection) (*client.Client, func(), error) {
	silent := *g
	silent.stderr = io.Discard
	if err := configure(&silent, cmd); err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithTimeout(cmd.Context(), completionTime)
	c, err := o.openDirectory(ctx, &silent)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return at(c, c.Directory, -1), stop, nil
}

// oneOf offers completions for the first argument alone.
func oneOf(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, part string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, part)
	}
}

// completeParameters completes the ids in the argument and the flags of an action.
func (a *actionFlags) completeParameters(g *globals, cmd *cobra.Command, o *connection) {
	for parameter, endpoint := range map[string]string{"userId": "/Users", "scimUserId": "/Users", "groupId": "/Groups"} {
		p := a.manifest.Parameter(parameter)
		switch {
		case p == nil || a.manifest.Organization:
		case a.argument == parameter:
			cmd.ValidArgsFunction = oneOf(completeIDs(g, o, endpoint))
		default:
			completeFlag(cmd, p.Flag, completeIDs(g, o, endpoint))
		}
	}
	if cmd.Flags().Lookup("member") != nil {
		completeFlag(cmd, "member", completeIDs(g, o, "/Users"))
	}
}

func completeFlag(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // no such flag, or two for one: a mistake in this package
	}
}

// completeRuns completes the runs of roster apply, with what they were of.
func completeRuns(g *globals, dir *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, part string) ([]string, cobra.ShellCompDirective) {
		var list []*apply.Meta
		err := configure(g, cmd)
		if err == nil {
			var store *apply.Store
			if store, err = runStore(g, *dir); err == nil {
				list, err = store.List()
			}
		}
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var ids []string
		for _, m := range list {
			if strings.HasPrefix(m.ID, part) {
				ids = append(ids, cobra.CompletionWithDesc(m.ID, printable(m.Source)+", "+string(m.State)))
			}
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}
