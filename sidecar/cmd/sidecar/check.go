package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"lilypad.example/services/pkg/config"
	"lilypad.example/sidecar/internal/app"
	"lilypad.example/sidecar/internal/endpoints"
	"lilypad.example/sidecar/internal/http1"
	"lilypad.example/sidecar/internal/route"
)

type check struct {
	File   string `arg:"" help:"Policy file."`
	Method string `arg:"" optional:"" help:"Method of a request to explain, for example GET."`
	Target string `arg:"" optional:"" help:"Path of that request, as a browser sends it, for example /account?tab=1."`

	LoginPath string `default:"/auth/login" help:"Path of the login page."`
}

// Help is the description of the command.
func (*check) Help() string {
	return `Reports all faults of a policy file, or warnings about a good one.
With a method and a path it shows which route applies to that request, and why.

Example: sidecar check routes.yaml GET /account`
}

// Check returns the errors in the arguments.
func (c *check) Check() error {
	if (c.Method == "") != (c.Target == "") {
		return errors.New("a request has a method and a path: sidecar check routes.yaml GET /account")
	}
	if _, err := http1.ReadTarget(c.Method, c.Target); err != nil && c.Method != "" && !strings.HasPrefix(c.Target, "/") {
		return errors.New("the path must begin with /, for example /admin")
	}
	return nil
}

// Run reports the errors or warnings of the file, or explains a request.
func (c *check) Run(p config.Program) error {
	table, err := app.ReadRoutes(c.File, c.LoginPath)
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return err // it names the file
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if c.Method == "" {
		warnings := table.Warnings()
		if unserved := app.Unserved(table, c.LoginPath); unserved != "" {
			warnings = append(warnings, unserved)
		}
		for _, warning := range warnings {
			_, _ = fmt.Fprintf(p.Stdout, "warning: %s\n", warning)
		}
		_, err = fmt.Fprintf(p.Stdout, "%s is good\n", c.File)
		return err
	}
	path, err := http1.ReadTarget(c.Method, c.Target)
	if refusal, ok := errors.AsType[*http1.Fault](err); ok {
		_, err = fmt.Fprintf(p.Stdout, "%s %s gets %d: %s\n", c.Method, c.Target, refusal.Status, refusal.Detail)
		return err
	}
	w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	explain(w, table, c.Method, path)
	return w.Flush()
}

// explain writes which route applies to a request, and why. The writer reports
// errors when it is flushed.
func explain(w io.Writer, table *route.Table, method, path string) {
	if strings.HasPrefix(path, endpoints.Prefix) {
		owner := "the sidecar's own"
		if endpoints.Hosted(method, path) {
			owner = "for the auth service, which renders the pages there"
		}
		_, _ = fmt.Fprintf(w, "%s %s is %s: %s is never the application's, whatever the file says\n", method, path, owner, endpoints.Prefix)
		return
	}
	readings, err := table.Readings(method, path)
	taken, reasons := table.Explain(method, path)
	switch {
	case taken != nil:
		_, _ = fmt.Fprintf(w, "%s %s takes route %d (%s): policy %s, upstream %s at %s\n\n",
			method, path, taken.Number(), taken, taken.Policy, taken.Upstream, table.Upstreams()[taken.Upstream])
		outcomes(w, taken, method)
		gets(w, taken, path)
	case err != nil:
		_, _ = fmt.Fprintf(w, "%s %s gets 404: %s\n", method, path, err)
	case len(readings) > 0:
		_, _ = fmt.Fprintf(w, "%s %s gets 404: none of its routes is at least as strict as each other one\n", method, path)
	default:
		_, _ = fmt.Fprintf(w, "%s %s gets 404: no route is for it\n", method, path)
	}
	if len(readings) > 1 {
		_, _ = fmt.Fprint(w, "\nServers may read this path in more than one way; the strictest of these routes decides:\n")
		for _, r := range readings {
			_, _ = fmt.Fprintf(w, "read as %s\troute %d\t%s\tpolicy %s%s\n", r.Path, r.Route.Number(), r.Route, r.Route.Policy, also(r.Route))
		}
	}
	_, _ = fmt.Fprintln(w)
	for _, r := range reasons {
		_, _ = fmt.Fprintf(w, "not route %d\t%s\t%s\n", r.Route.Number(), r.Route, r.Why)
	}
}

// also returns what r asks for besides its policy.
func also(r *route.Route) string {
	var text string
	if r.Fresh != "" {
		text = ", fresh " + r.Fresh
	}
	if len(r.ACR) > 0 {
		text += ", acr " + strings.Join(r.ACR, " or ")
	}
	return text
}

// outcomes writes what r responds to each kind of visitor.
func outcomes(w io.Writer, r *route.Route, method string) {
	now := time.Now()
	user := route.Visitor{SignedIn: true, AuthTime: now}
	if len(r.ACR) > 0 {
		user.ACR = r.ACR[0]
	}
	say := func(who string, v route.Visitor) {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", who, outcome(r, v, now, method))
	}
	say("a stranger", route.Visitor{})
	say("a signed-in user", user)
	if role := r.Policy.Role(); role != "" {
		user.Roles = []string{role}
		say("with role "+role, user)
	}
	if r.MaxAge() > 0 {
		user.AuthTime = now.Add(-r.MaxAge() - time.Second)
		say("signed in over "+r.Fresh+" ago", user)
		user.AuthTime = now
	}
	if len(r.ACR) > 0 {
		user.ACR = ""
		say("signed in without acr "+strings.Join(r.ACR, " or "), user)
	}
	if !safe(method) {
		_, _ = fmt.Fprintln(w, "from another site\t403, whoever it is")
	}
}

// gets writes what the app gets besides the request, or instead of its parts.
func gets(w io.Writer, r *route.Route, path string) {
	switch rest, prefix, ok := r.Stripped(path, path); {
	case !ok:
		_, _ = fmt.Fprintln(w, "\nEverybody gets 404: the path is not spelled like the prefix that is stripped")
	case prefix != "":
		_, _ = fmt.Fprintf(w, "\nThe app gets the path %s, and X-Forwarded-Prefix: %s\n", rest, prefix)
	}
	if fields := r.To().Fields(); len(fields) > 0 && r.Policy != route.Public {
		texts := make([]string, len(fields))
		for i, f := range fields {
			texts[i] = fmt.Sprintf("%s (%s)", f.Name, f.Claim)
		}
		_, _ = fmt.Fprintf(w, "\nFor a signed-in user the app gets %s\n", strings.Join(texts, ", "))
	}
}

func outcome(r *route.Route, v route.Visitor, now time.Time, method string) string {
	status, page := "401", "the login page"
	switch r.Judge(v, now) {
	case route.Pass:
		switch {
		case r.Policy == route.Public:
			return "passes, without a token: no session is looked up"
		case !v.SignedIn:
			return "passes, as a stranger"
		}
		return "passes, with a token"
	case route.SignInAgain:
		if !r.TakesACR(v.ACR) {
			page = "the user's identity provider (after a password: 401)"
		}
		return words(method, page, "401 that asks for a login"+asks(r))
	case route.Forbid:
		status, page = "403", ""
	case route.SignIn:
	}
	if r.Deny.Page != "" {
		page = r.Deny.Page
	}
	if r.Deny.Text != "" {
		status += fmt.Sprintf(" %q", r.Deny.Text)
	}
	return words(method, page, status)
}

// asks describes the login that r asks for.
func asks(r *route.Route) string {
	var text string
	if r.Fresh != "" {
		text = " of the last " + r.Fresh
	}
	if len(r.ACR) > 0 {
		text += " with acr " + strings.Join(r.ACR, " or ")
	}
	return text
}

// words describes a refusal: a navigation is redirected to page, if there is one.
func words(method, page, refusal string) string {
	if page == "" || method != http.MethodGet && method != http.MethodHead {
		return refusal
	}
	return "a page: 303 to " + page + "; a fetch or a program: " + refusal
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
