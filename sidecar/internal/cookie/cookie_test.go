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

func TestExactlyOneCookieIsRead(t *testing.T) {
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

		// A pair that is not exactly name=value, but may be read as ours, makes the request
		// unusable.
		"space behind the name":      {[]string{cookie.Name + " =" + token}, cookie.Unusable},
		"tab behind the name":        {[]string{cookie.Name + "\t=" + token}, cookie.Unusable},
		"space before the value":     {[]string{cookie.Name + "= " + token}, cookie.Unusable},
		"space behind the value":     {[]string{ours + " ; a=b"}, cookie.Unusable},
		"tab before the name":        {[]string{"a=b;\t" + ours}, cookie.Unusable},
		"two spaces before the name": {[]string{"a=b;  " + ours}, cookie.Unusable},
		"Unicode space":              {[]string{"a=b; \u2003" + ours}, cookie.Unusable},
		"no-break space":             {[]string{"a=b; " + cookie.Name + "\xa0=" + token}, cookie.Unusable},
		"quoted name":                {[]string{`"` + cookie.Name + `"=` + token}, cookie.Unusable},
		"encoded name":               {[]string{"__%48ost-Http-lilypad=" + token}, cookie.Unusable},
		"mangled name":               {[]string{"_[Host-Http-lilypad=" + token}, cookie.Unusable},
		"behind a comma":             {[]string{"a=b, " + ours}, cookie.Unusable},
		"behind a space":             {[]string{"a=b " + ours}, cookie.Unusable},
		"behind a quoted value":      {[]string{`a="b" ` + ours}, cookie.Unusable},
		"value of no name":           {[]string{"=" + ours}, cookie.Unusable},
		"array":                      {[]string{cookie.Name + "[x]=" + token}, cookie.Unusable},
		"ours and a spelling of it":  {[]string{ours, "a=b; __Host-Http-lilypad\t=x"}, cookie.Unusable},
		"a spelling of it and ours":  {[]string{"_.Host-Http-lilypad=x; " + ours}, cookie.Unusable},
		"$Version before it":         {[]string{"$Version=1; " + ours}, cookie.Unusable},
		"$Version in another field":  {[]string{ours, `$version="1"`}, cookie.Unusable},
		"$Version with a comma":      {[]string{"$Version=1, " + ours}, cookie.Unusable},
		"$Path behind it":            {[]string{ours + `; $Path="/"; $Domain=x`}, cookie.Unusable},
		"$Version without ours":      {[]string{"$Version=1; a=b"}, cookie.None},
		"ours and another case":      {[]string{strings.ToUpper(cookie.Name) + "=x; " + ours}, cookie.One},
		"without a value":            {[]string{cookie.Name}, cookie.None},
		"as another's value":         {[]string{"a=" + ours}, cookie.None},
		"as a piece of another name": {[]string{"x" + ours}, cookie.None},
		"the former session's":       {[]string{cookie.Former + "=" + token}, cookie.None},
		"ours and the former one's":  {[]string{cookie.Former + "=" + token + "; " + ours}, cookie.One},
		"inside a quoted value":      {[]string{`a="b; ` + ours + `; c"`}, cookie.One}, // RFC 6265 has no quoted strings
		"empty pairs":                {[]string{";; " + ours + ";"}, cookie.One},
	} {
		var h http1.Header
		for _, v := range c.headers {
			h.Add("Cookie", v)
		}
		value, state := cookie.Read(h)
		if state != c.state || (state == cookie.One) != (value == token) {
			t.Errorf("%s: got %q, state %v, want state %v", name, value, state, c.state)
		}
		if ours := c.state != cookie.None; ours && !cookie.Sent(h) {
			t.Errorf("%s: Sent is false, want true", name)
		}
	}
}

func TestACookieOfOursIsSeenInEachReading(t *testing.T) {
	for pair, want := range map[string]bool{
		cookie.Name + "=x": true, cookie.Name: true, " " + cookie.Name + " = x": true, "$Version=1, " + cookie.Name + "=x": true,
		strings.ToUpper(cookie.Name) + "=": true, "%5f%5fHost%2dHttp-lilypad=x": true, "_%5FHost-Http-lilypa%64=x": true, "..Host-Http-lilypad=x": true,
		"a=b " + cookie.Name + "=x": true, `a="b"` + cookie.Name + "=x": true, "==" + cookie.Name + "=x": true, "a==" + cookie.Name + "=x": true,
		cookie.Former + "=x": false, "x" + cookie.Name + "=x": false, cookie.Name + "x=x": false, "a=" + cookie.Name: false,
		"a=" + cookie.Name + "=x": false, "": false, "=": false, "%=%%": false, "a=b": false,
	} {
		if got := cookie.MayBe(pair, cookie.Name); got != want {
			t.Errorf("MayBe(%q) is %v, want %v", pair, got, want)
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
		t.Errorf("cookie %s, want three values for 30 days", c)
	}
	if c, err := http.ParseSetCookie(cookie.SetKnown(nil)); err != nil || c.MaxAge != -1 {
		t.Errorf("cookie %s, error %v, want it deleted", c, err)
	}
}

func TestCookieAttributes(t *testing.T) {
	now := time.Now()
	for name, text := range map[string]string{
		"set": cookie.Set(token, now.Add(time.Hour), now), "clear": cookie.Clear(), "former": cookie.SetFormer(token), "known": cookie.AddKnown(token, []string{token, token}),
		"flow": cookie.SetFlow(cookie.NewFlow()),
	} {
		c, err := http.ParseSetCookie(text)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("%s: %s, want a __Host- cookie that is Secure, HttpOnly and SameSite=Lax", name, text)
		}
		if len(text) > 4096 || name == "set" && (c.MaxAge != 3600+24*3600 || c.Value != token) || name == "clear" && (c.MaxAge != -1 || c.Value != "") {
			t.Errorf("%s: %s has the wrong value, lifetime or size", name, text)
		}
	}
}

func TestOnlyAValueOfOursBindsSignInsToABrowser(t *testing.T) {
	ours := cookie.NewFlow()
	if again := cookie.NewFlow(); again == ours {
		t.Fatalf("two browsers have the value %s", ours)
	}
	for name, c := range map[string]struct {
		header, want string
	}{
		"none":          {"a=b", ""},
		"ours":          {"a=b; " + cookie.Flow + "=" + ours, ours},
		"twice":         {cookie.Flow + "=" + ours + "; " + cookie.Flow + "=" + ours, ""},
		"empty":         {cookie.Flow + "=", ""},
		"short":         {cookie.Flow + "=" + ours[1:], ""},
		"long":          {cookie.Flow + "=" + ours + "A", ""},
		"small letters": {cookie.Flow + "=" + strings.ToLower(ours), ""},
		"not a word":    {cookie.Flow + "=" + ours[2:] + "%0", ""},
		"a session's":   {cookie.Flow + "=" + token, ""},
		"another name":  {cookie.Name + "=" + ours, ""},
		"two readings":  {cookie.Flow + "=" + ours + "; " + cookie.Flow + " =" + ours, ""},
	} {
		var h http1.Header
		h.Add("Cookie", c.header)
		if got := cookie.ReadFlow(h); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
