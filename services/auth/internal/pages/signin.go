package pages

import (
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"lilypad.example/services/pkg/authn"
	"lilypad.example/services/pkg/problem"
	"lilypad.example/services/pkg/selfservice"
)

// signIn is the content of the login and the registration page.
type signIn struct {
	selfservice.Feedback

	Buttons                 []button
	Passwords, Registration bool
	// Another is where to sign in with another account of the provider that has just refused one;
	// "" if none has.
	Another string
	// Ask says whether to ask for credentials. Otherwise the visitor is signed in already, as Who.
	Ask       bool
	Who       string
	SignedOut bool
	// The pages with the same target after sign-in.
	Login, Register string
}

// A button begins to sign in with a provider.
type button struct {
	Provider

	// Initial is the first letter of the name.
	Initial, URL string
}

// showLogin handles GET /auth/login. The only redirect is the one to the only way to sign in: a
// provider, for a stranger who was not just there or has just signed out.
func (p *pages) showLogin(c *gin.Context) error {
	q := c.Request.URL.Query()
	v := p.signIn(q)
	_, known := authn.FromContext(c.Request.Context())
	again := q.Has("error")
	v.Ask, v.SignedOut = !known || again, q.Has("signed_out") && !known && !again
	if !known && !again && !q.Has("signed_out") && !v.Passwords && len(v.Buttons) == 1 && !v.Buttons[0].Down {
		c.Redirect(http.StatusSeeOther, v.Buttons[0].URL)
		return nil
	}
	if known {
		// Without the profile the page does as well.
		if who, err := p.Account.Profile(c.Request.Context()); err == nil {
			v.Who = who.Email
			if v.Email == "" {
				v.Email = who.Email
			}
		}
	}
	return p.render(c.Writer, c.Request, p.login, http.StatusOK, view{Title: "Sign In", Content: v})
}

// showRegister handles GET /auth/register.
func (p *pages) showRegister(c *gin.Context) error {
	if !p.Methods.Registration() {
		return problem.New(http.StatusNotFound, problem.NotFound, "Nobody can register here. Sign in with an account that you have.")
	}
	q := c.Request.URL.Query()
	v := p.signIn(q)
	_, known := authn.FromContext(c.Request.Context())
	v.Ask = !known || q.Has("error")
	return p.render(c.Writer, c.Request, p.register, http.StatusOK, view{Title: "Sign Up", Content: v})
}

// showLogout handles GET /auth/logout: it asks before the visitor signs out, because a link must not
// do so by itself.
func (p *pages) showLogout(c *gin.Context) error {
	return p.render(c.Writer, c.Request, p.logout, http.StatusOK, view{Title: "Sign Out", Content: p.signIn(nil)})
}

// signIn returns the content that the pages share, for a query.
func (p *pages) signIn(q url.Values) signIn {
	v := signIn{Feedback: selfservice.Read(q), Passwords: p.Methods.Passwords(), Registration: p.Methods.Registration()}
	v.Login, v.Register = withNext(loginPath, v.Next), withNext(registerPath, v.Next)
	for _, provider := range p.Methods.Providers() {
		at := loginPath + "/" + provider.ID
		b := button{Provider: provider, URL: withNext(at, v.Next)}
		for _, r := range provider.Name {
			b.Initial = string(r)
			break
		}
		if refusedByProvider(q.Get("error")) && q.Get("provider") == provider.ID {
			again := url.Values{"prompt": {"select_account"}}
			if v.Next != "" {
				again.Set("next", v.Next)
			}
			v.Another = at + "?" + again.Encode()
		}
		v.Buttons = append(v.Buttons, b)
	}
	return v
}

// refusedByProvider reports whether another account at the provider may help after an error.
func refusedByProvider(code string) bool {
	switch code {
	case "provider_denied", "not_allowed", "email_unverified", "email_missing", "email_has_password", "account_disabled", "groups_overage", "step_up_failed", "forbidden":
		return true
	}
	return false
}

// accountView is the content of the account page.
type accountView struct {
	selfservice.View

	Providers []Provider
}
