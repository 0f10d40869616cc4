// Package endpoints serves the sidecar's own endpoints under /auth/: login,
// register, logout and session, for HTML forms and JSON alike, sign-in with identity
// providers, and the page that offers a kept form for sending.
//
// It uses net/http, because these requests are rare. Cross-site writes have been
// refused before a request arrives here, except those of FromElsewhere.
package endpoints

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"lilypad.example/services/auth/api"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/keptform"
	"lilypad.example/sidecar/internal/page"
	"lilypad.example/sidecar/internal/route"
	"lilypad.example/sidecar/internal/session"
	"lilypad.example/sidecar/internal/visitor"
)

// Prefix is the path prefix of the sidecar's own endpoints.
const Prefix = "/auth/"

// MaxBody is the maximum size of a form or JSON body in bytes.
const MaxBody = 16 << 10

// Auth is the auth service; see authclient.Client.
type Auth interface {
	Register(ctx context.Context, email, name, password string, by authclient.Browser) (authclient.Begun, error)
	Login(ctx context.Context, email, password string, by authclient.Browser) (authclient.Begun, error)
	BeginAuthorization(ctx context.Context, a authclient.Authorization, by authclient.Browser) (address string, err error)
	CompleteAuthorization(ctx context.Context, provider, binding, query string, by authclient.Browser) (authclient.Completed, error)
	Revoke(ctx context.Context, refreshToken, returnTo string) (logoutURL string, err error)
	Me(ctx context.Context, authorization string) (api.User, error)
}

// Paths are the application's pages that browsers are redirected to.
type Paths struct{ Login, Register, Home string }

// Endpoints serves the paths under Prefix.
type Endpoints struct {
	Auth     Auth
	Sessions *session.Cache
	Visitors *visitor.Finder
	Forms    *keptform.Keeper
	Paths    Paths
	Pages    *page.Pages
	// Route returns the route of a request in the policy in force, or nil.
	Route func(method, path string) *route.Route
	Log   *slog.Logger
	Now   func() time.Time
	// CountEnd is called with the reason for every cookie that logout takes from a
	// browser.
	CountEnd func(api.EndReason)
}

// An endpoint is what an address does, by method.
type endpoint map[string]func(e *Endpoints, w http.ResponseWriter, r *http.Request, v *visitor.Visitor) error

// table returns the endpoint at path, or nil.
func table(path string) endpoint {
	name := strings.TrimPrefix(path, Prefix)
	switch name {
	case "login":
		return endpoint{http.MethodPost: (*Endpoints).login}
	case "register":
		return endpoint{http.MethodPost: (*Endpoints).register}
	case "initiate":
		return endpoint{http.MethodGet: (*Endpoints).initiate, http.MethodPost: (*Endpoints).initiateByForm}
	case "logout":
		return endpoint{http.MethodPost: (*Endpoints).logout}
	case "session":
		return endpoint{http.MethodGet: (*Endpoints).session}
	case "form":
		return endpoint{http.MethodGet: (*Endpoints).offerForm}
	case "form/discard":
		return endpoint{http.MethodPost: (*Endpoints).discardForm}
	}
	switch action, id, _ := strings.Cut(name, "/"); {
	case !isProvider(id):
	case action == "login":
		return endpoint{http.MethodGet: (*Endpoints).loginAt, http.MethodPost: (*Endpoints).connect}
	case action == "callback":
		return endpoint{http.MethodGet: (*Endpoints).callback}
	}
	return nil
}

// FromElsewhere reports whether a write may come from a page of another site: an identity
// provider initiates a login. It changes nothing, see initiateByForm.
func FromElsewhere(method, path string) bool {
	return method == http.MethodPost && path == initiatePath
}

// Hosted reports whether a request under Prefix is for the auth service, which renders the
// pages there, and not for an endpoint.
func Hosted(method, path string) bool {
	switch strings.TrimPrefix(path, Prefix) {
	case "login", "register", "logout":
		return method == http.MethodGet || method == http.MethodHead
	}
	return table(path) == nil
}

// Handler returns the handler of one request of v.
func (e *Endpoints) Handler(v *visitor.Visitor) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		ep := table(r.URL.Path)
		serve, ok := ep[r.Method]
		switch methods := slices.Sorted(maps.Keys(ep)); {
		case ep == nil:
			e.refuse(w, r, problem.New(http.StatusNotFound, problem.NotFound, "There is nothing at this address."))
		case !ok:
			w.Header().Set("Allow", strings.Join(methods, ", "))
			e.refuse(w, r, problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed, "This address takes "+strings.Join(methods, " and ")+" only."))
		default:
			if err := serve(e, w, r, v); err != nil {
				e.refuse(w, r, e.toProblem(r, err))
			}
		}
	})
}

// toProblem returns the problem for err, and logs err unless it is a problem itself.
func (e *Endpoints) toProblem(r *http.Request, err error) *problem.Problem {
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return p
	}
	e.Log.WarnContext(r.Context(), "auth endpoint failed", "path", r.URL.Path, "error", err)
	if errors.Is(err, authclient.ErrUnavailable) || errors.Is(err, session.ErrUnavailable) {
		p := problem.New(http.StatusServiceUnavailable, problem.Unavailable, "Signing in and out does not work at the moment. Please try again shortly.")
		p.RetryAfter = authclient.RetryAfter(err)
		return p
	}
	return problem.From(err)
}

func (e *Endpoints) refuse(w http.ResponseWriter, r *http.Request, p *problem.Problem) {
	header, body := e.Pages.Render(p, page.WantsPage(r.Method, r.Header.Get))
	write(w, p.Status, header, body)
}

func write(w http.ResponseWriter, status int, header http.Header, body []byte) {
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // html/template escaped what is in it
}

const formType = "application/x-www-form-urlencoded"

// input is a submitted form or JSON object.
type input struct {
	Email    string `json:"email"`
	Name     string `json:"name"`
	Password string `json:"password"`
	Next     string `json:"next"`

	json bool
}

// read decodes a form or a JSON object.
func read(r *http.Request) (input, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/json":
		in := input{json: true}
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil || d.More() {
			return in, problem.New(http.StatusBadRequest, problem.BadRequest, "The request body is not the JSON object that this address takes.")
		}
		return in, nil
	case err == nil && kind == formType:
		if err := r.ParseForm(); err != nil {
			return input{}, problem.New(http.StatusBadRequest, problem.BadRequest, "The form is not encoded correctly.")
		}
		// next may also stand in the form's action; the password never may.
		return input{Email: r.PostForm.Get("email"), Name: r.PostForm.Get("name"), Password: r.PostForm.Get("password"), Next: r.Form.Get("next")}, nil
	}
	return input{}, problem.New(http.StatusUnsupportedMediaType, problem.BadRequest, "Send a form (application/x-www-form-urlencoded) or JSON.")
}

// back redirects to the page that the form is on. The query has the errors and the
// fields' values, but never the password.
func back(w http.ResponseWriter, r *http.Request, path string, in input, p *problem.Problem) {
	q := url.Values{"error": {string(p.Code)}}
	for name, value := range map[string]string{"email": in.Email, "name": in.Name, "next": in.Next} {
		if value != "" {
			q.Set(name, clip(value))
		}
	}
	for _, f := range p.Errors {
		q.Add("field", f.Field+":"+f.Code)
	}
	p.SetHeader(w.Header())
	w.Header().Del("WWW-Authenticate")
	http.Redirect(w, r, path+"?"+q.Encode(), http.StatusSeeOther)
}

// clip bounds a value, so that the URL stays within what browsers accept.
func clip(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// description is a session in the responses of /auth/session and of JSON logins.
type description struct {
	User struct {
		Email string   `json:"email"`
		Name  string   `json:"name"`
		Roles []string `json:"roles"`
	} `json:"user"`
	SessionID string    `json:"sid"`
	ExpiresAt time.Time `json:"expires_at"`
}

func describe(u api.User, sid string, end time.Time) description {
	d := description{SessionID: sid, ExpiresAt: end.UTC()}
	d.User.Email, d.User.Name, d.User.Roles = u.Email, u.Name, u.Roles
	return d
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}
