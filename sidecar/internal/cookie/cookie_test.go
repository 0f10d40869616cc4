package cookie_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"lilypad.example/sidecar/internal/cookie"
	"lilypad.example/sidecar/internal/http1"
)

const token = "v1.k1.AAAAAAAAAAAAAAAAAAAAAA.7.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestR4_ExactlyOneCookieIsRead(t *testing.T) {
	ours := cookie.Name + "=" + token
	for name, c := range map[string]struct {
		headers []string
		state   cookie.State
	}{
		"none":                  {nil, cookie.None},
		"others only":           {[]string{"a=b; c=d"}, cookie.None},
		"ours":                  {[]string{ours}, cookie.One},
		"among others":          {[]string{"a=b; " + ours + ";c=d"}, cookie.One},
		"in the second header":  {[]string{"a=b", ours}, cookie.One},
		"twice the same":        {[]string{ours + "; " + ours}, cookie.Unusable},
		"twice in two headers":  {[]string{ours, ours}, cookie.Unusable},
		"twice, one empty":      {[]string{cookie.Name + "=; " + ours}, cookie.Unusable},
		"name with white space": {[]string{cookie.Name + " =" + token + "; " + ours}, cookie.Unusable},
		"empty":                 {[]string{cookie.Name + "="}, cookie.Unusable},
		"other case":            {[]string{strings.ToLower(cookie.Name) + "=" + token}, cookie.None},
		"prefix of ours":        {[]string{cookie.Name + "x=" + token}, cookie.None},
		"not of our shape":      {[]string{cookie.Name + "=eyJhbGciOiJub25lIn0.e30."}, cookie.Unusable},
		"quoted":                {[]string{cookie.Name + `="` + token + `"`}, cookie.Unusable},
		"too long":              {[]string{ours + strings.Repeat("A", 200)}, cookie.Unusable},
	} {
		var h http1.Header
		for _, v := range c.headers {
			h.Add("Cookie", v)
		}
		value, state := cookie.Read(h)
		if state != c.state || (state == cookie.One) != (value == token) {
			t.Errorf("%s: %q, %v", name, value, state)
		}
	}
}

func TestAFewKnownSessionsAreRead(t *testing.T) {
	other := strings.Replace(token, ".7.", ".8.", 1)
	long := strings.Repeat("A", 201)
	for name, c := range map[string]struct {
		value string
		want  []string
	}{
		"none":                {"", nil},
		"one":                 {token, []string{token}},
		"two":                 {token + "~" + other, []string{token, other}},
		"junk among them":     {"junk~" + token + "~~v1." + long + "~" + other, []string{token, other}},
		"more than are kept":  {strings.Repeat(token+"~", 9), []string{token, token, token}},
		"another separator":   {token + "," + other, nil},
		"a second such field": {token + "; " + cookie.Known + "=" + other, nil},
	} {
		var h http1.Header
		h.Add("Cookie", "a=b; "+cookie.Known+"="+c.value)
		if got := cookie.ReadKnown(h); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestKnownSessionsOfABrowserAreFewAndExpire(t *testing.T) {
	c, err := http.ParseSetCookie(cookie.AddKnown(token, []string{"b", "c", "d"}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Value != token+"~b~c" || c.MaxAge != 30*24*3600 {
		t.Errorf("%s", c)
	}
	if c, err := http.ParseSetCookie(cookie.SetKnown(nil)); err != nil || c.MaxAge != -1 {
		t.Errorf("%s, %v", c, err)
	}
}

func TestCookieAttributes(t *testing.T) {
	now := time.Now()
	for name, text := range map[string]string{
		"set": cookie.Set(token, now.Add(time.Hour), now), "clear": cookie.Clear(), "former": cookie.SetFormer(token), "known": cookie.AddKnown(token, []string{token, token}),
	} {
		c, err := http.ParseSetCookie(text)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("%s: %s", name, text)
		}
		if len(text) > 4096 || name == "set" && (c.MaxAge != 3600+24*3600 || c.Value != token) || name == "clear" && (c.MaxAge != -1 || c.Value != "") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
